// SPDX-License-Identifier: GPL-2.0-or-later

/** Long texts that a cell sends. */

/** Longest text in a message of a cell, in characters. */
export const TEXT_MAX = 1 << 22;

/** A long text in parts, for a list of texts: each is short enough. */
export function textParts(whole: string): string[] {
  const parts: string[] = [];
  for (let i = 0; i < whole.length; i += TEXT_MAX) parts.push(whole.slice(i, i + TEXT_MAX));
  return parts;
}
