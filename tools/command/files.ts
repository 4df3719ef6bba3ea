// SPDX-License-Identifier: GPL-2.0-or-later

/** Files that a command reads: each failure says which file, why, and what to do. */

import * as fs from 'node:fs';
import { EnvironmentError, UsageError } from './usage.ts';

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

/**
 * The text of a file, or of a pipe, of at most `most` bytes.
 *
 * @throws EnvironmentError FileMissing, FileUnreadable
 * @throws UsageError NotAFile, FileTooLarge
 */
export function readText(file: string, most: number): string {
  const stat = statOf(file, 'Check the path.');
  if (stat.isDirectory()) throw new UsageError('NotAFile', `${file} is a directory`, NOT_A_FILE);
  const bytes = stat.size > most ? undefined : readBytes(file);
  const size = bytes?.length ?? stat.size;
  if (bytes !== undefined && size <= most) return String(bytes);
  const text = `${file} has ${size} bytes, more than ${most}`;
  throw new UsageError('FileTooLarge', text, NOT_A_FILE);
}

const NOT_A_FILE = 'Check that it is the file that you mean.';

/** The contents of a file. @throws EnvironmentError FileUnreadable */
export function readBytes(file: string): Buffer {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    throw unreadable(file, error);
  }
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
  const text = `${file} cannot be read: ${(error as Error).message}`;
  return new EnvironmentError('FileUnreadable', text, 'Check its permissions.');
}
