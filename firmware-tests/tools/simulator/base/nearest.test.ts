// SPDX-License-Identifier: GPL-2.0-or-later

/** Advice for names that are not known. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { didYouMean } from '../../../../tools/simulator/base/nearest.ts';

const nearest = suite('nearest name');

const NAMES = ['boot', 'explore', 'kexec', 'network-loss', 'network-late', 'crash-without-unload'];

nearest('a letter that is wrong, lacks, is too much or changed places', () => {
  for (const name of ['bopt', 'bot', 'booot', 'obot', 'BOOT']) {
    assert.is(didYouMean(name, NAMES), 'Did you mean boot?', name);
  }
});

nearest('words that a longer name begins with; all names that begin so', () => {
  assert.is(didYouMean('crahs', NAMES), 'Did you mean crash-without-unload?');
  assert.is(didYouMean('netwrok', NAMES), 'Did you mean network-loss or network-late?');
});

nearest('a few names at most', () => {
  const many = Array.from({ length: 9 }, (_, i) => `network-${i}`);
  const advice = 'Did you mean network-0 or network-1 or network-2 or network-3?';
  assert.is(didYouMean('netwrk', many), advice);
});

nearest('nothing that is near: all names, or what the caller says', () => {
  assert.is(didYouMean('frobnicate', ['a-b', 'c']), 'Choose one of a-b, c.');
  assert.is(didYouMean('frobnicate', NAMES, 'See --help.'), 'See --help.');
  assert.is(didYouMean('n'.repeat(65), ['n'.repeat(64)], 'Shorter.'), 'Shorter.');
  assert.is(didYouMean('', NAMES, 'Say one.'), 'Say one.');
});

nearest.run();
