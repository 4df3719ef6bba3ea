// SPDX-License-Identifier: GPL-2.0-or-later

/** The session of a boot, for `hypxe replay`: what the firmware did, until it handed over. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { GuestRecorder, type GuestSession } from '../../record/guest-recorder.ts';
import type { SessionHead } from '../../record/session-text.ts';
import { EnvironmentError } from '../usage.ts';
import { OutputFile } from './output-file.ts';
import { systemReason } from '../system-reason.ts';

/** Writes a session. */
export class SessionWriter {
  readonly recorder = new GuestRecorder();
  readonly #file: OutputFile;
  readonly #path: string;
  /** Why there is no session, or none that is whole. */
  failure: string | undefined;

  /** @throws EnvironmentError SessionUnwritable */
  constructor(file: string) {
    this.#path = file;
    try {
      this.#file = new OutputFile(file);
    } catch (error) {
      const text = `the session cannot be written to ${file}: ${systemReason(error)}`;
      throw new EnvironmentError('SessionUnwritable', text, 'Give a path that can be written.');
    }
  }

  /**
   * Write the session: the last one, or the first.
   *
   * @param all write the others too, each into a numbered file beside it
   */
  write(which: 'first' | 'last', head: SessionHead, all: boolean): void {
    const { sessions } = this.recorder;
    const session: GuestSession | undefined = which === 'first' ? sessions[0] : sessions.at(-1);
    if (session === undefined) {
      this.failure = 'the guest did not run';
      return;
    }
    try {
      this.#file.write(this.recorder.text(session, head));
      this.#file.finish();
      if (!all) return;
      // One of another run among them would look like one of this
      const there = this.#numbered();
      if (there !== undefined)
        this.failure = `${there} is there already, and was left as it is, without others beside it`;
      else
        for (const [i, other] of sessions.entries())
          if (other !== session) this.#writeOther(other, i + 1, head);
    } catch (error) {
      this.failure = systemReason(error);
    }
  }

  /**
   * A numbered session that lies beside the file: nobody has named it, and it is somebody's.
   *
   * @throws Error of the file system
   */
  #numbered(): string | undefined {
    const { dir, name: stem, ext } = path.parse(this.#path);
    const isNumber = (name: string): boolean =>
      name.startsWith(`${stem}-`) &&
      name.endsWith(ext) &&
      /^\d+$/.test(name.slice(stem.length + 1, name.length - ext.length));
    const name = fs
      .readdirSync(dir === '' ? '.' : dir)
      .sort()
      .find(isNumber);
    return name === undefined ? undefined : path.join(dir, name);
  }

  /** @throws Error of the file system */
  #writeOther(session: GuestSession, number: number, { name, host, driver }: SessionHead): void {
    const { dir, name: stem, ext } = path.parse(this.#path);
    const file = new OutputFile(path.join(dir, `${stem}-${number}${ext}`));
    const description = `session ${number} of ${this.recorder.sessions.length} of ${name}`;
    const head = { name: `${name}-${number}`, description, driver, host };
    try {
      file.write(this.recorder.text(session, head));
      file.finish();
    } finally {
      file.discard();
    }
  }

  /** Whatever happened: what was there before stays unless a session was written. */
  close(): void {
    this.#file.discard();
  }
}
