// SPDX-License-Identifier: GPL-2.0-or-later

/** Reads the file of a recorded session. */

import { ReplayError } from '../../replay/replay-error.ts';
import { parseTrace, type TraceFile } from '../../replay/trace-file.ts';
import { readText } from '../files.ts';
import { UsageError } from '../usage.ts';

/** Longest trace that is read, in bytes. */
const TRACE_MAX = 1 << 28;

/** Whether a session is a whole firmware's: all of it is one step. */
export function isBoot({ events }: TraceFile): boolean {
  const first = events.find(({ op }) => op === 'step');
  return first?.op === 'step' && first.name === 'boot';
}

/** @throws CommandError */
export function readTrace(name: string): TraceFile {
  const text = readText(name, TRACE_MAX);
  try {
    return parseTrace(text);
  } catch (error) {
    if (!(error instanceof ReplayError)) throw error;
    throw new UsageError(error.name, `${name}: ${error.message}`, error.advice);
  }
}
