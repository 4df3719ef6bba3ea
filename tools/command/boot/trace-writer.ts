// SPDX-License-Identifier: GPL-2.0-or-later

/** Writes the stream of events to a file: one JSON object a line, with the virtual time in ms. */

import type { CapturedMemory } from '../../capture/rndis-messages.ts';
import { isClockRead, slimFrame } from '../../report/read-trace.ts';
import { TraceLines, traceLine } from '../../report/trace-line.ts';
import type { HostEvent } from '../../simulator/ledger/events.ts';
import { OutputFile } from './output-file.ts';
import { systemReason } from '../system-reason.ts';

/** Characters gathered before they are written. */
const BUFFER_SIZE = 1 << 16;

export class TraceWriter {
  readonly #file: OutputFile;
  #buffer = '';
  /**
   * Why the file is incomplete: nothing is written any more once a write has failed. Events come
   * out of the middle of a guest, which is no place for a full disk.
   */
  failure: string | undefined;

  readonly #lines: TraceLines;
  readonly #slim: boolean;

  /**
   * @param memory the guest's, to read what packets refer to
   * @param slim without what a report leaves out
   * @throws Error of the file system if the file cannot be opened
   */
  constructor(path: string, memory: CapturedMemory, slim = false) {
    this.#slim = slim;
    this.#file = new OutputFile(path);
    this.#lines = new TraceLines(memory);
  }

  /** Write one event of the machine. */
  host(event: HostEvent, now: number): void {
    if (this.failure !== undefined) return;
    if (!this.#slim) this.#add(this.#lines.host(event, now));
    else if (!isClockRead(event)) this.#add(this.#lines.host(slimFrame(event), now));
  }

  /** Write an event of anybody else. */
  write(event: object, now: number): void {
    if (this.failure === undefined) this.#add(traceLine(event, now));
  }

  #add(line: string): void {
    this.#buffer += `${line}\n`;
    if (this.#buffer.length >= BUFFER_SIZE) this.#attempt(() => this.#flush());
  }

  close(): void {
    this.#attempt(() => this.#flush());
    this.#attempt(() => (this.failure === undefined ? this.#file.finish() : this.#file.abandon()));
  }

  /** Nothing more comes, and it is not whole: what was there before stays. */
  abandon(): void {
    this.failure ??= 'the run came to no end';
    this.close();
  }

  #flush(): void {
    const text = this.#buffer;
    this.#buffer = '';
    if (text !== '') this.#file.write(text);
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.failure ??= systemReason(error);
    }
  }
}
