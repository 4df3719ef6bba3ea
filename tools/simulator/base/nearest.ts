// SPDX-License-Identifier: GPL-2.0-or-later

/** Advice for a name that is not known: the ones that it is nearest to. */

/** Longest name that is compared: what is longer was never meant as one of ours. */
const LENGTH_MAX = 64;

/** Letters of a beginning that means anything. */
const BEGINNING_MIN = 3;

/** Most names that are advised: of more the first ones. */
const ADVISED_MAX = 4;

/**
 * The names of which one was meant, for advice: those that are nearest, or begin with the words
 * that are nearest (`kexex` for `kexec-without-unload`).
 *
 * @param otherwise the advice if no name is near; by default all names
 */
export function didYouMean(
  name: string,
  names: readonly string[],
  otherwise = `Choose one of ${names.join(', ')}.`,
): string {
  if (name.length > LENGTH_MAX) return otherwise;
  const distances = names.map((other) => nearness(name.toLowerCase(), other.toLowerCase()));
  const least = Math.min(...distances);
  if (least > Math.max(1, Math.floor(name.length / 3))) return otherwise;
  const near = names.filter((_, i) => distances[i] === least);
  return `Did you mean ${near.slice(0, ADVISED_MAX).join(' or ')}?`;
}

/** How far it is from a name to another one, or to the words that the other one begins with. */
function nearness(name: string, other: string): number {
  const words = other.split('-');
  const beginnings = words.map((_, i) => words.slice(0, i + 1).join('-'));
  const long = beginnings.filter(({ length }) => length >= BEGINNING_MIN);
  return Math.min(...[other, ...long].map((beginning) => distance(name, beginning)));
}

/** Levenshtein's distance, in which two letters that changed places count as one mistake. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? before[j - 2]! + 1 : Infinity;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + cost, swap));
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
