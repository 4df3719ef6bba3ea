// SPDX-License-Identifier: GPL-2.0-or-later

/** Mistakes of the firmware that change what it does are refused by the replay alone. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Patch } from '../../mutants/bundle.ts';

import { OMISSION_MUTANTS } from '../../mutants/omission-mutants.ts';
import { refusedBy } from '../../mutants/replayed.ts';

/** Sessions by what they are about: a mutant is refused by one of them. */
const SESSIONS = ['01-boot', '12i-wrong-nvsp-type', '04c-quiesce-closed', '09g-open-refused'];

/** Every so many of the lists: all of them are counted by `firmware-tests/mutants/replayed.ts`. */
const EACH = 3;

const OMISSIONS = OMISSION_MUTANTS.filter((_, i) => i % EACH === 0);

const mutants = suite('mutants that the replay refuses');

for (const { name, patches } of OMISSIONS)
  mutants(name, async () => {
    const by = await refusedBy(patches, SESSIONS);
    assert.ok(by !== undefined);
  });

mutants('the firmware as it is', async () => {
  const none: readonly Patch[] = [];
  assert.is(await refusedBy(none, SESSIONS), undefined);
});

mutants.run();
