// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A connection that is ended by the next contact instead of by UNLOAD: an omission of the guest
 * that knows of it, and of no other.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import { MESSAGE_LATENCY, Rig, initiate, plain } from '../../../rigs/vmbus-server-rig.ts';

const left = suite('vmbus-server: a contact that is left');

/** In a contact with 3.0, then with 0.13: the steps that count as left out. */
function leftOut(rig: Rig, between: () => void = () => {}, second: number = VmbusVersion.V0_13) {
  rig.run(1);
  rig.postOnly(initiate(VmbusVersion.V3_0));
  rig.run(2 * MESSAGE_LATENCY);
  between();
  rig.postOnly(initiate(second));
  rig.run(2 * MESSAGE_LATENCY);
  return rig.partition.omissions.ofOwner(0).map(({ step }) => step);
}

left('another version, once the answer is taken: UNLOAD was left out', () => {
  assert.equal(leftOut(new Rig()), ['UNLOAD']);
});

left('after UNLOAD nothing was', () => {
  const rig = new Rig();
  assert.equal(
    leftOut(rig, () => rig.post(plain(MessageType.UNLOAD))),
    [],
  );
});

left('the same version again is a second try', () => {
  assert.equal(leftOut(new Rig(), undefined, VmbusVersion.V3_0), []);
});

left('an answer that still lies in the slot is not known', () => {
  const rig = new Rig();
  rig.partition.taking = false;
  assert.equal(leftOut(rig), []);
});

for (const [name, fault] of Object.entries({
  lost: 'drop' as const,
  changed: new Uint8Array(16),
  late: { delayTicks: TICKS_PER_MS },
})) {
  left(`an answer that came ${name} is not known`, () => {
    const rig = new Rig();
    rig.server.faults.message = (type) =>
      type === MessageType.VERSION_RESPONSE ? fault : undefined;
    assert.equal(leftOut(rig), []);
  });
}

left('an answer that the knob makes late is not known', () => {
  const rig = new Rig({ knobs: { lateAnswer: 'version', lateTicks: TICKS_PER_MS } });
  assert.equal(leftOut(rig), []);
});

left('a connection keeps its time, however many contacts the host ignores behind it', () => {
  const rig = new Rig({ knobs: { reinitiate: 'ignore' } });
  rig.run(1);
  rig.connect(VmbusVersion.V3_0);
  const { connectedAt } = rig.server.inspect();
  assert.ok(connectedAt > 0);
  for (let i = 0; i < 300; i++) rig.post(initiate(VmbusVersion.V3_0));
  assert.is(rig.server.inspect().connectedAt, connectedAt);
});

left.run();
