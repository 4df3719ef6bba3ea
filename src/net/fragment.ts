// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Reassembly of IPv4 datagrams from fragments in any order (RFC 791, 3.2; iPXE takes them in order
 * only). Fragments that overlap are nobody's but an attacker's: their datagram is given up, as
 * Linux does it and RFC 5722 asks for IPv6. Whole datagrams never come here.
 */

import { get16, get32, matches } from './bytes.ts';
import type { DropReason } from './drops.ts';
import { headerLength } from './ipv4.ts';
import { IPV4_FRAGMENT_MASK, IPV4_MORE_FRAGMENTS, Ipv4Header } from './protocol.ts';
import { TICKS_PER_MS } from '../time.ts';

/** Datagrams in the making, the fragments of one, and its longest payload in bytes. */
export const FRAGMENTED_MAX = 4;
export const FRAGMENTS_MAX = 64;
export const REASSEMBLED_MAX = 65535 - Ipv4Header.size;

/** How long the fragments of a datagram are waited for (RFC 791, 3.2). */
export const FRAGMENT_TIMEOUT_MS = 15_000;

/** A datagram in the making. */
interface Datagram {
  /** What its fragments have in common. */
  readonly key: string;
  /** When it is given up, in ticks. */
  readonly until: number;
  /** Its fragments: where each begins, and its bytes. None overlaps another. */
  readonly parts: Map<number, Uint8Array>;
  /** Bytes that are there, and that it has: known with the last fragment. */
  received: number;
  length: number;
}

export class Reassembler {
  /** The newest first. */
  #datagrams: Datagram[] = [];
  /** Datagrams of which fragments are missing: those in the making, and those given up. */
  incomplete = 0;

  /**
   * Take the fragment at `ip`, whose header has been checked, at the time `now` in ticks. Returns
   * the whole datagram behind a header of 20 bytes, nothing yet, or why the fragment is of no use.
   */
  take(buffer: Uint8Array, ip: number, now: number): Uint8Array | DropReason | undefined {
    const { at } = Ipv4Header;
    const field = get16(buffer, ip + at.fragment) & IPV4_FRAGMENT_MASK;
    const isLast = field < IPV4_MORE_FRAGMENTS;
    const from = ip + headerLength(buffer, ip);
    const bytes = buffer.slice(from, ip + get16(buffer, ip + at.totalLength));
    const begin = (field % IPV4_MORE_FRAGMENTS) * 8;
    const end = begin + bytes.length;
    if (begin === end || end > REASSEMBLED_MAX || (!isLast && end % 8 !== 0)) return 'ipFragment';

    // Find its datagram, or begin one: the oldest makes room
    const key = [
      get16(buffer, ip + at.identification),
      buffer[ip + at.protocol],
      get32(buffer, ip + at.source),
      get32(buffer, ip + at.destination),
    ].join();
    let datagram = this.#datagrams.find((known) => known.key === key && now < known.until);
    if (datagram === undefined) {
      const until = now + FRAGMENT_TIMEOUT_MS * TICKS_PER_MS;
      datagram = { key, until, parts: new Map(), received: 0, length: Infinity };
      this.#datagrams.unshift(datagram);
      this.#datagrams.splice(FRAGMENTED_MAX);
      this.incomplete++;
    }

    // The same again does no harm. Anything else that does not fit to the others spoils them
    const { parts, length } = datagram;
    const same = parts.get(begin);
    if (same?.length === bytes.length && matches(bytes, 0, same)) return 'ipFragment';
    let fits = end <= length && (!isLast || length === Infinity) && parts.size < FRAGMENTS_MAX;
    for (const [other, part] of parts)
      if (other < end ? begin < other + part.length : isLast) fits = false;
    if (fits) {
      parts.set(begin, bytes);
      datagram.received += bytes.length;
      if (isLast) datagram.length = end;
      if (datagram.received !== datagram.length) return undefined;
    }

    // Put it together, if it is whole
    this.#datagrams = this.#datagrams.filter((other) => other !== datagram);
    if (!fits) return 'ipFragment';
    this.incomplete--;
    const whole = new Uint8Array(Ipv4Header.size + datagram.length);
    whole.set(buffer.subarray(ip, ip + Ipv4Header.size));
    for (const [other, part] of parts) whole.set(part, Ipv4Header.size + other);
    return whole;
  }
}
