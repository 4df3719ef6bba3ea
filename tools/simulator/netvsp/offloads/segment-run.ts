// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Receive segment coalescing (NVSP 6.1; Linux `rndis_filter_receive_data`, `rsc_add_data`):
 * segments of one TCP flow that follow each other become one packet that lies in several ranges.
 * The first range has the headers, with the length of the whole; the others have data alone.
 */

import { IpProtocol } from '../../../../src/net/protocol.ts';
import {
  ETHERNET_SIZE,
  ipChecksumIsRight,
  ipFrame,
  putIpChecksum,
  putWord,
  transportChecksumIsRight,
  word,
  type IpFrame,
} from './ip-frame.ts';
import { NO_TAG } from './vlan.ts';
import type { Keeper } from '../../base/snapshot.ts';

/** Most segments in one packet, and the longest IP packet. */
export const RUN_MAX = 16;
const IP_LENGTH_MAX = 0xffff;

/** TCP: what is looked at. */
const SEQUENCE_AT = 4;
const OFFSET_AT = 12;
const FLAGS_AT = 13;
const FLAG_PUSH = 0x08;
const FLAG_ACK = 0x10;

/** A segment that may be one of several. */
interface Segment {
  readonly ip: IpFrame;
  readonly dataAt: number;
  readonly sequence: number;
}

/** Segments that wait to be sent as one packet, each with the section that it was given. */
export class SegmentRun {
  readonly #coalesces: (version: 4 | 6) => boolean;
  readonly frames: Uint8Array[] = [];
  readonly sections: number[] = [];
  tag = NO_TAG;
  /** The first segment; undefined if what waits is not one. */
  #first: Segment | undefined;
  #nextSequence = 0;
  #dataLength = 0;
  #ended = false;

  /** `coalesces` says for which IP versions. */
  constructor(coalesces: (version: 4 | 6) => boolean) {
    this.#coalesces = coalesces;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.tag, this.#first], (v) => ([this.tag, this.#first] = v));
    keeper.put([this.#nextSequence], (v) => ([this.#nextSequence] = v));
    keeper.put([this.#dataLength, this.#ended], (v) => ([this.#dataLength, this.#ended] = v));
    keeper.keep(this.frames, this.sections);
  }

  get length(): number {
    return this.frames.length;
  }

  /** Add an untagged frame if it belongs to what waits, or if nothing does. False if not. */
  add(section: number, frame: Uint8Array, tag: number): boolean {
    const segment = this.#segment(frame);
    const empty = this.frames.length === 0;
    if (!empty && (segment === undefined || !this.#continues(segment, frame, tag))) return false;
    if (empty) {
      this.#first = segment;
      this.tag = tag;
      this.#dataLength = 0;
    }
    this.frames.push(frame.slice());
    this.sections.push(section);
    if (segment === undefined) return true;
    const length = segment.ip.end - segment.dataAt;
    this.#dataLength += length;
    this.#nextSequence = (segment.sequence + length) >>> 0;
    this.#ended = (frame[segment.ip.transportAt + FLAGS_AT]! & FLAG_PUSH) !== 0;
    return true;
  }

  /** What lies in each range: the frame alone, or headers and data of the whole in pieces. */
  pieces(): Uint8Array[] {
    const first = this.#first;
    if (first === undefined || this.frames.length === 1) return [...this.frames];
    const { ip, dataAt } = first;
    const head = this.frames[0]!.slice(0, ip.end);
    const last = this.frames[this.frames.length - 1]!;
    const length = dataAt - ip.transportAt + this.#dataLength;
    if (ip.version === 4) {
      putWord(head, ETHERNET_SIZE + 2, ip.transportAt - ETHERNET_SIZE + length);
      putIpChecksum(head, ip);
    } else putWord(head, ETHERNET_SIZE + 4, length);
    head[ip.transportAt + FLAGS_AT] = last[ip.transportAt + FLAGS_AT]!;
    const rest = this.frames.slice(1).map((frame) => frame.slice(dataAt, ipFrame(frame)!.end));
    return [head, ...rest];
  }

  /** Nothing waits any more. */
  clear(): void {
    this.frames.length = 0;
    this.sections.length = 0;
    this.#first = undefined;
    this.#ended = false;
  }

  /** The segment in a frame: data and ACK, nothing unusual, with right checksums. */
  #segment(frame: Uint8Array): Segment | undefined {
    const ip = ipFrame(frame);
    if (ip?.protocol !== IpProtocol.TCP || !this.#coalesces(ip.version)) return undefined;
    const { transportAt, end } = ip;
    const dataAt = transportAt + (frame[transportAt + OFFSET_AT]! >> 4) * 4;
    if (dataAt < transportAt + 20 || dataAt >= end) return undefined;
    if ((frame[transportAt + FLAGS_AT]! & ~FLAG_PUSH) !== FLAG_ACK) return undefined;
    if (ip.version === 4 && !ipChecksumIsRight(frame, ip)) return undefined;
    if (transportChecksumIsRight(frame, ip) !== true) return undefined;
    const high = word(frame, transportAt + SEQUENCE_AT) * 0x10000;
    return { ip, dataAt, sequence: high + word(frame, transportAt + SEQUENCE_AT + 2) };
  }

  /** The next segment of the same flow, with the same headers but for what must differ. */
  #continues(segment: Segment, frame: Uint8Array, tag: number): boolean {
    const first = this.#first;
    if (first === undefined || this.#ended || this.frames.length >= RUN_MAX) return false;
    if (tag !== this.tag || segment.sequence !== this.#nextSequence) return false;
    if (segment.dataAt !== first.dataAt || segment.ip.version !== first.ip.version) return false;
    const whole = segment.ip.end - ETHERNET_SIZE + this.#dataLength;
    return whole <= IP_LENGTH_MAX && sameHeaders(this.frames[0]!, frame, first);
  }
}

/** Addresses, class, ports, acknowledgement, window and options are the same. */
function sameHeaders(one: Uint8Array, other: Uint8Array, { ip, dataAt }: Segment): boolean {
  const four = ip.version === 4;
  const skipped = (at: number) => {
    const inIp = at - ETHERNET_SIZE;
    const inTcp = at - ip.transportAt;
    // Length, identification and checksum of IPv4; length of IPv6; sequence, flags, checksum
    if (inIp >= 0 && inTcp < 0)
      return four
        ? (inIp >= 2 && inIp < 6) || inIp === 10 || inIp === 11
        : inIp === 4 || inIp === 5;
    return (inTcp >= 4 && inTcp < 8) || inTcp === 13 || inTcp === 16 || inTcp === 17;
  };
  for (let at = 0; at < dataAt; at++) if (!skipped(at) && one[at] !== other[at]) return false;
  return true;
}
