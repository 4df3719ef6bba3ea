// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The simulated VMBus server against guests that send anything: no exception, no access outside
 * the grants, and nothing is left when the connection ends.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import { Random } from '../../../../tools/simulator/base/random.ts';
import {
  MESSAGE_LATENCY,
  RING_PFN,
  Rig,
  RigDevice,
  gpadlHeader,
  hex,
  initiate,
  openChannel,
  plain,
  teardown,
  words,
} from '../../../rigs/vmbus-server-rig.ts';

const ROUNDS = 60;
const STEPS = 120;
const VERSIONS = Object.values(VmbusVersion);

const fuzz = suite('vmbus-server: fuzz');

/** A message that often makes sense, and sometimes does not. */
function message(random: Random): string | Uint8Array {
  const channel = 1 + random.below(4);
  const gpadl = random.below(4);
  const pfn = RING_PFN + 4 * random.below(8);
  const pages = Array.from(
    { length: random.chance(0.8) ? 4 : 1 + random.below(8) },
    (_, i) => pfn + i,
  );
  switch (random.below(20)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      return gpadlHeader(channel, gpadl, pages);
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
      return (
        openChannel(channel, gpadl, random.chance(0.9) ? 2 : random.below(5), random.below(9)) +
        words(0x3000 + random.below(3), 1)
      );
    case 10:
    case 11:
      return words(MessageType.CLOSE_CHANNEL, 0, channel);
    case 12:
    case 13:
      return teardown(channel, gpadl);
    case 14:
      return words(MessageType.RELID_RELEASED, 0, channel);
    case 15:
      return words(MessageType.MODIFY_CHANNEL, 0, channel, 1);
    case 16:
      return words(MessageType.GPADL_HEADER, 0, channel, gpadl, random.u32(), 0x1000, 0, pfn, 0);
    case 17:
      return random.chance(0.2) ? plain(MessageType.UNLOAD) : plain(MessageType.REQUEST_OFFERS);
    case 18:
      return random.chance(0.7) ? plain(MessageType.REQUEST_OFFERS) : contact(random);
    default:
      return garbage(random);
  }
}

/** INITIATE_CONTACT with any version; at 6.0 the guest names its signal parameters. */
function contact(random: Random): Uint8Array {
  const version = VERSIONS[random.below(VERSIONS.length)]!;
  const odd = random.chance(0.1);
  return initiate(version, {
    targetVp: random.below(odd ? 10 : 8),
    monitorOut: odd ? random.u32() : 0x3000,
    ...(version === VmbusVersion.V6_0 ? { info: '02000000' + words(0x1) } : {}),
  });
}

function garbage(random: Random): Uint8Array {
  const bytes = Uint8Array.from({ length: random.below(241) }, () => random.below(256));
  if (bytes.length > 3) bytes.set([random.below(32), 0, 0, 0]);
  return bytes;
}

fuzz('control messages, rescinds and signals in any order', () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const random = new Random(seed, 77);
    const devices = [1, 2, 3].map((i) => new RigDevice(i));
    devices[0]!.monitored = true;
    const rig = new Rig({
      devices,
      knobs: {
        unloadAnswer: random.chance(0.5) ? 0 : 5 * TICKS_PER_MS,
        offerPacing: random.chance(0.5) ? 'burst' : 'one-by-one',
      },
    });
    const sent: string[] = [];
    try {
      rig.post(contact(random));
      rig.post(plain(MessageType.REQUEST_OFFERS));
      for (let step = 0; step < STEPS; step++) {
        const next = message(random);
        sent.push(typeof next === 'string' ? next : hex(next));
        rig.postOnly(next);
        if (random.chance(0.7)) rig.run(random.below(2 * MESSAGE_LATENCY));
        if (random.chance(0.1)) rig.signal(random.chance(0.5) ? 2 : 0x2000 + random.below(4));
        const device = devices[random.below(3)]!;
        if (random.chance(0.04)) rig.server.rescind(device);
        if (random.chance(0.04)) tryHotAdd(rig, device);
        if (random.chance(0.1)) device.holds.add(random.below(4));
      }
      rig.run(100 * TICKS_PER_MS);

      // Whatever lives is in both books
      const state = rig.server.inspect();
      const gpadls = rig.partition.grants.live().filter((grant) => grant.kind === 'gpadl');
      assert.equal(
        gpadls.flatMap(({ pfns }) => [...pfns]).sort(),
        state.gpadls.flatMap(({ pfns }) => [...pfns]).sort(),
      );
      for (const { state: is, id } of state.channels) assert.is(is === 'released', id === 0);

      for (const event of rig.log) if (event.kind === 'vmbus') seen.add(event.change);

      // And nothing survives the end
      rig.server.reset();
      assert.equal(rig.grants(), []);
      assert.equal([...rig.partition.eventPorts.keys()], [2]);
      for (const device of devices) assert.is(device.channel, undefined);
    } catch (error) {
      console.error(`seed ${seed}; messages:\n${sent.join('\n')}`);
      throw error;
    }
  }
  // Or the guests were no good
  for (const change of ['opened', 'closed', 'rescinded', 'released', 'unloaded', 'disconnected'])
    assert.ok(seen.has(change), change);
});

/** Offer a device again if it is not there. */
function tryHotAdd(rig: Rig, device: RigDevice): void {
  const channel = rig.server
    .inspect()
    .channels.find(({ instanceId }) => instanceId === device.instanceId);
  if (channel === undefined || channel.state === 'revoked') rig.server.hotAdd(device);
}

fuzz('rings with anything in them', () => {
  let packets = 0;
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const random = new Random(seed, 78);
    const device = new RigDevice(1);
    const rig = new Rig({ devices: [device] });
    rig.boot(VmbusVersion.V3_0);
    rig.open(1);
    const rings = rig.rings(1);
    // Descriptors that are nearly always right, anywhere
    for (let i = 0; i < 4096; i += 8) {
      const headerQlen = random.chance(0.01) ? random.below(8) : 2;
      const qlen = random.chance(0.01) ? random.below(0x10000) : 2 + random.below(20);
      rings.ram.view.setUint32(rings.out + 4096 + i, 6 | (headerQlen << 16), true);
      rings.ram.view.setUint32(rings.out + 4096 + i + 4, qlen, true);
    }
    try {
      for (let step = 0; step < 40; step++) {
        const prod = random.chance(0.02) ? random.u32() : random.below(512) * 8;
        rings.setControl(rings.out, 'prod', prod);
        rings.setControl(rings.out, 'pendingSendSize', random.below(8192));
        const cons = random.chance(0.02) ? 4096 : random.below(512) * 8;
        rings.setControl(rings.in, 'cons', cons);
        rings.setControl(rings.in, 'interruptMask', random.below(2));
        rig.signal(0x2001);
        rig.run(TICKS_PER_MS);
        device.channel!.send(6, 0, 0, 0, new Uint8Array(0), 0, new Uint8Array(600), 8 * step);
      }
      const { violations } = rig.server.inspect();
      assert.ok(violations <= 1, 'a channel dies once');
      packets += device.packets.length;
      rig.post(plain(MessageType.UNLOAD));
      assert.equal(rig.grants(), []);
    } catch (error) {
      console.error(`seed ${seed}`);
      throw error;
    }
  }
  assert.ok(packets > 1000, `${packets} packets`);
});

fuzz.run();
