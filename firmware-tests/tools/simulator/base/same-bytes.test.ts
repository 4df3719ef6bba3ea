// SPDX-License-Identifier: GPL-2.0-or-later

/** Comparing bytes: by words or one by one, it says the same. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sameBytes } from '../../../../tools/simulator/base/same-bytes.ts';

const same = suite('same bytes');

const LENGTHS = [0, 1, 3, 4, 5, 8, 11, 64];

same('each byte counts, wherever the two lie and however long they are', () => {
  for (const length of LENGTHS) {
    for (let at = 0; at < 6; at++) {
      for (let offset = 0; offset < 4; offset++) {
        const bytes = Uint8Array.from({ length: 80 }, (_, i) => (i * 7 + 1) & 255);
        const buffer = new ArrayBuffer(80);
        const expected = new Uint8Array(buffer, offset, length);
        expected.set(bytes.subarray(at, at + length));
        assert.ok(sameBytes(bytes, expected, at));
        assert.ok(sameBytes([...bytes], expected, at));
        for (let i = 0; i < length; i++) {
          expected[i]! ^= 0x80;
          assert.not(sameBytes(bytes, expected, at), `byte ${i} of ${length} at ${at}`);
          expected[i]! ^= 0x80;
        }
      }
    }
  }
});

same('what ends before is not the same', () => {
  for (const length of LENGTHS.slice(1)) {
    const expected = new Uint8Array(length);
    assert.not(sameBytes(new Uint8Array(length - 1), expected));
    assert.not(sameBytes(new Uint8Array(length + 4), expected, 8));
  }
});

same.run();
