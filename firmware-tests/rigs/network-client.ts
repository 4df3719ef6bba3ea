// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A client for the tests of the built-in network that speaks at the bytes: it shares no code with
 * the servers, and checks the checksums of each frame that it gets with a sum of its own.
 */

import * as assert from 'uvu/assert';
import { VirtualClock } from '../../tools/simulator/base/clock.ts';
import type { LinkHost } from '../../tools/simulator/network/link.ts';
import type { NetworkOptions } from '../../tools/simulator/network/index.ts';
import { memoryFiles, Network } from '../../tools/simulator/network/index.ts';
import { Random } from '../../tools/simulator/base/random.ts';
import { ascii, hex } from './bytes.ts';

export { ascii, hex };

export const SERVER_IP = [192, 168, 77, 1];
export const CLIENT_IP = [192, 168, 77, 50];
export const BROADCAST = [255, 255, 255, 255, 255, 255];

/** A frame that a NIC got, and when. */
export interface Got {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** A datagram, taken apart. */
export interface Udp {
  readonly from: string;
  readonly to: string;
  readonly mac: string;
  readonly sourcePort: number;
  readonly port: number;
  readonly data: Uint8Array;
}

export const text = (bytes: ArrayLike<number>): string =>
  Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
export const be16 = (n: number): number[] => [(n >>> 8) & 0xff, n & 0xff];
export const be32 = (n: number): number[] => [...be16(n >>> 16), ...be16(n & 0xffff)];
export const get16 = (bytes: Uint8Array, at: number): number => bytes[at]! * 256 + bytes[at + 1]!;

/** Ones' complement sum of big-endian words, folded after each addition. */
export function onesSum(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (i + 1 < bytes.length ? bytes[i + 1]! : 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

const complement = (bytes: ArrayLike<number>): number[] => be16(0xffff - onesSum(bytes));

/** An IPv4 packet in a frame. */
export function ipFrame(
  destinationMac: readonly number[],
  sourceMac: ArrayLike<number>,
  protocol: number,
  source: readonly number[],
  destination: readonly number[],
  payload: readonly number[],
): number[] {
  const head = [0x45, 0, ...be16(20 + payload.length), 0x12, 0x34, 0, 0, 64, protocol];
  const addresses = [...source, ...destination];
  const sum = complement([...head, 0, 0, ...addresses]);
  return [
    ...destinationMac,
    ...Array.from(sourceMac),
    8,
    0,
    ...head,
    ...sum,
    ...addresses,
    ...payload,
  ];
}

/** A UDP datagram with its checksum. */
export function udpPacket(
  source: readonly number[],
  sourcePort: number,
  destination: readonly number[],
  port: number,
  data: readonly number[],
): number[] {
  const length = be16(8 + data.length);
  const head = [...be16(sourcePort), ...be16(port), ...length];
  const sum = complement([...source, ...destination, 0, 17, ...length, ...head, 0, 0, ...data]);
  return [...head, ...sum, ...data];
}

/** Whether all checksums of a frame are right. ARP has none. */
export function isIntact(frame: Uint8Array): boolean {
  if (frame[12] !== 8 || frame[13] !== 0) return true;
  const header = (frame[14]! & 15) * 4;
  const end = 14 + get16(frame, 16);
  if (frame[14]! >>> 4 !== 4 || header < 20 || end > frame.length) return false;
  if (onesSum(frame.subarray(14, 14 + header)) !== 0xffff) return false;
  const body = frame.subarray(14 + header, end);
  if (frame[23] === 1) return onesSum(body) === 0xffff;
  if (frame[23] !== 17) return true;
  if (get16(body, 4) !== body.length || get16(body, 6) === 0) return false;
  const pseudo = [...frame.subarray(26, 34), 0, 17, ...be16(body.length)];
  return onesSum([...pseudo, ...body]) === 0xffff;
}

/** A NIC on the network with a hand to play it. */
export class Client implements LinkHost {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly nic: number;
  readonly address: Uint8Array;
  readonly network: Network;
  readonly got: Got[] = [];
  readonly linkChanges: boolean[] = [];
  /** Whether damaged frames are the test's own doing. */
  damageExpected = false;
  serverMac: number[] = [];
  ip = CLIENT_IP;
  readonly #link;

  constructor(network: Network, clock = new VirtualClock(), seed = 1, nic = 0) {
    this.network = network;
    this.clock = clock;
    this.random = new Random(seed);
    this.nic = nic;
    this.address = Uint8Array.of(0x00, 0x15, 0x5d, 0, 0, 0x10 + nic);
    this.#link = network.link(nic);
    this.#link.connect(this);
  }

  deliver(frame: Uint8Array): void {
    if (!this.damageExpected) assert.ok(isIntact(frame), `checksums of ${hex(frame)}`);
    assert.ok(frame.length >= 60 && frame.length <= 1514, `length ${frame.length}`);
    this.got.push({ at: this.clock.now, bytes: frame.slice() });
  }

  setLinkState(up: boolean): void {
    this.linkChanges.push(up);
  }

  send(frame: readonly number[]): void {
    this.#link.transmit(Uint8Array.from(frame));
  }

  /** Let time pass, alarm by alarm; returns the frames that came. */
  run(ticks = 10_000): Got[] {
    const before = this.got.length;
    this.clock.advanceTo(this.clock.now + ticks);
    return this.got.slice(before);
  }

  arpRequest(target: readonly number[], source = this.ip): void {
    const mac = Array.from(this.address);
    const head = [...BROADCAST, ...mac, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    this.send([...head, ...mac, ...source, 0, 0, 0, 0, 0, 0, ...target]);
  }

  /** Resolve the server and forget the frame. */
  meet(target = SERVER_IP): this {
    this.arpRequest(target);
    const reply = this.run().find(({ bytes }) => bytes[13] === 6);
    assert.ok(reply, 'an ARP reply');
    this.serverMac = Array.from(reply.bytes.subarray(22, 28));
    return this;
  }

  udp(port: number, to: number, data: readonly number[], destination = SERVER_IP): void {
    const packet = udpPacket(this.ip, port, destination, to, data);
    this.send(ipFrame(this.serverMac, this.address, 17, this.ip, destination, packet));
  }

  /** Datagrams to `port` among frames. */
  static datagrams(frames: readonly Got[], port?: number): Udp[] {
    const found: Udp[] = [];
    for (const { bytes } of frames) {
      if (bytes[12] !== 8 || bytes[13] !== 0 || bytes[23] !== 17) continue;
      const udp: Udp = {
        from: bytes.subarray(26, 30).join('.'),
        to: bytes.subarray(30, 34).join('.'),
        mac: hex(bytes.subarray(0, 6)),
        sourcePort: get16(bytes, 34),
        port: get16(bytes, 36),
        data: bytes.slice(42, 34 + get16(bytes, 38)),
      };
      if (port === undefined || udp.port === port) found.push(udp);
    }
    return found;
  }
}

/** A network with a file or two, and what else a test wants. */
export function networkWith(options: Partial<NetworkOptions> = {}): Network {
  const files = memoryFiles({ 'boot.img': Uint8Array.from(ascii('a small boot file')) });
  return new Network({ files, bootFile: 'boot.img', ...options });
}
