// SPDX-License-Identifier: GPL-2.0-or-later

/** Names of TFTP servers: the resolver, at the bytes, and against answers that are none. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ascii, DEFAULT_OPTIONS, ip, u16, udpFrame } from '../../rigs/net-peer.ts';
import type { Datagram, Packet } from '../../rigs/net-peer.ts';
import { Bench, server } from '../../rigs/bench/net-dhcp.ts';
import { bootTarget } from '../../../src/net/boot-target.ts';
import type { BootOverride, BootTarget } from '../../../src/net/boot-target.ts';
import { ipv4Text } from '../../../src/net/bytes.ts';

type Option = readonly [number, ...number[]];

/** A name as labels, with its end. */
const name = (text: string): number[] => [
  ...text.split('.').flatMap((label) => [label.length, ...ascii(label)]),
  0,
];
/** The name of the question. */
const SAME = [0xc0, 12];
const record = (owner: number[], type: number, data: number[]): number[] => [
  ...owner,
  ...u16(type),
  ...[0, 1, 0, 0, 0, 60],
  ...u16(data.length),
  ...data,
];
const a = (address: string, owner = SAME): number[] => record(owner, 1, ip(address));

/** The same bytes, but for one. */
const changed = (bytes: number[], at: number, byte: number): number[] =>
  bytes.map((old, i) => (i === at ? byte : old));

/** The answer to a query: its ID and question, and these records. */
function answer(query: Uint8Array, records: number[][], flags = 0x8180): number[] {
  const header = [...query.subarray(0, 2), ...u16(flags), 0, 1, ...u16(records.length), 0, 0, 0, 0];
  return [...header, ...query.subarray(12), ...records.flat()];
}

interface Found extends BootTarget {
  readonly text: string;
  readonly queries: readonly Datagram[];
  readonly bench: Bench;
}

/** What is booted when option 66 is a name, and this answers for the name servers. */
function lookUp(
  reply: (query: Datagram, send: (payload: number[], packet?: Partial<Packet>) => void) => void,
  fields: { name?: string; servers?: string[]; more?: Option[]; override?: BootOverride } = {},
): Found {
  const { servers = ['10.0.0.53'], more = [], override = {} } = fields;
  const options = [
    ...DEFAULT_OPTIONS,
    [66, ...ascii(fields.name ?? 'tftp.example.org')] as Option,
    [6, ...servers.flatMap(ip)] as Option,
    ...more,
  ];
  const bench = new Bench(server({ options }));
  const queries: Datagram[] = [];
  bench.other = (query) => {
    assert.is(query.port, 53);
    queries.push(query);
    reply(query, (payload, packet = {}) => {
      const way = { from: query.to, sourcePort: 53, port: query.sourcePort };
      bench.device.deliver(udpFrame({ ...way, payload, ...packet }));
    });
  };
  const lease = bench.run();
  const target = bootTarget(bench.net, () => 0xabcd1234, lease, override);
  return { ...target, text: ipv4Text(target.server), queries, bench };
}

const names = suite('DNS');

