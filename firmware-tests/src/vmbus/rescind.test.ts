// SPDX-License-Identifier: GPL-2.0-or-later

/** The host takes the device away, at each step of a life of the drivers. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HypxeError } from '../../../src/index.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import type { HostEvent } from '../../../tools/simulator/ledger/events.ts';
import { Rig, fails, frame } from '../../rigs/driver-rig.ts';

/** The longest that a life with a rescind may take, in ms of virtual time. */
const LIFE_MS_MAX = 1100;

/** Errors that a rescind may show as: the device is gone, or does not answer any more. */
const NAMES = ['ChannelRescinded', 'NoCompletion', 'NoAnswer', 'NoResponse'];

/** A machine on which a life takes little time, with one card or two. */
function small(cards = 1): Rig {
  const memory = new ArrayBuffer(2 << 20);
  return new Rig({ cards, memory, knobs: { malformedStatus: false }, driver: { preset: 'ipxe' } });
}

/** Steps: what the host hears of the guest. */
function isStep(event: HostEvent): boolean {
  if (event.kind === 'ring-packet') return event.from === 'guest';
  return event.kind === 'hypercall' || event.kind === 'message-taken';
}

/** Probe, open, exchange frames, close, poll, remove. Returns the name of what failed, or ''. */
function life(rig: Rig): string {
  let failed = '';
  try {
    rig.driver.probe();
    for (const device of [...rig.driver.devices]) {
      device.open();
      device.transmit(frame(60), 60);
      rig.link.host.deliver(frame(60));
      rig.poll(1, device);
      rig.driver.poll();
      device.close();
    }
  } catch (error) {
    if (!(error instanceof HypxeError)) throw error;
    failed = error.name;
    rig.driver.poll();
  }
  rig.driver.remove();
  return failed;
}

/** Let something happen at the nth step of a life. Returns how many steps there were. */
function atStep(rig: Rig, nth: number, action: () => void): () => number {
  let steps = 0;
  rig.machine.events.listen((event) => {
    if (isStep(event) && steps++ === nth) rig.soon(action);
  });
  return () => steps;
}

function countSteps(cards = 1): number {
  const rig = small(cards);
  const steps = atStep(rig, -1, () => {});
  assert.is(life(rig), '');
  rig.assertClean();
  return steps();
}

const rescind = suite('rescinds');

rescind('at each step of a life: no hang, a name, nothing left, and the device comes back', () => {
  const steps = countSteps();
  assert.ok(steps > 60, `${steps} steps`);
  const names = new Map<string, number>();
  for (let nth = 0; nth < steps; nth++) {
    const rig = small();
    atStep(rig, nth, () => rig.machine.vmbus.rescind(rig.nic));
    let failed = '';
    const ms = rig.elapsed(() => (failed = life(rig)));
    const where = `step ${nth}: ${failed} after ${ms} ms`;
    assert.ok(failed === '' || NAMES.includes(failed), where);
    assert.ok(ms < LIFE_MS_MAX, where);
    assert.equal(rig.auditErrors(), [], where);
    assert.equal(rig.outstanding(), [], where);
    names.set(failed, (names.get(failed) ?? 0) + 1);

    // It is offered again
    if (nth % 3 !== 0) continue;
    rig.machine.vmbus.hotAdd(rig.nic);
    rig.assertRecovers();
    rig.assertClean();
  }
  // What is gone is called gone: hardly ever is it noticed by its silence
  const silent = steps - (names.get('ChannelRescinded') ?? 0) - (names.get('') ?? 0);
  assert.ok(silent <= 2, JSON.stringify([...names]));
});

rescind('at each step of a life: the other device does not notice', () => {
  const steps = countSteps(2);
  for (let nth = 0; nth < steps; nth += 7) {
    const rig = small(2);
    atStep(rig, nth, () => rig.machine.vmbus.rescind(rig.nic));
    rig.driver.probe();
    const { instanceId } = rig.machine.nics[1]!;
    const device = rig.driver.devices.find(({ instance }) => instance === `{${instanceId}}`)!;
    assert.ok(device !== undefined, `step ${nth}: the other device was probed`);
    device.open();
    device.transmit(frame(60), 60);
    rig.poll(1, device);
    assert.is(rig.links[1]!.frames.length, 1, `step ${nth}`);
    rig.driver.poll();
    rig.driver.remove();
    assert.equal(rig.auditErrors(), [], `step ${nth}`);
    assert.equal(rig.outstanding(), [], `step ${nth}`);
  }
});

rescind('an open device: frames are refused, and its number is released', () => {
  const rig = small();
  const device = rig.open();
  rig.machine.vmbus.rescind(rig.nic);
  rig.poll(1);
  assert.is(device.transmit(frame(60), 60), 'dropped');
  assert.ok(rig.driver.devices.includes(device), 'until the bus is polled');
  rig.mark();
  rig.driver.poll();
  assert.equal(rig.driver.devices, []);
  assert.not(device.isOpen);
  assert.equal(
    rig.posted().map((message) => message.getUint32(0, true)),
    [MessageType.GPADL_TEARDOWN, MessageType.GPADL_TEARDOWN, MessageType.RELID_RELEASED],
  );
  assert.equal(rig.packets(), []);
  // Its number may be another device's by now: nothing is said with it
  rig.mark();
  fails('ChannelRescinded', () => device.open());
  assert.equal(rig.posted(), []);
  rig.driver.poll();
  rig.driver.remove();
  assert.equal(rig.violations(), []);
  rig.assertClean();
});

rescind('frames in flight are given up, once each', () => {
  const rig = small();
  const device = rig.open();
  rig.nic.faults.withhold = () => true;
  for (let i = 0; i < 40; i++) device.transmit(frame(60), 60);
  rig.poll(1);
  rig.machine.vmbus.rescind(rig.nic);
  rig.poll(1);
  rig.driver.poll();
  const done = rig.transmitted.map((text) => Number(text.split(' ')[0]));
  assert.equal(
    done.sort((a, b) => a - b),
    Array.from({ length: 40 }, (_, i) => i),
  );
  rig.driver.remove();
  rig.assertClean();
});

rescind('of channels that nobody has, twice, or before the offer: ignored', () => {
  const rig = small();
  const device = rig.open();
  for (const channel of [0, 1, 77, 0xffffffff]) {
    const words = Uint32Array.from([MessageType.RESCIND_CHANNEL_OFFER, 0, channel]);
    rig.machine.vmbus.postUnsolicited(new Uint8Array(words.buffer));
  }
  rig.poll(2);
  rig.driver.poll();
  assert.ok(device.isOpen);
  assert.is(device.transmit(frame(60), 60), 'sent');
  rig.driver.remove();
  rig.assertClean();
});

rescind.run();
