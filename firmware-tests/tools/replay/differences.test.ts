// SPDX-License-Identifier: GPL-2.0-or-later

/** Each deliberate difference from iPXE has a test that names it. */

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  BY_READING,
  DEFECT_COUNT,
  DIFFERENCES,
  OBSERVATION_COUNT,
  type DeliberateDifference,
} from '../../../tools/replay/differences/index.ts';

import {
  DIFFERING_FUNCTIONS,
  SAME_FUNCTIONS,
} from '../../../tools/replay/differences/functions.ts';

/** Names of the tests in a file, as they are written there. */
function testNames(file: string): Set<string> {
  const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
  const calls = text.matchAll(/^\w+\(\s*'((?:[^'\\]|\\.)*)',\s*\(\) =>/gm);
  return new Set([...calls].map(([, name]) => name!));
}

/** What is wrong with the test of an entry, or undefined: its name begins with the entry's. */
function fault({ id, test: file }: DeliberateDifference): string | undefined {
  if (!/^[a-z0-9/-]+\.test\.ts$/.test(file)) return 'names no file';
  const found = [...testNames(file)].some((name) => name.startsWith(`${id}: `));
  return found ? undefined : `${file} has no test "${id}: …"`;
}

const differences = suite('the list of differences from iPXE');

for (const entry of DIFFERENCES)
  differences(`${entry.id} has a test`, () => {
    assert.is(fault(entry), undefined);
  });

differences('a test that is not there is missed', () => {
  const [entry] = DIFFERENCES;
  assert.is(fault({ ...entry!, test: '' }), 'names no file');
  assert.ok(fault({ ...entry!, id: 'another' })?.includes('has no test'));
});

differences('every defect and every observation is the source of an entry', () => {
  const sources = new Set(DIFFERENCES.flatMap((entry) => entry.sources));
  sources.delete(BY_READING);
  for (let i = 1; i <= DEFECT_COUNT; i++) assert.ok(sources.has(`5.${i}`), `5.${i}`);
  for (let i = 1; i <= OBSERVATION_COUNT; i++)
    assert.ok(sources.has(`observation ${i}`), `observation ${i}`);
  assert.is(sources.size, DEFECT_COUNT + OBSERVATION_COUNT);
});

/** Functions of iPXE's four files: hyperv.c, vmbus.c, netvsc.c, rndis.c of August 2026. */
const FUNCTIONS: Readonly<Record<string, number>> = { hv: 24, vmbus: 31, netvsc: 25, rndis: 30 };

differences('each function of iPXE’s drivers has rows, or a reason why it has none', () => {
  const names = [...DIFFERING_FUNCTIONS, ...SAME_FUNCTIONS].map(([name]) => name);
  assert.equal([...new Set(names)], names);
  for (const [file, count] of Object.entries(FUNCTIONS)) {
    const own = names.filter((name) => new RegExp(`(^|_)${file}(_|$)`).test(name));
    assert.is(own.length, count, file);
  }
  for (const [name, reason] of SAME_FUNCTIONS) assert.ok(reason.length > 15, name);
});

differences('each row is about a function, and each function has rows that there are', () => {
  const ids = new Set(DIFFERENCES.map(({ id }) => id));
  const named = new Set(DIFFERING_FUNCTIONS.flatMap(([, ...rows]) => rows));
  for (const [name, ...rows] of DIFFERING_FUNCTIONS) assert.ok(rows.length > 0, name);
  for (const row of named) assert.ok(ids.has(row), row);
  for (const id of ids) assert.ok(named.has(id), id);
});

differences.run();
