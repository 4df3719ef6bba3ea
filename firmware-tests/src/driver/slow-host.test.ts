// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Hosts that are slow, and hosts that are silent: each wait fits the first and ends with the second
 * (field reports K6; P-Q3 of QEMU's vmbus.c).
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import { LATE_ANSWERS } from '../../../tools/simulator/profiles/late-answers.ts';
import { Rig, fails, frame } from '../../rigs/driver-rig.ts';

const MS = 10_000;
const { VERSION_RESPONSE, UNLOAD_RESPONSE, INITIATE_CONTACT, UNLOAD } = MessageType;

/** Probe, open, send, close, remove. */
function life(rig: Rig): void {
  rig.open();
  rig.device.transmit(frame(60), 60);
  rig.poll(20_000);
  assert.is(rig.link.frames.length, 1, 'the device works');
  rig.device.close();
  rig.driver.remove();
  rig.assertClean();
}

const slow = suite('slow hosts');

for (const lateAnswer of LATE_ANSWERS.slice(1))
  slow(`openvmm#2752, #2868, WSL#41165: ${lateAnswer}, 1.5 and 9 s late`, () => {
    for (const ms of [1500, 9000]) {
      const rig = new Rig({ knobs: { lateAnswer, lateTicks: ms * MS } });
      const took = rig.elapsed(() => life(rig));
      assert.ok(took > ms, `it was late: ${took} ms`);
    }
  });

slow('a first answer beyond the bound: the second try works, the late one confuses nobody', () => {
  // Each answer of a life in turn, 12 s late, that to a contact 35 s; all later ones are prompt
  const bounds: Readonly<Record<number, number>> = { [VERSION_RESPONSE]: 35_000 };
  for (let nth = 0; nth < 18; nth++) {
    const rig = new Rig({ memory: new ArrayBuffer(8 << 20) });
    let seen = 0;
    let late = 0;
    rig.machine.vmbus.faults = {
      message(type) {
        if (type === UNLOAD_RESPONSE || type === MessageType.OFFER_CHANNEL) return undefined;
        if (seen++ !== nth) return undefined;
        late = type;
        return { delayTicks: (bounds[type] ?? 12_000) * MS };
      },
    };
    rig.open();
    rig.device.transmit(frame(60), 60);
    rig.poll(40_000);
    assert.is(rig.link.frames.length, 1, `answer ${nth}, type ${late}`);
    rig.device.close();
    rig.driver.remove();
    rig.machine.run(40_000 * MS);
    rig.assertClean();
    rig.assertRecovers();
  }
});

slow('slow-devices-are-tried-again: a completion beyond the bound, of NVSP and of RNDIS', () => {
  for (const kind of ['packet', 'message'] as const)
    for (let nth = 0; nth < 4; nth++) {
      const rig = new Rig({ memory: new ArrayBuffer(8 << 20) });
      let seen = 0;
      rig.nic.faults[kind] = () => (seen++ === nth ? 12_000 * MS : 'send');
      rig.open();
      rig.device.transmit(frame(60), 60);
      rig.poll(20_000);
      assert.is(rig.link.frames.length, 1, `${kind} ${nth}`);
      rig.device.close();
      rig.driver.remove();
      rig.assertClean();
    }
});

slow('a host that never answers one kind: a named error within the bound of the manual', () => {
  const types = {
    [VERSION_RESPONSE]: ['NoResponse', 2 * 30_000 + 1000],
    [UNLOAD_RESPONSE]: ['NoResponse', 2 * 100_000],
    [MessageType.GPADL_CREATED]: ['NoResponse', 2 * 10_000],
    [MessageType.OPEN_CHANNEL_RESULT]: ['NoResponse', 2 * 10_000],
  } as const;
  for (const [type, [name, bound]] of Object.entries(types)) {
    const rig = new Rig();
    rig.machine.vmbus.faults = { message: (sent) => (sent === Number(type) ? 'drop' : undefined) };
    const took = rig.elapsed(() => fails(name, () => rig.driver.probe()));
    assert.ok(took <= bound + 100, `type ${type}: ${took} ms`);
    rig.assertContained();
  }
  for (const [fault, name] of [
    ['packet', 'NoCompletion'],
    ['message', 'NoAnswer'],
  ] as const) {
    const rig = new Rig();
    rig.nic.faults[fault] = () => 'drop';
    const took = rig.elapsed(() => fails(name, () => rig.driver.probe()));
    assert.ok(took > 20_000 && took < 25_000, `${fault}: ${took} ms`);
    rig.assertClean();
  }
});

slow('a host that says nothing at all: two contacts, one UNLOAD, 160 s, pages stay', () => {
  const rig = new Rig();
  rig.machine.vmbus.faults = { message: () => 'drop' };
  const took = rig.elapsed(() => fails('NoResponse', () => rig.driver.probe()));
  assert.ok(took > 159_000 && took < 161_000, `${took} ms`);
  assert.is(rig.posted(INITIATE_CONTACT).length, 2);
  assert.is(rig.posted(UNLOAD).length, 1);
  assert.equal(rig.outstanding(), ['interrupt-page', 'monitor-in', 'monitor-out']);
  rig.assertContained();
});

slow('the preset ipxe waits a second for each, once', () => {
  const rig = new Rig({ driver: { preset: 'ipxe' } });
  rig.machine.vmbus.faults = { message: () => 'drop' };
  const took = rig.elapsed(() => fails('NoResponse', () => rig.driver.probe()));
  assert.ok(took >= 2000 && took < 2010, `${took} ms`);
  assert.is(rig.posted(INITIATE_CONTACT).length, 1);
});

slow('the end of the offers does not come: what is there is used', () => {
  const rig = new Rig({ cards: 2 });
  rig.machine.vmbus.faults = {
    message: (type) => (type === MessageType.ALL_OFFERS_DELIVERED ? 'drop' : undefined),
  };
  rig.driver.probe();
  assert.is(rig.driver.devices.length, 2);
  assert.ok(rig.logged().some((text) => /^offers do not end: no message type 4/.test(text)));
  rig.driver.remove();
  rig.assertClean();
});

slow.run();

const unloaded = suite('an earlier owner’s UNLOAD');

/** A host that answers an earlier UNLOAD in place of each of the first contacts. */
function unloadsFirst(times: number): Rig {
  const rig = new Rig();
  let left = times;
  rig.machine.vmbus.faults = {
    message(type, payload) {
      if (type !== VERSION_RESPONSE || left-- <= 0) return undefined;
      const answer = payload.slice(0, 8);
      answer[0] = UNLOAD_RESPONSE;
      return answer;
    },
  };
  return rig;
}

unloaded('P-Q3 QEMU: the host dropped the contact behind it: it is contacted again', () => {
  for (const times of [1, 3]) {
    const rig = unloadsFirst(times);
    const took = rig.elapsed(() => void rig.probe());
    assert.ok(took < 100, `at once: ${took} ms`);
    assert.is(rig.posted(INITIATE_CONTACT).length, 2 + times);
    assert.is(rig.driver.devices.length, 1);
    rig.driver.remove();
    rig.assertClean();
  }
});

unloaded('P-Q3: a host that answers every contact so is given up, without an UNLOAD', () => {
  const rig = unloadsFirst(Infinity);
  fails('NoResponse', () => rig.driver.probe());
  assert.is(rig.posted(INITIATE_CONTACT).length, 4);
  assert.is(rig.posted(UNLOAD).length, 0, 'QEMU dies of an UNLOAD that nobody needs');
  // It may be connected all the same: the pages are not given to anybody
  assert.equal(rig.outstanding(), ['interrupt-page', 'monitor-in', 'monitor-out']);
});

unloaded('a slow UNLOAD of an earlier owner: the contact waits behind it', () => {
  for (const ms of [1500, 29_000, 50_000]) {
    const rig = new Rig({ knobs: { unloadAnswer: ms * MS } });
    // Contact and UNLOAD of somebody else; then we come
    const other = rig.driver;
    other.hv.probe();
    other.bus.connection.setUp();
    other.bus.connection.initiateContact(0x00030000);
    other.bus.connection.post(UNLOAD);
    other.hv.remove();
    rig.machine.run(100 * MS);
    const took = rig.elapsed(() => void rig.probe());
    assert.ok(took > ms, `${took} ms`);
    rig.driver.remove();
    rig.assertClean();
  }
});

unloaded.run();
