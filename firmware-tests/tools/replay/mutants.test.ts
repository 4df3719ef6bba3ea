// SPDX-License-Identifier: GPL-2.0-or-later

/** Mistakes of the firmware that change what it does are refused by the replay alone. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Patch } from '../../mutants/bundle.ts';
import * as sources from '../../../src/os.ts';
import { replayTrace, reportText, type Firmware } from '../../../tools/replay/index.ts';
import { MADE, madeSession } from '../../mutants/made-sessions.ts';
import { OMISSION_MUTANTS } from '../../mutants/omission-mutants.ts';
import { readFileSync } from 'node:fs';
import { ALL, refusedBy } from '../../mutants/replayed.ts';
import { NOT_REPLAYED } from '../../mutants/not-replayed.ts';
import { REPLAYED } from '../../mutants/replayed-by.ts';
import { TRACE_NAMES } from '../../rigs/replay-rig.ts';

/** Sessions by what they are about: a mutant is refused by one of them. */
const SESSIONS = ['01-boot', '12i-wrong-nvsp-type', '04c-quiesce-closed', '09g-open-refused'];

/** Every so many of the lists: all of them are counted by `firmware-tests/mutants/replayed.ts`. */
const EACH = 3;

/** The same of those that the replay is known to refuse. */
const SAMPLE = 7;

/** Those that show a rule of the replay which nothing else shows. */
const OWN_RULE = [
  'removing the drivers can be cancelled',
  'the memory map forgets what could not be revoked',
  'a received packet is completed before it is copied out',
  'the host is signalled before the index is published',
  'the transmit buffers are not given back',
];

const OMISSIONS = OMISSION_MUTANTS.filter((_, i) => i % EACH === 0);

const mutants = suite('mutants that the replay refuses');

for (const { name, patches } of OMISSIONS)
  mutants(name, async () => {
    const by = await refusedBy(patches, SESSIONS);
    assert.ok(by !== undefined);
  });

mutants('the manual says how many', () => {
  const names = ALL.map(({ list, name }) => `${list}: ${name}`);
  for (const name of [...REPLAYED.keys(), ...NOT_REPLAYED.keys()])
    assert.ok(names.includes(name), name);
  const manual = readFileSync(new URL('../../../tools/replay/README.md', import.meta.url), 'utf8');
  const golden = [...REPLAYED.values()].filter((by) => TRACE_NAMES.includes(by)).length;
  const figure = `${REPLAYED.size} of ${ALL.length}, ${golden} of them by the golden sessions`;
  assert.ok(manual.includes(figure), figure);
});

mutants('each is refused, or there is a reason why no session shows it', () => {
  for (const { list, name } of ALL) {
    const key = `${list}: ${name}`;
    assert.is.not(REPLAYED.has(key), (NOT_REPLAYED.get(key) ?? '').length > 15, key);
  }
});

const sampled = [...REPLAYED].filter(
  ([name, by], i) =>
    i % SAMPLE === 0 || MADE.includes(by) || OWN_RULE.some((each) => name.endsWith(each)),
);
for (const [name, by] of sampled)
  mutants(`${name} by ${by}`, async () => {
    const { patches } = ALL.find((each) => `${each.list}: ${each.name}` === name)!;
    const golden = TRACE_NAMES.includes(by);
    assert.is(await refusedBy(patches, golden ? [by] : [], golden ? [] : [by]), by);
  });

for (const name of MADE)
  mutants(`the firmware as it is, where there is ${name}`, () => {
    const result = replayTrace(sources as unknown as Firmware, madeSession(name));
    assert.ok(result.ok, reportText(result));
  });

mutants('the firmware as it is', async () => {
  const none: readonly Patch[] = [];
  assert.is(await refusedBy(none, SESSIONS), undefined);
});

mutants.run();
