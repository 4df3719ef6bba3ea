// SPDX-License-Identifier: GPL-2.0-or-later

/** Counts of pages: what a count is, what it costs, and that a snapshot puts it back. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PageCounts } from '../../../../tools/simulator/base/page-counts.ts';
import { Keeper } from '../../../../tools/simulator/base/snapshot.ts';

const test = suite('page counts');

/** Pages of 1 GiB. */
const PAGES = 1 << 18;

test('a page is counted by itself, the first and the last as well', () => {
  const counts = new PageCounts(PAGES);
  assert.is(counts.length, PAGES);
  for (const page of [0, 1023, 1024, PAGES - 1]) {
    assert.is(counts.add(page), 0);
    assert.is(counts.add(page), 1);
  }
  counts.take(1024);
  const seen = [0, 1, 1022, 1023, 1024, 1025, PAGES - 2, PAGES - 1].map((page) => counts.of(page));
  assert.equal(seen, [2, 0, 0, 2, 1, 0, 0, 2]);
});

test('a snapshot puts back what was counted, and what was counted only later is none', () => {
  const counts = new PageCounts(PAGES);
  counts.add(5);
  const keeper = new Keeper();
  keeper.keep(counts);
  const restore = keeper.finish();
  counts.take(5);
  counts.add(9000);
  restore();
  assert.equal([counts.of(5), counts.of(9000)], [1, 0]);
  assert.is(counts.add(9000), 0);
});

test.run();
