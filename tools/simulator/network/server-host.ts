// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A host of the built-in network that servers run on: Ethernet, ARP, IPv4 without fragments, ICMP
 * echo and UDP. It does what the host requirements (RFC 1122) ask of a host with one interface.
 */

import {
  ArpOperation,
  EtherType,
  IpProtocol,
  IPV4_FRAGMENT_MASK,
} from '../../../src/net/protocol.ts';
import type { Subnet } from './address.ts';
import { isHostOf } from './address.ts';
import { buildRequest, isArpForIp, turnIntoReply } from './arp.ts';
import { foldSum, networkWord, sumWords } from './checksum.ts';
import type { NetworkContext } from './context.ts';
import type { Frame } from './frame.ts';
import { turnIntoEchoReply, turnIntoPortUnreachable } from './icmp.ts';
import { Neighbours } from './neighbours.ts';
import {
  ARP,
  ETH,
  ETH_PADDED,
  ICMP_ECHO,
  IP,
  IP_BROADCAST,
  IP_DONT_FRAGMENT,
  IP_TIME_TO_LIVE,
  IP_VERSION_LENGTH,
  UDP,
} from './protocol.ts';
import type { SwitchEntry, SwitchPort } from './switch.ts';
import type { Keeper } from '../base/snapshot.ts';

/** A received datagram. The object and its bytes are valid only during the call. */
export interface Datagram {
  bytes: Uint8Array;
  view: DataView;
  /** Where the payload lies in `bytes`, and its length. */
  offset: number;
  length: number;
  source: number;
  sourcePort: number;
  destination: number;
  destinationPort: number;
  /** Whether it was sent to this host alone. */
  isUnicast: boolean;
}

/** Takes the datagrams of a port. `false`: as if nobody listened. */
export type UdpHandler = (datagram: Datagram) => void | false;

/** Where a datagram goes, and from which of the host's ports and addresses. */
export interface UdpRoute {
  source: number;
  sourcePort: number;
  destination: number;
  destinationPort: number;
}

/** What a host is called. */
export interface HostIdentity {
  readonly mac: Uint8Array;
  readonly address: number;
  readonly subnet: Subnet;
  /** Address outside the subnet that the host has as well: reached through it as a gateway. */
  readonly remoteAddress?: number | undefined;
  /** Another address of the subnet that the host has, too. */
  readonly secondAddress?: number | undefined;
  /** Whether MAC addresses are learnt from ARP requests as well as from answers. */
  readonly learn: boolean;
}

export class ServerHost implements SwitchPort {
  readonly #context: NetworkContext;
  readonly #switch: SwitchEntry;
  readonly #identity: HostIdentity;
  readonly #neighbours: Neighbours;
  readonly #ports = new Map<number, UdpHandler>();
  readonly #datagram: Datagram;
  #identification = 0;

