// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One network interface: a device bound to ARP, IPv4 and UDP (RFC 768).
 *
 * Everything is polled. Received datagrams reach their {@link UdpHandler} from within
 * {@link NetworkInterface.turn}; a handler notes what it saw and sends nothing, so that no driver
 * is entered from its own receive path. Receiving and sending a datagram allocates nothing: one
 * transmit frame, headers written in place.
 */

import { Arp, MAC_BROADCAST, putEthernetHeader } from './arp.ts';
import { get16, get32, ipv4Text, IPV4_BROADCAST, macText, matches, put16 } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { ETHERNET_HEADER } from './device.ts';
import type { FrameReceiver, NetDevice } from './device.ts';
import type { DropCounters, DropReason } from './drops.ts';
import {
  checkIpv4,
  headerLength,
  isHost,
  isNetmask,
  MTU_MAX,
  MTU_MIN,
  putIpv4Header,
  udpChecksum,
} from './ipv4.ts';
import type { FragmentTaker, NetParts } from './part.ts';
import {
  EtherType,
  EthernetHeader,
  IPV4_FRAGMENT_MASK,
  IpProtocol,
  Ipv4Header,
  UdpHeader,
  VLAN_MASK,
  VlanTag,
} from './protocol.ts';
import {
  ARP_FIRST_TIMEOUT_MS,
  ARP_LONGEST_TIMEOUT_MS,
  ARP_TRIES,
  FLOOD_FRAMES,
  LINK_LOSS_MS,
  UDP_PORTS,
} from './udp.ts';
import type { NetworkInterfaceOptions, Patience, Route, UdpHandler, UdpHost } from './udp.ts';
import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import { TICKS_PER_MS } from '../time.ts';
import type { Clock } from '../time.ts';

/** Where the headers of the transmit frame begin. */
const UDP = ETHERNET_HEADER + Ipv4Header.size;
const PAYLOAD = UDP + UdpHeader.size;

export class PlainInterface implements FrameReceiver, UdpHost {
  readonly device: NetDevice;
  readonly clock: Clock;
  readonly log: Log;
  /** Name of the device, for log lines. */
  readonly name: string;
  readonly parts: NetParts;
  /** What was received and dropped, by reason. */
  readonly drops: DropCounters = {};
  /** Where the payload of the next datagram is written before {@link sendUdp}. */
  readonly payload: Uint8Array;
  /** MTU of the device, at most that of Ethernet, in bytes. */
  readonly deviceMtu: number;
  /** Longest IPv4 datagram that is sent, in bytes. */
  mtu: number;
  address: Ipv4Address = 0;
  netmask: Ipv4Address = 0;
  gateway: Ipv4Address = 0;
  /** Where to send what: the most specific first, before what netmask and gateway say. */
  routes: readonly Route[] = [];

  readonly #arp = new Arp(this);
  readonly #fragments: FragmentTaker | undefined;
  readonly #options: NetworkInterfaceOptions;
  readonly #frame: Uint8Array;
  readonly #handlers = new Map<number, UdpHandler>();
  #identification = 0;
  #frames = 0;

  /**
   * Bind to a device: its frames come here until {@link detach}.
   * @throws HypxeError DeviceUnfit if the device cannot carry a DHCP message.
   */
  constructor(
    device: NetDevice,
    clock: Clock,
    log: Log,
    options: NetworkInterfaceOptions = {},
    parts: NetParts = {},
  ) {
    this.device = device;
    this.clock = clock;
    this.log = log;
    this.name = device.name;
    this.#options = options;
    this.parts = parts;
    this.#fragments = parts.reassembler?.();
    this.mtu = this.deviceMtu = Math.min(MTU_MAX, device.maxFrame - ETHERNET_HEADER);
    if (this.mtu < MTU_MIN) {
      const text = `${device.name} sends frames of at most ${device.maxFrame} bytes`;
      throw new HypxeError('DeviceUnfit', text);
    }
    this.#frame = new Uint8Array(ETHERNET_HEADER + this.mtu);
    this.payload = this.#frame.subarray(PAYLOAD);
    device.receiver = this;
  }

