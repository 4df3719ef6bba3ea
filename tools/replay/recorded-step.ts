// SPDX-License-Identifier: GPL-2.0-or-later

/** A step of a recorded session. */

/**
 * Steps that a guest can be driven through. `poll` is of its devices, `poll-bus` of the rest of its
 * drivers; `boot` is a whole firmware.
 */
export const STEP_NAMES = [
  ...(['probe', 'open', 'transmit', 'poll', 'close', 'remove', 'quiesce', 'unquiesce'] as const),
  ...(['poll-bus', 'boot'] as const),
] as const;

/** Name of such a step. */
export type StepName = (typeof STEP_NAMES)[number];

/** Whether a guest can be driven through a step: another one is skipped, and not compared. */
export function isKnownStep(name: string): boolean {
  return (STEP_NAMES as readonly string[]).includes(name);
}

/** One step of the recorded session, with what follows it up to the next step. */
export interface RecordedStep {
  readonly index: number;
  readonly name: string;
  /** Index of the event that begins the step. */
  readonly begin: number;
  /** Index of the event that ends it, or the number of events if the file ends before. */
  readonly end: number;
  /** The frame of a step `transmit`. */
  readonly frame: Uint8Array | undefined;
}
