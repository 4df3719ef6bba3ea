// SPDX-License-Identifier: GPL-2.0-or-later

/** Guest RAM from the host's side: filling it. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { GuestRam } from '../../../../tools/simulator/base/guest-ram.ts';

const ram = suite('guest RAM');

const WORDS = 20_000;
const OTHER = 7;

ram('a fill reaches its words and no other, however they lie', () => {
  for (const offset of [0, 4, 8]) {
    const memory = new ArrayBuffer(offset + 4 * WORDS + 8);
    const words = new Int32Array(memory);
    const guest = new GuestRam(memory, { offset, length: 4 * WORDS });
    for (const value of [0x6a09e667, -2, 0xfedcba98, 0]) {
      for (const first of [0, 1, 2, 5001]) {
        for (const end of [first, first + 4095, first + 4096, first + 4097, WORDS - 1, WORDS]) {
          words.fill(OTHER);
          guest.fillWords(value, first, end);
          const at = offset / 4;
          const wrong = words.findIndex(
            (word, i) => word !== (i >= at + first && i < at + end ? value | 0 : OTHER),
          );
          assert.is(wrong, -1, `${value} from ${first} to ${end} at ${offset}: word ${wrong}`);
        }
      }
    }
  }
});

ram.run();
