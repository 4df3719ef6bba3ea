// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Address resolution (RFC 826): a small table of neighbours, and answers to those who ask for us.
 *
 * Stricter than the RFC: only what we asked for is learnt, and only while the question is open, so
 * that no unsolicited packet can put itself in the place of the server. Nothing is sent from within
 * {@link Arp.receive}: the device is in the middle of its receive path then.
 */

import { get16, get32, put16, put32 } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { NetDevice } from './device.ts';
import type { DropReason } from './drops.ts';
import {
  isStation,
  MAC_BROADCAST,
  MAC_LENGTH,
  putEthernetHeader,
  putMac,
  sameMac,
} from './ethernet.ts';
import {
  ArpOperation,
  ArpPacket,
  EtherType,
  EthernetHeader,
  HARDWARE_ETHERNET,
} from './protocol.ts';

/** Neighbours that are remembered. A boot talks to a server, a gateway, and few others. */
export const ARP_CACHE_SIZE = 8;

/** Requests for our address that are answered in one turn; more are dropped and counted. */
export const ARP_REPLIES_PER_TURN = 4;

const at = ArpPacket.at;
const PACKET = EthernetHeader.size;
const FRAME = EthernetHeader.size + ArpPacket.size;

export class Arp {
  readonly #device: NetDevice;
  readonly #frame = new Uint8Array(FRAME);
  /** Neighbour n: its IPv4 address (0: free), whether it is known, whether a question is open. */
  readonly #addresses = new Int32Array(ARP_CACHE_SIZE);
  readonly #known = new Uint8Array(ARP_CACHE_SIZE);
  readonly #asked = new Uint8Array(ARP_CACHE_SIZE);
  readonly #hardware = new Uint8Array(ARP_CACHE_SIZE * MAC_LENGTH);
  #oldest = 0;
  /** Who waits for an answer of ours. */
  readonly #askers = new Int32Array(ARP_REPLIES_PER_TURN);
  readonly #askerHardware = new Uint8Array(ARP_REPLIES_PER_TURN * MAC_LENGTH);
  #waiting = 0;
  /** Somebody else claims our address. */
  conflict = false;

  constructor(device: NetDevice) {
    this.#device = device;
  }

  /** Index of a neighbour whose hardware address is known, or -1. */
  find(address: Ipv4Address): number {
    const index = this.#index(address);
    return index >= 0 && this.#known[index] === 1 ? index : -1;
  }

  /** Write the hardware address of the neighbour `index` as the destination of a frame. */
  putDestination(frame: Uint8Array, index: number): void {
    putMac(frame, EthernetHeader.at.destination, this.#hardware, index * MAC_LENGTH);
  }

  /** The hardware address of the neighbour `index`, in a buffer that must not be written. */
  hardware(index: number): Readonly<Uint8Array> {
    return this.#hardware.subarray(index * MAC_LENGTH, (index + 1) * MAC_LENGTH);
  }

  /**
   * Ask who has `address`. What is known of it stays in use until the answer; a new neighbour takes
   * the place of the oldest one if the table is full.
   */
  ask(address: Ipv4Address, ours: Ipv4Address): void {
    let index = this.#index(address);
    if (index < 0) {
      index = this.#oldest;
      this.#oldest = (this.#oldest + 1) % ARP_CACHE_SIZE;
      this.#addresses[index] = address;
      this.#known[index] = 0;
    }
    this.#asked[index] = 1;
    this.#put(ArpOperation.REQUEST, ours, address);
    putMac(this.#frame, EthernetHeader.at.destination, MAC_BROADCAST);
    this.#frame.fill(0, PACKET + at.targetHardware, PACKET + at.targetProtocol);
    this.#device.transmit(this.#frame, FRAME);
  }

  /** Take an ARP packet: `length` bytes at `offset`. Returns why it is of no use, if so. */
  receive(
    buffer: Uint8Array,
    offset: number,
    length: number,
    ours: Ipv4Address,
  ): DropReason | undefined {
    // Check the constant part
    if (length < ArpPacket.size) return 'arpMalformed';
    if (get16(buffer, offset + at.hardwareType) !== HARDWARE_ETHERNET) return 'arpMalformed';
    if (get16(buffer, offset + at.protocolType) !== EtherType.IPV4) return 'arpMalformed';
    if (buffer[offset + at.hardwareLength] !== MAC_LENGTH) return 'arpMalformed';
    if (buffer[offset + at.protocolLength] !== 4) return 'arpMalformed';
    if (!isStation(buffer, offset + at.senderHardware)) return 'arpMalformed';
    if (sameMac(buffer, offset + at.senderHardware, this.#device.address)) return 'arpForeign';

    // Learn what was asked for. A request of that neighbour tells it as well as a reply.
    const sender = get32(buffer, offset + at.senderProtocol);
    if (ours !== 0 && sender === ours) this.conflict = true;
    const index = this.#index(sender);
    const learnt = index >= 0 && this.#asked[index] === 1;
    if (learnt) {
      putMac(this.#hardware, index * MAC_LENGTH, buffer, offset + at.senderHardware);
      this.#known[index] = 1;
      this.#asked[index] = 0;
    }

    // Remember who asks for us
    const forUs = ours !== 0 && get32(buffer, offset + at.targetProtocol) === ours;
    if (get16(buffer, offset + at.operation) !== ArpOperation.REQUEST || !forUs)
      return learnt ? undefined : 'arpForeign';
    if (this.#waiting === ARP_REPLIES_PER_TURN) return 'arpFlood';
    this.#askers[this.#waiting] = sender;
    putMac(this.#askerHardware, this.#waiting * MAC_LENGTH, buffer, offset + at.senderHardware);
    this.#waiting++;
    return undefined;
  }

  /** Answer those who asked for us since the last call. */
  flush(ours: Ipv4Address): void {
    for (let i = 0; i < this.#waiting; i++) {
      this.#put(ArpOperation.REPLY, ours, this.#askers[i]!);
      putMac(this.#frame, EthernetHeader.at.destination, this.#askerHardware, i * MAC_LENGTH);
      putMac(this.#frame, PACKET + at.targetHardware, this.#askerHardware, i * MAC_LENGTH);
      this.#device.transmit(this.#frame, FRAME);
    }
    this.#waiting = 0;
  }

  /** Write everything but the two destination hardware addresses. */
  #put(operation: number, ours: Ipv4Address, target: Ipv4Address): void {
    const frame = this.#frame;
    putEthernetHeader(frame, this.#device.address, EtherType.ARP);
    put16(frame, PACKET + at.hardwareType, HARDWARE_ETHERNET);
    put16(frame, PACKET + at.protocolType, EtherType.IPV4);
    frame[PACKET + at.hardwareLength] = MAC_LENGTH;
    frame[PACKET + at.protocolLength] = 4;
    put16(frame, PACKET + at.operation, operation);
    putMac(frame, PACKET + at.senderHardware, this.#device.address);
    put32(frame, PACKET + at.senderProtocol, ours);
    put32(frame, PACKET + at.targetProtocol, target);
  }

  /** Index of a neighbour in the table, or -1. */
  #index(address: Ipv4Address): number {
    if (address === 0) return -1;
    for (let i = 0; i < ARP_CACHE_SIZE; i++) if (this.#addresses[i] === address) return i;
    return -1;
  }
}
