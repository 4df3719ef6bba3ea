// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One network interface: a device bound to ARP, IPv4 and UDP. Everything is polled. Received
 * datagrams reach their {@link UdpHandler} from within {@link NetworkInterface.turn}; a handler
 * notes what it saw and sends nothing, so that no driver is entered from its own receive path.
 *
 * Receiving and sending a datagram allocates nothing: one transmit frame, headers written in place.
 */

import { Arp } from './arp.ts';
import { get16, get32, ipv4Text, IPV4_BROADCAST, macText } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { ETHERNET_HEADER } from './device.ts';
import type { FrameReceiver, NetDevice } from './device.ts';
import { newDropCounters } from './drops.ts';
import type { DropCounters, DropReason } from './drops.ts';
import { MAC_BROADCAST, putEthernetHeader, putMac, sameMac } from './ethernet.ts';
import { checkIcmp, quotedDestination, quotedPort } from './icmp.ts';
import {
  checkIpv4,
  ipv4HeaderLength,
  isHost,
  isNetmask,
  MTU_MAX,
  MTU_MIN,
  putIpv4Header,
} from './ipv4.ts';
import { EtherType, EthernetHeader, IpProtocol, Ipv4Header, UdpHeader } from './protocol.ts';
import { checkUdp, putUdpHeader } from './udp.ts';
import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import { TICKS_PER_MS } from '../time.ts';
import type { Clock } from '../time.ts';

/** Patience with a neighbour: first try, doubled for each further one up to the longest. */
export const ARP_FIRST_TIMEOUT_MS = 250;
export const ARP_LONGEST_TIMEOUT_MS = 4000;
export const ARP_TRIES = 6;

/** Ports that can be listened on at the same time. */
export const UDP_PORTS = 4;

/** Frames that may arrive without any progress of the protocol above, whatever the clock says. */
export const FLOOD_FRAMES = 1 << 22;

/** Turns in a row during which the clock may stand still. */
export const STILL_TURNS = 1 << 20;

/** Takes the datagrams of one UDP port. Must not throw and must not send: it notes what it saw. */
export interface UdpHandler {
  /** `length` bytes of payload at `offset` of `buffer`, valid only during the call. */
  datagram(
    buffer: Uint8Array,
    offset: number,
    length: number,
    source: Ipv4Address,
    sourcePort: number,
  ): void;
  /** A host says that nobody listens at the port that we sent to. */
  unreachable(destination: Ipv4Address, destinationPort: number): void;
}

/** Bounds that a test or a caller can narrow. */
export interface NetworkInterfaceOptions {
  readonly arpFirstTimeoutMs?: number;
  readonly arpTries?: number;
  readonly floodFrames?: number;
  readonly stillTurns?: number;
}

const IP = ETHERNET_HEADER;
const UDP = IP + Ipv4Header.size;
const PAYLOAD = UDP + UdpHeader.size;

export class NetworkInterface implements FrameReceiver {
  readonly device: NetDevice;
  readonly clock: Clock;
  readonly log: Log;
  /** Name of the device, for log lines. */
  readonly name: string;
  /** What was received and dropped, by reason. */
  readonly drops: DropCounters = newDropCounters();
  /** Frames and datagrams that the device did not take, or that had no neighbour to go to. */
  unsent = 0;
  /** Where the payload of the next datagram is written before {@link sendUdp}. */
  readonly payload: Uint8Array;
  /** MTU of the device, at most that of Ethernet, in bytes. */
  readonly deviceMtu: number;
  /** Longest IPv4 datagram that is sent, in bytes. */
  mtu: number;
  address: Ipv4Address = 0;
  netmask: Ipv4Address = 0;
  gateway: Ipv4Address = 0;

  readonly #arp: Arp;
  readonly #options: NetworkInterfaceOptions;
  readonly #frame: Uint8Array;
  readonly #ports = new Int32Array(UDP_PORTS);
  readonly #handlers: (UdpHandler | undefined)[] = new Array(UDP_PORTS).fill(undefined);
  #identification = 0;
  #frames = 0;
  #still = 0;
  #lastNow = -1;
  #conflictTold = false;

  /**
   * Bind to a device: its frames come here until {@link detach}.
   *
   * @throws HypxeError DeviceUnfit if the device cannot carry a DHCP message.
   */
  constructor(device: NetDevice, clock: Clock, log: Log, options: NetworkInterfaceOptions = {}) {
    this.device = device;
    this.clock = clock;
    this.log = log;
    this.name = device.name;
    this.deviceMtu = Math.min(MTU_MAX, device.maxFrame - ETHERNET_HEADER);
    if (this.deviceMtu < MTU_MIN)
      throw new HypxeError(
        'DeviceUnfit',
        `${device.name} sends frames of at most ${device.maxFrame} bytes`,
      );
    this.mtu = this.deviceMtu;
    this.#options = options;
    this.#arp = new Arp(device);
    this.#frame = new Uint8Array(ETHERNET_HEADER + this.deviceMtu);
    this.payload = this.#frame.subarray(PAYLOAD);
    device.receiver = this;
  }

