// SPDX-License-Identifier: GPL-2.0-or-later

/** In which order guests tear GPADLs down and close channels, and what the host answers. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VmbusVersion, versionText } from '../../../../src/vmbus/protocol.ts';
import { PacketType } from '../../../../src/vmbus/protocol.ts';
import { NetRig, RX_GPADL, RX_SET, TX_GPADL, rndis, words } from '../../../rigs/netvsp-rig.ts';
import {
  MESSAGE_LATENCY,
  Rig,
  RigDevice,
  inband,
  teardown,
  torndown,
} from '../../../rigs/vmbus-server-rig.ts';

const CLOSE = words(7, 0, 1);
const RING = 0x101;

/** A NIC whose guest is connected at a version and has both buffers. */
function started(version: number): NetRig {
  const rig = new NetRig({ knobs: { torndownWhileOpen: 'by-version' } });
  rig.channel.vmbusVersion = version;
  rig.negotiate();
  rig.inband(words(104, TX_GPADL, 1));
  return rig;
}

const order = suite('peers: order of teardown');

for (const version of [VmbusVersion.V0_13, VmbusVersion.V2_4, VmbusVersion.V3_0])
  order(
    `P-B4 FreeBSD, L1 Linux: revoked buffers are let go before CLOSE at ${versionText(version)}`,
    () => {
      const rig = started(version);
      assert.is(rig.device.gpadlTeardown(RX_GPADL), false, 'not without a revoke');
      assert.is(rig.device.gpadlTeardown(TX_GPADL), false, 'not without a revoke');
      rig.inband(words(103, RX_SET));
      rig.inband(words(106, 1));
      assert.is(rig.device.gpadlTeardown(RX_GPADL), true);
      assert.is(rig.device.gpadlTeardown(TX_GPADL), true);
      assert.not(rig.channel.dead);
    },
  );

for (const version of [VmbusVersion.V4_0, VmbusVersion.V5_3])
  order(`P-B4 FreeBSD, L1 Linux: they are held until CLOSE at ${versionText(version)}`, () => {
    const rig = started(version);
    rig.inband(words(103, RX_SET));
    rig.inband(words(106, 1));
    assert.is(rig.device.gpadlTeardown(RX_GPADL), false);
    assert.is(rig.device.gpadlTeardown(TX_GPADL), false);
    rig.device.close();
    assert.is(rig.device.gpadlTeardown(RX_GPADL), true);
  });

/** An open channel at a version. */
function opened(version: number, knobs: ConstructorParameters<typeof Rig>[0] = {}) {
  const device = new RigDevice(1);
  const rig = new Rig({ devices: [device], ...knobs });
  rig.boot(version);
  rig.open(1);
  device.calls.length = 0;
  return { rig, device };
}

order('L15 Linux: what lies in the ring is read before the teardown, signalled or not', () => {
  for (const signalled of [true, false]) {
    const { rig, device } = opened(VmbusVersion.V3_0, { knobs: { ringLatencyTicks: 10_000_000 } });
    rig.post(words(8, 0, 1, 0x200, 16 + 0x10000) + words(4096, 0, 0x60, 0));
    rig.rings(1).write(inband('01', 0));
    if (signalled) rig.signal(0x2001);
    rig.post(teardown(1, 0x200));
    assert.equal(device.calls, ['signalled', `teardown ${0x200}`]);
    assert.is(device.packets.length, 1);
  }
});

order('iPXE: a teardown after CLOSE is always answered, whatever the version', () => {
  for (const version of [VmbusVersion.V0_13, VmbusVersion.V3_0, VmbusVersion.V5_3]) {
    const { rig } = opened(version);
    rig.post(CLOSE);
    assert.equal(rig.post(teardown(1, RING)), [torndown(RING)], versionText(version));
  }
});

order('L1 Linux 0ef58b0a05c1: or below 4.0 it is not, and the host has let go (knob)', () => {
  const knobs = { teardownAfterClose: 'ignored-below-4.0' } as const;
  for (const [version, answers] of [
    [VmbusVersion.V3_0, []],
    [VmbusVersion.V4_0, [torndown(RING)]],
  ] as const) {
    const { rig } = opened(version, { knobs });
    const before = rig.grants().length;
    rig.post(CLOSE);
    assert.equal(rig.post(teardown(1, RING)), answers);
    assert.is(rig.grants().length, before - 1);
  }
  // One that was never opened is answered, and so is what was asked for before the close
  const { rig } = opened(VmbusVersion.V3_0, { knobs });
  assert.equal(rig.post(teardown(1, RING)), []);
  assert.equal(rig.post(CLOSE), [torndown(RING)]);
  rig.run(MESSAGE_LATENCY);
});

