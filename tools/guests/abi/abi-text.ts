// SPDX-License-Identifier: GPL-2.0-or-later

/** Texts of the interface, broken into lines for comments. */

/** Break a text into lines of at most `width` characters. */
export function commentLines(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
