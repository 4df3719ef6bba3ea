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

/**
 * Step of the loaded OS, which no replay drives: it is no firmware, and has its own drivers. Its
 * session is there to be read.
 */
export const LOADED_OS = 'os';

/** Result of a frame that was refused without an error. */
export const DROPPED = 'dropped';

/** Name of such a step. */
export type StepName = (typeof STEP_NAMES)[number];

/** Name of a step that is recorded. */
export type RecordedStepName = StepName | typeof LOADED_OS;

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
  /** The device that it is about, by name; undefined: the first. */
  readonly device: string | undefined;
  /** Its drivers have it no longer: whoever drives them still does. */
  readonly gone: boolean;
}
