// SPDX-License-Identifier: GPL-2.0-or-later

/** Frames of a stack as a finding shows them: `InboundRing.copy (ring.ts:98:21)`. */

/** Longest name of a file that is shown; a longer one is the text of a bundle. */
const FILE_MAX = 60;

/** The frames of an error from `first` on, at most `count`, without directories. */
export function stackFrames(error: Error, first: number, count: number): string {
  const lines = (error.stack ?? '').split('\n').filter((line) => line.trim().startsWith('at '));
  const frames = lines.slice(first, first + count).map(frame);
  return frames.length === 0 ? 'nowhere' : frames.join(' < ');
}

function frame(line: string): string {
  const [, name, place] = /^\s*at (?:(.*) \()?(.*?)\)?$/.exec(line) ?? [];
  const file = (place ?? '').slice(
    Math.max(...['/', ','].map((c) => (place ?? '').lastIndexOf(c))) + 1,
  );
  const short = file.length <= FILE_MAX ? file : file.replace(/^.*?(:\d+:\d+)$/, 'firmware$1');
  return name === undefined ? short : `${name} (${short})`;
}
