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

const arrivals = suite('devices that come and go (K5: lis-test#1125, cloud-init#972)');

for (const ms of [0, 1, 20, 500, 3000])
  arrivals(`a NIC that is offered ${ms} ms after the enumeration becomes a device`, () => {
    const rig = new Rig();
    rig.machine.vmbus.rescind(rig.nic);
    rig.driver.probe();
    assert.equal(rig.driver.devices, []);
    rig.soon(() => rig.machine.vmbus.hotAdd(rig.nic), ms);
    rig.machine.run((ms + 1) * 10_000);
    rig.driver.poll();
    assert.is(rig.driver.devices.length, 1);
    rig.device.open();
    rig.device.transmit(frame(60), 60);
    rig.poll(2);
    assert.is(rig.link.frames.length, 1);
    rig.device.close();
    rig.driver.remove();
    rig.assertClean();
  });

arrivals('another one comes while the first is in use, and neither is disturbed', () => {
  const rig = new Rig({ cards: 2 });
  rig.machine.vmbus.rescind(rig.machine.nics[1]!);
  const device = rig.open();
  rig.machine.vmbus.hotAdd(rig.machine.nics[1]!);
  for (let i = 0; i < 20; i++) {
    device.transmit(frame(60, i), 60);
    rig.links[0]!.host.deliver(frame(60, i));
    rig.poll(1);
    rig.driver.poll();
  }
  assert.equal(
    rig.driver.devices.map(({ name, isOpen }) => [name, isOpen]),
    [
      ['net0', true],
      ['net1', false],
    ],
  );
  assert.is(rig.links[0]!.frames.length, 20);
  assert.is(rig.received.length, 20);
  rig.driver.remove();
  rig.assertClean();
});

arrivals('at each step of a life the NIC goes and comes back, with the same instance', () => {
  const steps = countSteps();
  for (let nth = 0; nth < steps; nth += 9) {
    const rig = new Rig({
      memory: new ArrayBuffer(2 << 20),
      driver: { preset: 'ipxe', policy: { answerMs: 100 } },
    });
    atStep(rig, nth, () => {
      rig.machine.vmbus.rescind(rig.nic);
      rig.soon(() => rig.machine.vmbus.hotAdd(rig.nic), nth % 2);
    });
    try {
      rig.open();
      rig.poll(3);
    } catch {
      // It was away at that moment
    }
    if (rig.driver.vmbusVersion === 0) rig.driver.probe();
    for (let i = 0; i < 10; i++) {
      rig.machine.run(10_000);
      rig.driver.poll();
    }
    assert.is(rig.driver.devices.length, 1, `step ${nth}`);
    rig.device.open();
    rig.device.transmit(frame(60), 60);
    rig.poll(2);
    assert.ok(rig.link.frames.length > 0, `step ${nth}`);
    rig.driver.remove();
    assert.equal(rig.auditErrors(), [], `step ${nth}`);
  }
});

arrivals('one that was offered late and taken away before anybody looked may come back', () => {
  const rig = new Rig();
  rig.machine.vmbus.rescind(rig.nic);
  rig.driver.probe();
  for (let i = 0; i < 3; i++) {
    rig.machine.vmbus.hotAdd(rig.nic);
    rig.machine.vmbus.rescind(rig.nic);
    rig.machine.run(20_000);
    rig.driver.poll();
    assert.equal(rig.driver.devices, []);
  }
  rig.machine.vmbus.hotAdd(rig.nic);
  rig.machine.run(20_000);
  rig.driver.poll();
  assert.is(rig.driver.devices.length, 1);
  rig.driver.remove();
  rig.assertClean();
});

arrivals(
  'an offer of a device that is there already, or before there is a connection: ignored',
  () => {
    const rig = new Rig();
    const offers: Uint8Array[] = [];
    rig.machine.vmbus.faults = {
      message(type, payload) {
        if (type === MessageType.OFFER_CHANNEL) offers.push(payload.slice());
        // A stale offer in front of each answer to a contact
        if (type !== MessageType.VERSION_RESPONSE || offers.length > 0) return undefined;
        const words = new Uint8Array(196);
        words[0] = MessageType.OFFER_CHANNEL;
        words[184] = 9;
        rig.machine.partition.postMessage(0, 2, 1, words);
        return undefined;
      },
    };
    rig.probe();
    rig.machine.vmbus.faults = {};
    for (const offer of offers) rig.machine.vmbus.postUnsolicited(offer);
    rig.machine.run(20_000);
    rig.driver.poll();
    assert.is(rig.driver.devices.length, 1);
    assert.ok(rig.logged().some((text) => /is offered twice/.test(text)));
    rig.driver.remove();
    rig.assertClean();
  },
);

arrivals.run();
