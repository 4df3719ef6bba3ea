// SPDX-License-Identifier: GPL-2.0-or-later

/** Faults of the built-in network, and that one seed decides everything. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VirtualClock } from '../../../../tools/simulator/base/clock.ts';
import type { FaultCounters, NetworkFaults } from '../../../../tools/simulator/network/index.ts';
import {
  HOLD_TICKS,
  memoryFiles,
  syntheticImage,
} from '../../../../tools/simulator/network/index.ts';
import {
  ascii,
  be16,
  BROADCAST,
  Client,
  get16,
  hex,
  ipFrame,
  isIntact,
  networkWith,
  SERVER_IP,
  udpPacket,
} from '../../../rigs/network-client.ts';

const faults = suite('network: faults');

/** Two NICs; frames from the first to the second cross both directions' lanes. */
function pair(given: NetworkFaults, seed = 42): [Client, Client] {
  const network = networkWith({ faults: given });
  const clock = new VirtualClock();
  const clients: [Client, Client] = [
    new Client(network, clock, seed, 0),
    new Client(network, clock, seed, 1),
  ];
  for (const client of clients) client.damageExpected = true;
  return clients;
}

/** A UDP frame of the first NIC for the second, with a number in it. */
function numbered(from: Client, to: Client, number: number): number[] {
  const data = [...be16(number), ...Array<number>(40).fill(number & 0xff)];
  const packet = udpPacket([10, 0, 0, 1], 5, [10, 0, 0, 2], 6, data);
  const mac = Array.from(to.address);
  return ipFrame(mac, from.address, 17, [10, 0, 0, 1], [10, 0, 0, 2], packet);
}

