// SPDX-License-Identifier: GPL-2.0-or-later

/** Writes the stream of events to a file: one JSON object a line, with the virtual time in ms. */

import { OutputFile } from './output-file.ts';

/** Characters gathered before they are written. */
const BUFFER_SIZE = 1 << 16;

/** Ticks of 100 ns in a millisecond. */
const TICKS_PER_MS = 10_000;

export class TraceWriter {
  readonly #file: OutputFile;
  #buffer = '';
  /**
   * Why the file is incomplete: nothing is written any more once a write has failed. Events come
   * out of the middle of a guest, which is no place for a full disk.
   */
  failure: string | undefined;

  /** @throws Error of the file system if the file cannot be opened */
  constructor(path: string) {
    this.#file = new OutputFile(path);
  }

  /** Write one event. */
  write(event: object, now: number): void {
    if (this.failure !== undefined) return;
    this.#buffer += `${traceLine(event, now)}\n`;
    if (this.#buffer.length >= BUFFER_SIZE) this.#attempt(() => this.#flush());
  }

  close(): void {
    this.#attempt(() => this.#flush());
    this.#attempt(() => (this.failure === undefined ? this.#file.finish() : this.#file.abandon()));
  }

  #flush(): void {
    const text = this.#buffer;
    this.#buffer = '';
    this.#file.write(text);
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.failure ??= (error as Error).message;
    }
  }
}

/** An event as a line of the trace, without the line end. */
export function traceLine(event: object, now: number): string {
  return JSON.stringify({ ms: now / TICKS_PER_MS, ...event }, plain);
}

/** What JSON has no form for: bytes as hexadecimal text, 64-bit numbers as `0x…`. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return value;
}
