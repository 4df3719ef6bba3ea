// SPDX-License-Identifier: GPL-2.0-or-later

/** The connection to VMBus: versions, offers, posting, and waiting for what does not come. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorEntry } from '../../../src/catalogue.ts';
import { contactAsOs } from '../../../src/os.ts';
import { HvCall, HvStatus } from '../../../src/hyperv/protocol.ts';
import {
  DeviceClass,
  MessageType,
  OfferChannel,
  VersionResponse,
  VmbusVersion,
} from '../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { inertDevice } from '../../../tools/simulator/vmbus-server/inert-device.ts';
import { Rig, fails, hex, patched, viewOf } from '../../rigs/driver-rig.ts';

/** Bytes of a message that the guest posted. */
function bytesOf(view: DataView): string {
  return hex(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
}

/** Types of the messages that the guest posted. */
function types(rig: Rig): number[] {
  return rig.posted().map((message) => message.getUint32(0, true));
}

const { INITIATE_CONTACT, UNLOAD, REQUEST_OFFERS, VERSION_RESPONSE, UNLOAD_RESPONSE } = MessageType;

const version = suite('version negotiation');

version('version-negotiation: 3.0, UNLOAD, 0.13, with the same pages', () => {
  const rig = new Rig();
  rig.driver.probe();
  assert.equal(types(rig).slice(0, 4), [
    INITIATE_CONTACT,
    UNLOAD,
    INITIATE_CONTACT,
    REQUEST_OFFERS,
  ]);
  const [first, second] = rig.posted(INITIATE_CONTACT);
  assert.is(bytesOf(first!).slice(0, 32), '0e000000000000000000030000000000');
  assert.is(bytesOf(second!).slice(0, 32), '0e000000000000000d00000000000000');
  assert.is(bytesOf(first!).slice(32), bytesOf(second!).slice(32));
  assert.is(first!.byteLength, 40);
  assert.is(bytesOf(rig.posted(UNLOAD)[0]!), '1000000000000000');
  assert.is(bytesOf(rig.posted(REQUEST_OFFERS)[0]!), '0300000000000000');
  assert.is(rig.driver.vmbusVersion, VmbusVersion.V0_13);
  rig.driver.remove();
  rig.assertClean();
});

for (const host of ['server2008', 'server2008r2', 'server2012'])
  version(
    `version-negotiation: ${host} does not know 3.0: refused, without fallback and without UNLOAD`,
    () => {
      const rig = new Rig({ host });
      const error = fails('VersionRefused', () => rig.driver.probe());
      assert.is(errorEntry(error.name)![0], 'ENOTSUP');
      assert.equal(types(rig), [INITIATE_CONTACT]);
      rig.assertClean();
    },
  );

version('a host that knows 3.0 but not 0.13 is refused, with nothing left', () => {
  const rig = new Rig({ profile: { vmbusVersions: [VmbusVersion.V3_0] } });
  fails('VersionRefused', () => rig.driver.probe());
  assert.equal(types(rig), [INITIATE_CONTACT, UNLOAD, INITIATE_CONTACT]);
  rig.assertClean();
});

/** Answers that are as good as the right one. */
const ANSWERS: Readonly<Record<string, (payload: Uint8Array) => Uint8Array>> = {
  'of 12 bytes, as of QEMU': (payload) => payload.slice(0, 12),
  'with version 0': (payload) => patched(payload, VersionResponse.at.version, 0),
  'with bytes behind it': (payload) => Uint8Array.from([...payload, ...new Uint8Array(40).fill(9)]),
};

for (const [name, change] of Object.entries(ANSWERS))
  version(`a VERSION_RESPONSE ${name} is accepted`, () => {
    const rig = new Rig();
    rig.machine.vmbus.faults = {
      message: (type, payload) => (type === VERSION_RESPONSE ? change(payload) : undefined),
    };
    rig.probe();
    assert.is(rig.driver.vmbusVersion, VmbusVersion.V0_13);
    rig.machine.vmbus.faults = {};
    rig.driver.remove();
    rig.assertClean();
  });

version('a VERSION_RESPONSE that comes twice is taken once', () => {
  const rig = new Rig();
  rig.machine.vmbus.faults = {
    message: (type) => (type === VERSION_RESPONSE ? { duplicates: 3 } : undefined),
  };
  rig.driver.probe();
  assert.is(rig.driver.vmbusVersion, VmbusVersion.V0_13);
  assert.equal(rig.violations(), []);
  assert.is(rig.driver.devices.length, 1);
  rig.machine.vmbus.faults = {};
  rig.driver.remove();
  rig.assertClean();
});

version('a late VERSION_RESPONSE of 3.0 is not the answer to 0.13', () => {
  // The true answer comes after it, and says no
  const rig = new Rig();
  let stale: Uint8Array | undefined;
  rig.machine.vmbus.faults = {
    message(type, payload) {
      if (type === UNLOAD_RESPONSE) rig.soon(() => rig.machine.vmbus.postUnsolicited(stale!));
      if (type !== VERSION_RESPONSE) return undefined;
      const isFirst = viewOf(payload).getUint32(VersionResponse.at.version, true) > 13;
      if (isFirst) stale = payload.slice();
      return isFirst ? undefined : patched(payload, VersionResponse.at.supported, 0);
    },
  };
  fails('VersionRefused', () => rig.driver.probe());
  assert.is(rig.posted(REQUEST_OFFERS).length, 0);
});

/** All zero behind its type, as hosts refuse a version: it does not say which (OpenVMM). */
const REFUSAL = Uint8Array.of(VERSION_RESPONSE, ...new Uint8Array(15));

version('refusals that an earlier owner had to come are not ours', () => {
  for (const count of [1, 2, 4]) {
    for (const [contact, ms] of [
      [1, 900],
      [2, 900],
      [1, 9000],
      [2, 9000],
    ] as const) {
      // Behind our contact, and before its answer
      const rig = new Rig();
      let answers = 0;
      rig.machine.vmbus.faults = {
        message(type, payload) {
          if (type !== VERSION_RESPONSE || payload[VersionResponse.at.supported] === 0)
            return undefined;
          if (++answers !== contact) return undefined;
          for (let i = 0; i < count; i++) rig.machine.vmbus.postUnsolicited(REFUSAL);
          return { delayTicks: ms * TICKS_PER_MS };
        },
      };
      rig.probe();
      assert.is(rig.driver.devices.length, 1);
      assert.is(rig.driver.vmbusVersion, VmbusVersion.V0_13);
      rig.driver.remove();
      rig.assertClean();
    }
  }
});

version('a refusal that comes after its time is not that of the next version', () => {
  // Each answer comes 33 s late: the first contact has been tried again by then, and both refused
  const rig = new Rig({ driver: { contact: contactAsOs } });
  rig.machine.vmbus.faults = {
    message: (type) =>
      type === VERSION_RESPONSE ? { delayTicks: 33_000 * TICKS_PER_MS } : undefined,
  };
  rig.probe();
  const asked = rig.posted(INITIATE_CONTACT).map((view) => view.getUint32(8, true));
  assert.is(asked[0], asked[1], 'tried again');
  assert.is(rig.driver.vmbusVersion, VmbusVersion.V5_2);
  assert.equal(rig.violations(), []);
  rig.machine.vmbus.faults = {};
  rig.driver.remove();
  rig.assertClean();
});

version('one answer that is lost is waited for once, not for each version that is refused', () => {
  const rig = new Rig({ host: 'server2012r2', driver: { contact: contactAsOs } });
  let lost = 0;
  rig.machine.vmbus.faults = {
    message: (type) => (type === VERSION_RESPONSE && lost++ === 0 ? 'drop' : undefined),
  };
  const ms = rig.elapsed(() => rig.probe());
  assert.is(rig.driver.vmbusVersion, VmbusVersion.V3_0);
  // For the answer that never comes, and for the refusal that may be its
  assert.ok(ms < 62_000, `${ms} ms`);
  rig.driver.remove();
  rig.assertClean();
});

version('connection-state-checked: supported but failed is no connection', () => {
  for (const state of [1, 2, 255]) {
    const rig = new Rig();
    rig.machine.vmbus.faults = {
      message(type, payload) {
        if (type !== VERSION_RESPONSE) return undefined;
        const copy = payload.slice();
        copy[VersionResponse.at.connectionState] = state;
        return copy;
      },
    };
    const error = fails('ContactFailed', () => rig.driver.probe());
    assert.ok(error.message.includes(`${state}`));
  }
  // Hosts leave the byte undefined below 2.4: there it says nothing
  const rig = new Rig();
  rig.machine.vmbus.faults = {
    message(type, payload) {
      if (type !== VERSION_RESPONSE) return undefined;
      const old = viewOf(payload).getUint32(VersionResponse.at.version, true) < VmbusVersion.V2_4;
      return old ? patched(payload, VersionResponse.at.supported, 0xee01) : undefined;
    },
  };
  rig.probe();
  assert.is(rig.driver.devices.length, 1);
});

version('the policy of an OS: newest first, and its own message port from 5.0 on', () => {
  for (const [host, expected] of [
    ['server2012r2', VmbusVersion.V3_0],
    ['server2019', VmbusVersion.V5_2],
    ['server2022', VmbusVersion.V5_3],
  ] as const) {
    const rig = new Rig({ host, driver: { contact: contactAsOs } });
    rig.open();
    assert.is(rig.driver.vmbusVersion, expected);
    assert.equal(rig.violations(), []);
    rig.driver.remove();
    rig.assertClean();
  }
});

version.run();

const offers = suite('offers');

offers('one by one, as of QEMU, or all at once: the same devices', () => {
  for (const offerPacing of ['one-by-one', 'burst'] as const) {
    const rig = new Rig({ cards: 4, knobs: { offerPacing }, memory: new ArrayBuffer(8 << 20) });
    rig.driver.probe();
    assert.equal(
      rig.driver.devices.map(({ name }) => name),
      ['net0', 'net1', 'net2', 'net3'],
    );
    rig.driver.devices.forEach((device, i) => {
      assert.is(hex(device.address), hex(rig.machine.nics[i]!.address));
      assert.is(device.instance, `{${rig.machine.nics[i]!.instanceId}}`);
    });
    // All at once open, then all gone
    for (const device of rig.driver.devices) device.open();
    assert.is(rig.machine.nics.filter(({ state }) => state.filter === 0x2f).length, 4);
    rig.driver.remove();
    assert.equal(rig.violations(), []);
    rig.assertClean();
  }
});

offers('devices of other types are skipped, by name in the log', () => {
  const rig = new Rig({
    devices: [inertDevice(DeviceClass.TIME_SYNC, '2dd1ce17-079e-403c-b352-a1921ee207ee')],
  });
  rig.driver.probe();
  assert.is(rig.driver.devices.length, 1);
  const skipped = rig.logged().filter((text) => text.startsWith('no driver for type'));
  assert.is(skipped.length, 3);
  rig.driver.remove();
  rig.assertClean();
});

offers('devices are numbered from net0 again when none is left', () => {
  const rig = new Rig({ cards: 2 });
  for (let i = 0; i < 2; i++) {
    rig.driver.probe();
    assert.equal(
      rig.driver.devices.map(({ name }) => name),
      ['net0', 'net1'],
    );
    rig.driver.remove();
  }
});

offers('without a network card the probe succeeds and finds nothing', () => {
  const rig = new Rig({ cards: 0 });
  rig.driver.probe();
  assert.equal(rig.driver.devices, []);
  rig.driver.remove();
  rig.assertClean();
});

/** Offers that no correct host makes. */
const BAD_OFFERS: Readonly<Record<string, (offer: Uint8Array) => Uint8Array>> = {
  'of channel 0': (offer) => patched(offer, OfferChannel.at.channel, 0),
  'of channel 2048': (offer) => patched(offer, OfferChannel.at.channel, 2048),
  'of channel 0xffffffff': (offer) => patched(offer, OfferChannel.at.channel, 0xffffffff),
  'that is too short': (offer) => offer.slice(0, 189),
};

for (const [name, change] of Object.entries(BAD_OFFERS))
  offers(`an offer ${name} is left out, the others are not`, () => {
    const rig = new Rig({ cards: 2 });
    let networks = 0;
    const network = '635161f83edfc546913ff2d2f965ed0e';
    rig.machine.vmbus.faults = {
      message(type, payload) {
        const isNetwork = hex(payload.subarray(8, 24)) === network;
        if (type !== MessageType.OFFER_CHANNEL || !isNetwork) return undefined;
        return networks++ === 0 ? change(payload) : undefined;
      },
    };
    rig.driver.probe();
    assert.is(networks, 2);
    assert.equal(
      rig.driver.devices.map(({ instance }) => instance),
      [`{${rig.machine.nics[1]!.instanceId}}`],
    );
    assert.ok(
      rig.logged().some((text) => /^(?:offer of \d+ bytes$|ignoring offer of )/.test(text)),
    );
    rig.machine.vmbus.faults = {};
    rig.driver.remove();
    rig.assertClean();
  });

offers('messages of every length that the protocol has had are taken', () => {
  // Offers of 190 bytes (below 1.1), 196; VERSION_RESPONSE of 9 bytes (Linux 2.6), 10, 12, 16
  for (const [offer, response] of [
    [190, 9],
    [192, 10],
    [196, 12],
    [190, 16],
  ] as const) {
    const rig = new Rig();
    rig.machine.vmbus.faults = {
      message(type, payload) {
        if (type === MessageType.OFFER_CHANNEL) return payload.slice(0, offer);
        return type === MessageType.VERSION_RESPONSE ? payload.slice(0, response) : undefined;
      },
    };
    rig.open();
    rig.device.close();
    rig.driver.remove();
    rig.assertClean();
  }
  const rig = new Rig({ knobs: { shortOffers: true } });
  rig.probe();
  const sizes = rig
    .seen('host-message')
    .filter(({ payload }) => payload[0] === MessageType.OFFER_CHANNEL)
    .map(({ payload }) => payload.length);
  assert.ok(sizes.length > 0 && sizes.every((size) => size === 190), sizes.join());
  rig.driver.remove();
  rig.assertClean();
});

offers('a channel that is offered twice is one device', () => {
  const rig = new Rig();
  rig.machine.vmbus.faults = {
    message: (type) => (type === MessageType.OFFER_CHANNEL ? { duplicates: 2 } : undefined),
  };
  rig.driver.probe();
  assert.is(rig.driver.devices.length, 1);
  assert.is(rig.logged().filter((text) => /offered twice/.test(text)).length, 6);
});

offers.run();

const posting = suite('posting messages');

/** Fail the calls of a code from the nth on, a number of times. */
function failCalls(rig: Rig, code: number, status: number, from: number, times: number): void {
  let left = times;
  rig.machine.partition.faults.hypercall = (called, _connection, index) =>
    called === code && index >= from && left-- > 0 ? status : undefined;
}

posting('posts-are-retried: out of buffers and throttling pass, each message arrives once', () => {
  for (const status of [
    HvStatus.INSUFFICIENT_BUFFERS,
    HvStatus.INVALID_CONNECTION_ID,
    HvStatus.INSUFFICIENT_MEMORY,
    HvStatus.TIME_OUT,
  ]) {
    // From the fourth message on: the pauses grow
    const rig = new Rig();
    failCalls(rig, HvCall.POST_MESSAGE, status, 3, 6);
    const ms = rig.elapsed(() => rig.driver.probe());
    assert.ok(ms > 1 + 2 + 4 + 8 + 16 + 32 && ms < 100, `${ms} ms`);
    assert.is(rig.posted(REQUEST_OFFERS).length, 1);
    assert.is(rig.attempted(REQUEST_OFFERS).length, 7);
    rig.driver.remove();
    rig.assertClean();
  }
});

posting('posts-are-retried: a bounded number of times, then named', () => {
  const rig = new Rig();
  failCalls(rig, HvCall.POST_MESSAGE, HvStatus.INSUFFICIENT_BUFFERS, 3, Infinity);
  const error = fails('PostThrottled', () => rig.driver.probe());
  assert.is(error.status, 0x13);
  assert.is(rig.attempted(REQUEST_OFFERS).length, 12);
  rig.assertContained();
  assert.equal(rig.outstanding(), ['interrupt-page', 'monitor-in', 'monitor-out']);
  rig.machine.partition.faults.hypercall = undefined;
  rig.assertRecovers();
});

posting('any other status is final, with the status in the error', () => {
  for (const status of [HvStatus.ACCESS_DENIED, HvStatus.INVALID_PARAMETER, 0x33]) {
    const rig = new Rig();
    failCalls(rig, HvCall.POST_MESSAGE, status, 0, 1);
    const error = fails('PostFailed', () => rig.driver.probe());
    assert.is(error.status, status);
    assert.is(rig.attempted(INITIATE_CONTACT).length, 1);
    // The host has heard of nothing: nothing is kept, and UNLOAD is not sent
    assert.equal(types(rig), []);
    rig.assertClean();
  }
});

posting('a host that throttles as Azure does is connected to all the same', () => {
  const rig = new Rig({ knobs: { throttleMessages: 1 } });
  rig.open();
  rig.driver.remove();
  assert.ok(rig.attempted().some(({ status }) => status === HvStatus.INVALID_CONNECTION_ID));
  rig.assertClean();
});

posting('no-clobber-list: each hypercall has the input that was meant for it', () => {
  // Messages and signals use one buffer: what is written too late or too early would show
  const rig = new Rig();
  rig.driver.probe();
  const { GPADL_HEADER, GPADL_BODY, GPADL_TEARDOWN, OPEN_CHANNEL, CLOSE_CHANNEL } = MessageType;
  assert.equal(types(rig), [
    ...[INITIATE_CONTACT, UNLOAD, INITIATE_CONTACT, REQUEST_OFFERS],
    ...[GPADL_HEADER, GPADL_BODY, GPADL_BODY, GPADL_HEADER, GPADL_BODY, OPEN_CHANNEL],
    ...[CLOSE_CHANNEL, GPADL_TEARDOWN, GPADL_TEARDOWN],
  ]);
  assert.equal([...new Set(rig.signalled())], ['0200000000000000']);
});

posting.run();
