// SPDX-License-Identifier: GPL-2.0-or-later

/** Random and mutated inputs for parsers, from one seed (`SEED` in the environment repeats it). */

/** What all of them follow from. */
export const seed = Number(process.env.SEED ?? 1);

let state = seed + 1;

/** Where the sequence is: told with a failure. */
export const position = (): number => state;

/** A number below `bound`. */
export function random(bound: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * bound);
}

/** One of a list. */
export function pick<T>(list: readonly T[]): T {
  return list[random(list.length)]!;
}

/** Words that break what looks things up where it should not, or reads numbers too generously. */
const WORDS = [
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype', 'valueOf', 'then'],
  ...['', ' ', '0', '-1', '-0', '1e9', '1e400', 'NaN', 'Infinity', '0x10', '9007199254740993'],
  ...['null', 'true', '[]', '{}', '\0', '\n', '\ud800', '\u202e', '/', '..', ':', '=', ',', '@'],
];

/** Values in the place of others. */
const VALUES: readonly unknown[] = [
  ...[null, true, 0, -1, 0.5, 1e300, '', 'x', [], {}, [null], [[]], { length: 1e9 }],
  ...WORDS,
  JSON.parse('{"__proto__": {"kind": "log"}, "constructor": 1}'),
];

/** A text with something else at some places. */
export function mutatedText(text: string): string {
  let result = text;
  for (let i = random(3) + 1; i > 0; i--) {
    const at = random(result.length + 1);
    const length = pick([0, 0, 1, 2, 8]);
    result = result.slice(0, at) + pick(WORDS) + result.slice(at + length);
  }
  return random(20) === 0 ? result.slice(0, random(result.length)) : result;
}

/** Data with something else in one place; a copy. */
export function mutatedData(data: unknown): unknown {
  if (typeof data !== 'object' || data === null || random(12) === 0) return pick(VALUES);
  if (Array.isArray(data)) {
    if (data.length === 0) return [pick(VALUES)];
    const at = random(data.length);
    return data.map((each: unknown, i) => (i === at ? mutatedData(each) : each));
  }
  const entries = Object.entries(data);
  if (entries.length === 0 || random(10) === 0) entries.push([pick(WORDS), pick(VALUES)]);
  const at = random(entries.length);
  const changed = entries.flatMap(([key, each], i): [string, unknown][] => {
    if (i !== at) return [[key, each]];
    return random(8) === 0 ? [] : [[key, mutatedData(each)]];
  });
  return Object.fromEntries(changed);
}

/** Bytes, some of them others, cut off now and then. */
export function mutatedBytes(bytes: readonly number[]): Uint8Array {
  const result = Uint8Array.from(bytes);
  for (let i = random(4) + 1; i > 0; i--) result[random(result.length)] = pick([0, 0x7f, 255, 1]);
  return random(4) === 0 ? result.slice(0, random(result.length)) : result;
}
