// SPDX-License-Identifier: GPL-2.0-or-later

/** Waiting for control messages: what is looked at, how long, and what else may come meanwhile. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SynicMessage } from '../../../src/hyperv/protocol.ts';
import { DeviceClass, MessageType } from '../../../src/vmbus/protocol.ts';
import { inertDevice } from '../../../tools/simulator/vmbus-server/inert-device.ts';
import { Rig, fails, patched, viewOf } from '../../rigs/driver-rig.ts';

const { OFFER_CHANNEL, RESCIND_CHANNEL_OFFER, ALL_OFFERS_DELIVERED } = MessageType;
const { GPADL_CREATED, GPADL_TORNDOWN, OPEN_CHANNEL_RESULT, UNLOAD_RESPONSE } = MessageType;

/** A control message of words. */
function message(...words: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(words).buffer);
}

/** Address of the slot of SINT2. */
function slot(rig: Rig): number {
  const simp = rig.machine.partition.inspection.register(0, 'SIMP');
  return Number(simp & ~0xfffn) + 2 * SynicMessage.size;
}

const waiting = suite('waits');

waiting('prompt-waits: answers that are there take no time', () => {
  // iPXE pauses a millisecond after each look. From the answer to OPEN_CHANNEL on there are three
  // requests of NVSP and three of RNDIS, and a host that answers at once
  const rig = new Rig({ knobs: { messageLatencyTicks: 0, ringLatencyTicks: 0 } });
  const { inspection } = rig.machine.partition;
  let pauses = -1;
  rig.machine.events.listen((event) => {
    if (event.kind === 'message-taken') pauses = inspection.counts.pauses;
  });
  rig.open();
  assert.is(inspection.counts.pauses, pauses);
});

waiting('prompt-waits: an answer that comes with the last turn counts', () => {
  // Each is due when the time limit is: the clock has moved on when it is looked at
  const control = new Rig();
  let late = true;
  control.machine.vmbus.faults = {
    message: (type) => (late && type === GPADL_CREATED ? { delayTicks: 9_999_000 } : undefined),
  };
  control.probe();
  late = false;

  const nvsp = new Rig();
  nvsp.nic.faults.packet = ({ transactionIdLow }) =>
    transactionIdLow === 0x18ae0020 ? 9_999_950 : 'send';
  nvsp.probe();

  const rndis = new Rig();
  rndis.nic.faults.message = ({ bytes }) =>
    viewOf(bytes).getUint32(0, true) === 0x80000002 ? 9_999_950 : 'send';
  rndis.probe();
  for (const rig of [control, nvsp, rndis]) {
    assert.ok(rig.machine.clock.now > 9_999_000);
    rig.driver.remove();
    rig.assertClean();
  }
});

waiting('message-length-checked: a length of 255 in the slot is cut at 240', () => {
  const rig = new Rig();
  rig.open();
  const address = slot(rig);
  // Not a VMBus message: the log says how much of it was taken
  rig.view.setUint8(address + SynicMessage.at.length, 255);
  rig.view.setUint32(address + SynicMessage.at.type, 0x77, true);
  rig.driver.poll();
  assert.ok(rig.logged().includes('ignoring SynIC message type 0x77, 240 bytes'));

  // And as an answer that is waited for it is good all the same
  rig.machine.events.listen((event) => {
    if (event.kind !== 'host-message' || event.change !== 'deliver') return;
    rig.view.setUint8(address + SynicMessage.at.length, 255);
  });
  rig.device.close();
  rig.driver.remove();
  rig.assertClean();
});

waiting('waits-are-bounded: a host that keeps talking does not keep us', () => {
  for (const everyMs of [5, 100, 400]) {
    const rig = new Rig({ driver: { policy: { tries: 1 } } });
    rig.probe();
    rig.machine.vmbus.faults = {
      message: (type) => (type === OPEN_CHANNEL_RESULT ? 'drop' : undefined),
    };
    // Offers, rescinds, answers to nobody: each would restart the second of iPXE
    const talk = (i: number): void => {
      const type = [OFFER_CHANNEL, RESCIND_CHANNEL_OFFER, UNLOAD_RESPONSE, 0x99][i % 4]!;
      rig.machine.vmbus.postUnsolicited(message(type, 0, 77, 0, 0));
      if (i < 5000) rig.soon(() => talk(i + 1), everyMs);
    };
    talk(0);
    const ms = rig.elapsed(() => {
      fails('NoResponse', () => rig.device.open());
    });
    assert.ok(ms > 9_999 && ms < 10_010, `${ms} ms`);
  }
});

