// SPDX-License-Identifier: GPL-2.0-or-later

/** The DHCP server of the built-in network, at the bytes. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type {
  DhcpServerOptions,
  NetworkOptions,
} from '../../../../tools/simulator/network/index.ts';
import type { Udp } from '../../../rigs/network-client.ts';
import {
  ascii,
  be16,
  be32,
  BROADCAST,
  Client,
  get16,
  hex,
  ipFrame,
  networkWith,
  text,
  udpPacket,
} from '../../../rigs/network-client.ts';

const XID = 0xdeadbeef;
const DISCOVER = 1;
const REQUEST = 3;
const MS = 10_000;

type Options = Record<number, readonly number[]>;

function client(dhcp: DhcpServerOptions = {}, options: Partial<NetworkOptions> = {}): Client {
  return new Client(networkWith({ dhcp, ...options }));
}

/** A DHCP message of the client. */
function message(at: Client, type: number, options: Options = {}, fields = {}): number[] {
  const { flags, ciaddr, giaddr } = {
    flags: 0,
    ciaddr: [0, 0, 0, 0],
    giaddr: [0, 0, 0, 0],
    ...fields,
  };
  const list = Object.entries({ 53: [type], ...options });
  return [
    ...[1, 1, 6, 0, ...be32(XID), 0, 0, ...be16(flags), ...ciaddr],
    ...[0, 0, 0, 0, 0, 0, 0, 0, ...giaddr, ...at.address],
    ...Array<number>(10 + 64 + 128).fill(0),
    ...[0x63, 0x82, 0x53, 0x63],
    ...list.flatMap(([code, value]) => [Number(code), value.length, ...value]),
    255,
  ];
}

/** Send to port 67 of everybody, and take the replies. */
function say(at: Client, data: readonly number[], ticks = MS): Udp[] {
  const everybody = [255, 255, 255, 255];
  const packet = udpPacket([0, 0, 0, 0], 68, everybody, 67, data);
  at.send(ipFrame(BROADCAST, at.address, 17, [0, 0, 0, 0], everybody, packet));
  return Client.datagrams(at.run(ticks), 68);
}

/** Options of a reply, in order. */
function optionsOf({ data }: Udp): Map<number, number[]> {
  const options = new Map<number, number[]>();
  assert.is(hex(data.subarray(236, 240)), '63825363');
  let at = 240;
  while (data[at] !== 255) {
    assert.ok(at < data.length, 'an end of the options');
    assert.not.ok(options.has(data[at]!), `option ${data[at]} is there twice`);
    options.set(data[at]!, [...data.subarray(at + 2, at + 2 + data[at + 1]!)]);
    at += 2 + data[at + 1]!;
  }
  return options;
}

const typeOf = (reply: Udp | undefined): number | undefined =>
  reply === undefined ? undefined : optionsOf(reply).get(53)![0];
const yiaddr = ({ data }: Udp): number[] => [...data.subarray(16, 20)];
const siaddr = ({ data }: Udp): string => data.subarray(20, 24).join('.');
const file = ({ data }: Udp): string => text(data.subarray(108, 236)).replace(/\0+$/, '');

/** DISCOVER to ACK; returns the address. */
function lease(at: Client): number[] {
  const [offer] = say(at, message(at, DISCOVER));
  assert.is(typeOf(offer), 2);
  const address = yiaddr(offer!);
  const [ack] = say(at, message(at, REQUEST, { 50: address, 54: [192, 168, 77, 1] }));
  assert.is(typeOf(ack), 5);
  assert.equal(yiaddr(ack!), address);
  return address;
}

const dhcp = suite('DHCP server');

dhcp('OFFER and ACK with all that a boot client needs', () => {
  const at = client();
  const replies = [
    ...say(at, message(at, DISCOVER, { 61: [1, 2, 3] })),
    ...say(at, message(at, REQUEST, { 50: [192, 168, 77, 100], 54: [192, 168, 77, 1] })),
  ];
  assert.equal(replies.map(typeOf), [2, 5]);
  for (const reply of replies) {
    assert.is(reply.from, '192.168.77.1');
    assert.is(reply.sourcePort, 67);
    assert.ok(reply.data.length >= 300);
    assert.is(hex(reply.data.subarray(0, 8)), '02010600deadbeef');
    assert.equal(yiaddr(reply), [192, 168, 77, 100]);
    assert.is(hex(reply.data.subarray(28, 44)), hex(at.address) + '0'.repeat(20));
    const options = optionsOf(reply);
    assert.equal(options.get(1), [255, 255, 255, 0]);
    assert.equal(options.get(3), [192, 168, 77, 1]);
    assert.equal(options.get(6), [192, 168, 77, 1]);
    assert.equal(options.get(51), be32(3600));
    assert.equal(options.get(54), [192, 168, 77, 1]);
    assert.not.ok(options.has(26));
  }
  // The client's identifier goes back (RFC 6842)
  assert.equal(optionsOf(replies[0]!).get(61), [1, 2, 3]);
  const { statistics } = at.network;
  assert.equal([statistics.dhcp.discovers, statistics.dhcp.offers], [1, 1]);
  assert.equal([statistics.dhcp.requests, statistics.dhcp.acks], [1, 1]);
});

