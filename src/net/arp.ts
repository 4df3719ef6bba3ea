// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Address resolution (RFC 826): a small table of neighbours, and answers to those who ask for us.
 *
 * Stricter than the RFC: only what we asked for is learnt, and only while the question is open, so
 * that no unsolicited packet can put itself in the place of the server. Nothing is sent from within
 * {@link Arp.receive}: the device is in the middle of its receive path then.
 */

import { get16, get32, ipv4Text, MAC_LENGTH, matches, put16, put32 } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { NetDevice } from './device.ts';
import type { DropReason } from './drops.ts';
import {
  ArpOperation,
  ArpPacket,
  EtherType,
  EthernetHeader,
  HARDWARE_ETHERNET,
} from './protocol.ts';
import type { Log } from '../events.ts';

/** Neighbours that are remembered. A boot talks to a server, a gateway, and few others. */
export const ARP_CACHE_SIZE = 8;

/** Requests for our address that are answered in one turn; more are dropped and counted. */
export const ARP_REPLIES_PER_TURN = 4;

/** The broadcast address, and that of nobody. Shared: never written. */
export const MAC_BROADCAST: Readonly<Uint8Array> = new Uint8Array(MAC_LENGTH).fill(0xff);
const MAC_NONE: Readonly<Uint8Array> = new Uint8Array(MAC_LENGTH);

/** What a packet for IPv4 over Ethernet begins with: the types of its addresses, their lengths. */
const ARP_PREFIX: Readonly<Uint8Array> = Uint8Array.of(
  ...[0, HARDWARE_ETHERNET, EtherType.IPV4 >>> 8, 0, MAC_LENGTH, 4],
);

/** A station of this network. */
interface Neighbour {
  readonly address: Ipv4Address;
  /** Hardware address, once it is known. */
  mac: Uint8Array | undefined;
  /** A question for it is open. */
  asked: boolean;
}

/** The interface that asks and is asked. */
export interface ArpHost {
  readonly device: NetDevice;
  readonly log: Log;
  /** Our address, or 0. */
  readonly address: Ipv4Address;
}

/** Write the header of an Ethernet II frame. */
export function putEthernetHeader(
  frame: Uint8Array,
  destination: Readonly<Uint8Array>,
  source: Readonly<Uint8Array>,
  type: number,
): void {
  frame.set(destination, EthernetHeader.at.destination);
  frame.set(source, EthernetHeader.at.source);
  put16(frame, EthernetHeader.at.type, type);
}

export class Arp {
  readonly #host: ArpHost;
  readonly #frame = new Uint8Array(EthernetHeader.size + ArpPacket.size);
  /** The oldest first. */
  readonly #neighbours: Neighbour[] = [];
  /** Who waits for an answer of ours. */
  readonly #askers: { readonly address: Ipv4Address; readonly mac: Uint8Array }[] = [];
  #conflictTold = false;

  constructor(host: ArpHost) {
    this.#host = host;
    this.#frame.set(ARP_PREFIX, EthernetHeader.size);
  }

  /** The hardware address of a neighbour, if it is known. Must not be written. */
  find(address: Ipv4Address): Readonly<Uint8Array> | undefined {
    return this.#neighbour(address)?.mac;
  }

  /**
   * Ask who has `address`. What is known of it stays in use until the answer; a new neighbour takes
   * the place of the oldest one if the table is full.
   */
  ask(address: Ipv4Address): void {
    let neighbour = this.#neighbour(address);
    if (neighbour === undefined) {
      neighbour = { address, mac: undefined, asked: true };
      if (this.#neighbours.push(neighbour) > ARP_CACHE_SIZE) this.#neighbours.shift();
    }
    neighbour.asked = true;
    this.#send(ArpOperation.REQUEST, address, MAC_BROADCAST, MAC_NONE);
  }

  /** Take an ARP packet: `length` bytes at `offset`. Returns why it is of no use, if so. */
  receive(buffer: Uint8Array, offset: number, length: number): DropReason | undefined {
    // Check the constant part
    const { device, address: ours, log } = this.#host;
    const hardware = offset + ArpPacket.at.senderHardware;
    if (
      length < ArpPacket.size ||
      !matches(buffer, offset, ARP_PREFIX) ||
      (buffer[hardware]! & 1) !== 0 ||
      matches(buffer, hardware, MAC_NONE)
    )
      return 'arpMalformed';
    if (matches(buffer, hardware, device.address)) return 'arpForeign';

    // Learn what was asked for. A request of that neighbour tells it as well as a reply.
    const sender = get32(buffer, offset + ArpPacket.at.senderProtocol);
    const mac = buffer.slice(hardware, hardware + MAC_LENGTH);
    if (ours !== 0 && sender === ours && !this.#conflictTold) {
      this.#conflictTold = true;
      log.warning('ARP', device.name, `${ipv4Text(ours)} is in use by another station`);
    }
    const neighbour = this.#neighbour(sender);
    const learnt = neighbour?.asked === true;
    if (learnt) {
      neighbour.mac = mac;
      neighbour.asked = false;
    }

    // Remember who asks for us
    const isRequest = get16(buffer, offset + ArpPacket.at.operation) === ArpOperation.REQUEST;
    const target = get32(buffer, offset + ArpPacket.at.targetProtocol);
    if (!isRequest || ours === 0 || target !== ours) return learnt ? undefined : 'arpForeign';
    if (this.#askers.length === ARP_REPLIES_PER_TURN) return 'arpFlood';
    this.#askers.push({ address: sender, mac });
    return undefined;
  }

  /** Answer those who asked for us since the last call. */
  flush(): void {
    for (let asker; (asker = this.#askers.shift()) !== undefined;)
      this.#send(ArpOperation.REPLY, asker.address, asker.mac, asker.mac);
  }

  #send(
    operation: number,
    address: Ipv4Address,
    destination: Readonly<Uint8Array>,
    target: Readonly<Uint8Array>,
  ): void {
    const { device, address: ours } = this.#host;
    const frame = this.#frame;
    putEthernetHeader(frame, destination, device.address, EtherType.ARP);
    put16(frame, EthernetHeader.size + ArpPacket.at.operation, operation);
    frame.set(device.address, EthernetHeader.size + ArpPacket.at.senderHardware);
    put32(frame, EthernetHeader.size + ArpPacket.at.senderProtocol, ours);
    frame.set(target, EthernetHeader.size + ArpPacket.at.targetHardware);
    put32(frame, EthernetHeader.size + ArpPacket.at.targetProtocol, address);
    device.transmit(frame, frame.length);
  }

  #neighbour(address: Ipv4Address): Neighbour | undefined {
    // Each frame that is sent comes here: nothing is allocated
    let i = this.#neighbours.length;
    while (--i >= 0 && this.#neighbours[i]!.address !== address);
    return this.#neighbours[i];
  }
}
