// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Reassembly of IPv4 datagrams from fragments in any order (RFC 791, 3.2; iPXE takes them in order
 * only). Fragments that overlap are nobody's but an attacker's: their datagram is given up, as by
 * Linux, and as RFC 5722 asks for with IPv6. Whole datagrams never come here.
 */

import { get16, get32 } from './bytes.ts';
import type { DropCounters, DropReason } from './drops.ts';
import { headerLength } from './ipv4.ts';
import type { FragmentTaker } from './part.ts';
import { IPV4_FRAGMENT_MASK, IPV4_MORE_FRAGMENTS, Ipv4Header } from './protocol.ts';
import { TICKS_PER_MS } from '../time.ts';

/** Datagrams that are remembered, the fragments of one, and its longest length in bytes. */
export const FRAGMENTED_MAX = 8;
export const FRAGMENTS_MAX = 64;
export const DATAGRAM_MAX = 65535;

/** How long the fragments of a datagram are waited for (RFC 791, 3.2). */
export const FRAGMENT_TIMEOUT_MS = 15_000;

/** A datagram in the making. */
interface Datagram {
  /** What its fragments have in common. */
  readonly key: string;
  /** Until when it is waited for, in ticks. 0: no longer. */
  until: number;
  /** Where its fragments begin and end, in `bytes`. */
  readonly parts: Map<number, number>;
  readonly bytes: Uint8Array;
  /** Where it ends, once the last fragment has come. */
  end: number;
}

export class Reassembler implements FragmentTaker {
  /** The newest first. */
  readonly #datagrams: Datagram[] = [];

  /** Counted are datagrams of which fragments are missing: those in the making, and given up. */
  take(
    buffer: Uint8Array,
    ip: number,
    now: number,
    drops: DropCounters,
  ): Uint8Array | DropReason | undefined {
    const field = get16(buffer, ip + Ipv4Header.at.fragment) & IPV4_FRAGMENT_MASK;
    const isLast = field < IPV4_MORE_FRAGMENTS;
    const data = buffer.subarray(
      ip + headerLength(buffer, ip),
      ip + get16(buffer, ip + Ipv4Header.at.totalLength),
    );
    const begin = Ipv4Header.size + (field % IPV4_MORE_FRAGMENTS) * 8;
    const end = begin + data.length;
    if (begin === end || end > DATAGRAM_MAX || (!isLast && data.length % 8 !== 0))
      return 'ipFragment';

    // Find its datagram, or begin one: the oldest makes room
    const key = [
      get16(buffer, ip + Ipv4Header.at.identification),
      buffer[ip + Ipv4Header.at.protocol],
      get32(buffer, ip + Ipv4Header.at.source),
      get32(buffer, ip + Ipv4Header.at.destination),
    ].join();
    let datagram = this.#datagrams.find((known) => known.key === key && now < known.until);
    if (datagram === undefined) {
      const until = now + FRAGMENT_TIMEOUT_MS * TICKS_PER_MS;
      const bytes = new Uint8Array(DATAGRAM_MAX);
      datagram = { key, until, parts: new Map(), bytes, end: Infinity };
      this.#datagrams.unshift(datagram);
      this.#datagrams.splice(FRAGMENTED_MAX);
      drops.ipIncomplete = (drops.ipIncomplete ?? 0) + 1;
    }

    // The same again does no harm. What does not fit to the others spoils them
    const { parts, bytes } = datagram;
    if (parts.get(begin) === end) return 'ipFragment';
    let fits = end <= datagram.end && parts.size < FRAGMENTS_MAX;
    let received = Ipv4Header.size + data.length;
    for (const [from, to] of parts) {
      if (from < end ? begin < to : isLast) fits = false;
      received += to - from;
    }
    if (!fits) {
      datagram.until = 0;
      return 'ipFragment';
    }

    // Put it in its place
    parts.set(begin, end);
    bytes.set(data, begin);
    if (isLast) datagram.end = end;
    if (received !== datagram.end) return undefined;

    // It is whole
    datagram.until = 0;
    drops.ipIncomplete!--;
    bytes.set(buffer.subarray(ip, ip + Ipv4Header.size));
    return bytes.subarray(0, received);
  }
}
