// SPDX-License-Identifier: GPL-2.0-or-later

/** Files that a command reads or writes: each failure says which file, why, and what to do. */

import * as fs from 'node:fs';
import { OutputFile } from './boot/output-file.ts';
import { CommandError, EnvironmentError, UsageError } from './usage.ts';
import { systemReason } from './system-reason.ts';

/**
 * Size of a file that can be read, in bytes.
 *
 * @param advice what to do if it is not there, or no file
 * @throws EnvironmentError FileMissing, FileUnreadable
 * @throws UsageError NotAFile
 */
export function requireFile(file: string, advice: string): number {
  const stat = statOf(file, advice);
  if (!stat.isFile()) throw new UsageError('NotAFile', `${file} is not a file`, advice);
  try {
    fs.closeSync(fs.openSync(file, 'r'));
  } catch (error) {
    throw unreadable(file, error);
  }
  return stat.size;
}

/** @throws EnvironmentError DirectoryMissing, FileUnreadable @throws UsageError NoDirectory */
export function requireDirectory(directory: string, advice: string): void {
  const stat = statOf(directory, advice, 'DirectoryMissing');
  if (stat.isDirectory()) return;
  throw new UsageError('NoDirectory', `${directory} is no directory`, advice);
}

/** Longest time in which nothing comes out of a pipe, in ms: then nobody writes to it. */
const SILENCE_MAX_MS = 10_000;

/** How often a pipe that is empty is asked again, in ms. */
const SILENCE_STEP_MS = 20;

/** Bytes that are asked for at once. */
const CHUNK = 1 << 16;

/** The text of a file, or of a pipe, of at most `most` bytes. See {@link readBytes}. */
export function readText(file: string, most: number, silenceMs?: number): string {
  return String(readBytes(file, most, silenceMs));
}

/**
 * The contents of a file, a device or a pipe. The limit holds for what is read, not for what the
 * file system says: a device and a pipe have no size, and a file may grow meanwhile.
 *
 * @param most bytes
 * @param silenceMs how long a pipe may be silent
 * @throws EnvironmentError FileMissing, FileUnreadable, PipeSilent
 * @throws UsageError NotAFile, FileTooLarge
 */
export function readBytes(file: string, most: number, silenceMs = SILENCE_MAX_MS): Buffer {
  const stat = statOf(file, 'Check the path.');
  if (stat.isDirectory()) throw new UsageError('NotAFile', `${file} is a directory`, NOT_A_FILE);
  if (stat.size > most) throw tooLarge(file, most, stat.size);
  let descriptor: number | undefined;
  try {
    // Without blocking: a pipe that nobody writes to would never open
    descriptor = fs.openSync(file, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0));
    return readAll(descriptor, { file, most, silenceMs, pipe: stat.isFIFO() });
  } catch (error) {
    throw error instanceof CommandError ? error : unreadable(file, error);
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
}

interface Reading {
  readonly file: string;
  readonly most: number;
  readonly silenceMs: number;
  readonly pipe: boolean;
}

function readAll(descriptor: number, { file, most, silenceMs, pipe }: Reading): Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  for (let silent = 0; silent < silenceMs;) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK, most + 1 - size));
    const count = readSome(descriptor, chunk);
    if (count !== undefined && count > 0) {
      silent = 0;
      size += count;
      chunks.push(chunk.subarray(0, count));
      if (size > most) throw tooLarge(file, most);
    } else if (count === 0 && !(pipe && size === 0)) {
      return Buffer.concat(chunks, size);
    } else {
      // Nobody has opened the pipe yet, or nothing has been written yet
      pause(SILENCE_STEP_MS);
      silent += SILENCE_STEP_MS;
    }
  }
  const text = `nothing has come out of ${file} for ${silenceMs / 1000} s`;
  throw new EnvironmentError('PipeSilent', text, 'Let something write to it, or name a file.');
}

/** Number of bytes that were read, 0 at the end; undefined if there are none yet. */
function readSome(descriptor: number, into: Uint8Array): number | undefined {
  try {
    return fs.readSync(descriptor, into);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

const NOT_A_FILE = 'Check that it is the file that you mean.';

function tooLarge(file: string, most: number, size?: number): UsageError {
  const has = size === undefined ? `more than ${most} bytes` : `${size} bytes, more than ${most}`;
  return new UsageError('FileTooLarge', `${file} has ${has}`, NOT_A_FILE);
}

function statOf(file: string, advice: string, missing = 'FileMissing'): fs.Stats {
  let stat: fs.Stats | undefined;
  try {
    stat = fs.statSync(file, { throwIfNoEntry: false });
  } catch (error) {
    throw unreadable(file, error);
  }
  if (stat === undefined) throw new EnvironmentError(missing, `${file} does not exist`, advice);
  return stat;
}

function unreadable(file: string, error: unknown): EnvironmentError {
  const text = `${file} cannot be read: ${systemReason(error)}`;
  return new EnvironmentError('FileUnreadable', text, 'Check its permissions.');
}

/**
 * That a file can be written, before the work is done that makes its contents. What is there stays.
 *
 * @throws EnvironmentError FileUnwritable
 */
export function requireWritable(file: string): void {
  writing(file, () => new OutputFile(file).discard());
}

/**
 * Write a file, all of it or nothing: beside its place, and moved there.
 *
 * @throws EnvironmentError FileUnwritable
 */
export function writeText(file: string, text: string): void {
  writing(file, () => {
    const output = new OutputFile(file);
    try {
      output.write(text);
    } catch (error) {
      output.discard();
      throw error;
    }
    output.finish();
  });
}

function writing(file: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    const text = `${file} cannot be written: ${systemReason(error)}`;
    throw new EnvironmentError('FileUnwritable', text, 'Check the path, and its permissions.');
  }
}
