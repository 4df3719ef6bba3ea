// SPDX-License-Identifier: GPL-2.0-or-later

/** What an audit can find: the checks by name, and the form of a finding. Plain data. */

/** `error`: the next owner may be hurt. `warning`: bad manners. `info`: harmless, but seen. */
export type Severity = 'error' | 'warning' | 'info';

/** The checks, by their names, in the order in which they are reported. */
export const AUDIT_CHECKS = {
  unload: {
    number: 1,
    text: 'no connection is left: UNLOAD was sent, answered, and the answer taken',
  },
  channels: { number: 2, text: 'no channel is open, no GPADL alive, no packet in flight' },
  'shared-pages': { number: 3, text: 'no interrupt page and no monitor page is registered' },
  'synic-pages': { number: 4, text: 'message and event page are disabled on every VP' },
  sints: { number: 5, text: 'every SINT is masked' },
  scontrol: { number: 6, text: 'SCONTROL of every VP is as it is at reset' },
  hypercall: { number: 7, text: 'the hypercall page is disabled, the guest has no identity' },
  'clock-pages': { number: 8, text: 'reference TSC page and VP assist page are disabled' },
  timers: { number: 9, text: 'no synthetic timer is enabled or due' },
  leftovers: { number: 10, text: 'no message is queued, no event flag set' },
  'late-writes': { number: 11, text: 'no memory of the next owner is written by the host' },
  'next-os': { number: 12, text: 'an OS connects, finds the same channels, and has a network' },
  completions: { number: 13, text: 'every received packet was completed' },
  'second-boot': { number: 14, text: 'the firmware boots again' },
  rescind: { number: 15, text: 'the firmware survives a rescind between CLOSE and UNLOAD' },
  freed: { number: 16, text: 'no memory was freed or shared again while the host had it' },
  omissions: {
    number: 17,
    text: 'no step of the clean-up was left to UNLOAD or to the end of a channel',
  },
  reserved: { number: 18, text: 'no page is reserved in which the host has nothing' },
} as const;

export type AuditCheck = keyof typeof AUDIT_CHECKS;

/** Checks of what only a contact or an UNLOAD ends. */
export const OF_CONNECTION: readonly AuditCheck[] = ['unload', 'channels', 'shared-pages'];

/** A page, or several, that a finding is about. */
export interface FindingPages {
  /** What they are for. */
  readonly purpose: string;
  /** Guest physical addresses of the pages. */
  readonly pages: readonly number[];
  /** Bytes of them that are shared. */
  readonly length: number;
  /** What shared them, when (in ticks), and what would have revoked it. */
  readonly sharedBy: string;
  readonly sharedAt: number;
  readonly revokedWith: string;
  /** The memory map that is handed on reserves them, and nobody uses them: lost, but safe. */
  readonly reserved: boolean;
}

/** One finding. */
export interface Finding {
  readonly check: AuditCheck;
  readonly severity: Severity;
  readonly text: string;
  readonly pages?: FindingPages;
  /** Virtual processor that it is about, where it is about one. */
  readonly vp?: number;
  /** It is no mistake but a hole that everybody knows, and that nobody has closed. */
  readonly known?: 'crash-hole';
}

/** What may be expected of the guest that hands over. */
export type HandoffKind =
  /** It is done: nothing may be left. */
  | 'shutdown'
  /** It is still needed (SAN boot): the connection stays, registers and overlays do not. */
  | 'quiesce'
  /** An OS for the next one: as `shutdown`, on all of its processors. */
  | 'kexec'
  /** An OS that has crashed, for its crash kernel: one processor cleans up, the others cannot. */
  | 'crash';
