// SPDX-License-Identifier: GPL-2.0-or-later

/** A channel of a few lines for the tests of the network device: it records, and has a room. */

import * as assert from 'uvu/assert';
import { PacketType } from '../../src/vmbus/protocol.ts';
import type {
  ChannelDevice,
  DeviceChannel,
  GuestPacket,
} from '../../tools/simulator/vmbus-server/channel-interface.ts';
import type { Grant } from '../../tools/simulator/ledger/grants.ts';
import type { GuestRam } from '../../tools/simulator/base/guest-ram.ts';
import { hex } from './bytes.ts';

/** Where the rig's guest has its receive buffer. */
export const RX_ADDRESS = 0x10000;

/** Bytes that are different at each place. */
export function pattern(length: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (seed * 31 + i * 7 + (i >> 8)) & 0xff);
}

/** A packet of the device. */
export interface HostPacket {
  readonly type: number;
  readonly flags: number;
  readonly low: number;
  readonly high: number;
  readonly extra: string;
  /** As given, without the padding of the ring. */
  readonly payload: string;
  /** Page set and ranges of a transfer-page packet. */
  readonly set: number;
  readonly ranges: readonly { readonly length: number; readonly offset: number }[];
  /** What lay in the receive buffer at the ranges when the packet was sent, as hexadecimal. */
  readonly messages: readonly string[];
}

export class FakeChannel implements DeviceChannel {
  readonly id = 5;
  /** Version of the connection that opened it. */
  vmbusVersion = 0x0000000d;
  readonly userData = new Uint8Array(120);
  readonly gpadls = new Map<number, Grant>();
  /** Packets of the guest that the device has not read. */
  readonly toHost: Uint8Array[] = [];
  readonly toGuest: HostPacket[] = [];
  /** Sub-channels that the device has offered, and whether the bus has room for them. */
  readonly subchannels: ChannelDevice[] = [];
  subchannelRoom = true;
  /** Bytes free in the ring to the guest. */
  room = Infinity;
  dead = false;
  unreadable = false;
  drained = true;
  tampered = false;
  reason = '';
  /** Keep packets: off where allocations are counted. */
  recording = true;
  sent = 0;
  readonly #ram: GuestRam;
  readonly #packet: { -readonly [K in keyof GuestPacket]: GuestPacket[K] };

  constructor(ram: GuestRam) {
    this.#ram = ram;
    const bytes = new Uint8Array(0x10000);
    this.#packet = {
      bytes,
      view: new DataView(bytes.buffer),
      length: 0,
      type: 0,
      flags: 0,
      transactionIdLow: 0,
      transactionIdHigh: 0,
      payloadOffset: 0,
    };
  }

  receive(atClose = false): GuestPacket | undefined {
    const silent = this.dead && (!atClose || this.unreadable);
    const next = silent ? undefined : this.toHost.shift();
    if (next === undefined) return undefined;
    const packet = this.#packet;
    packet.bytes.fill(0xee);
    packet.bytes.set(next);
    const view = packet.view;
    packet.length = view.getUint16(4, true) * 8;
    packet.type = view.getUint16(0, true);
    packet.flags = view.getUint16(6, true);
    packet.transactionIdLow = view.getUint32(8, true);
    packet.transactionIdHigh = view.getUint32(12, true);
    packet.payloadOffset = view.getUint16(2, true) * 8;
    assert.is(packet.length, next.length, 'the rig writes whole packets');
    return packet;
  }

  get writable(): number {
    return this.room;
  }

  send(
    type: number,
    flags: number,
    low: number,
    high: number,
    extra: Uint8Array,
    extraLength: number,
    payload: Uint8Array,
    payloadLength: number,
  ): boolean {
    const total = 16 + extraLength + Math.ceil(payloadLength / 8) * 8 + 8;
    if (this.dead || total > this.room) return false;
    this.room -= total;
    this.sent++;
    if (this.recording)
      this.toGuest.push(
        this.#decode(type, flags, low, high, extra.slice(0, extraLength), payload, payloadLength),
      );
    return true;
  }

  offerSubchannels(devices: readonly ChannelDevice[]): boolean {
    if (this.subchannelRoom) this.subchannels.push(...devices);
    return this.subchannelRoom;
  }

  gpadl(id: number): Grant | undefined {
    return this.gpadls.get(id);
  }

  die(reason: string): void {
    this.dead = true;
    this.reason = reason;
  }

  #decode(
    type: number,
    flags: number,
    low: number,
    high: number,
    extra: Uint8Array,
    payload: Uint8Array,
    payloadLength: number,
  ): HostPacket {
    const view = new DataView(extra.buffer);
    const ranges = [];
    const transfer = type === PacketType.DATA_XFER_PAGES && extra.length >= 8;
    const count = transfer ? view.getUint32(4, true) : 0;
    for (let i = 0; i < count && 16 + i * 8 <= extra.length; i++)
      ranges.push({
        length: view.getUint32(8 + i * 8, true),
        offset: view.getUint32(12 + i * 8, true),
      });
    const messages = ranges.map(({ length, offset }) =>
      hex(this.#ram.bytes.slice(RX_ADDRESS + offset, RX_ADDRESS + offset + length)),
    );
    const set = transfer ? view.getUint16(0, true) : 0;
    const text = hex(payload.slice(0, payloadLength));
    return { type, flags, low, high, extra: hex(extra), payload: text, set, ranges, messages };
  }
}