names('the query at the bytes, and its answer', () => {
  const found = lookUp((query, send) => send(answer(query.payload, [a('10.0.0.77')])));
  assert.is(found.text, '10.0.0.77');
  const [query] = found.queries;
  assert.is(query!.to, '10.0.0.53');
  assert.ok(query!.sourcePort >= 49152);
  assert.equal(
    [...query!.payload],
    [
      ...[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
      ...[4, ...ascii('tftp'), 7, ...ascii('example'), 3, ...ascii('org'), 0, 0, 1, 0, 1],
    ],
  );
});

names('an address is no name, and siaddr comes first', () => {
  const found = lookUp(() => assert.unreachable(), { name: '10.0.0.9' });
  assert.is(found.text, '10.0.0.9');
});

names('behind other names, however many the server has followed', () => {
  const chain = Array.from({ length: 30 }, (_, i) => record(SAME, 5, name(`n${i}`)));
  const found = lookUp((query, send) =>
    send(answer(query.payload, [...chain, a('10.0.0.78', name('n29')), a('10.0.0.79')])),
  );
  assert.is(found.text, '10.0.0.78');
  assert.is(found.queries.length, 1);
});

names('a name with a final dot, and a domain with one, is the same name', () => {
  for (const [text, more] of [
    ['tftp.example.org.', []],
    ['tftp', [[15, ...ascii('example.org.')]]],
    ['tftp', [[15, ...ascii('example.org'), 0]]],
  ] as [string, Option[]][]) {
    const reply = { name: text, more };
    const found = lookUp((query, send) => send(answer(query.payload, [a('10.0.0.77')])), reply);
    assert.is(found.text, '10.0.0.77', text);
    assert.equal([...found.queries[0]!.payload.subarray(12, 31)], [...name('tftp.example.org'), 0]);
  }
});

names('upper and lower case are the same, also in a question that comes back', () => {
  const found = lookUp(
    (query, send) => {
      const lower = Uint8Array.from(query.payload, (byte, i) =>
        i > 12 && byte >= 65 && byte <= 90 ? byte + 32 : byte,
      );
      send(answer(lower, [a('10.0.0.77')]));
    },
    { name: 'TFTP.Example.ORG' },
  );
  assert.is(found.text, '10.0.0.77');
});

names('servers that cannot be hosts are passed over, and take no place of others', () => {
  const servers = ['0.0.0.0', '255.255.255.255', '127.0.0.1', '224.0.0.1', '10.0.0.53'];
  const found = lookUp((query, send) => send(answer(query.payload, [a('10.0.0.77')])), { servers });
  assert.is(found.text, '10.0.0.77');
  assert.ok(found.queries.every(({ to }) => to === '10.0.0.53'));
});

names('other records before it are passed over', () => {
  const found = lookUp((query, send) => {
    const odd = record(SAME, 1, [1, 2, 3]);
    const long = record(SAME, 1, [1, 2, 3, 4, 5, 6, 7, 8]);
    const text = record(name('x.y'), 16, ascii('text'));
    send(
      answer(query.payload, [
        record([0], 28, new Array(16).fill(1)),
        odd,
        long,
        text,
        a('10.0.0.7'),
      ]),
    );
  });
  assert.is(found.text, '10.0.0.7');
});

names(
  'a name without a dot is one of our domain; a boot file and the caller can name hosts',
  () => {
    const reply = (query: Datagram, send: (payload: number[]) => void): void =>
      send(answer(query.payload, [a('10.0.0.77')]));
    const asked = (found: Found): string =>
      String.fromCharCode(...found.queries[0]!.payload.subarray(13, 40));
    const domain: Option = [15, ...ascii('corp.example\0')];
    assert.match(asked(lookUp(reply, { name: 'wds', more: [domain] })), /^wds.corp.example/);
    assert.match(asked(lookUp(reply, { name: 'wds' })), /^wds\0\0\x01/);
    const override = { bootFile: 'tftp://files.example:70/a' };
    const url = lookUp(reply, { override });
    assert.equal([url.text, url.port, url.file], ['10.0.0.77', 70, 'a']);
    assert.match(asked(url), /^files.example/);
    assert.match(asked(lookUp(reply, { override: { nextServer: 'my.host' } })), /^my.host\0/);
  },
);

names('the next server is asked, if one is silent, refuses, or knows nothing', () => {
  const second = (first: (query: Datagram, send: (payload: number[]) => void) => void): Found =>
    lookUp(
      (query, send) =>
        query.to === '10.0.0.53'
          ? first(query, send)
          : send(answer(query.payload, [a('10.0.0.7')])),
      { servers: ['10.0.0.53', '10.0.0.54'] },
    );
  assert.is(second(() => {}).text, '10.0.0.7');
  for (const code of [1, 2, 3, 5])
    assert.is(
      second((q, send) => send(answer(q.payload, [a('10.9.9.9')], 0x8180 + code))).text,
      '10.0.0.7',
    );
  assert.is(second((q, send) => send(answer(q.payload, []))).text, '10.0.0.7');
});

names('without an answer the next source counts, within a bound', () => {
  const found = lookUp(() => {}, {
    servers: Array.from({ length: 9 }, (_, i) => `10.0.0.${60 + i}`),
  });
  assert.is(found.text, '10.0.0.1');
  assert.is(new Set(found.queries.map(({ to }) => to)).size, 3);
  assert.ok(found.bench.clock.ms < 25_000, `${found.bench.clock.ms}`);
  assert.match(found.bench.lines.join('\n'), /no address of "tftp\.example\.org"/);
});

names('names that cannot be asked for are not asked for', () => {
  for (const bad of ['a..b', '.a', 'x'.repeat(64), `${'x'.repeat(62)}.`.repeat(4) + 'xx', 'a.'])
    assert.is(lookUp(() => assert.unreachable(), { name: bad }).queries.length, 0, bad);
});

names('answers that are not ours are counted, and do not end the wait', () => {
  const found = lookUp((query, send) => {
    const good = answer(query.payload, [a('10.66.66.66')]);
    const spoilt = (at: number, byte: number): number[] => changed(good, at, byte);
    send(spoilt(0, 0));
    send(spoilt(1, 0));
    send(spoilt(2, 1));
    send(spoilt(13, 84));
    send(spoilt(12 + name('tftp.example.org').length + 1, 28));
    send(good.slice(0, 20));
    send([]);
    send(good, { from: '10.0.0.54' });
    send(good, { sourcePort: 54 });
    send(answer(query.payload, [a('10.0.0.7')]));
  });
  assert.is(found.text, '10.0.0.7');
  assert.equal(found.bench.net.drops, { dnsForeign: 9 });
});

names('no answer makes it read beyond, go in circles, or fail', () => {
  const bad: ((query: Uint8Array) => number[])[] = [
    // Pointers to themselves and to each other
    (q) =>
      answer(q, [record([0xc0, q.length], 5, [0xc0, q.length]), a('10.0.0.7', [0xc0, q.length])]),
    (q) => answer(q, [record([3, 97, 97, 97, 0xc0, q.length], 5, [0xc0, q.length])]),
    // Names, records and data that end too early
    (q) => [...answer(q, [[]]), 63],
    (q) => [...answer(q, [[]]), 0xc0],
    (q) => answer(q, [SAME, [0, 1, 0, 1]]),
    (q) => answer(q, [a('10.0.0.7')]).slice(0, -1),
    (q) => answer(q, [[...SAME, 0, 5, 0, 1, 0, 0, 0, 0, 255, 255]]),
    // More records than there are
    (q) => changed(answer(q, [changed(a('10.0.0.7'), 3, 2)]), 6, 255),
    // Truncated, with nothing in it
    (q) => answer(q, [], 0x8380),
  ];
  for (const [i, make] of bad.entries()) {
    const found = lookUp((query, send) => send(make(query.payload)));
    assert.ok(['10.0.0.1', '10.0.0.7'].includes(found.text), `${i}: ${found.text}`);
    assert.ok(found.bench.clock.ms < 10_000);
  }
});

names('random answers, and random changes of right ones', () => {
  const seed = 20_261_129;
  let state = seed;
  const random = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % limit;
  };
  for (let i = 0; i < 200; i++) {
    const found = lookUp((query, send) => {
      const chain = record(SAME, 5, name('other.example'));
      const bytes = answer(query.payload, [chain, a('10.0.0.7', name('other.example'))]);
      for (let j = random(4); j >= 0; j--) bytes[query.payload.length + random(60)] = random(256);
      send(bytes.slice(0, query.payload.length + random(70)));
    });
    assert.ok(found.server !== 0, `seed ${seed}, ${i}`);
  }
});

names.run();