  /** Take no more frames from the device. */
  detach(): void {
    if (this.device.receiver === this) this.device.receiver = undefined;
  }

  /** Listen on a UDP port. @throws RangeError if all {@link UDP_PORTS} are taken. */
  bind(port: number, handler: UdpHandler): void {
    const free = this.#handlers.indexOf(undefined);
    if (free < 0) throw new RangeError(`more than ${UDP_PORTS} ports`);
    this.#ports[free] = port;
    this.#handlers[free] = handler;
  }

  unbind(port: number): void {
    const index = this.#port(port);
    if (index >= 0) this.#handlers[index] = undefined;
  }

  /**
   * One turn of a wait: let time pass, take what the device has, answer ARP requests.
   *
   * @throws HypxeError DeviceClosed, Flooded or ClockStopped: no wait outlives these.
   */
  turn(): void {
    this.clock.pause();
    if (this.device.isOpen) this.device.poll();
    if (!this.device.isOpen)
      throw new HypxeError('DeviceClosed', `${this.name} was closed during a wait`);
    this.#arp.flush(this.address);
    if (this.#arp.conflict && !this.#conflictTold) {
      this.#conflictTold = true;
      const text = `${ipv4Text(this.address)} is in use by another station, too`;
      this.log.warning('ARP', this.name, text);
    }
    this.#checkBounds();
  }

  /** The protocol above got further: count frames anew. */
  progress(): void {
    this.#frames = 0;
  }

  /**
   * Make sure that the hardware address behind an IPv4 address is known: its own or the gateway's.
   *
   * @throws HypxeError NoRoute, NoNeighbour, or what {@link turn} throws.
   */
  resolve(destination: Ipv4Address): void {
    if (this.#isBroadcast(destination)) return;
    const hop = this.#nextHop(destination);
    if (hop === 0)
      throw new HypxeError(
        'NoRoute',
        `${ipv4Text(destination)} is not in the subnet of ${ipv4Text(this.address)}/` +
          `${ipv4Text(this.netmask)}, and there is no router`,
      );
    const tries = this.#options.arpTries ?? ARP_TRIES;
    let timeoutMs = this.#options.arpFirstTimeoutMs ?? ARP_FIRST_TIMEOUT_MS;
    for (let attempt = 1; attempt <= tries && this.#arp.find(hop) < 0; attempt++) {
      this.#arp.ask(hop, this.address);
      const until = this.clock.now() + timeoutMs * TICKS_PER_MS;
      while (this.clock.now() < until && this.#arp.find(hop) < 0) this.turn();
      timeoutMs = Math.min(timeoutMs * 2, ARP_LONGEST_TIMEOUT_MS);
    }
    const index = this.#arp.find(hop);
    if (index < 0) {
      const role = hop === destination ? '' : `, the router to ${ipv4Text(destination)}`;
      throw new HypxeError(
        'NoNeighbour',
        `no answer to ${tries} ARP requests for ${ipv4Text(hop)}${role}`,
      );
    }
    if (this.log.on)
      this.log.debug('ARP', this.name, `${ipv4Text(hop)} is ${macText(this.#arp.hardware(index))}`);
  }

  /** Ask for a neighbour again while its old address stays in use: it may have moved. */
  refresh(destination: Ipv4Address): void {
    const hop = this.#nextHop(destination);
    if (hop !== 0 && !this.#isBroadcast(destination)) this.#arp.ask(hop, this.address);
  }

  /**
   * Send `length` bytes of {@link payload}. Whether they went out; if not, it is counted, and a
   * neighbour that is not known yet has been asked for: the caller's retries do the rest.
   *
   * @throws RangeError if the datagram does not fit the MTU.
   */
  sendUdp(
    sourcePort: number,
    destination: Ipv4Address,
    destinationPort: number,
    length: number,
  ): boolean {
    const total = Ipv4Header.size + UdpHeader.size + length;
    if (total > this.mtu) throw new RangeError(`datagram of ${total} bytes, MTU ${this.mtu}`);
    if (!this.#putDestination(destination)) {
      this.unsent++;
      return false;
    }
    const frame = this.#frame;
    const udpLength = UdpHeader.size + length;
    const source = this.address;
    putEthernetHeader(frame, this.device.address, EtherType.IPV4);
    putUdpHeader(frame, UDP, udpLength, source, sourcePort, destination, destinationPort);
    this.#identification = (this.#identification + 1) & 0xffff;
    putIpv4Header(frame, IP, total, this.#identification, IpProtocol.UDP, source, destination);
    const sent = this.device.transmit(frame, ETHERNET_HEADER + total) !== 'dropped';
    if (!sent) this.unsent++;
    return sent;
  }

  /** A frame of the device. For the device only. */
  receive(buffer: Uint8Array, offset: number, length: number): void {
    this.#frames++;
    const reason = this.#receive(buffer, offset, length);
    if (reason !== undefined) this.drops[reason]++;
  }

  #receive(buffer: Uint8Array, offset: number, length: number): DropReason | undefined {
    if (length < ETHERNET_HEADER) return 'frameShort';
    const destination = offset + EthernetHeader.at.destination;
    if (
      !sameMac(buffer, destination, this.device.address) &&
      !sameMac(buffer, destination, MAC_BROADCAST)
    )
      return 'frameForeign';
    const at = offset + ETHERNET_HEADER;
    const rest = length - ETHERNET_HEADER;
    switch (get16(buffer, offset + EthernetHeader.at.type)) {
      case EtherType.IPV4:
        return this.#receiveIpv4(buffer, at, rest);
      case EtherType.ARP:
        return this.#arp.receive(buffer, at, rest, this.address);
      default:
        return 'frameType';
    }
  }

  #receiveIpv4(buffer: Uint8Array, offset: number, length: number): DropReason | undefined {
    const bad = checkIpv4(buffer, offset, length);
    if (bad !== undefined) return bad;

    // Until an address is configured, whatever comes to our hardware address is for us: a DHCP
    // server may send its offer to the address that it offers (RFC 2131, 4.1)
    const source = get32(buffer, offset + Ipv4Header.at.source);
    const destination = get32(buffer, offset + Ipv4Header.at.destination);
    if (source !== 0 && (!isHost(source) || source === this.address)) return 'ipSource';
    if (source !== 0 && this.#isBroadcast(source)) return 'ipSource';
    if (this.address !== 0 && destination !== this.address && !this.#isBroadcast(destination))
      return 'ipForeign';

    const header = ipv4HeaderLength(buffer, offset);
    const at = offset + header;
    const rest = get16(buffer, offset + Ipv4Header.at.totalLength) - header;
    switch (buffer[offset + Ipv4Header.at.protocol]) {
      case IpProtocol.UDP:
        return this.#receiveUdp(buffer, at, rest, source, destination);
      case IpProtocol.ICMP:
        return this.#receiveIcmp(buffer, at, rest);
      default:
        return 'ipProtocol';
    }
  }

  #receiveUdp(
    buffer: Uint8Array,
    offset: number,
    length: number,
    source: Ipv4Address,
    destination: Ipv4Address,
  ): DropReason | undefined {
    const bad = checkUdp(buffer, offset, length, source, destination);
    if (bad !== undefined) return bad;
    const index = this.#port(get16(buffer, offset + UdpHeader.at.destination));
    if (index < 0) return 'udpPort';
    this.#handlers[index]!.datagram(
      buffer,
      offset + UdpHeader.size,
      get16(buffer, offset + UdpHeader.at.length) - UdpHeader.size,
      source,
      get16(buffer, offset + UdpHeader.at.source),
    );
    return undefined;
  }

  #receiveIcmp(buffer: Uint8Array, offset: number, length: number): DropReason | undefined {
    const kind = checkIcmp(buffer, offset, length, this.address);
    if (kind === 'malformed') return 'icmpMalformed';
    if (kind === 'other') return 'ipProtocol';
    const index = this.#port(quotedPort(buffer, offset, UdpHeader.at.source));
    if (index < 0) return 'udpPort';
    this.#handlers[index]!.unreachable(
      quotedDestination(buffer, offset),
      quotedPort(buffer, offset, UdpHeader.at.destination),
    );
    return undefined;
  }

