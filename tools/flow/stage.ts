// SPDX-License-Identifier: GPL-2.0-or-later

/** What happens between two owners of the machine, as every part of a flow reports it. */

import type { OsReport } from '../os/loaded-os.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';

/** How an owner ends. */
export type StageEnd =
  /** Firmware, for whoever comes next. */
  | 'handoff'
  /** Firmware that is still needed (SAN boot). */
  | 'quiesce'
  /** A kernel, for the next one. */
  | 'kexec'
  /** A kernel that crashes, for its crash kernel. */
  | 'crash'
  /** As `crash`, but there is no crash kernel: the VM is reset. */
  | 'panic'
  /** Without a word: the VM is reset. */
  | 'power-off'
  /** A kernel, by removing its drivers: as clean as can be. */
  | 'shutdown';

/** One owner of the machine, from taking over to having handed over. */
export interface FlowStage {
  /** `firmware`, `chainload 1`, `OS`, `kexec 1`, `crash kernel`. */
  readonly name: string;
  readonly end: StageEnd;
  /** When it ended, in ticks. */
  readonly endedAt: number;
  readonly findings: readonly Finding[];
  /** Of an OS that came back. */
  readonly os?: OsReport | undefined;
}

/** Runs a guest within limits; undefined if it did not come back. */
export type GuestRunner = <T>(name: string, run: () => T) => T | undefined;