  constructor(context: NetworkContext, to: SwitchEntry, identity: HostIdentity) {
    this.#context = context;
    this.#switch = to;
    this.#identity = identity;
    this.#neighbours = new Neighbours(
      context,
      (address) => this.#askFor(address),
      (frame, mac) => this.#sendTo(frame, mac),
    );
    const bytes = new Uint8Array(0);
    this.#datagram = {
      bytes,
      view: new DataView(bytes.buffer),
      offset: 0,
      length: 0,
      source: 0,
      sourcePort: 0,
      destination: 0,
      destinationPort: 0,
      isUnicast: false,
    };
    to.attach(this);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#identification], (v) => ([this.#identification] = v));
    keeper.keep(this.#context, this.#switch, this.#neighbours, this.#ports, this.#datagram);
  }

  get address(): number {
    return this.#identity.address;
  }

  get secondAddress(): number | undefined {
    return this.#identity.secondAddress;
  }

  /** Give a port to a handler. Whether the port is free is the caller's business. */
  bind(port: number, handler: UdpHandler): void {
    this.#ports.set(port, handler);
  }

  unbind(port: number): void {
    this.#ports.delete(port);
  }

  isBound(port: number): boolean {
    return this.#ports.has(port);
  }

  /** A frame to build a datagram in, payload at `UDP.end`; undefined (and counted) if none. */
  allocate(): Frame | undefined {
    const frame = this.#context.pool.take();
    if (frame === undefined) this.#context.count('no-frame');
    return frame;
  }

  /**
   * Send the payload of `length` bytes in `frame`. `mac` is where to, if that is known without ARP.
   * `payloadSum` is the sum of the payload's words, if it is known.
   */
  sendUdp(
    frame: Frame,
    length: number,
    route: Readonly<UdpRoute>,
    mac?: ArrayLike<number>,
    payloadSum?: number,
  ): void {
    const { view, words } = frame;
    view.setUint16(UDP.source, route.sourcePort);
    view.setUint16(UDP.destination, route.destinationPort);
    view.setUint16(UDP.length, length + 8);
    view.setUint16(UDP.checksum, 0);
    this.#ipHeader(frame, IpProtocol.UDP, length + 8, route.source, route.destination);

    // Checksum of pseudo header, header and payload; 0 would mean none (RFC 768)
    if ((length & 1) !== 0) frame.bytes[UDP.end + length] = 0;
    const sum =
      sumWords(words, IP.source, 8) +
      networkWord(IpProtocol.UDP) +
      words[UDP.length >> 1]! +
      sumWords(words, UDP.source, 8) +
      (payloadSum ?? sumWords(words, UDP.end, length));
    const checksum = ~foldSum(sum) & 0xffff;
    words[UDP.checksum >> 1] = checksum === 0 ? 0xffff : checksum;
    this.#route(frame, route.destination, mac);
  }

  /** A frame from the switch. */
  output(frame: Frame): void {
    const { bytes, view, length } = frame;
    if (!isForStation(bytes, this.#identity.mac)) this.#context.drop('other-station', frame);
    else if (length < ETH.end) this.#context.drop('runt', frame);
    else if (view.getUint16(ETH.type) === EtherType.ARP) this.#receiveArp(frame);
    else if (view.getUint16(ETH.type) === EtherType.IPV4) this.#receiveIp(frame);
    else this.#context.drop('unknown-protocol', frame);
  }

  // --- ARP (RFC 826, "Packet Reception") ---

  #receiveArp(frame: Frame): void {
    const { bytes, view } = frame;
    if (!isArpForIp(frame)) {
      this.#context.drop('bad-arp', frame);
      return;
    }
    const sender = view.getUint32(ARP.senderProtocol);
    const isReply = view.getUint16(ARP.operation) === ArpOperation.REPLY;
    const isRequest = view.getUint16(ARP.operation) === ArpOperation.REQUEST;
    const target = view.getUint32(ARP.targetProtocol);
    const isForUs = target === this.#identity.address || target === this.#identity.secondAddress;

    // Learn the sender; a probe (RFC 5227) has no address to learn
    const learn = isReply
      ? this.#neighbours.asksFor(sender)
      : isRequest && isForUs && this.#identity.learn;
    if (learn && isHostOf(this.#identity.subnet, sender)) {
      this.#neighbours.learn(sender, bytes, ARP.senderHardware);
    }
    if (isRequest && isForUs) {
      turnIntoReply(frame, this.#identity.mac, target);
      this.#emit(frame, ARP.end);
    } else this.#context.pool.give(frame);
  }

  #askFor(address: number): void {
    const frame = this.allocate();
    if (frame === undefined) return;
    buildRequest(frame, this.#identity.mac, this.#identity.address, address);
    this.#emit(frame, ARP.end);
  }

  // --- IPv4 and ICMP ---

  #receiveIp(frame: Frame): void {
    const { bytes, view, words } = frame;
    const header = (bytes[IP.versionLength]! & 0x0f) * 4;
    const total = frame.length < IP.end ? 0 : view.getUint16(IP.totalLength);
    if (
      bytes[IP.versionLength]! >>> 4 !== 4 ||
      header < 20 ||
      total < header ||
      ETH.end + total > frame.length
    ) {
      this.#context.drop('bad-ip-header', frame);
    } else if (foldSum(sumWords(words, ETH.end, header)) !== 0xffff) {
      this.#context.drop('bad-checksum', frame);
    } else if (!this.#isOurs(view.getUint32(IP.destination))) {
      this.#context.drop('other-address', frame);
    } else if ((view.getUint16(IP.fragment) & IPV4_FRAGMENT_MASK) !== 0) {
      this.#context.drop('fragment', frame);
    } else {
      // Whatever follows the packet in the frame is padding, and the checksums want zeros
      bytes[ETH.end + total] = 0;
      const protocol = bytes[IP.protocol];
      if (protocol === IpProtocol.UDP) this.#receiveUdp(frame, header, total - header);
      else if (protocol === IpProtocol.ICMP) this.#receiveIcmp(frame, header, total - header);
      else this.#context.drop('unknown-protocol', frame);
    }
  }

  #receiveIcmp(frame: Frame, header: number, length: number): void {
    const { bytes, view, words } = frame;
    const at = ETH.end + header;
    if (length < 8 || foldSum(sumWords(words, at, length)) !== 0xffff) {
      this.#context.drop('bad-checksum', frame);
      return;
    }
    const source = view.getUint32(IP.source);
    const destination = view.getUint32(IP.destination);
    if (bytes[at] === ICMP_ECHO && this.#isUnicast(destination)) {
      turnIntoEchoReply(frame, at, length);
      this.#ipHeader(frame, IpProtocol.ICMP, length, destination, source);
      this.#route(frame, source);
    } else this.#context.pool.give(frame);
  }

  /** Nobody listens on a port (RFC 1122, 3.2.2.1 and 4.1.3.1). Never to a group. */
  #portUnreachable(frame: Frame, header: number): void {
    this.#context.count('no-port');
    const source = frame.view.getUint32(IP.source);
    const destination = frame.view.getUint32(IP.destination);
    const { subnet } = this.#identity;
    if (this.#isUnicast(destination) && !isGroup(frame.bytes) && isHostOf(subnet, source)) {
      const length = turnIntoPortUnreachable(frame, header);
      this.#ipHeader(frame, IpProtocol.ICMP, length, destination, source);
      this.#route(frame, source);
    } else this.#context.pool.give(frame);
  }

  // --- UDP ---

  #receiveUdp(frame: Frame, header: number, available: number): void {
    const { bytes, view, words } = frame;
    const at = ETH.end + header;
    const length = available < 8 ? 0 : view.getUint16(at + 4);
    if (length < 8 || length > available) {
      this.#context.drop('bad-ip-header', frame);
      return;
    }
    if ((length & 1) !== 0) bytes[at + length] = 0;
    const pseudo =
      sumWords(words, IP.source, 8) + networkWord(IpProtocol.UDP) + words[(at + 4) >> 1]!;
    const hasChecksum = view.getUint16(at + 6) !== 0;
    if (hasChecksum && foldSum(pseudo + sumWords(words, at, length)) !== 0xffff) {
      this.#context.drop('bad-checksum', frame);
      return;
    }

    // To whoever listens
    const handler = this.#ports.get(view.getUint16(at + 2));
    if (handler === undefined) {
      this.#portUnreachable(frame, header);
      return;
    }
    const datagram = this.#datagram;
    datagram.bytes = bytes;
    datagram.view = view;
    datagram.offset = at + 8;
    datagram.length = length - 8;
    datagram.source = view.getUint32(IP.source);
    datagram.sourcePort = view.getUint16(at);
    datagram.destination = view.getUint32(IP.destination);
    datagram.destinationPort = view.getUint16(at + 2);
    datagram.isUnicast = this.#isUnicast(datagram.destination) && !isGroup(bytes);
    if (handler(datagram) === false) this.#portUnreachable(frame, header);
    else this.#context.pool.give(frame);
  }

  #isUnicast(address: number): boolean {
    const { address: own, remoteAddress, secondAddress } = this.#identity;
    return address === own || address === remoteAddress || address === secondAddress;
  }

  #isOurs(address: number): boolean {
    const { subnet } = this.#identity;
    return this.#isUnicast(address) || address === IP_BROADCAST || address === subnet.broadcast;
  }

  // --- sending ---

  /** Header of a packet whose payload of `length` bytes begins at `IP.end`. */
  #ipHeader(
    frame: Frame,
    protocol: number,
    length: number,
    source: number,
    destination: number,
  ): void {
    const { view, words } = frame;
    view.setUint16(ETH.type, EtherType.IPV4);
    view.setUint16(IP.versionLength, IP_VERSION_LENGTH << 8);
    view.setUint16(IP.totalLength, 20 + length);
    view.setUint16(IP.identification, this.#identification);
    this.#identification = (this.#identification + 1) & 0xffff;
    view.setUint16(IP.fragment, IP_DONT_FRAGMENT);
    view.setUint16(IP.timeToLive, (IP_TIME_TO_LIVE << 8) | protocol);
    view.setUint16(IP.checksum, 0);
    view.setUint32(IP.source, source);
    view.setUint32(IP.destination, destination);
    words[IP.checksum >> 1] = ~foldSum(sumWords(words, ETH.end, 20)) & 0xffff;
    frame.length = IP.end + length;
  }

  #route(frame: Frame, destination: number, mac?: ArrayLike<number>): void {
    if (mac !== undefined) this.#sendTo(frame, mac);
    else if (!isHostOf(this.#identity.subnet, destination)) this.#context.drop('no-route', frame);
    else this.#neighbours.send(frame, destination);
  }

  #sendTo(frame: Frame, mac: ArrayLike<number>): void {
    frame.bytes.set(mac, ETH.destination);
    this.#emit(frame, frame.length);
  }

  #emit(frame: Frame, length: number): void {
    frame.bytes.set(this.#identity.mac, ETH.source);
    if (length < ETH_PADDED) frame.bytes.fill(0, length, ETH_PADDED);
    frame.length = Math.max(length, ETH_PADDED);
    this.#switch.input(frame, this);
  }
}

/** Whether a frame is for the station or for a group. */
function isForStation(bytes: Uint8Array, mac: Uint8Array): boolean {
  if (isGroup(bytes)) return true;
  for (let i = 0; i < 6; i++) if (bytes[i] !== mac[i]) return false;
  return true;
}

/** Whether a frame is for all stations or for a group of them. */
function isGroup(bytes: Uint8Array): boolean {
  return (bytes[ETH.destination]! & 1) !== 0;
}