dhcp('unicast, or to everybody if the flag asks for it', () => {
  const at = client();
  const [unicast] = say(at, message(at, DISCOVER));
  assert.is(unicast!.mac, hex(at.address));
  assert.is(unicast!.to, '192.168.77.100');
  const [everybody] = say(at, message(at, DISCOVER, {}, { flags: 0x8000 }));
  assert.is(everybody!.mac, 'ffffffffffff');
  assert.is(everybody!.to, '255.255.255.255');
  assert.is(get16(everybody!.data, 10), 0x8000);
});

dhcp('boot file in the header, in options, in both, and as dnsmasq does', () => {
  const seen = (['header', 'options', 'both', 'dnsmasq'] as const).map((style) => {
    const at = client({ style }, { bootFile: 'a/b.img' });
    const [offer] = say(at, message(at, DISCOVER));
    const options = optionsOf(offer!);
    return [siaddr(offer!), file(offer!), text(options.get(66) ?? []), text(options.get(67) ?? [])];
  });
  assert.equal(seen, [
    ['192.168.77.1', 'a/b.img', '', ''],
    ['0.0.0.0', '', '192.168.77.1', 'a/b.img'],
    ['192.168.77.1', 'a/b.img', '192.168.77.1', 'a/b.img'],
    ['192.168.77.1', '', '', 'a/b.img'],
  ]);
});

dhcp('options 66 and 67 with a NUL at the end; another next server; no boot file', () => {
  const nul = client({ style: 'both', trailingNul: true }, { tftp: { address: '10.0.0.9' } });
  const [offer] = say(nul, message(nul, DISCOVER));
  assert.is(text(optionsOf(offer!).get(66)!), '10.0.0.9\0');
  assert.is(text(optionsOf(offer!).get(67)!), 'boot.img\0');
  assert.is(siaddr(offer!), '10.0.0.9');
  assert.is(file(offer!), 'boot.img');

  const none = client({}, { bootFile: '' });
  const [bare] = say(none, message(none, DISCOVER));
  assert.is(siaddr(bare!), '0.0.0.0');
  assert.is(file(bare!), '');
  assert.not.ok(optionsOf(bare!).has(67));
});

dhcp('MTU, name servers and lease as told', () => {
  const at = client({ mtu: 65520, nameServers: ['1.1.1.1', '8.8.8.8'], leaseSeconds: 0xffffffff });
  const options = optionsOf(say(at, message(at, DISCOVER))[0]!);
  assert.equal(options.get(26), [0xff, 0xf0]);
  assert.equal(options.get(6), [1, 1, 1, 1, 8, 8, 8, 8]);
  assert.equal(options.get(51), [255, 255, 255, 255]);
});

dhcp('a client keeps its address, another one gets the next, until the pool is empty', () => {
  const network = networkWith({ dhcp: { poolStart: '192.168.77.20', poolSize: 2 } });
  const first = new Client(network);
  const others = [1, 2].map((nic) => new Client(network, first.clock, 1, nic));
  assert.equal(lease(first), [192, 168, 77, 20]);
  assert.equal(lease(others[0]!), [192, 168, 77, 21]);
  assert.equal(lease(first), [192, 168, 77, 20]);
  assert.is(say(others[1]!, message(others[1]!, DISCOVER)).length, 0);
  assert.is(network.statistics.dhcp.unanswered, 1);

  // A released address is free for the others, an expired one as well
  say(first, message(first, 7, { 54: [192, 168, 77, 1] }));
  assert.equal(lease(others[1]!), [192, 168, 77, 20]);
  first.run(3601 * 1000 * MS);
  assert.is(typeOf(say(first, message(first, DISCOVER))[0]), 2);
});

dhcp('a wish is granted if the address is free; a declined one is given to nobody', () => {
  const at = client();
  const [offer] = say(at, message(at, DISCOVER, { 50: [192, 168, 77, 133] }));
  assert.equal(yiaddr(offer!), [192, 168, 77, 133]);
  assert.is(say(at, message(at, 4, { 50: yiaddr(offer!), 54: [192, 168, 77, 1] })).length, 0);
  const [next] = say(at, message(at, DISCOVER, { 50: [192, 168, 77, 133] }));
  assert.equal(yiaddr(next!), [192, 168, 77, 100]);
  assert.is(at.network.statistics.dhcp.declines, 1);
});

