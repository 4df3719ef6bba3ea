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
  /** When it is given up, in ticks. */
  readonly until: number;
  /** Its fragments: where each begins, and its bytes. None overlaps another. */
  readonly parts: Map<number, Uint8Array>;
  /** Length of the payload, Infinity before the last fragment has come; and what is there of it. */
  length: number;
  received: number;
}

export class Reassembler {
  /** By what its fragments have in common. The oldest first. */
  readonly #datagrams = new Map<string, Datagram>();
  /** Datagrams of which fragments are missing: those in the making, and those given up. */
  incomplete = 0;

  /**
   * Take the fragment at `ip`, whose header has been checked, at the time `now` in ticks. Returns
   * the whole datagram behind a header of 20 bytes, nothing yet, or why the fragment is of no use.
   */
  take(buffer: Uint8Array, ip: number, now: number): Uint8Array | DropReason | undefined {
    const field = get16(buffer, ip + Ipv4Header.at.fragment) & IPV4_FRAGMENT_MASK;
    const more = field >= IPV4_MORE_FRAGMENTS;
    const begin = (field % IPV4_MORE_FRAGMENTS) * 8;
    const header = headerLength(buffer, ip);
    const size = get16(buffer, ip + Ipv4Header.at.totalLength) - header;
    const end = begin + size;
    if (size === 0 || (more && size % 8 !== 0) || end > REASSEMBLED_MAX) return 'ipFragment';

    // Find its datagram. A new one takes the place of those that are too old, or of the oldest
    const { source, destination, identification, protocol } = Ipv4Header.at;
    const addresses = [get32(buffer, ip + source), get32(buffer, ip + destination)];
    const key = [...addresses, get16(buffer, ip + identification), buffer[ip + protocol]].join();
    for (const [old, { until }] of this.#datagrams)
      if (until <= now || (this.#datagrams.size === FRAGMENTED_MAX && !this.#datagrams.has(key)))
        this.#datagrams.delete(old);
    let datagram = this.#datagrams.get(key);
    if (datagram === undefined) {
      const until = now + FRAGMENT_TIMEOUT_MS * TICKS_PER_MS;
      datagram = { until, parts: new Map(), length: Infinity, received: 0 };
      this.#datagrams.set(key, datagram);
      this.incomplete++;
    }

    // The same again does no harm
    const { parts } = datagram;
    const bytes = buffer.slice(ip + header, ip + header + size);
    const same = parts.get(begin);
    if (same?.length === size && matches(same, 0, bytes)) return 'ipFragment';

    // Anything else that does not fit to the others spoils all
    let fits = end <= datagram.length && parts.size < FRAGMENTS_MAX;
    for (const [at, part] of parts)
      if ((begin < at + part.length && at < end) || (!more && at > begin)) fits = false;
    if (!fits || (!more && datagram.length !== Infinity)) {
      this.#datagrams.delete(key);
      return 'ipFragment';
    }
    parts.set(begin, bytes);
    datagram.received += size;
    if (!more) datagram.length = end;
    if (datagram.received !== datagram.length) return undefined;

    // Put it together
    this.#datagrams.delete(key);
    this.incomplete--;
    const whole = new Uint8Array(Ipv4Header.size + datagram.length);
    whole.set(buffer.subarray(ip, ip + Ipv4Header.size));
    for (const [at, part] of parts) whole.set(part, Ipv4Header.size + at);
    return whole;
  }
}
