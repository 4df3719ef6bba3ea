// SPDX-License-Identifier: GPL-2.0-or-later

/** The session of a boot, for `hypxe replay`: what the firmware did, until it handed over. */

import { GuestRecorder, type GuestSession } from '../../record/guest-recorder.ts';
import type { SessionHead } from '../../record/session-text.ts';
import { EnvironmentError } from '../usage.ts';
import { OutputFile } from './output-file.ts';

/** Writes a session. */
export class SessionWriter {
  readonly recorder = new GuestRecorder();
  readonly #file: OutputFile;
  /** Why there is no session, or none that is whole. */
  failure: string | undefined;

  /** @throws EnvironmentError SessionUnwritable */
  constructor(path: string) {
    try {
      this.#file = new OutputFile(path);
    } catch (error) {
      const text = `the session cannot be written to ${path}: ${(error as Error).message}`;
      throw new EnvironmentError('SessionUnwritable', text, 'Give a path that can be written.');
    }
  }

  /** Write the session: the last one, or the first. */
  write(which: 'first' | 'last', head: SessionHead): void {
    const { sessions } = this.recorder;
    const session: GuestSession | undefined = which === 'first' ? sessions[0] : sessions.at(-1);
    if (session === undefined) {
      this.failure = 'the guest did not run';
      return;
    }
    try {
      this.#file.write(this.recorder.text(session, head));
      this.#file.finish();
    } catch (error) {
      this.failure = (error as Error).message;
    }
  }

  /** Whatever happened: what was there before stays unless a session was written. */
  close(): void {
    this.#file.discard();
  }
}
