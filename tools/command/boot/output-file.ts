// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Files that a command writes: beside the place where they shall be, as `FILE.part`, and moved
 * there once they are whole. A run that comes to no end leaves what was there before.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { UsageError } from '../usage.ts';

/** End of the name of a file that is not whole. */
export const PART = '.part';

/** The longest that somebody is waited for who reads a pipe, and how often is looked, in ms. */
const READER_MS = 8_000;
const LOOK_MS = 50;

/** Links that are followed. */
const LINKS_MAX = 40;

export class OutputFile {
  readonly #descriptor: number;
  /** Where it is written to, and where it shall be; the same for a device or a pipe. */
  #part: string;
  readonly #final: string;
  /** Length of what was published of a plain file. */
  #length: number | undefined;
  #open = true;

  /** @throws Error of the file system if it cannot be written */
  constructor(file: string) {
    this.#final = targetOf(file);
    const stat = fs.statSync(this.#final, { throwIfNoEntry: false });
    const plain = stat === undefined || stat.isFile();
    if (stat !== undefined) fs.accessSync(this.#final, fs.constants.W_OK);
    this.#part = plain ? this.#final + PART : this.#final;
    const first = stat?.isFIFO() === true ? waitForReader(this.#final) : undefined;
    this.#descriptor = fs.openSync(this.#part, 'w');
    if (first !== undefined) fs.closeSync(first);
  }

  /** @throws Error of the file system */
  write(data: string | Uint8Array): void {
    // Writes all of it, where one write may take less
    fs.writeFileSync(this.#descriptor, data);
  }

  /** It is whole: put it where it shall be. @throws Error of the file system */
  finish(): void {
    if (this.#close()) this.#move();
  }

  /** What there is is whole, and put where it shall be. More may come. @throws as {@link finish} */
  publish(): void {
    if (this.#part !== this.#final) this.#length = fs.fstatSync(this.#descriptor).size;
    this.#move();
  }

  /** What has come behind what was published is not whole: drop it, if a file can. */
  revert(): void {
    if (this.#length !== undefined) fs.ftruncateSync(this.#descriptor, this.#length);
  }

  #move(): void {
    if (this.#part !== this.#final) fs.renameSync(this.#part, this.#final);
    this.#part = this.#final;
  }

  /** It will never be whole, and nobody wants what there is. */
  discard(): void {
    if (!this.#close()) return;
    if (this.#part !== this.#final) fs.rmSync(this.#part, { force: true });
  }

  /** It will never be whole: what there is stays as the part. */
  abandon(): void {
    this.#close();
  }

  /** Close it, once: the number of a closed one may be another file's. */
  #close(): boolean {
    if (!this.#open) return false;
    this.#open = false;
    fs.closeSync(this.#descriptor);
    return true;
  }
}

/** The file behind links, also behind one to a file that is not there. */
function targetOf(file: string): string {
  let at = path.resolve(file);
  for (let i = 0; i < LINKS_MAX; i++) {
    const stat = fs.lstatSync(at, { throwIfNoEntry: false });
    if (stat?.isSymbolicLink() !== true) break;
    at = path.resolve(path.dirname(at), fs.readlinkSync(at));
  }
  return at;
}

/** A file that is to be written, and the option that says so. */
export interface Output {
  readonly option: string;
  readonly file: string;
}

/** A file that is read, and what it is. */
export interface Input {
  readonly what: string;
  readonly file: string;
}

/**
 * Refuse outputs that would overwrite an input or each other, whatever path, link or case of
 * letters leads there. Called before anything is opened.
 *
 * @throws UsageError OutputIsInput, OutputsEqual
 */
export function checkOutputs(outputs: readonly Output[], inputs: readonly Input[]): void {
  const advice = 'Give a file of its own.';
  const seen: { readonly option: string; readonly keys: readonly string[] }[] = [];
  for (const { option, file } of outputs) {
    if (isDevice(file)) continue;
    const places = [file, file + PART];
    for (const input of inputs) {
      if (!places.some((place) => isSame(place, input.file))) continue;
      const text = `${option} ${file} would be written over ${input.what} ${input.file}`;
      throw new UsageError('OutputIsInput', text, advice);
    }
    const keys = places.flatMap(keysOf);
    const other = seen.find((one) => one.keys.some((key) => keys.includes(key)));
    if (other !== undefined) {
      const text = `${option} ${file} would be written over the file of ${other.option}`;
      throw new UsageError('OutputsEqual', text, advice);
    }
    seen.push({ option, keys });
  }
}

/** Whether an output is an input. */
function isSame(output: string, input: string): boolean {
  const keys = keysOf(input);
  return keysOf(output).some((key) => keys.includes(key));
}

/** What identifies a file: itself if it is there, and else the place where it would be. */
function keysOf(file: string): string[] {
  const stat = statOf(file);
  const real = realOf(file);
  // A file system may not tell letters by their case
  const place = `path:${stat === undefined ? real.toLowerCase() : real}`;
  return stat === undefined ? [place] : [place, `file:${stat.dev}:${stat.ino}`];
}

function isDevice(file: string): boolean {
  const stat = statOf(file);
  return stat !== undefined && !stat.isFile() && !stat.isDirectory();
}

function statOf(file: string): fs.Stats | undefined {
  try {
    return fs.statSync(file, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** The real path of a file, or the one that it would have. */
function realOf(file: string): string {
  try {
    const target = targetOf(file);
    const folder = fs.realpathSync(path.dirname(target));
    return path.join(folder, path.basename(target));
  } catch {
    return path.resolve(file);
  }
}

/**
 * Opening a pipe waits for whoever reads it, for ever, and nothing else happens meanwhile. Returns
 * a descriptor of it that does not wait: the reader takes its end for that of the file.
 *
 * @throws Error of the file system (ENXIO) if nobody comes
 */
function waitForReader(pipe: string): number {
  const { O_WRONLY, O_NONBLOCK } = fs.constants;
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; ; waited += LOOK_MS) {
    try {
      return fs.openSync(pipe, O_WRONLY | O_NONBLOCK);
    } catch (error) {
      if (waited >= READER_MS) throw error;
      Atomics.wait(nothing, 0, 0, LOOK_MS);
    }
  }
}
