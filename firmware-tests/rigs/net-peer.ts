// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The other end for the tests of the network boot client: a clock, a device and a peer that are
 * scripted by the test. Frames are made and read here with nothing of `src/`, at the bytes.
 */

import { errorEntry } from '../../src/catalogue.ts';
import type { FrameReceiver, LinkState, NetDevice, TransmitResult } from '../../src/net/device.ts';
import type { Clock } from '../../src/time.ts';
import { ascii } from './bytes.ts';

export { ascii };

/** Each pause is a millisecond. */
export class FakeClock implements Clock {
  ticks = 0;
  pauses = 0;
  step = 10_000;
  now(): number {
    return this.ticks;
  }
  pause(): void {
    this.pauses++;
    this.ticks += this.step;
  }
  get ms(): number {
    return this.ticks / 10_000;
  }
}

export const CLIENT_MAC = [0x00, 0x15, 0x5d, 0x01, 0x02, 0x03];
export const SERVER_MAC = [0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc];
export const BROADCAST = [255, 255, 255, 255, 255, 255];

/** A frame that the client sent, and when. */
export interface Sent {
  readonly ms: number;
  readonly bytes: Uint8Array;
}

/** A device whose frames a test answers. */
export class FakeDevice implements NetDevice {
  readonly name = 'net0';
  readonly instance = '{00000000-0000-0000-0000-000000000000}';
  readonly permanentAddress = Uint8Array.from(CLIENT_MAC);
  readonly address = Uint8Array.from(CLIENT_MAC);
  maxFrame = 1514;
  link: LinkState = 'up';
  isOpen = true;
  readonly statistics = { txGood: 0, txBad: 0, rxGood: 0, rxBad: 0 };
  receiver: FrameReceiver | undefined;
  readonly sent: Sent[] = [];
  /** Frames on their way to the client, each with the earliest time of its arrival. */
  #queue: { at: number; bytes: Uint8Array }[] = [];
  #inReceive = false;
  readonly clock: FakeClock;
  /** What the network does with a frame of the client. */
  answer: (frame: Uint8Array) => void = () => {};
  /** Called with each poll, for what happens by itself. */
  onPoll: () => void = () => {};
  /** Whether frames are kept in {@link sent}. */
  record = true;

  constructor(clock: FakeClock) {
    this.clock = clock;
  }
  open(): void {}
  close(): void {
    this.isOpen = false;
  }
  /** Let a frame arrive, `delayMs` from now at the earliest. */
  deliver(bytes: ArrayLike<number>, delayMs = 0): void {
    this.#queue.push({ at: this.clock.ticks + delayMs * 10_000, bytes: Uint8Array.from(bytes) });
  }
  transmit(frame: Uint8Array, length: number): TransmitResult {
    if (this.#inReceive) throw new Error('transmit from within receive');
    const bytes = frame.slice(0, length);
    if (this.record) this.sent.push({ ms: this.clock.ms, bytes });
    this.answer(bytes);
    return 'sent';
  }
  poll(): void {
    this.onPoll();
    const due = this.#queue.filter((entry) => entry.at <= this.clock.ticks);
    if (due.length === 0) return;
    this.#queue = this.#queue.filter((entry) => entry.at > this.clock.ticks);
    this.#inReceive = true;
    for (const { bytes } of due) {
      // In the middle of a larger buffer, full of rubbish, that is spoilt after the call
      const buffer = new Uint8Array(bytes.length + 64).fill(0xa5);
      buffer.set(bytes, 32);
      this.receiver?.receive(buffer, 32, bytes.length);
      buffer.fill(0x5a);
    }
    this.#inReceive = false;
  }
}

export const u16 = (value: number): number[] => [(value >> 8) & 255, value & 255];
export const ip = (text: string): number[] => text.split('.').map(Number);
export const at16 = (bytes: ArrayLike<number>, at: number): number =>
  bytes[at]! * 256 + bytes[at + 1]!;
export const ipAt = (bytes: Uint8Array, at: number): string =>
  Array.from(bytes.subarray(at, at + 4)).join('.');

/** The Internet checksum, the slow way: end-around carry after each word. */
export function slowChecksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}

/** What to spoil or to set in a datagram of the peer. */
export interface Packet {
  readonly from?: string;
  readonly to?: string;
  readonly sourcePort: number;
  readonly port: number;
  readonly payload: readonly number[];
  readonly toMac?: readonly number[];
  readonly fragment?: number;
  readonly version?: number;
  readonly options?: readonly number[];
  readonly noChecksum?: boolean;
  readonly padding?: number;
  readonly udpLength?: number;
  readonly protocol?: number;
}

/** A frame with an IPv4 datagram. */
export function ipFrame(p: Omit<Packet, 'sourcePort' | 'port'>): number[] {
  const options = p.options ?? [];
  const words = 5 + options.length / 4;
  const header = [
    ((p.version ?? 4) << 4) | words,
    0,
    ...u16(words * 4 + p.payload.length),
    ...[0x12, 0x34],
    ...u16(p.fragment ?? 0),
    64,
    p.protocol ?? 17,
    ...[0, 0],
    ...ip(p.from ?? '10.0.0.1'),
    ...ip(p.to ?? '10.0.0.50'),
    ...options,
  ];
  const sum = u16(slowChecksum(header));
  header[10] = sum[0]!;
  header[11] = sum[1]!;
  const padding: number[] = new Array(p.padding ?? 0).fill(0xee);
  return [...(p.toMac ?? CLIENT_MAC), ...SERVER_MAC, 8, 0, ...header, ...p.payload, ...padding];
}

