// SPDX-License-Identifier: GPL-2.0-or-later

/** The switch and the hosts of the built-in network: ARP, IPv4, ICMP, UDP, files and options. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VirtualClock } from '../../../../tools/simulator/base/clock.ts';
import type { DropReason, NetworkOptions } from '../../../../tools/simulator/network/index.ts';
import {
  FRAMES_MAX,
  memoryFiles,
  Network,
  NetworkOptionError,
  plainPath,
  syntheticImage,
} from '../../../../tools/simulator/network/index.ts';
import {
  ascii,
  BROADCAST,
  Client,
  CLIENT_IP,
  get16,
  hex,
  ipFrame,
  networkWith,
  onesSum,
  SERVER_IP,
  udpPacket,
} from '../../../rigs/network-client.ts';

const hosts = suite('network: hosts');

/** An echo request with its checksum. */
function echo(data: readonly number[]): number[] {
  const sum = 0xffff - onesSum([8, 0, 0, 0, 0, 7, 0, 9, ...data]);
  return [8, 0, sum >>> 8, sum & 0xff, 0, 7, 0, 9, ...data];
}

/** Send a frame; the reason why it was dropped, if nothing came back. */
function dropOf(at: Client, frame: readonly number[]): DropReason | undefined {
  const before = { ...at.network.statistics.drops };
  at.send(frame);
  if (at.run().length > 0) return undefined;
  const { drops } = at.network.statistics;
  return (Object.keys(drops) as DropReason[]).find((key) => drops[key] !== before[key]);
}

hosts('ARP: the server answers for its own address only', () => {
  const at = new Client(networkWith());
  at.arpRequest(SERVER_IP);
  const [reply, ...rest] = at.run();
  assert.is(rest.length, 0);
  const mac = hex(at.address);
  assert.is(
    hex(reply!.bytes),
    `${mac}0268797078010806` +
      `00010800060400020268797078${'01'}c0a84d01${mac}c0a84d32` +
      '00'.repeat(18),
  );
  at.arpRequest([192, 168, 77, 2]);
  assert.is(at.run().length, 0);
});