  /** Take no more frames from the device. */
  detach(): void {
    if (this.device.receiver === this) this.device.receiver = undefined;
  }

  /** Listen on a UDP port. @throws RangeError if all {@link UDP_PORTS} are taken. */
  bind(port: number, handler: UdpHandler): void {
    if (this.#handlers.size === UDP_PORTS) throw new RangeError(`more than ${UDP_PORTS} ports`);
    this.#handlers.set(port, handler);
  }

  unbind(port: number): void {
    this.#handlers.delete(port);
  }

  /**
   * One turn of a wait: let time pass, take what the device has, answer ARP requests.
   *
   * @throws HypxeError DeviceClosed or Flooded: no wait outlives these; and what the clock throws.
   */
  turn(): void {
    const { clock, device } = this;
    clock.pause();
    if (device.isOpen) device.poll();
    if (!device.isOpen)
      throw new HypxeError('DeviceClosed', `${this.name} was closed during a wait`);
    this.#arp.flush();

    // End a wait whose clock is too slow for a flood; the clock itself sees to it that it moves
    if (this.#frames > (this.#options.floodFrames ?? FLOOD_FRAMES))
      throw new HypxeError('Flooded', `${this.#frames} frames without any progress`);
  }

  /** Turns until `done`, at most to the time `until` in ticks. Returns whether it is done. */
  wait(until: number, done: () => boolean): boolean {
    while (!done()) {
      if (this.clock.now() >= until) return false;
      this.turn();
    }
    return true;
  }

  /**
   * Ask, wait for the answer, ask again. No try begins at or after the time `deadline`, in ticks,
   * and the last one ends there. Nothing is asked without a link; the time without one counts for
   * the deadline only; patience begins anew with it. Returns whether it is done.
   * @throws HypxeError LinkDown, or what {@link turn} throws
   */
  retry(
    patience: Patience,
    deadline: number,
    ask: (tries: number) => void,
    done: () => boolean,
  ): boolean {
    let timeoutMs = patience.firstTimeoutMs;
    for (let i = 0, losses = 0; i < patience.tries && this.clock.now() < deadline; i++) {
      if (this.device.link === 'down') {
        this.#awaitLink(deadline, done);
        timeoutMs = patience.firstTimeoutMs;
        if (losses++ < patience.tries) i = 0;
      }
      ask(i);
      const until = this.clock.now() + timeoutMs * TICKS_PER_MS;
      if (this.wait(Math.min(until, deadline), done)) return true;
      timeoutMs = Math.min(timeoutMs * 2, patience.longestTimeoutMs);
    }
    return false;
  }

  /** Wait for the link, or for an answer: hosts tell of a link late. */
  #awaitLink(deadline: number, done: () => boolean): void {
    const until = Math.min(this.clock.now() + LINK_LOSS_MS * TICKS_PER_MS, deadline);
    if (this.wait(until, () => this.device.link !== 'down' || done())) return;
    throw new HypxeError('LinkDown', `${this.name} lost its link`);
  }

  /** The protocol above got further: count frames anew. */
  progress(): void {
    this.#frames = 0;
  }

  // --- neighbours ---

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
        `${ipv4Text(destination)} is not in ${ipv4Text(this.address)}/${ipv4Text(this.netmask)}`,
      );
    const { arpTries: tries = ARP_TRIES, arpFirstTimeoutMs = ARP_FIRST_TIMEOUT_MS } = this.#options;
    const patience: Patience = {
      firstTimeoutMs: arpFirstTimeoutMs,
      longestTimeoutMs: ARP_LONGEST_TIMEOUT_MS,
      tries,
    };
    const found = (): boolean => this.#arp.find(hop) !== undefined;
    if (!found() && !this.retry(patience, Infinity, () => this.#arp.ask(hop), found)) {
      const role = hop === destination ? '' : `, the router to ${ipv4Text(destination)}`;
      const text = `no answer to ${tries} ARP requests for ${ipv4Text(hop)}${role}`;
      throw new HypxeError('NoNeighbour', text);
    }
    this.log.debug('ARP', this.name, `${ipv4Text(hop)} is ${macText(this.#arp.find(hop)!)}`);
  }

