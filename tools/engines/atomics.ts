// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * `Atomics` for engines that are built without threads, and so without it (QuickJS in WebAssembly):
 * where nothing else runs, plain accesses are atomic. Firmware and simulator use these operations
 * because a guest and its host may as well be two threads.
 */

type Words = Record<number, number>;

function update(change: (old: number, value: number) => number) {
  return (words: Words, index: number, value: number): number => {
    const old = words[index]!;
    words[index] = change(old, value);
    return old;
  };
}

const operations = {
  add: update((old, value) => old + value),
  and: update((old, value) => old & value),
  or: update((old, value) => old | value),
  exchange: update((_, value) => value),
  load: (words: Words, index: number): number => words[index]!,
  store: (words: Words, index: number, value: number): number => (words[index] = value),
  compareExchange(words: Words, index: number, expected: number, value: number): number {
    const old = words[index]!;
    if (old === expected) words[index] = value;
    return old;
  },
};

/** Give the engine `Atomics` if it has none. Returns whether it had. */
export function provideAtomics(): boolean {
  const scope = globalThis as { Atomics?: unknown };
  if (scope.Atomics !== undefined) return true;
  scope.Atomics = operations;
  return false;
}
