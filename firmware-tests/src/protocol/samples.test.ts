// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The sample encodings that a C program printed from Linux's headers, each built again from our
 * definitions, field by field, and compared byte for byte.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DEVICE_ENCODINGS } from '../../rigs/golden/device-encodings.ts';
import { BUS_ENCODINGS } from '../../rigs/golden/encodings.ts';
import { SAMPLES } from '../../rigs/golden/golden.ts';

const ENCODINGS = { ...BUS_ENCODINGS, ...DEVICE_ENCODINGS };

const samples = suite('golden samples');

for (const [name, build] of Object.entries(ENCODINGS)) {
  samples(`${name} is encoded as Linux encodes it`, () => {
    const sample = SAMPLES[name]!;
    const bytes = build();
    assert.is(Buffer.from(bytes).toString('hex'), sample.hex);
    assert.is(bytes.length, sample.len);
  });
}

samples('there is an encoding for each of the 56 samples', () => {
  assert.equal(Object.keys(ENCODINGS).sort(), Object.keys(SAMPLES).sort());
  assert.is(Object.keys(SAMPLES).length, 56);
});

samples.run();