  /** Ask for a neighbour again while its old address stays in use: it may have moved. */
  refresh(destination: Ipv4Address): void {
    const hop = this.#nextHop(destination);
    if (hop !== 0 && !this.#isBroadcast(destination)) this.#arp.ask(hop);
  }

  /** Broadcast, limited or to our subnet; subnets of one or two hosts have none (RFC 3021). */
  #isBroadcast(address: Ipv4Address): boolean {
    const host = ~this.netmask;
    const subnet = isNetmask(this.netmask) && host >>> 0 >= 3;
    return address === IPV4_BROADCAST || (subnet && address === (this.address | host));
  }

  /** The neighbour through which an address is reached, or 0 if there is none. */
  #nextHop(destination: Ipv4Address): Ipv4Address {
    // Each frame that is sent comes here: nothing is allocated
    for (let i = 0; i < this.routes.length; i++) {
      const { network, netmask, router } = this.routes[i]!;
      if (((destination ^ network) & netmask) === 0) return router || destination;
    }
    const local = ((destination ^ this.address) & this.netmask) === 0;
    return local ? destination : this.gateway;
  }

  // --- sending ---

  /**
   * Send `length` bytes of {@link payload}. Whether they went out; a neighbour that is not
   * known yet has been asked for: the caller's retries do the rest.
   *
   * @throws RangeError if the datagram does not fit the MTU.
   */
  sendUdp(
    sourcePort: number,
    destination: Ipv4Address,
    destinationPort: number,
    length: number,
  ): boolean {
    const udpLength = UdpHeader.size + length;
    const total = Ipv4Header.size + udpLength;
    if (total > this.mtu) throw new RangeError(`datagram of ${total} bytes, MTU ${this.mtu}`);
    const mac = this.#isBroadcast(destination)
      ? MAC_BROADCAST
      : this.#arp.find(this.#nextHop(destination));
    if (mac === undefined) {
      this.refresh(destination);
      return false;
    }

    // Headers in place, before the payload that lies there already
    const frame = this.#frame;
    const ip = ETHERNET_HEADER;
    putEthernetHeader(frame, mac, this.device.address, EtherType.IPV4);
    putIpv4Header(frame, ip, total, ++this.#identification, this.address, destination);

    // A checksum of 0 would say "none"; its other form in ones' complement is all ones
    put16(frame, UDP + UdpHeader.at.source, sourcePort);
    put16(frame, UDP + UdpHeader.at.destination, destinationPort);
    put16(frame, UDP + UdpHeader.at.length, udpLength);
    put16(frame, UDP + UdpHeader.at.checksum, 0);
    put16(frame, UDP + UdpHeader.at.checksum, udpChecksum(frame, ip, UDP, udpLength) || 0xffff);
    return this.device.transmit(frame, ETHERNET_HEADER + total) !== 'dropped';
  }

  // --- receiving ---

  /** A frame of the device. For the device only. */
  receive(buffer: Uint8Array, offset: number, length: number, vlan = 0): void {
    this.#frames++;
    const reason = this.#receive(buffer, offset, length, vlan);
    if (reason !== undefined) this.drop(reason);
  }

  /** Count what was received and is of no use. */
  drop(reason: DropReason): void {
    this.drops[reason] = (this.drops[reason] ?? 0) + 1;
  }

  #receive(
    buffer: Uint8Array,
    offset: number,
    length: number,
    vlan: number,
  ): DropReason | undefined {
    if (length < ETHERNET_HEADER) return 'frameShort';
    const destination = offset + EthernetHeader.at.destination;
    if (
      !matches(buffer, destination, this.device.address) &&
      !matches(buffer, destination, MAC_BROADCAST)
    )
      return 'frameForeign';

    // We are untagged. A tag of VLAN 0 says a priority: look behind it
    let type = get16(buffer, offset + EthernetHeader.at.type);
    while (vlan === 0 && (type === EtherType.VLAN || type === EtherType.SERVICE_VLAN)) {
      if (length < ETHERNET_HEADER + VlanTag.size) return 'frameShort';
      const tag = offset + EthernetHeader.at.type;
      vlan = get16(buffer, tag + VlanTag.at.control) & VLAN_MASK;
      type = get16(buffer, tag + VlanTag.size);
      offset += VlanTag.size;
      length -= VlanTag.size;
    }
    if (vlan !== 0) return 'vlanForeign';
    offset += ETHERNET_HEADER;
    length -= ETHERNET_HEADER;
    if (type === EtherType.ARP) return this.#arp.receive(buffer, offset, length);
    return type === EtherType.IPV4 ? this.#receiveIpv4(buffer, offset, length) : 'frameType';
  }

  #receiveIpv4(buffer: Uint8Array, ip: number, length: number): DropReason | undefined {
    const bad = checkIpv4(buffer, ip, length);
    if (bad) return bad;
    // Until an address is configured, whatever comes to our hardware address is for us: a DHCP
    // server may send its offer to the address that it offers (RFC 2131, 4.1)
    const { address } = this;
    const source = get32(buffer, ip + Ipv4Header.at.source);
    const destination = get32(buffer, ip + Ipv4Header.at.destination);
    if (source !== 0 && (!isHost(source) || source === address || this.#isBroadcast(source)))
      return 'ipSource';
    if (address !== 0 && destination !== address && !this.#isBroadcast(destination))
      return 'ipForeign';

    let header = headerLength(buffer, ip);
    let total = get16(buffer, ip + Ipv4Header.at.totalLength);
    if ((get16(buffer, ip + Ipv4Header.at.fragment) & IPV4_FRAGMENT_MASK) !== 0) {
      if (!this.#fragments) return 'noReassembler';
      const whole = this.#fragments.take(buffer, ip, this.clock.now(), this.drops);
      if (typeof whole !== 'object') return whole;
      [buffer, ip, header, total] = [whole, 0, Ipv4Header.size, whole.length];
    }
    const protocol = buffer[ip + Ipv4Header.at.protocol];
    if (protocol === IpProtocol.UDP) return this.#receiveUdp(buffer, ip, header, total - header);
    if (protocol !== IpProtocol.ICMP) return 'ipProtocol';
    return this.#receiveIcmp(buffer, ip + header, total - header);
  }

  #receiveUdp(
    buffer: Uint8Array,
    ip: number,
    header: number,
    length: number,
  ): DropReason | undefined {
    const udp = ip + header;
    const own = get16(buffer, udp + UdpHeader.at.length);
    const hasChecksum = get16(buffer, udp + UdpHeader.at.checksum) !== 0;
    if (
      own < UdpHeader.size ||
      own > length ||
      (hasChecksum && udpChecksum(buffer, ip, udp, own) !== 0)
    )
      return 'udpMalformed';
    const handler = this.#handlers.get(get16(buffer, udp + UdpHeader.at.destination));
    if (handler === undefined) return 'udpPort';
    handler.datagram(
      buffer,
      udp + UdpHeader.size,
      own - UdpHeader.size,
      get32(buffer, ip + Ipv4Header.at.source),
      get16(buffer, udp + UdpHeader.at.source),
    );
    return undefined;
  }

  /** What some host says about a UDP datagram of ours, perhaps. */
  #receiveIcmp(buffer: Uint8Array, icmp: number, length: number): DropReason | undefined {
    const ip = this.parts.unreachable?.(buffer, icmp, length, this.address) ?? 'ipProtocol';
    if (typeof ip === 'string') return ip;
    const udp = ip + headerLength(buffer, ip);
    const handler = this.#handlers.get(get16(buffer, udp + UdpHeader.at.source));
    if (handler === undefined) return 'udpPort';
    const host = get32(buffer, ip + Ipv4Header.at.destination);
    handler.unreachable(host, get16(buffer, udp + UdpHeader.at.destination));
    return undefined;
  }
}