waiting('waits-are-bounded: nor does one that answers each look at once', () => {
  const rig = new Rig();
  rig.probe();
  rig.machine.vmbus.faults = {
    message: (type) => (type === OPEN_CHANNEL_RESULT ? 'drop' : undefined),
  };
  let flooding = false;
  rig.machine.events.listen((event) => {
    if (event.kind === 'host-message' && event.payload[0] === 0x99 && event.change === 'deliver')
      rig.machine.vmbus.postUnsolicited(message(0x99, 0));
    if (event.kind !== 'hypercall' || event.input[16] !== 5 || flooding) return;
    flooding = true;
    rig.soon(() => rig.machine.vmbus.postUnsolicited(message(0x99, 0)), 1);
  });
  fails('TooManyMessages', () => rig.device.open());
});

waiting('bus-survives: foreign messages, late offers and nonsense end no wait', () => {
  const rig = new Rig();
  let strange = 0;
  rig.machine.vmbus.faults = {
    message() {
      // In front of each message: another type of the SynIC, none at all, an offer, a short rescind
      const own = strange++;
      if (own % 5 === 0) rig.machine.partition.postMessage(0, 2, 0x80000010, new Uint8Array(24));
      if (own % 5 === 1) rig.machine.partition.postMessage(0, 2, 1, new Uint8Array(3));
      if (own % 5 === 2) rig.machine.partition.postMessage(0, 2, 1, message(OFFER_CHANNEL, 0));
      if (own % 5 === 3)
        rig.machine.partition.postMessage(0, 2, 1, message(RESCIND_CHANNEL_OFFER, 0));
      if (own % 5 === 4)
        rig.machine.partition.postMessage(0, 2, 1, message(0xffffffff, 0, 1, 2, 3, 4));
      return undefined;
    },
  };
  rig.open();
  rig.device.close();
  rig.driver.remove();
  assert.ok(strange > 15);
  rig.assertClean();
});

waiting('bus-survives: a rescind during the enumeration takes one device out', () => {
  const rig = new Rig({ cards: 2 });
  let rescinded = false;
  rig.machine.vmbus.faults = {
    message(type) {
      if (type === ALL_OFFERS_DELIVERED && !rescinded) {
        rescinded = true;
        rig.machine.vmbus.rescind(rig.machine.nics[0]!);
      }
      return undefined;
    },
  };
  rig.driver.probe();
  assert.equal(
    rig.driver.devices.map(({ instance }) => instance),
    [`{${rig.machine.nics[1]!.instanceId}}`],
  );
  // It is not even tried
  const channels = rig.posted(MessageType.GPADL_HEADER).map((view) => view.getUint32(8, true));
  assert.equal([...new Set(channels)], [4]);
  rig.machine.vmbus.faults = {};
  rig.driver.remove();
  rig.assertClean();
});

waiting('bus-survives: a card that fails is left out, the others work', () => {
  for (const broken of [0, 1, 2]) {
    const rig = new Rig({ cards: 3, memory: new ArrayBuffer(6 << 20) });
    rig.machine.nics[broken]!.faults.packet = () => 'drop';
    rig.driver.probe();
    assert.equal(
      rig.driver.devices.map(({ instance }) => instance),
      rig.machine.nics.filter((_, i) => i !== broken).map((nic) => `{${nic.instanceId}}`),
    );
    assert.ok(rig.logged().some((text) => /^left out: no answer to NVSP/.test(text)));
    for (const device of rig.driver.devices) device.open();
    rig.driver.remove();
    rig.assertClean();
  }
  // Only if none works does the probe fail, with the error of the first
  const rig = new Rig({ cards: 2 });
  rig.machine.nics[0]!.faults.packet = () => 'drop';
  rig.machine.nics[1]!.faults.message = () => 'drop';
  fails('NoCompletion', () => rig.driver.probe());
  rig.assertClean();
});

waiting('a late offer of a device that nobody drives is left alone', () => {
  const rig = new Rig();
  rig.open();
  const posted = rig.posted().length;
  rig.machine.vmbus.hotAdd(
    inertDevice(DeviceClass.TIME_SYNC, '2dd1ce17-079e-403c-b352-a1921ee207ee'),
  );
  rig.driver.poll();
  assert.is(rig.posted().length, posted);
  rig.machine.vmbus.hotAdd(
    inertDevice(DeviceClass.SHUTDOWN, 'b6650ff7-33bc-4840-8048-e0676786f393'),
  );
  rig.device.close();
  assert.is(rig.driver.devices.length, 1);
  rig.driver.remove();
  rig.assertClean();
});

