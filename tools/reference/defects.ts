// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the reference guest can do wrong, each as a switch: with all of them on it does what iPXE's
 * drivers do, with none what the list of differences says of hypxe. The names are those of the
 * list.
 */

/** The switches. */
export const DEFECTS = [
  // Hypervisor
  'earlier-owner-switched-off',
  'hypercall-page-checked',
  'reference-time-required',
  'scontrol-as-found',
  'sints-as-at-reset',
  'posts-are-retried',
  'signals-are-retried',
  'quiesced-device-is-silent',
  // Messages
  'prompt-waits',
  'waits-are-bounded',
  'late-answers-belong-to-their-request',
  'short-messages-refused',
  'bus-survives',
  'rescinds-are-heard',
  'offers-checked',
  'offers-may-not-end',
  'connection-state-checked',
  // Memory and life
  'ring-gpadl-torn-down',
  'open-of-unknown-end-closed',
  'buffer-kept-without-answer',
  'unclosed-channel-keeps-memory',
  'close-leaves-nothing-behind',
  'pages-kept-without-unload',
  'offers-matched-after-reset',
  'reset-is-retried',
  'old-channel-not-closed',
  'remove-while-quiesced',
  // Ring
  'ranges-in-order',
  'bad-packets-are-consumed',
  'ring-indices-checked',
  'range-count-checked',
  'every-packet-completed',
  'drops-are-counted',
  'transactions-compared-whole',
  // NetVSC and RNDIS
  'control-messages-have-slots',
  'deferral-is-no-error',
  'deferral-is-bounded',
  'full-ring-defers',
  'drop-is-named',
  'frame-length-limited',
  'completion-status-checked',
  'short-init-completion-taken',
  'failed-open-clears-filter',
  'short-answers-wake',
  'keepalive-answered',
  'short-frames-rejected',
  'packet-info-checked',
  'addresses-checked',
  'answers-have-their-type',
  'error-classes',
  'no-allocation-per-message',
] as const;

/** The name of a switch. */
export type Defect = (typeof DEFECTS)[number];

/** Whether `name` is a switch. */
export function isDefect(name: string): name is Defect {
  return (DEFECTS as readonly string[]).includes(name);
}

/** Asks whether a switch is on. */
export type Has = (defect: Defect) => boolean;