/** Send `count` frames, a tick between them; the numbers that arrived, in order. */
function stream([a, b]: [Client, Client], count: number): number[] {
  for (let i = 0; i < count; i++) {
    a.send(numbered(a, b, i));
    a.clock.advanceTo(a.clock.now + 1);
  }
  a.run(1_000_000);
  return b.got.map(({ bytes }) => get16(bytes, 42));
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

faults('none: everything arrives once, whole and in order', () => {
  const clients = pair({ loss: 0, duplication: 0, reordering: 0, corruption: 0 });
  assert.equal(stream(clients, 500), upTo(500));
  assert.ok(clients[1].got.every(({ bytes }) => isIntact(bytes)));
});

faults('loss at 1, in one direction only', () => {
  const lost = pair({ toGuest: { loss: 1 } });
  assert.equal(stream(lost, 20), []);
  const { toGuest, fromGuest } = lost[0].network.statistics;
  assert.equal([fromGuest.frames, fromGuest.lost], [20, 0]);
  assert.equal([toGuest.frames, toGuest.lost], [20, 20]);

  const early = pair({ loss: 1, toGuest: { loss: 0 } });
  assert.equal(stream(early, 20), []);
  assert.is(early[0].network.statistics.fromGuest.lost, 20);
  assert.is(early[0].network.statistics.toGuest.frames, 0);
});

faults('duplication at 1: each frame twice', () => {
  const clients = pair({ fromGuest: { duplication: 1 } });
  assert.equal(
    stream(clients, 10),
    upTo(20).map((i) => i >> 1),
  );
  assert.is(clients[0].network.statistics.fromGuest.duplicated, 10);
});

faults('reordering at 1: neighbours change places, and the last one is not lost', () => {
  const clients = pair({ fromGuest: { reordering: 1 } });
  assert.equal(stream(clients, 7), [1, 0, 3, 2, 5, 4, 6]);
  assert.is(clients[0].network.statistics.fromGuest.reordered, 3);
  const [, last] = clients[1].got.slice(-2);
  assert.ok(last!.at >= HOLD_TICKS);
});

faults('corruption at 1: one bit of each frame, and every checksum finds it', () => {
  const clients = pair({ fromGuest: { corruption: 1 } });
  const count = 2000;
  for (let i = 0; i < count; i++) {
    clients[0].send(numbered(clients[0], clients[1], i));
    clients[0].run(200);
    const original = numbered(clients[0], clients[1], i);
    const { bytes } = clients[1].got.at(-1)!;
    const flipped = original.map((byte, at) => byte ^ bytes[at]!).filter((bits) => bits !== 0);
    assert.is(flipped.length, 1);
    assert.is(flipped[0]! & (flipped[0]! - 1), 0, 'one bit');
    assert.not.ok(isIntact(bytes), hex(bytes));
  }
  assert.is(clients[0].network.statistics.fromGuest.corrupted, count);
});

faults('corruption spares what no checksum covers: UDP without one', () => {
  const [a, b] = pair({ fromGuest: { corruption: 1 } });
  const original = numbered(a, b, 1);
  original[40] = original[41] = 0;
  for (let i = 0; i < 500; i++) {
    a.send(original);
    a.run(200);
    const { bytes } = b.got.at(-1)!;
    const at = original.findIndex((byte, position) => byte !== bytes[position]);
    assert.ok(at > 14 && at < 34, `byte ${at}`);
  }
});

faults('corruption without a checksum to find it (ARP) is a loss', () => {
  const at = new Client(networkWith({ faults: { corruption: 1 } }));
  at.arpRequest(SERVER_IP);
  assert.is(at.run().length, 0);
  assert.is(at.network.statistics.fromGuest.corrupted, 1);
});

faults('a damaged request is dropped by the servers', () => {
  const at = new Client(networkWith({ faults: { fromGuest: { corruption: 1 } } }));
  at.serverMac = [...BROADCAST];
  for (let i = 0; i < 200; i++) at.udp(2000, 69, [0, 1, ...ascii('boot.img'), 0]);
  assert.is(at.run().length, 0);
  const { drops, tftp } = at.network.statistics;
  assert.is(tftp.requests, 0);
  assert.is((drops['bad-checksum'] ?? 0) + (drops['bad-ip-header'] ?? 0), 200);
});

faults('delay and jitter: within their limits, around the mean, in order', () => {
  const clients = pair({ fromGuest: { delayTicks: 5000, jitterTicks: 3000 } });
  const [a, b] = clients;
  const delays: number[] = [];
  for (let i = 0; i < 500; i++) {
    const sent = a.clock.now;
    a.send(numbered(a, b, i));
    a.run(20_000);
    delays.push(b.got.at(-1)!.at - sent - 200);
  }
  assert.ok(Math.min(...delays) >= 2000 && Math.min(...delays) < 2200);
  assert.ok(Math.max(...delays) <= 8000 && Math.max(...delays) > 7800);
  const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length;
  assert.ok(Math.abs(mean - 5000) < 250, `mean ${mean}`);
  const { delayed, delayTicks } = a.network.statistics.fromGuest;
  assert.is(delayed, 500);
  assert.is(delayTicks, mean * 500);
  assert.equal(stream(pair({ delayTicks: 5000, jitterTicks: 5000 }), 300), upTo(300));
});

faults('probabilities between are kept to', () => {
  const p = 0.2;
  const count = 4000;
  const seen = (given: NetworkFaults, name: keyof FaultCounters): number => {
    const clients = pair({ fromGuest: given });
    stream(clients, count);
    return clients[0].network.statistics.fromGuest[name] / count;
  };
  // Three standard deviations
  const near = (value: number, expected: number): void =>
    assert.ok(Math.abs(value - expected) < 0.019, `${value} is not near ${expected}`);
  near(seen({ loss: p }, 'lost'), p);
  near(seen({ duplication: p }, 'duplicated'), p);
  near(seen({ corruption: p }, 'corrupted'), p);
  // A frame is held back only when no other one is
  near(seen({ reordering: p }, 'reordered'), p / (1 + p));
});

faults('one fault does not move another: each has random numbers of its own', () => {
  const lost = (given: NetworkFaults): number[] => {
    const arrived = new Set(stream(pair({ fromGuest: { loss: 0.3, ...given } }), 300));
    return upTo(300).filter((i) => !arrived.has(i));
  };
  const alone = lost({});
  assert.ok(alone.length > 50);
  assert.equal(lost({ duplication: 0.5 }), alone);
  assert.equal(lost({ delayTicks: 10, jitterTicks: 10, reordering: 0.2 }), alone);
});

faults.run();

const seeds = suite('network: one seed');

/** A download through a bad network by a client that only repeats itself; all that it got. */
function download(seed: number): { trace: string[]; image: number[]; client: Client } {
  const bad = { loss: 0.05, duplication: 0.05, reordering: 0.05, corruption: 0.05 };
  const image = syntheticImage(20_000, 1);
  const network = networkWith({
    files: memoryFiles({ image }),
    faults: { ...bad, delayTicks: 500, jitterTicks: 400 },
    tftp: { maxTries: 100, timeoutTicks: 200_000 },
  });
  const client = new Client(network, new VirtualClock(), seed);
  client.damageExpected = true;
  const request = [0, 1, ...ascii('image'), 0, ...ascii('octet'), 0];
  const options = ['blksize', '256', 'windowsize', '4'].flatMap((one) => [...ascii(one), 0]);

  // ARP until there is an answer, then RRQ until there is one
  while (client.serverMac.length === 0) {
    client.arpRequest(SERVER_IP);
    const reply = client.run(50_000).find(({ bytes }) => bytes[13] === 6);
    if (reply !== undefined) client.serverMac = [...reply.bytes.subarray(6, 12)];
  }
  const received: number[] = [];
  let port = 0;
  let next = 1;
  for (let turn = 0; turn < 2000 && received.length < image.length; turn++) {
    if (port === 0) client.udp(3000, 69, [...request, ...options]);
    else client.udp(3000, port, [0, 4, ...be16(next - 1)]);
    const good = client.run(20_000).filter(({ bytes }) => isIntact(bytes));
    for (const { sourcePort, data } of Client.datagrams(good, 3000)) {
      if (data[1] === 6 && port === 0) port = sourcePort;
      if (sourcePort !== port || data[1] !== 3 || get16(data, 2) !== next) continue;
      received.push(...data.subarray(4));
      next++;
    }
  }
  assert.equal(Uint8Array.from(received), image, `seed ${seed}`);
  const trace = client.got.map(({ at, bytes }) => `${at} ${hex(bytes)}`);
  return { trace, image: received, client };
}

seeds('the same seed gives the same frames at the same times', () => {
  const [first, second, other] = [download(7), download(7), download(8)];
  assert.equal(first.trace, second.trace);
  assert.equal(first.client.network.statistics, second.client.network.statistics);
  assert.not.equal(first.trace, other.trace);
});

seeds('a bad network is bad in all ways, and the file arrives all the same', () => {
  const { client } = download(9);
  const { toGuest, tftp } = client.network.statistics;
  for (const name of ['lost', 'duplicated', 'reordered', 'corrupted', 'delayed'] as const) {
    assert.ok(toGuest[name] > 0, name);
  }
  assert.ok(tftp.retransmissions > 0);
});

seeds('NICs have random numbers of their own', () => {
  const [a, b] = pair({ fromGuest: { loss: 0.5 } });
  const survivors = [a, b].map((from) => {
    const before = from.network.statistics.fromGuest.lost;
    const lost: boolean[] = [];
    for (let i = 0; i < 64; i++) {
      const was = from.network.statistics.fromGuest.lost;
      from.send(numbered(from, from === a ? b : a, i));
      lost.push(from.network.statistics.fromGuest.lost !== was);
    }
    assert.ok(from.network.statistics.fromGuest.lost > before);
    return lost;
  });
  assert.not.equal(survivors[0], survivors[1]);
});

seeds.run();
