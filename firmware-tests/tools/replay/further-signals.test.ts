// SPDX-License-Identifier: GPL-2.0-or-later

/** What a guest is told that signals more often than the recorded one. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FurtherSignals } from '../../../tools/replay/host/further-signals.ts';
import type { Anchor } from '../../../tools/replay/host/script-types.ts';

/** Packets of a channel, by the statuses of the signals behind each. */
const packets = (channel: number, ...statuses: readonly number[][]): Anchor[] =>
  statuses.map((signals) => ({ channel, signals, packet: {} }) as unknown as Anchor);

const after = (anchors: readonly Anchor[]): number[] => {
  const further = new FurtherSignals(anchors);
  return anchors.map((anchor) => further.after(anchor));
};

const signals = suite('signals that the recording does not have');

signals('they are refused between two refusals, and behind the last', () => {
  assert.equal(after(packets(3, [0], [8, 8], [], [8])), [0, 8, 8, 8]);
});
signals('they are heard where the next one was, or where nobody was refused', () => {
  assert.equal(after(packets(3, [8], [], [0], [])), [0, 0, 0, 0]);
  assert.equal(after(packets(3, [], [])), [0, 0]);
});
signals('each channel has its own', () => {
  assert.equal(after([...packets(3, [8]), ...packets(4, [0])]), [8, 0]);
});
signals('of a packet that the recording does not have nothing is known', () => {
  assert.is(new FurtherSignals(packets(3, [8])).after(undefined), 0);
});

signals.run();