  /** Index of a port that is listened on, or -1. */
  #port(port: number): number {
    for (let i = 0; i < UDP_PORTS; i++)
      if (this.#ports[i] === port && this.#handlers[i] !== undefined) return i;
    return -1;
  }

  /** Broadcast, limited or to our subnet; subnets of one or two hosts have none (RFC 3021). */
  #isBroadcast(address: Ipv4Address): boolean {
    if (address === IPV4_BROADCAST) return true;
    if (!isNetmask(this.netmask) || ~this.netmask >>> 0 < 3) return false;
    return address === (this.address | ~this.netmask);
  }

  /** The neighbour through which an address is reached, or 0 if there is none. */
  #nextHop(destination: Ipv4Address): Ipv4Address {
    const local = ((destination ^ this.address) & this.netmask) === 0;
    return local ? destination : this.gateway;
  }

  #putDestination(destination: Ipv4Address): boolean {
    if (this.#isBroadcast(destination)) {
      putMac(this.#frame, EthernetHeader.at.destination, MAC_BROADCAST);
      return true;
    }
    const hop = this.#nextHop(destination);
    const index = this.#arp.find(hop);
    if (index >= 0) this.#arp.putDestination(this.#frame, index);
    else if (hop !== 0) this.#arp.ask(hop, this.address);
    return index >= 0;
  }

  /** End a wait that no deadline would end. */
  #checkBounds(): void {
    const frames = this.#options.floodFrames ?? FLOOD_FRAMES;
    if (this.#frames > frames)
      throw new HypxeError('Flooded', `${this.#frames} frames without any progress`);
    const now = this.clock.now();
    this.#still = now === this.#lastNow ? this.#still + 1 : 0;
    this.#lastNow = now;
    if (this.#still > (this.#options.stillTurns ?? STILL_TURNS))
      throw new HypxeError('ClockStopped', `the clock stands still at ${now}`);
  }
}
