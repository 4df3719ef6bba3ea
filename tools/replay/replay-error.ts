// SPDX-License-Identifier: GPL-2.0-or-later

/** What can be wrong with what a replay is given, each with what to do about it. */
const ADVICE = {
  NoEntryPoint: 'Give a bundle that exports createDriver(machine, options).',
  TraceNotJson: 'Check that the file is complete; record or copy it again.',
  TraceForeign: 'Give a recorded session in the format of the golden iPXE traces.',
  TraceEventInvalid: 'Correct the event, or record the session again.',
  TraceStepsInvalid: 'Each step must begin and end once; record the session again.',
} as const;

/** A session or a firmware that cannot be replayed. */
export class ReplayError extends Error {
  override readonly name: keyof typeof ADVICE;

  constructor(name: keyof typeof ADVICE, message: string) {
    super(message);
    this.name = name;
  }

  /** What to do next. */
  get advice(): string {
    return ADVICE[this.name];
  }
}
