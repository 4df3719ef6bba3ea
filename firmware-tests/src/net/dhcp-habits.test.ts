// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Random habits of random servers: the client gets a lease and the boot file that they told, or it
 * names a reason, and the reason is true.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ascii, ip } from '../../rigs/net-peer.ts';
import type { Reply } from '../../rigs/net-peer.ts';
import { ACK, Bench, DISCOVER, NAK, OFFER, REQUEST } from '../../rigs/bench/net-dhcp.ts';
import type { Query } from '../../rigs/bench/net-dhcp.ts';
import { ipv4Text } from '../../../src/net/bytes.ts';
import { isNamed } from '../../../src/error.ts';
import { optionText } from '../../../src/net/dhcp-message.ts';

type Option = readonly [number, ...number[]];

const SEEDS = 400;
const CLASS: Option = [60, ...ascii('PXEClient')];

/** What a server does. */
interface Habits {
  readonly address: string;
  readonly lease: string;
  readonly file: string;
  /** `proxy`: without an address, its file told in the offer or on port 4011. */
  readonly kind: 'good' | 'bad' | 'silent' | 'refusing' | 'bootp' | 'proxy' | 'proxy4011';
  readonly delayMs: number;
  readonly refusesMs: number;
  readonly sourcePort: number;
  /** Chance in percent that a message is lost. */
  readonly loss: number;
  readonly tail: readonly number[];
}

/** What the servers have really done. */
interface Truth {
  /** Messages that reached the client or will. */
  offers: number;
  badOffers: number;
  naks: number;
  acks: number;
}

function makeRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % limit;
  };
}

function makeHabits(random: (limit: number) => number, i: number): Habits {
  const kinds = [
    'good',
    'good',
    'bad',
    'silent',
    'refusing',
    'bootp',
    'proxy',
    'proxy4011',
  ] as const;
  return {
    address: `10.0.0.${i + 1}`,
    lease: `10.0.0.${50 + i}`,
    file: random(3) === 0 ? '' : `file${i}`,
    kind: kinds[random(kinds.length)]!,
    delayMs: [0, 1, 50, 900, 2500, 9000][random(6)]!,
    refusesMs: [1e9, 5000, 20_000][random(3)]!,
    sourcePort: random(4) === 0 ? 1024 + random(60_000) : 67,
    loss: [0, 0, 10, 40][random(4)]!,
    tail: [[255], [255], [], [43], [67, 200], [0, 0, 12, 9, 1]][random(6)]!,
  };
}

/** The servers of a network. */
function serve(
  habits: readonly Habits[],
  random: (limit: number) => number,
  truth: Truth,
): (query: Query, bench: Bench) => void {
  return (query, bench) => {
    for (const own of habits) {
      const { address, lease, file, kind, delayMs, sourcePort, tail } = own;
      const isProxy = kind === 'proxy' || kind === 'proxy4011';
      const isForUs = query.option(54)?.join('.') === address;
      const send = (type: number, more: Partial<Reply>, count: keyof Truth): void => {
        if (random(100) < own.loss) return;
        truth[count]++;
        const options: Option[] = [
          [54, ...ip(address)],
          [1, 255, 255, 255, 0],
        ];
        const named = file === '' || isProxy ? {} : { file: ascii(file) };
        const reply = { yiaddr: lease, options, tail, ...named, ...more, type, xid: query.xid };
        bench.send(reply, delayMs, { from: address, sourcePort });
      };
      const proxyOptions: Option[] = [[54, ...ip(address)], CLASS];
      const told = { yiaddr: '0.0.0.0', options: proxyOptions, file: ascii(`proxy${file}`) };
      if (isProxy) {
        if (query.type === DISCOVER) {
          send(OFFER, kind === 'proxy' ? told : { ...told, file: [] }, 'offers');
        } else if (kind === 'proxy4011' && query.port === 4011 && isForUs) send(ACK, told, 'acks');
      } else if (query.port !== 67) continue;
      else if (kind === 'bootp') send(0, { bootp: true, options: [[1, 255, 255, 255, 0]] }, 'acks');
      else if (kind === 'bad') {
        if (query.type === DISCOVER) send(OFFER, { yiaddr: '10.0.0.255' }, 'badOffers');
      } else if (query.type === DISCOVER) send(OFFER, {}, 'offers');
      else if (query.type === REQUEST && isForUs && kind !== 'silent') {
        if (kind === 'refusing' && query.ms < own.refusesMs) send(NAK, {}, 'naks');
        else send(ACK, {}, 'acks');
      }
    }
  };
}

const habits = suite('random DHCP servers');

habits('a boot succeeds, or names a reason that is true', () => {
  const ends: Record<string, number> = {};
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = makeRandom(seed * 7919);
    const all = Array.from({ length: random(4) }, (_, i) => makeHabits(random, i));
    const truth: Truth = { offers: 0, badOffers: 0, naks: 0, acks: 0 };
    const bench = new Bench(serve(all, random, truth));
    bench.randoms = Array.from({ length: 200 }, () => random(1 << 24));
    const hint = `seed ${seed}: ${JSON.stringify(all)}`;
    let end = 'lease';
    try {
      const lease = bench.run();
      const server = all.find((one) => one.lease === ipv4Text(lease.address));
      assert.ok(server, hint);
      assert.ok(['good', 'bootp', 'refusing'].includes(server.kind), hint);
      assert.is(ipv4Text(bench.net.address), server.lease, hint);

      // What is booted is what somebody told, and the DHCP server's own comes first
      const file = optionText(lease.boot, 67);
      const files = all.map((one) =>
        one.kind.startsWith('proxy') ? `proxy${one.file}` : one.file,
      );
      if (server.file !== '') assert.is(file, server.file, hint);
      else if (file !== '') assert.ok(files.includes(file), hint);
    } catch (error) {
      if (!isNamed(error)) throw error;
      end = error.name;
      const { offers, badOffers, naks } = truth;
      const isTrue: Record<string, boolean> = {
        NoDhcpAnswer: all.every(({ kind }) => kind !== 'bootp'),
        BadLease: badOffers > 0,
        DhcpRefused: naks > 0,
        DhcpServerSilent: offers > 0 && bench.queries.some(({ type }) => type === REQUEST),
      };
      assert.ok(isTrue[end], `${end}: ${hint}`);
      // Nobody was left out who would have answered, and with whom something could be booted
      const told = all.some(({ kind, loss }) => kind === 'proxy' && loss === 0);
      const good = all.some(
        ({ kind, loss, file }) => kind === 'good' && loss === 0 && (told || file !== ''),
      );
      assert.not.ok(good, `${end}: ${hint}`);
    }
    ends[end] = (ends[end] ?? 0) + 1;
    assert.ok(bench.clock.ms <= 62_000, `${bench.clock.ms} ms, ${hint}`);
  }
  // Each end was reached
  assert.equal(
    Object.keys(ends).sort(),
    ['BadLease', 'DhcpRefused', 'DhcpServerSilent', 'NoDhcpAnswer', 'lease'],
    JSON.stringify(ends),
  );
});

habits.run();
