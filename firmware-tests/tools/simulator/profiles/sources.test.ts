// SPDX-License-Identifier: GPL-2.0-or-later

/** Each habit of a host says where it is known from, and has a test on the wire. */

import { existsSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { KNOB_SOURCES } from '../../../../tools/simulator/profiles/knob-sources.ts';
import { KNOBS } from '../../../../tools/simulator/profiles/knob-values.ts';
import type { HostKnobs } from '../../../../tools/simulator/profiles/profile.ts';
import { PROFILES } from '../../../../tools/simulator/profiles/profiles.ts';

const NAMES = Object.keys(KNOBS) as (keyof HostKnobs)[];
const sources = suite('sources of host facts');

sources('the lists have the same knobs in the same order', () => {
  assert.equal(Object.keys(KNOB_SOURCES), NAMES);
});

for (const name of NAMES) {
  const { from, file, title } = KNOB_SOURCES[name];

  sources(`${name}: the test is there`, () => {
    const path = new URL(`../${file}.test.ts`, import.meta.url);
    assert.ok(existsSync(path), `no ${file}.test.ts`);
    assert.ok(readFileSync(path, 'utf8').includes(title), `${file}: no test "${title}"`);
  });

  sources(`${name}: each value that a host has is known from somewhere, or explored`, () => {
    const { only } = KNOBS[name];
    if (only === undefined) return assert.ok(from.length > 0);
    const used = new Set<unknown>(PROFILES.map(({ knobs }) => knobs[name]));
    for (const value of used) assert.ok(says(from, String(value)), `${String(value)}: ${from}`);
    for (const value of only) {
      if (!used.has(value)) assert.ok(says(from, String(value)) || /explored/.test(from), from);
    }
  });
}

/** Whether the value stands in front of a colon, alone or in a list. */
function says(from: string, value: string): boolean {
  return from.split('; ').some((part) => {
    const [head = ''] = part.split(':');
    return part.includes(':') && head.split(', ').includes(value);
  });
}

sources.run();
