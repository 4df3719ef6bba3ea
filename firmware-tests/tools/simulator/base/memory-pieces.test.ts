// SPDX-License-Identifier: GPL-2.0-or-later

/** Pieces of memory, as sets of bytes: against lists of single bytes. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  overlap,
  wholePages,
  without,
  type Piece,
} from '../../../../tools/simulator/base/memory-pieces.ts';
import { Random } from '../../../../tools/simulator/base/random.ts';

const pieces = suite('pieces of memory');

function bytesOf(list: readonly Piece[]): number[] {
  const bytes = list.flatMap(({ address, length }) =>
    Array.from({ length }, (_, i) => address + i),
  );
  return [...new Set(bytes)].sort((a, b) => a - b);
}

pieces('what is in none of others, and what overlaps', () => {
  const random = new Random(5);
  const some = (): Piece[] =>
    Array.from({ length: random.below(4) }, () => ({
      address: random.below(24),
      length: random.below(9),
    }));
  for (let run = 0; run < 500; run++) {
    const [mine, others] = [some(), some()];
    const taken = bytesOf(others);
    const text = `seed 5, run ${run}: ${JSON.stringify([mine, others])}`;
    const left = bytesOf(mine).filter((byte) => !taken.includes(byte));
    assert.equal(bytesOf(without(mine, others)), left, text);
    for (const one of mine)
      for (const other of others) {
        const both = bytesOf([one]).some((byte) => bytesOf([other]).includes(byte));
        assert.is(overlap(one, other), both, text);
      }
  }
});

pieces('whole pages', () => {
  const two = { address: 0x1000, length: 0x2000 };
  assert.equal(wholePages({ address: 0x1800, length: 0x900 }, 0x1000), two);
  assert.equal(wholePages(two, 0x1000), two);
});

pieces('an empty piece is nothing, and nothing is left of it', () => {
  assert.equal(without([{ address: 0x3000, length: 0 }], []), []);
  const others = [{ address: 0x1000, length: 0x1000 }];
  assert.equal(without([{ address: 0x1800, length: 0 }, ...others], others), []);
});

pieces.run();
