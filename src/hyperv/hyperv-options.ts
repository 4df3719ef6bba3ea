// SPDX-License-Identifier: GPL-2.0-or-later

import type { Platform } from './platform.ts';

/** What may be chosen of the hypervisor layer. */
export interface HyperVOptions {
  /** Identity of the guest; by default iPXE's. */
  readonly guestOsId?: bigint | undefined;
  /** Vector and AUTO_EOI of unmasked SINTs, asked by {@link HyperV.probe}; else the platform's. */
  readonly sint?: ((platform: Platform) => bigint) | undefined;
  /** Whether whatever is being done shall end: asked in every turn of a wait. */
  readonly cancel?: (() => boolean) | undefined;
}

/** What somebody else does with our processor, for as long as the machine is ours. */
export interface HvPart {
  /** The pages are mapped; the SynIC is not on yet. @throws HypxeError */
  mapped?(): void;
  /** The machine is about to be let go, and nothing is unmapped yet. @throws HypxeError */
  unmapping?(): void;
}