order('P-M5 Microsoft, L17 Linux: completions that the host has not read yet are no fault', () => {
  const rig = new NetRig();
  rig.start();
  const [packet] = rig.run();
  assert.is(packet, undefined);
  rig.device.injectRndis(new Uint8Array([7, 0, 0, 0, 20, 0, 0, 0, ...new Uint8Array(12)]));
  const { low, high, type } = rig.run()[0]!;
  const before = rig.device.statistics.guestCompletions;
  assert.is(type, PacketType.DATA_XFER_PAGES);

  // In the ring, and the host is not told
  rig.put(PacketType.COMPLETION, 0, low, '', words(108, 1), high);
  rig.device.close();
  assert.is(rig.device.statistics.uncompletedAtClose, 0);
  assert.is(rig.device.statistics.guestCompletions, before + 1);
  assert.not(rig.channel.dead);
});

order(
  'P-B10: what the host closes itself leaves nobody to blame; what the guest closes does',
  () => {
    for (const [closer, blamed] of [
      ['host', 0],
      ['guest', 1],
    ] as const) {
      const rig = new NetRig();
      rig.start();
      rig.device.injectRndis(new Uint8Array([7, 0, 0, 0, 20, 0, 0, 0, ...new Uint8Array(12)]));
      rig.run();
      // A frame of the guest in the ring is lost, not sent
      rig.put(PacketType.DATA_INBAND, 1, 7, '', rndis(1));
      rig.device.close(closer);
      assert.is(rig.device.statistics.uncompletedAtClose, blamed);
    }
  },
);

/** A NIC with three received packets that wait for their completion, which `complete` completes. */
function received() {
  const rig = new NetRig();
  rig.start();
  rig.run();
  const sent = [0, 1, 2].map(() => {
    rig.device.injectRndis(new Uint8Array([7, 0, 0, 0, 20, 0, 0, 0, ...new Uint8Array(12)]));
    return rig.run()[0]!;
  });
  const complete = (packet: number): void => {
    const { low, high } = sent[packet]!;
    rig.put(PacketType.COMPLETION, 0, low, '', words(108, 1), high);
  };
  const figures = () => {
    const { uncompletedAtClose, uncompletedSkipped, uncompletedOtherwise } = rig.device.statistics;
    return [uncompletedAtClose, uncompletedSkipped, uncompletedOtherwise];
  };
  /** The guest completes something that it was never sent. */
  const killed = (): void => {
    rig.put(PacketType.COMPLETION, 0, 0x7777, '', words(108, 1), 0x7777);
    rig.device.signalled();
    assert.ok(rig.channel.dead);
  };
  return { rig, complete, figures, killed };
}

const LATER = 'a dead channel: a packet that was left out for a later one';
order(`${LATER} is the guest's`, () => {
  const { rig, complete, figures, killed } = received();
  complete(2);
  rig.device.signalled();
  killed();
  rig.device.close('guest');
  assert.equal(figures(), [0, 2, 0]);
});

order(`${LATER} is not, if its completion lies in the ring`, () => {
  const { rig, complete, figures, killed } = received();
  complete(2);
  rig.device.signalled();
  killed();
  // As long as nobody has looked, nothing is said of it
  assert.is(rig.device.state.skipped, 0);
  complete(0);
  complete(1);
  rig.device.close('guest');
  assert.equal(figures(), [0, 0, 0]);
});

for (const [closer, drained, unreadable, expected] of [
  ['guest', true, false, [3, 0, 0]],
  ['guest', false, false, [0, 0, 3]],
  ['host', true, false, [0, 0, 3]],
  ['guest', true, true, [0, 0, 3]],
] as const)
  order(
    `a dead channel that the ${closer} closes, ${drained ? 'drained' : 'not drained'}` +
      (unreadable ? ', with a ring that nobody can read' : ''),
    () => {
      const { rig, figures, killed } = received();
      killed();
      rig.channel.drained = drained;
      rig.channel.unreadable = unreadable;
      rig.device.close(closer);
      assert.equal(figures(), expected);
    },
  );

order('a dead channel keeps silent, and what the guest had sent is found at its close', () => {
  const { rig, device } = opened(VmbusVersion.V3_0);
  rig.rings(1).write(inband('01', 0));
  rig.rings(1).write(inband('02', 0));
  device.channel!.die('for a test');
  rig.raised();
  const { channel } = device;
  assert.is(channel!.receive(), undefined);
  const payloads = [channel!.receive(true), channel!.receive(true)];
  assert.ok(payloads.every((each) => each !== undefined));
  assert.is(channel!.receive(true), undefined);
  assert.equal(rig.raised(), []);
});

order.run();
