// SPDX-License-Identifier: GPL-2.0-or-later

/** README.md: every example works as printed. It spawns each command but those of `.ci/run`. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testExamples, examplesOf } from '../../rigs/manual-rig.ts';
import { readBooks } from '../../../tools/manual/books.ts';

/** Commands of the first block: `npm ci`, and everything. */
const FIRST_BLOCK = 2;

const [book] = readBooks();
const readme = suite('README.md');

readme('there are examples', () => {
  const examples = examplesOf(book!);
  assert.ok(examples.length >= 10);
  assert.ok(examples.some((example) => 'exitCode' in example && example.exitCode !== 0));
});

testExamples(readme, [book!], FIRST_BLOCK);

readme.run();
