// SPDX-License-Identifier: GPL-2.0-or-later

/** What may be chosen of the hypervisor layer. */

export interface HyperVOptions {
  /** Identity of the guest; by default iPXE's. */
  readonly guestOsId?: bigint | undefined;
  /** Interrupt vector of SINTs; by default the architecture's (Platform.sintPolicy). */
  readonly sintVector?: number | undefined;
  /**
   * SINTs with automatic end of interrupt: always, as iPXE has them, or unless the hypervisor
   * advises against it (Linux hv_recommend_using_aeoi).
   */
  readonly autoEoi?: 'always' | 'as-recommended' | undefined;
  /** Where the time comes from: the best that the machine offers, or the reference counter. */
  readonly clock?: 'best' | 'counter' | undefined;
  /** Whether whatever is being done shall end: asked in every turn of a wait. */
  readonly cancel?: (() => boolean) | undefined;
}
