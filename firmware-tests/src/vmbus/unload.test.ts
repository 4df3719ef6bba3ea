// SPDX-License-Identifier: GPL-2.0-or-later

/** UNLOAD is sent once for each connection, wherever the boot is cancelled. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { boot } from '../../../src/index.ts';
import { makeMachine } from '../../../tools/scenarios/rig.ts';

const test = suite('vmbus: UNLOAD');

/** Turns of a boot up to the handoff are fewer. */
const TURNS_MAX = 60;

for (const host of ['server2012r2', 'server2022', 'openvmm', 'qemu'])
  test(`a boot that is cancelled anywhere sends no second one: ${host}`, () => {
    let cancelled = 0;
    for (let turn = 1; turn <= TURNS_MAX; turn++) {
      const machine = makeMachine({ host });
      const unwanted: string[] = [];
      machine.events.listen((event) => {
        const wrong = event.kind === 'violation' && event.text.startsWith('UNLOAD');
        if (wrong) unwanted.push(event.text);
      });
      let turns = 0;
      const { error } = boot(machine.bootSeam, { cancel: () => ++turns === turn });
      if (error?.name === 'Cancelled') cancelled++;
      assert.equal(unwanted, [], `turn ${turn}`);
      const { phase, unloadsSeen, history } = machine.vmbus.inspect();
      assert.is(phase, 'disconnected', `turn ${turn}`);
      const accepted = history.filter(({ outcome }) => outcome === 'accepted').length;
      assert.is(unloadsSeen, accepted, `turn ${turn}`);
    }
    assert.ok(cancelled > 10, `${cancelled} were cancelled`);
  });

test('waits-can-be-cancelled: in the middle of one, by name', () => {
  const machine = makeMachine({ host: 'server2022' });
  machine.vmbus.faults = { message: () => 'drop' };
  let turns = 0;
  const before = machine.clock.now;
  const { error } = boot(machine.bootSeam, { cancel: () => ++turns > 20 });
  assert.is(error?.name, 'Cancelled');
  assert.ok(turns < 100, `${turns} turns`);
  assert.ok(machine.clock.now > before);
});

test.run();