dhcp('REQUEST: NAK for another address, silence for another server and for strangers', () => {
  const at = client();
  const server = [192, 168, 77, 1];
  say(at, message(at, DISCOVER));
  const [nak] = say(at, message(at, REQUEST, { 50: [192, 168, 77, 101], 54: server }));
  assert.is(typeOf(nak), 6);
  assert.is(nak!.mac, 'ffffffffffff');
  assert.equal(yiaddr(nak!), [0, 0, 0, 0]);
  assert.not.ok(optionsOf(nak!).has(51));
  const foreign = { 50: [192, 168, 77, 100], 54: [192, 168, 77, 2] };
  assert.is(say(at, message(at, REQUEST, foreign)).length, 0);

  const stranger = client();
  assert.is(say(stranger, message(stranger, REQUEST, { 50: [192, 168, 77, 100] })).length, 0);
  const [wrongNet] = say(stranger, message(stranger, REQUEST, { 50: [10, 0, 0, 5] }));
  assert.is(typeOf(wrongNet), 6);
});

dhcp('rebooting, renewing and INFORM', () => {
  const at = client();
  const address = lease(at);
  assert.is(typeOf(say(at, message(at, REQUEST, { 50: address }))[0]), 5);
  const [renewed] = say(at, message(at, REQUEST, {}, { ciaddr: address }));
  assert.is(typeOf(renewed), 5);
  assert.is(renewed!.to, address.join('.'));
  assert.equal([...renewed!.data.subarray(12, 16)], address);
  const [inform] = say(at, message(at, 8, {}, { ciaddr: address }));
  assert.is(typeOf(inform), 5);
  assert.equal(yiaddr(inform!), [0, 0, 0, 0]);
  assert.not.ok(optionsOf(inform!).has(51));
});

dhcp('modes: silent, NAK, OFFER only, and NAK at first', () => {
  const types = (options: DhcpServerOptions, rounds: number): (number | undefined)[] => {
    const at = client(options);
    const seen: (number | undefined)[] = [];
    for (let i = 0; i < rounds; i++) {
      seen.push(typeOf(say(at, message(at, DISCOVER))[0]));
      const wish = { 50: [192, 168, 77, 100], 54: [192, 168, 77, 1] };
      seen.push(typeOf(say(at, message(at, REQUEST, wish))[0]));
    }
    return seen;
  };
  assert.equal(types({ mode: 'silent' }, 1), [undefined, undefined]);
  assert.equal(types({ mode: 'nak' }, 2), [2, 6, 2, 6]);
  assert.equal(types({ mode: 'offer-only' }, 1), [2, undefined]);
  assert.equal(types({ refusals: 1 }, 3), [2, 6, 2, 5, 2, 5]);
});

dhcp('a late OFFER, and a foreign one without a boot file before it', () => {
  const at = client({ offerDelayTicks: 3000 * MS, foreignServer: { offerDelayTicks: 2 * MS } });
  const offers = say(at, message(at, DISCOVER), 4000 * MS);
  const [foreign, own] = offers;
  assert.equal(offers.map(typeOf), [2, 2]);
  assert.is(foreign!.from, '192.168.77.254');
  assert.equal(optionsOf(foreign!).get(54), [192, 168, 77, 254]);
  assert.equal(yiaddr(foreign!), [192, 168, 77, 200]);
  assert.is(siaddr(foreign!) + file(foreign!), '0.0.0.0');
  assert.not.ok(optionsOf(foreign!).has(67));
  assert.is(own!.from, '192.168.77.1');
  assert.is(file(own!), 'boot.img');
  const wait = at.got.at(-1)!.at - at.got.at(-2)!.at;
  assert.is(wait, 2998 * MS);

  // Each takes the REQUEST that is for it
  const [ack, ...rest] = say(at, message(at, REQUEST, { 50: yiaddr(own!), 54: [192, 168, 77, 1] }));
  assert.is(ack!.from, '192.168.77.1');
  assert.is(rest.length, 0);
});

/** A copy with one byte changed. */
function changed(bytes: readonly number[], at: number, byte: number): number[] {
  return bytes.map((old, i) => (i === at ? byte : old));
}

dhcp('what is no DHCP request is dropped', () => {
  const at = client();
  const good = message(at, DISCOVER);
  const broken: number[][] = [
    good.slice(0, 239),
    changed(good, 0, 2),
    changed(good, 1, 6),
    changed(good, 2, 16),
    changed(good, 236, 0),
    changed(good, 242, 9),
    [...good.slice(0, 240), 255],
    [...good.slice(0, -1), 12, 200, 1],
    [...good.slice(0, -1), 12],
    message(at, DISCOVER, {}, { giaddr: [10, 0, 0, 1] }),
    [],
  ];
  for (const data of broken) assert.is(say(at, data).length, 0, hex(data.slice(0, 250)));
  assert.is(at.network.statistics.drops['bad-dhcp'], broken.length);
  // Padding and no end are well
  assert.is(typeOf(say(at, [...good.slice(0, -1), 0, 0, ...[12, 1], ...ascii('x')])[0]), 2);
});

dhcp.run();
