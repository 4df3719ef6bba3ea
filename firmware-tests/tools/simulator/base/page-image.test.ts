// SPDX-License-Identifier: GPL-2.0-or-later

/** Memory by page: each bit of it is seen, wherever it lies in a buffer, and comes back. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../../../src/machine.ts';
import { imageBytes, putImage, takeImage } from '../../../../tools/simulator/base/page-image.ts';

const images = suite('images of memory');

const PAGES = 5;
const LENGTH = PAGES * PAGE_SIZE;

for (const offset of [0, 4, 8]) {
  const window = { offset, length: LENGTH };

  images(`each bit of a page counts, at ${offset}`, () => {
    const memory = new ArrayBuffer(LENGTH + 16);
    const bytes = new Uint8Array(memory, offset, LENGTH);
    for (const filled of [false, true]) {
      if (filled) for (let i = 0; i < LENGTH; i++) bytes[i] = i * 7 + 1;
      const before = takeImage(memory, [], window);
      assert.is(imageBytes(before), filled ? LENGTH : 0);
      assert.is(imageBytes(takeImage(memory, before, window), before), 0);
      for (let at = PAGE_SIZE; at < 2 * PAGE_SIZE; at += at % 64 < 16 ? 1 : 61) {
        const bit = 1 << (at & 7);
        bytes[at]! ^= bit;
        const image = takeImage(memory, before, window);
        const differ = image.flatMap((page, i) => (page === before[i] ? [] : [i]));
        assert.equal(differ, [1], `bit ${at & 7} of byte ${at}`);
        bytes[at]! ^= bit;
      }
    }
  });

  images(`what was there comes back, and nothing beside it changes, at ${offset}`, () => {
    const memory = new ArrayBuffer(LENGTH + 16);
    const all = new Uint8Array(memory).fill(0xa5);
    const bytes = new Uint8Array(memory, offset, LENGTH);
    bytes.fill(0);
    // Zeros in front, in between and behind
    bytes[PAGE_SIZE] = 1;
    bytes[4 * PAGE_SIZE - 1] = 0x80;
    const was = all.slice();
    const image = takeImage(memory, [], window);
    assert.is(imageBytes(image), 2 * PAGE_SIZE);
    bytes.fill(0x5a);
    const other = takeImage(memory, image, window);
    putImage(image, memory, window);
    assert.equal(all, was);
    putImage(other, memory, window);
    assert.ok(bytes.every((byte) => byte === 0x5a));
    assert.equal(takeImage(memory, other, window), other);
  });
}

images.run();
