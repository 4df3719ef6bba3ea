// SPDX-License-Identifier: GPL-2.0-or-later

/** What the exploration of the examples has found once, by the plan that showed it. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { missingCompiler } from '../../rigs/guests/compiled-guest.ts';
import { example, found } from '../../rigs/guests/raced-example.ts';

const PLANS = [
  [
    'frames in flight are kept if nobody knows whether the CLOSE was heard',
    'step.80/handoff+transmit.3/withhold+call.18/status:24',
  ],
  [
    'the identity of an earlier owner does not stay if a page cannot be had',
    'owner.0/left:all+alloc.1/fail',
  ],
  [
    'a host that takes no message cannot be told that a channel is released',
    'call.23/status-ever:3+step.111/rescind',
  ],
] as const;

const explored = suite('examples: what exploration has found');

for (const language of ['c', 'rust'] as const) {
  explored(`in ${language}`, () => {
    if (missingCompiler(language)) return;
    const runner = example(`explored ${language}`, [], language);
    for (const [what, plan] of PLANS) assert.equal(found(runner, plan), [], what);
  });
}

explored.run();