waiting.run();

const late = suite('late answers');

late(
  'late-answers-belong-to-their-request: each GPADL is given back when its own answer comes',
  () => {
    const rig = new Rig();
    rig.open();
    // The answer about the rings comes while that about the receive buffer is awaited
    const torndown: number[] = [];
    rig.machine.vmbus.faults = {
      message(type, payload) {
        if (type !== GPADL_TORNDOWN) return undefined;
        torndown.push(viewOf(payload).getUint32(8, true));
        return torndown.length === 1 ? { delayTicks: 105_000_000 } : { delayTicks: 90_000_000 };
      },
    };
    rig.device.close();
    assert.equal(torndown, [0x18ae0004, 0x18ae0003], 'rings, receive buffer');
    const purposes = rig.outstanding();
    assert.not(purposes.includes('ring') || purposes.includes('rx-buffer'), purposes.join());
    const about = rig.events.flatMap((event) =>
      event.kind === 'ledger' && ['ring', 'rx-buffer'].includes(event.purpose)
        ? [`${event.change} ${event.purpose}: ${event.by}`]
        : [],
    );
    assert.equal(about.slice(-3), [
      'reserve ring: GPADL 0x18ae0004 was not revoked',
      'revoke ring: late GPADL_TORNDOWN',
      'revoke rx-buffer: GPADL_TORNDOWN',
    ]);
    rig.machine.vmbus.faults = {};
    rig.driver.remove();
    rig.assertClean();
  },
);

late('late-answers-belong-to-their-request: a late answer does not set the filter of today', () => {
  // The answer to the SET of the first open comes when that of the second is awaited
  const rig = new Rig({ driver: { policy: { tries: 1 } } });
  rig.probe();
  let sets = 0;
  rig.nic.faults.message = ({ bytes }) => {
    const isSet = viewOf(bytes).getUint32(0, true) === 0x80000005;
    return isSet && sets++ === 0 ? 'drop' : 'send';
  };
  fails('NoAnswer', () => rig.device.open());
  const [first] = rig.messages(5);
  rig.nic.faults.message = ({ bytes }) => {
    if (viewOf(bytes).getUint32(0, true) !== 0x80000005) return 'send';
    // The old answer says no; the true one never comes
    viewOf(bytes).setUint32(8, first!.view.getUint32(8, true), true);
    viewOf(bytes).setUint32(12, 0xc0000001, true);
    return 'send';
  };
  fails('NoAnswer', () => rig.device.open());
  const ids = rig.messages(5).map(({ view }) => view.getUint32(8, true));
  assert.is(new Set(ids).size, ids.length, 'no request ID twice after a timeout');
  rig.nic.faults.message = undefined;
  rig.device.open();
  rig.driver.remove();
  rig.assertClean();
});

late(
  'late-answers-belong-to-their-request: a TORNDOWN that nobody asked for is not believed',
  () => {
    // Instead of the answer about the rings the host tells of the receive buffer
    const rig = new Rig();
    rig.open();
    let first = true;
    rig.machine.vmbus.faults = {
      message(type, payload) {
        if (type !== GPADL_TORNDOWN || !first) return undefined;
        first = false;
        return patched(payload, 8, 0x18ae0003);
      },
    };
    rig.mark();
    rig.device.close();
    const asked = rig.posted(MessageType.GPADL_TEARDOWN).map((view) => view.getUint32(12, true));
    assert.equal(asked, [0x18ae0004, 0x18ae0003], 'it is asked for all the same');
    assert.ok(rig.outstanding().includes('ring'), 'of which nothing was heard');
    assert.ok(rig.logged().includes('torn down unasked'), 'and it is told');
    rig.driver.remove();
    rig.assertClean();
  },
);

late(
  'late-answers-belong-to-their-request: a completion does not complete the next request',
  () => {
    // NDIS version is not completed in time; its completion comes during the next open
    const rig = new Rig();
    rig.probe();
    rig.nic.faults.packet = ({ transactionIdLow }) =>
      transactionIdLow === 0x18ae0021 ? 'drop' : 'send';
    fails('NoCompletion', () => rig.device.open());
    rig.nic.faults.packet = (packet) => {
      if (packet.transactionIdLow === 0x18ae0020) packet.transactionIdLow = 0x18ae0021;
      return 'send';
    };
    fails('NoCompletion', () => rig.device.open());
    rig.nic.faults.packet = undefined;
    rig.device.open();
    rig.driver.remove();
    rig.assertClean();
  },
);

late.run();
