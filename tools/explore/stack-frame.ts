// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Frames of a stack as a finding shows them: `InboundRing.copy (ring.ts:98:21)`, or of a module,
 * which was rewritten so that the place in it says nothing, `ring_receive`.
 */

import { guestFrames } from '../flow/guest-run.ts';

/** Longest name of a file that is shown; a longer one is the text of a bundle. */
const FILE_MAX = 60;

/** The frames of an error from `first` on, at most `count`, without directories. */
export function stackFrames(error: Error, first: number, count: number): string {
  return frames(error.stack ?? '', first, count) ?? 'nowhere';
}

/** Those of them that are a guest's, which has called the tool; undefined if none is. */
export function guestStack(error: Error, count: number): string | undefined {
  return frames(guestFrames(error) ?? '', 0, count);
}

/** The same of any guest: of one that has no frames of its own, those from `first` on. */
export function callerFrames(error: Error, first: number, count: number): string {
  return guestStack(error, count) ?? stackFrames(error, first, count);
}

function frames(stack: string, first: number, count: number): string | undefined {
  const lines = stack.split('\n').filter((line) => line.trim().startsWith('at '));
  const shown = lines.slice(first, first + count).map(frame);
  return shown.length === 0 ? undefined : shown.join(' < ');
}

function frame(line: string): string {
  const [, name, place] = /^\s*at (?:(.*) \()?(.*?)\)?$/.exec(line) ?? [];
  const file = (place ?? '').slice(
    Math.max(...['/', ','].map((c) => (place ?? '').lastIndexOf(c))) + 1,
  );
  const short = file.length <= FILE_MAX ? file : file.replace(/^.*?(:\d+:\d+)$/, 'firmware$1');
  if (name === undefined) return short;
  return short.includes('wasm-function') ? name : `${name} (${short})`;
}