hosts('ARP: malformed packets are dropped', () => {
  const at = new Client(networkWith());
  const mac = Array.from(at.address);
  const good = [...BROADCAST, ...mac, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
  const packet = [...good, ...mac, ...CLIENT_IP, 0, 0, 0, 0, 0, 0, ...SERVER_IP];
  assert.is(dropOf(at, packet), undefined);
  for (const position of [15, 16, 18, 19]) {
    assert.is(
      dropOf(
        at,
        packet.map((byte, i) => (i === position ? 9 : byte)),
      ),
      'bad-arp',
    );
  }
  assert.is(dropOf(at, packet.slice(0, 41)), 'bad-arp');
});

hosts('ARP: a server that asks for itself, tries three times and then drops', () => {
  const at = new Client(networkWith({ arp: 'ask' })).meet();
  at.udp(2000, 69, [0, 1, ...ascii('boot.img'), 0, ...ascii('octet'), 0]);
  const [request, ...rest] = at.run();
  assert.is(rest.length, 0);
  assert.is(hex(request!.bytes.subarray(0, 6)), 'ffffffffffff');
  assert.is(hex(request!.bytes.subarray(20, 42)), '0001026879707801c0a84d01000000000000c0a84d32');

  // The answer lets the block go
  const mac = Array.from(at.address);
  const head = [...at.serverMac, ...mac, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
  at.send([...head, ...mac, ...CLIENT_IP, ...at.serverMac, ...SERVER_IP]);
  const [data] = Client.datagrams(at.run(), 2000);
  assert.is(hex(data!.data.subarray(0, 4)), '00030001');

  const mute = new Client(networkWith({ arp: 'ask' })).meet();
  mute.udp(2000, 69, [0, 1, ...ascii('boot.img'), 0, ...ascii('octet'), 0]);
  const asked = mute.run(30_000_300).filter(({ bytes }) => bytes[13] === 6 && bytes[0] === 0xff);
  assert.is(asked.length, 3);
  // The block, and its retransmissions after 1, 2 and 3 s
  assert.is(mute.network.statistics.drops['no-neighbour'], 4);
});

hosts('ICMP echo, even and odd, with options in the header', () => {
  const at = new Client(networkWith()).meet();
  for (const length of [0, 1, 2, 33, 1472]) {
    const data = Array.from(syntheticImage(length, length));
    at.send(ipFrame(at.serverMac, at.address, 1, CLIENT_IP, SERVER_IP, echo(data)));
    const [reply] = at.run();
    assert.is(reply!.bytes[34], 0);
    assert.is(hex(reply!.bytes.subarray(26, 34)), 'c0a84d01c0a84d32');
    assert.is(hex(reply!.bytes.subarray(38, 42 + length)), '00070009' + hex(data));
  }
  const plain = ipFrame(at.serverMac, at.address, 1, CLIENT_IP, SERVER_IP, echo([1, 2, 3]));
  plain[14] = 0x46;
  plain[17] = plain[17]! + 4;
  plain.splice(34, 0, 1, 1, 1, 0);
  plain[24] = plain[25] = 0;
  const sum = 0xffff - onesSum(plain.slice(14, 38));
  plain[24] = sum >>> 8;
  plain[25] = sum & 0xff;
  at.send(plain);
  const [reply] = at.run();
  assert.is(reply!.bytes[14], 0x45);
  assert.is(hex(reply!.bytes.subarray(38, 45)), '00070009010203');
});

hosts('each bad frame is dropped for its reason', () => {
  const at = new Client(networkWith()).meet();
  const { serverMac, address } = at;
  const good = ipFrame(serverMac, address, 1, CLIENT_IP, SERVER_IP, echo([1, 2, 3, 4]));
  /** Change bytes and, for what lies behind it, make the header's checksum right again. */
  const change = (changes: Record<number, number>, fix = true): number[] => {
    const frame = good.map((byte, i) => changes[i] ?? byte);
    if (!fix) return frame;
    frame[24] = frame[25] = 0;
    const sum = 0xffff - onesSum(frame.slice(14, 34));
    return frame.map((byte, i) => (i === 24 ? sum >>> 8 : i === 25 ? sum & 0xff : byte));
  };
  assert.is(dropOf(at, good), undefined);
  assert.is(dropOf(at, change({ 5: 0x77 })), 'other-station');
  assert.is(dropOf(at, good.slice(0, 13)), 'runt');
  assert.is(dropOf(at, [...good, ...Array<number>(1519 - good.length).fill(0)]), 'giant');
  assert.is(dropOf(at, change({ 12: 0x86, 13: 0xdd })), 'unknown-protocol');
  assert.is(dropOf(at, change({ 23: 132 })), 'unknown-protocol');
  assert.is(dropOf(at, change({ 14: 0x65 })), 'bad-ip-header');
  assert.is(dropOf(at, change({ 14: 0x44 })), 'bad-ip-header');
  assert.is(dropOf(at, change({ 17: 19 })), 'bad-ip-header');
  assert.is(dropOf(at, change({ 16: 5 })), 'bad-ip-header');
  assert.is(dropOf(at, good.slice(0, 30)), 'bad-ip-header');
  assert.is(dropOf(at, change({ 22: 63 }, false)), 'bad-checksum');
  assert.is(dropOf(at, change({ 44: 9 }, false)), 'bad-checksum');
  assert.is(dropOf(at, change({ 33: 9 })), 'other-address');
  assert.is(dropOf(at, change({ 20: 0x20 })), 'fragment');
  assert.is(dropOf(at, change({ 21: 1 })), 'fragment');
});

hosts('UDP: lengths and checksums are checked, a checksum of 0 is none', () => {
  const at = new Client(networkWith()).meet();
  const request = [0, 1, ...ascii('boot.img'), 0, ...ascii('octet'), 0];
  const good = udpPacket(CLIENT_IP, 2000, SERVER_IP, 69, request);
  const frame = (udp: readonly number[]): number[] =>
    ipFrame(at.serverMac, at.address, 17, CLIENT_IP, SERVER_IP, udp);
  const change = (changes: Record<number, number>): number[] =>
    frame(good.map((byte, i) => changes[i] ?? byte));
  assert.is(dropOf(at, frame(good)), undefined);
  assert.is(dropOf(at, change({ 6: 0, 7: 0 })), undefined);
  assert.is(dropOf(at, change({ 9: 2 })), 'bad-checksum');
  assert.is(dropOf(at, change({ 5: 7 })), 'bad-ip-header');
  assert.is(dropOf(at, change({ 5: good.length + 1 })), 'bad-ip-header');
  assert.is(dropOf(at, frame(good.slice(0, 7))), 'bad-ip-header');
});

hosts('a port that nobody has: unreachable, but not for a broadcast', () => {
  const at = new Client(networkWith()).meet();
  at.udp(2000, 7, [1, 2, 3]);
  const [icmp] = at.run();
  assert.equal([...icmp!.bytes.subarray(34, 36)], [3, 3]);
  assert.is(get16(icmp!.bytes, 16), 20 + 8 + 28);
  at.udp(2000, 7, [1, 2, 3], [192, 168, 77, 255]);
  assert.is(at.run().length, 0);
  assert.is(at.network.statistics.drops['no-port'], 2);
});

hosts.run();

const wires = suite('network: switch and links');

wires('the switch floods what it does not know and learns from what it sees', () => {
  const network = networkWith();
  const clock = new VirtualClock();
  const [a, b, c] = [0, 1, 2].map((nic) => new Client(network, clock, 1, nic)) as [
    Client,
    Client,
    Client,
  ];
  const frame = (from: Client, to: ArrayLike<number>): number[] => [
    ...Array.from(to),
    ...from.address,
    ...[0x88, 0xb5],
    ...Array<number>(46).fill(0x5a),
  ];
  const counts = (): number[] => {
    clock.advanceTo(clock.now + 1000);
    const lengths = [a, b, c].map(({ got }) => got.length);
    for (const { got } of [a, b, c]) got.length = 0;
    return lengths;
  };
  a.send(frame(a, b.address));
  assert.equal(counts(), [0, 1, 1]);
  b.send(frame(b, a.address));
  assert.equal(counts(), [1, 0, 0]);
  a.send(frame(a, b.address));
  assert.equal(counts(), [0, 1, 0]);
  a.send(frame(a, BROADCAST));
  assert.equal(counts(), [0, 1, 1]);
  a.send(frame(a, a.address));
  assert.equal(counts(), [0, 0, 0]);
  assert.is(network.statistics.drops['same-port'], 1);
});

wires('latency each way, and no frame of the guest is kept', () => {
  const at = new Client(networkWith({ latencyTicks: 250 })).meet();
  assert.is(at.got[0]!.at, 500);
  const frame = Uint8Array.from(
    ipFrame(at.serverMac, at.address, 1, CLIENT_IP, SERVER_IP, echo([1])),
  );
  const link = at.network.link(0);
  link.transmit(frame);
  frame.fill(0);
  assert.is(at.run().length, 1);
});

wires('a pulled cable loses frames in both directions', () => {
  const at = new Client(networkWith()).meet();
  at.arpRequest(SERVER_IP);
  at.clock.advanceTo(at.clock.now + 150);
  at.network.setLinkUp(0, false);
  assert.is(at.run().length, 0);
  at.arpRequest(SERVER_IP);
  assert.is(at.run().length, 0);
  assert.is(at.network.statistics.drops['link-down'], 2);
  at.network.setLinkUp(0, true);
  at.meet();
  assert.equal(at.linkChanges, [false, true]);
});

wires('frames on their way are bounded', () => {
  const at = new Client(networkWith());
  for (let i = 0; i < FRAMES_MAX + 5; i++) at.arpRequest([192, 168, 77, 200]);
  assert.is(at.network.statistics.drops['no-frame'], 5);
  at.run();
  at.meet();
});

wires('links are checked', () => {
  const network = networkWith();
  assert.throws(() => network.link(0).transmit(new Uint8Array(60)), /has no NIC/);
  const at = new Client(network);
  assert.throws(() => network.link(0).connect(at), /has a NIC already/);
  assert.throws(() => new Client(network, new VirtualClock(), 1, 1), /belong to one machine/);
  assert.throws(() => network.link(64), /network option nic: 64 is not a whole number/);
});

wires.run();

const settings = suite('network: options and files');

settings('bad options are refused by name', () => {
  const refused = (options: Partial<NetworkOptions>, option: string, saying: RegExp): void => {
    const error = (() => {
      try {
        return networkWith(options) && undefined;
      } catch (thrown) {
        return thrown;
      }
    })();
    assert.instance(error, NetworkOptionError);
    assert.is((error as NetworkOptionError).option, option);
    assert.match((error as NetworkOptionError).message, saying);
  };
  refused({ faults: { loss: 1.5 } }, 'faults.loss', /1.5 is not a probability from 0 to 1/);
  refused({ faults: { toGuest: { loss: NaN } } }, 'faults.toGuest.loss', /NaN/);
  refused({ faults: { delayTicks: -1 } }, 'faults.delayTicks', /whole number from 0/);
  refused({ faults: { jitterTicks: 5 } }, 'faults.jitterTicks', /more than the delay of 0/);
  refused({ faults: { los: 1 } as object }, 'faults.los', /there are loss/);
  refused({ latencyTicks: 0 }, 'latencyTicks', /from 1 to/);
  refused({ address: '192.168.77' }, 'address', /not an IPv4 address/);
  refused({ address: '192.168.77.255' }, 'address', /not the address of a host/);
  refused({ prefix: 31 }, 'prefix', /from 8 to 30/);
  refused({ dhcp: { style: 'neither' as 'both' } }, 'dhcp.style', /header, options, both/);
  refused({ dhcp: { poolSize: 156 } }, 'dhcp.poolStart', /not all in the network/);
  refused({ dhcp: { poolStart: '192.168.77.1' } }, 'dhcp.poolStart', /of a server/);
  refused({ dhcp: { nameServers: [] } }, 'dhcp.nameServers', /1 to 8/);
  refused({ bootFile: 'x'.repeat(128) }, 'bootFile', /room for 127/);
  refused({ bootFile: 'a\0b' }, 'bootFile', /NUL/);
  refused({ tftp: { maxBlockSize: 1469 } }, 'tftp.maxBlockSize', /from 8 to 1468/);
  refused({ tftp: { port: 67 } }, 'tftp.port', /port of DHCP/);
  refused({ arp: 'guess' as 'ask' }, 'arp', /learn, ask/);
});

settings('files by plain paths', () => {
  const bytes = Uint8Array.of(1);
  const files = memoryFiles({ '/a//b': bytes, c: bytes });
  assert.is(files.read('a/b'), bytes);
  assert.is(files.read('toString'), undefined);
  assert.equal(files.list!(), ['a/b', 'c']);
  assert.is(plainPath('//x/./y\\z'), 'x/y/z');
  assert.is(plainPath('x/../y'), undefined);
  assert.is(plainPath('..x/y..'), '..x/y..');
});

settings('the synthetic image is the documented pattern', () => {
  const fmix = (n: bigint): bigint => {
    const word = 0xffffffffn;
    n = ((n ^ (n >> 16n)) * 0x85ebca6bn) & word;
    n = ((n ^ (n >> 13n)) * 0xc2b2ae35n) & word;
    return n ^ (n >> 16n);
  };
  const image = syntheticImage(41, 5);
  assert.is(image.length, 41);
  for (let at = 0; at < 41; at++) {
    const word = fmix((BigInt(at >> 2) + 5n * 0x9e3779b9n) & 0xffffffffn);
    assert.is(image[at], Number((word >> BigInt(8 * (at & 3))) & 0xffn), `byte ${at}`);
  }
  assert.equal(syntheticImage(1000, 5).subarray(0, 41), image);
  assert.not.equal(syntheticImage(41, 6), image);
  assert.is(syntheticImage(0, 1).length, 0);
});

settings('the log says what the servers do, with the time', () => {
  const lines: string[] = [];
  const log = (line: string, now: number): number => lines.push(`${now} ${line}`);
  const files = memoryFiles({ 'boot.img': Uint8Array.of(1) });
  const at = new Client(new Network({ files, bootFile: 'boot.img', log })).meet();
  at.udp(2000, 69, [0, 1, ...ascii('boot.img'), 0, ...ascii('octet'), 0]);
  at.run();
  assert.equal(lines, [
    '10100 TFTP: boot.img (1 bytes) to 192.168.77.50:2000, blocks of 512, window 1',
  ]);
});

settings.run();