/** A frame with a UDP datagram. */
export function udpFrame(p: Packet): number[] {
  const length = 8 + p.payload.length;
  const said = p.udpLength ?? length;
  const udp = [...u16(p.sourcePort), ...u16(p.port), ...u16(said), 0, 0, ...p.payload];
  const pseudo = [...ip(p.from ?? '10.0.0.1'), ...ip(p.to ?? '10.0.0.50'), 0, 17, ...u16(said)];
  const sum = slowChecksum([...pseudo, ...udp]) || 0xffff;
  if (p.noChecksum !== true) [udp[6], udp[7]] = u16(sum) as [number, number];
  return ipFrame({ ...p, payload: udp });
}

/** A datagram of the client, its checksums verified. */
export interface Datagram {
  readonly toMac: number[];
  readonly from: string;
  readonly to: string;
  readonly sourcePort: number;
  readonly port: number;
  readonly payload: Uint8Array;
}

/** Read a frame of the client, or undefined if it is not UDP. Throws if a checksum is wrong. */
export function readUdp(frame: Uint8Array): Datagram | undefined {
  if (at16(frame, 12) !== 0x0800 || frame[23] !== 17) return undefined;
  const header = Array.from(frame.subarray(14, 34));
  if (header[0] !== 0x45 || slowChecksum(header) !== 0) throw new Error('bad IPv4 header');
  if (at16(frame, 16) !== frame.length - 14) throw new Error('bad total length');
  const udp = Array.from(frame.subarray(34));
  if (at16(udp, 4) !== udp.length) throw new Error('bad UDP length');
  const pseudo = [...frame.subarray(26, 34), 0, 17, ...u16(udp.length)];
  if (at16(udp, 6) === 0 || slowChecksum([...pseudo, ...udp]) !== 0)
    throw new Error('bad UDP checksum');
  return {
    toMac: Array.from(frame.subarray(0, 6)),
    from: ipAt(frame, 26),
    to: ipAt(frame, 30),
    sourcePort: at16(udp, 0),
    port: at16(udp, 2),
    payload: frame.slice(42),
  };
}

/** A frame with an ARP packet. */
export function arpFrame(
  operation: 1 | 2,
  sender: string,
  senderMac: readonly number[],
  target: string,
  toMac: readonly number[] = CLIENT_MAC,
): number[] {
  const packet = [0, 1, 8, 0, 6, 4, 0, operation, ...senderMac, ...ip(sender)];
  return [...toMac, ...senderMac, 8, 6, ...packet, ...CLIENT_MAC, ...ip(target)];
}

/** The address that a frame of the client asks for, or undefined if it is no ARP request. */
export function arpTarget(frame: Uint8Array): string | undefined {
  if (at16(frame, 12) !== 0x0806 || at16(frame, 20) !== 1) return undefined;
  return ipAt(frame, 38);
}

/** A DHCP message of a server. */
export interface Reply {
  readonly type: number;
  readonly xid: ArrayLike<number>;
  readonly yiaddr?: string;
  readonly siaddr?: string;
  readonly file?: readonly number[];
  readonly sname?: readonly number[];
  readonly chaddr?: readonly number[];
  readonly op?: number;
  /** Options besides the type; without them: server, mask, router, lease time. */
  readonly options?: readonly (readonly [number, ...number[]])[];
  readonly tail?: readonly number[];
  /** Without options 53: BOOTP. */
  readonly bootp?: boolean;
}

export const DEFAULT_OPTIONS: readonly (readonly [number, ...number[]])[] = [
  [54, 10, 0, 0, 1],
  [1, 255, 255, 255, 0],
  [3, 10, 0, 0, 254],
  [51, 0, 0, 0x0e, 0x10],
];

/** Its bytes. */
export function dhcpReply(r: Reply): number[] {
  const field = (bytes: readonly number[], length: number): number[] =>
    Array.from({ length }, (_, i) => bytes[i] ?? 0);
  const type = r.bootp === true ? [] : [[53, r.type]];
  const options = [...type, ...(r.options ?? DEFAULT_OPTIONS)].flatMap(([code, ...value]) => [
    code!,
    value.length,
    ...value,
  ]);
  return [
    ...[r.op ?? 2, 1, 6, 0],
    ...Array.from(r.xid).slice(0, 4),
    ...[0, 0, 0, 0],
    ...[0, 0, 0, 0],
    ...ip(r.yiaddr ?? '10.0.0.50'),
    ...ip(r.siaddr ?? '0.0.0.0'),
    ...[0, 0, 0, 0],
    ...field(r.chaddr ?? CLIENT_MAC, 16),
    ...field(r.sname ?? [], 64),
    ...field(r.file ?? [], 128),
    ...[0x63, 0x82, 0x53, 0x63],
    ...options,
    ...(r.tail ?? [255]),
  ];
}

/** Options of a DHCP message of the client, in order. */
export function dhcpOptions(payload: Uint8Array): [number, number[]][] {
  const options: [number, number[]][] = [];
  for (let at = 240; payload[at] !== 255;) {
    if (at >= payload.length) throw new Error('no END option');
    const length = payload[at + 1]!;
    options.push([payload[at]!, Array.from(payload.subarray(at + 2, at + 2 + length))]);
    at += 2 + length;
  }
  return options;
}

/** The error that a call throws, which must have a name of the catalogue. */
export function thrown(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    const named = error as Error;
    if (errorEntry(named.name) === undefined) throw error;
    return named;
  }
  throw new Error('nothing was thrown');
}
