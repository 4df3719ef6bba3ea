// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The simulated VMBus server against two drivers that send anything: reserved channels, second
 * contacts and sub-channels in any order. No exception, and nothing is left when all have unloaded.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import type { ChannelDevice } from '../../../../tools/simulator/vmbus-server/channel-interface.ts';
import { Random } from '../../../../tools/simulator/base/random.ts';
import {
  MESSAGE_LATENCY,
  RING_PFN,
  Rig,
  RigDevice,
  gpadlHeader,
  initiate,
  openChannel,
  plain,
  teardown,
  words,
} from '../../../rigs/vmbus-server-rig.ts';

const ROUNDS = 60;
const STEPS = 150;
const VERSIONS = [VmbusVersion.V0_13, VmbusVersion.V4_0, VmbusVersion.V5_3, VmbusVersion.V6_0];

/** Connection IDs: the first driver's, that of contacts, the second driver's. */
const PORTS = [1, 4, 5];
const SECOND = 5;

const fuzz = suite('host: fuzz of two drivers');

/** INITIATE_CONTACT: often of the second driver, on connection 4. */
function contact(random: Random): Uint8Array {
  const sint = random.chance(0.6) ? SECOND : random.below(18);
  const at = random.chance(0.8) ? 0x8000 : 0x2000;
  return initiate(VERSIONS[random.below(VERSIONS.length)]!, {
    info: words(random.chance(0.3) ? 2 : sint, random.below(4)),
    targetVp: random.below(9),
    monitorIn: at,
    monitorOut: at + 0x1000,
  });
}

function message(random: Random): string | Uint8Array {
  const channel = 1 + random.below(5);
  const gpadl = random.below(3);
  const pfns = [0, 1, 2, 3].map((i) => RING_PFN + 4 * random.below(8) + i);
  const vp = random.below(9);
  const sint = random.below(17);
  switch (random.below(12)) {
    case 0:
    case 1:
      return gpadlHeader(channel, gpadl, pfns);
    case 2:
    case 3:
      return openChannel(channel, gpadl, 2, vp) + words(0x5000 + random.below(4), random.below(3));
    case 4:
      return words(MessageType.OPEN_RESERVED_CHANNEL, 0, channel, vp, sint, gpadl, 2);
    case 5:
      return words(MessageType.CLOSE_RESERVED_CHANNEL, 0, channel, vp, sint);
    case 6:
      return words(MessageType.CLOSE_CHANNEL, 0, channel);
    case 7:
      return teardown(channel, gpadl);
    case 8:
      return words(MessageType.RELID_RELEASED, 0, channel);
    case 9:
      return random.chance(0.1) ? plain(MessageType.UNLOAD) : plain(MessageType.REQUEST_OFFERS);
    default:
      return random.chance(0.2) ? contact(random) : plain(MessageType.REQUEST_OFFERS);
  }
}

/** What the host does meanwhile. */
function hostActs(random: Random, rig: Rig, devices: readonly RigDevice[]): void {
  // Rather one that is open, so that there are sub-channels
  const open = devices.filter(({ channel }) => channel !== undefined);
  const among = open.length > 0 ? open : devices;
  const device = among[random.below(among.length)]!;
  const count = 1 + random.below(3);
  const subs = Array.from({ length: count }, (_, i) =>
    Object.assign(new RigDevice(device.instanceId), {
      subchannelIndex: i + 1,
      client: (device as ChannelDevice).client ?? 'primary',
    }),
  );
  const gone = !rig.server.inspect().clients.some(({ channels }) => {
    const known = channels.filter(({ instanceId }) => instanceId === device.instanceId);
    return known.some(({ state }) => state !== 'revoked');
  });
  if (random.chance(0.8)) device.channel?.offerSubchannels(subs);
  else if (gone) rig.server.hotAdd(device);
  else rig.server.rescind(device);
}

fuzz('nothing throws, the ledger agrees with the server, UNLOAD leaves nothing', () => {
  const seen = { reserved: 0, second: 0, subchannels: 0 };
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const random = new Random(seed, 5);
    const devices = [1, 2, 3, 4].map((i) =>
      i > 2 ? Object.assign(new RigDevice(i), { client: 'secondary' as const }) : new RigDevice(i),
    );
    const rig = new Rig({ devices, knobs: { secondClient: 'allow' } });
    const server = rig.server;
    for (let step = 0; step < STEPS; step++) {
      if (random.chance(0.2)) hostActs(random, rig, devices);
      else rig.postOnly(message(random), PORTS[random.below(PORTS.length)]!);
      rig.run(MESSAGE_LATENCY);
      const state = server.inspect();
      const shared = rig.partition.grants.live().filter(({ kind }) => kind === 'gpadl');
      const bytes = shared.reduce((sum, { length }) => sum + length, 0);
      assert.is(state.sharedMemory.bytes, bytes, `seed ${seed}, step ${step}`);
      const channels = state.clients.flatMap((client) => client.channels);
      if (channels.some(({ reserved }) => reserved)) seen.reserved++;
      if (state.clients[1]!.phase === 'connected') seen.second++;
      if (channels.some((each) => each.subchannelIndex > 0)) seen.subchannels++;
    }

    // Each leaves, and reserved channels are closed
    for (const port of PORTS) rig.post(plain(MessageType.UNLOAD), port);
    for (const port of [1, SECOND])
      for (let id = 1; id < 20; id++)
        rig.post(words(MessageType.CLOSE_RESERVED_CHANNEL, 0, id, 0, 2), port);
    assert.equal(rig.grants(), [], `seed ${seed}`);
    assert.is(server.inspect().sharedMemory.bytes, 0, `seed ${seed}`);
    assert.ok(
      server.inspect().clients.every(({ phase }) => phase === 'disconnected'),
      `seed ${seed}`,
    );
  }
  // The guests get somewhere
  for (const [what, count] of Object.entries(seen)) assert.ok(count > 50, `${what}: ${count}`);
});

fuzz.run();
