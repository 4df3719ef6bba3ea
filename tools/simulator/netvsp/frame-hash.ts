// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Which flow a frame belongs to: Toeplitz over addresses and ports, as receive-side scaling has it.
 * The same frame has the same hash on every run; frames that are not IP have the hash 0.
 */

import {
  EthernetHeader,
  EtherType,
  IPV4_FRAGMENT_MASK,
  IpProtocol,
  Ipv4Header,
} from '../../../src/net/protocol.ts';
import { HASH_KEY_SIZE, HashType } from './host-protocol.ts';
import type { Keeper } from '../base/snapshot.ts';

const ETHERNET_SIZE = EthernetHeader.size;
const ETHERTYPE_IPV6 = 0x86dd;

const IPV4_SIZE = Ipv4Header.size;
const IPV6_SIZE = 40;

/** The key of Microsoft's documents ("Verifying the RSS Hash Calculation"). */
export const DEFAULT_KEY: readonly number[] = [
  ...[0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67],
  ...[0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb],
  ...[0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30],
  ...[0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa],
];

/** By addresses, of each IP version. */
const IPV6 = HashType.IPV6 | HashType.IPV6_EX;
const TCP_IPV6 = HashType.TCP_IPV6 | HashType.TCP_IPV6_EX;
const UDP_IPV6 = HashType.UDP_IPV6 | HashType.UDP_IPV6_EX;

/** What a host hashes that was not told: all that it can. */
export const ALL_HASH_TYPES =
  HashType.IPV4 | HashType.TCP_IPV4 | HashType.UDP_IPV4 | IPV6 | TCP_IPV6 | UDP_IPV6;

export class FrameHash {
  /** Bits of {@link HashType}: what the guest asks for. */
  types = ALL_HASH_TYPES;
  readonly #key = Uint8Array.from(DEFAULT_KEY);
  /** State of the hash that is being made. */
  #hash = 0;
  /** Bits of the key so far. */
  #bit = 0;

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.types, this.#hash], (v) => ([this.types, this.#hash] = v));
    keeper.put([this.#bit], (v) => ([this.#bit] = v));
    keeper.keep(this.#key);
  }

  /** Use another key: at most 40 bytes, the rest is 0. */
  setKey(key: Uint8Array): void {
    this.#key.fill(0);
    this.#key.set(key.subarray(0, HASH_KEY_SIZE));
  }

  /** Hash of a frame, 32 bits unsigned. */
  of(frame: Uint8Array): number {
    this.#hash = 0;
    this.#bit = 0;
    if (frame.length < ETHERNET_SIZE) return 0;
    const type = (frame[EthernetHeader.at.type]! << 8) | frame[EthernetHeader.at.type + 1]!;
    if (type === EtherType.IPV4) this.#ipv4(frame);
    else if (type === ETHERTYPE_IPV6) this.#ipv6(frame);
    return this.#hash >>> 0;
  }

  #ipv4(frame: Uint8Array): void {
    const at = ETHERNET_SIZE;
    if (frame.length < at + IPV4_SIZE) return;
    // Of fragments only the first has ports: none is hashed by them
    const fragment = ((frame[at + 6]! << 8) | frame[at + 7]!) & IPV4_FRAGMENT_MASK;
    const protocol = fragment === 0 ? frame[at + 9]! : 0;
    const ports = at + (frame[at]! & 0xf) * 4;
    const { IPV4, TCP_IPV4, UDP_IPV4 } = HashType;
    const byPorts = frame.length >= ports + 4 && this.#wants(protocol, TCP_IPV4, UDP_IPV4);
    if (!byPorts && (this.types & IPV4) === 0) return;
    this.#add(frame, at + 12, 8);
    if (byPorts) this.#add(frame, ports, 4);
  }

  #ipv6(frame: Uint8Array): void {
    const at = ETHERNET_SIZE;
    if (frame.length < at + IPV6_SIZE) return;
    const ports = at + IPV6_SIZE;
    const byPorts = frame.length >= ports + 4 && this.#wants(frame[at + 6]!, TCP_IPV6, UDP_IPV6);
    if (!byPorts && (this.types & IPV6) === 0) return;
    this.#add(frame, at + 8, 32);
    if (byPorts) this.#add(frame, ports, 4);
  }

  /** Whether the ports of a protocol are hashed. */
  #wants(protocol: number, tcp: number, udp: number): boolean {
    if (protocol === IpProtocol.TCP) return (this.types & tcp) !== 0;
    return protocol === IpProtocol.UDP && (this.types & udp) !== 0;
  }

  /** Each bit that is set adds the 32 bits of the key that begin at its place. */
  #add(frame: Uint8Array, at: number, length: number): void {
    for (let i = 0; i < length; i++) {
      const byte = frame[at + i]!;
      for (let mask = 0x80; mask !== 0; mask >>= 1, this.#bit++)
        if ((byte & mask) !== 0) this.#hash ^= this.#window();
    }
  }

  /** 32 bits of the key from the current one on. */
  #window(): number {
    const at = this.#bit >> 3;
    const shift = this.#bit & 7;
    const key = this.#key;
    const word = (key[at]! << 24) | (key[at + 1]! << 16) | (key[at + 2]! << 8) | key[at + 3]!;
    if (shift === 0) return word;
    return (word << shift) | ((key[at + 4] ?? 0) >> (8 - shift));
  }
}
