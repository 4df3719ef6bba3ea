// SPDX-License-Identifier: GPL-2.0-or-later

/** Two sessions as lists of lines: where they differ, and whether that is what rows say. */

/** Lines that only one of them has, at one place. */
export interface Hunk {
  readonly recorded: readonly string[];
  readonly own: readonly string[];
}

/** Where two lists differ, in order: by their longest common subsequence. */
export function hunksOf(recorded: readonly string[], own: readonly string[]): Hunk[] {
  const width = own.length + 1;
  const lengths = new Uint32Array((recorded.length + 1) * width);
  for (let i = recorded.length - 1; i >= 0; i--) {
    for (let j = own.length - 1; j >= 0; j--) {
      const same = recorded[i] === own[j];
      lengths[i * width + j] = same
        ? lengths[(i + 1) * width + j + 1]! + 1
        : Math.max(lengths[(i + 1) * width + j]!, lengths[i * width + j + 1]!);
    }
  }
  const hunks: Hunk[] = [];
  let hunk: { recorded: string[]; own: string[] } | undefined;
  for (let i = 0, j = 0; i < recorded.length || j < own.length;) {
    if (i < recorded.length && j < own.length && recorded[i] === own[j]) {
      hunk = undefined;
      i++;
      j++;
      continue;
    }
    if (hunk === undefined) hunks.push((hunk = { recorded: [], own: [] }));
    const down = i < recorded.length ? lengths[(i + 1) * width + j]! : -1;
    const right = j < own.length ? lengths[i * width + j + 1]! : -1;
    if (down >= right) hunk.recorded.push(recorded[i++]!);
    else hunk.own.push(own[j++]!);
  }
  return hunks;
}

/** What rows do not explain, and rows that explain nothing: empty if all is as they say. */
export function unexplained(hunks: readonly Hunk[], rows: readonly Hunk[]): string[] {
  const text = ({ recorded, own }: Hunk): string =>
    [...recorded.map((line) => `- ${line}`), ...own.map((line) => `+ ${line}`)].join('\n');
  const left = rows.map(text);
  const complaints: string[] = [];
  for (const hunk of hunks.map(text)) {
    const row = left.indexOf(hunk);
    if (row >= 0) left.splice(row, 1);
    else complaints.push(`no row for\n${hunk}`);
  }
  return [...complaints, ...left.map((row) => `no such difference:\n${row}`)];
}
