// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A host that says anything: random bytes in rings, messages and slots. Nothing hangs, nothing but
 * named errors is thrown, and at the end everything is given back or reserved.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HypxeError } from '../../../src/index.ts';
import { MessageType, RingControl } from '../../../src/vmbus/protocol.ts';
import { Random } from '../../../tools/simulator/base/random.ts';
import { Rig, frame } from '../../rigs/driver-rig.ts';

/** Runs of each kind, and the seed of the first; a failure names its own. */
const RUNS = 12;
const SEED = 77_000;

/** The longest that a life may take with a host like this, in ms of virtual time. */
const LIFE_MS_MAX = 60_000;

function bytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256));
}

/** Some of the bytes changed: few, so that most of what is checked first still holds. */
function spoilt(random: Random, original: Uint8Array): Uint8Array {
  const copy = original.slice();
  const changes = 1 + random.below(4);
  for (let i = 0; i < changes; i++) {
    const at = random.below(copy.length);
    copy[at] = random.chance(0.5) ? random.below(256) : [0, 1, 0x7f, 0x80, 0xff][random.below(5)]!;
  }
  return copy;
}

/** A life on a host that may lie. */
function life(rig: Rig): void {
  try {
    rig.driver.probe();
    const [device] = rig.driver.devices;
    if (device !== undefined) {
      rig.watch(device);
      device.open();
      for (let i = 0; i < 20; i++) {
        device.transmit(frame(60 + i, i), 60 + i);
        rig.link.host.deliver(frame(60 + i, i));
        rig.poll(0.2, device);
      }
      rig.driver.poll();
      device.close();
    }
  } catch (error) {
    if (!(error instanceof HypxeError)) throw error;
  }
  rig.driver.remove();
}

const fuzz = suite('hosts that say anything');

/** Lives on machines with a fault each. */
function lives(name: string, spoil: (rig: Rig, random: Random) => void): void {
  fuzz(name, () => {
    for (let run = 0; run < RUNS; run++) {
      const seed = SEED + run;
      const rig = new Rig({ memory: new ArrayBuffer(2 << 20), driver: { preset: 'ipxe' } });
      spoil(rig, new Random(seed));
      const where = `seed ${seed}`;
      try {
        const ms = rig.elapsed(() => life(rig));
        assert.ok(ms < LIFE_MS_MAX, `${where}: ${ms} ms`);
        rig.assertContained();
      } catch (error) {
        throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
}

lives('ring packets with some bytes changed', (rig, random) => {
  rig.machine.vmbus.faults = {
    ringPacket: (_channel, packet) => (random.chance(0.2) ? spoilt(random, packet) : undefined),
  };
});

lives('ring packets of nothing but random bytes', (rig, random) => {
  rig.machine.vmbus.faults = {
    ringPacket: (_channel, packet) =>
      random.chance(0.1) ? bytes(random, Math.max(16, packet.length & ~7)) : undefined,
  };
});

lives('words of the control pages, written after a packet', (rig, random) => {
  const fields = Object.values(RingControl.at);
  rig.machine.vmbus.faults = {
    published(_channel, poke) {
      if (!random.chance(0.1)) return;
      const side = random.chance(0.5) ? 'guest-to-host' : 'host-to-guest';
      const value = random.chance(0.5) ? random.below(4096) & ~7 : random.u32();
      poke(side, fields[random.below(fields.length)]!, value);
    },
  };
});

lives('RNDIS messages with some bytes changed, and of random bytes', (rig, random) => {
  rig.nic.faults.message = (message) => {
    if (!random.chance(0.2)) return 'send';
    const { length } = message;
    if (random.chance(0.7)) message.bytes = spoilt(random, message.bytes);
    else message.bytes = bytes(random, Math.max(1, length));
    message.length = random.chance(0.3) ? random.below(length + 1) : length;
    return random.chance(0.1) ? 'twice' : 'send';
  };
});

lives('control messages with some bytes changed, lost, doubled, late', (rig, random) => {
  rig.machine.vmbus.faults = {
    message(type, payload) {
      // A host that says that it did not connect is believed: nobody else can know
      if (type === MessageType.VERSION_RESPONSE || !random.chance(0.1)) return undefined;
      if (random.chance(0.1)) return 'drop';
      if (random.chance(0.2)) return { delayTicks: random.below(20_000_000) };
      if (random.chance(0.2)) return { duplicates: random.below(5) };
      return random.chance(0.8) ? spoilt(random, payload) : bytes(random, random.below(241));
    },
  };
});

fuzz.run();
