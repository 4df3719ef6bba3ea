// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A link that stands for what a firmware lacks: what it would not take, or would not send, does not
 * get through, or gets through changed.
 */

import { EtherType, Ipv4Header, UdpHeader, VlanTag } from '../../src/net/protocol.ts';
import type { Link, LinkHost } from '../simulator/network/link.ts';

/** Where a frame goes: to the guest, or from it. */
export type Direction = 'in' | 'out';

/** Returns the frame that goes on, or undefined if none does. May change it. */
export type FrameFilter = (frame: Uint8Array, direction: Direction) => Uint8Array | undefined;

export class LossyLink implements Link {
  readonly #inner: Link;
  readonly #filter: FrameFilter;
  /** Frames that did not get through. */
  #stopped = 0;

  constructor(inner: Link, filter: FrameFilter) {
    this.#inner = inner;
    this.#filter = filter;
  }

  get harmed(): number {
    return this.#stopped + (this.#inner.harmed ?? 0);
  }

  connect(host: LinkHost): void {
    const { clock, random, nic, address } = host;
    const setLinkState = (up: boolean): void => host.setLinkState(up);
    const deliver = (frame: Uint8Array): void => {
      const passed = this.#filter(frame.slice(), 'in');
      if (passed === undefined) this.#stopped++;
      else host.deliver(passed);
    };
    this.#inner.connect({ clock, random, nic, address, setLinkState, deliver });
  }

  transmit(frame: Uint8Array): void {
    const passed = this.#filter(frame.slice(), 'out');
    if (passed === undefined) this.#stopped++;
    else this.#inner.transmit(passed);
  }
}

/** Lengths of headers, and where fields lie. */
const TYPE = 12;
const IP = 14;
const UDP = IP + Ipv4Header.size;
const PAYLOAD = UDP + UdpHeader.size;

/** A UDP datagram in an untagged frame. */
export interface UdpFrame {
  readonly frame: Uint8Array;
  readonly source: string;
  readonly sourcePort: number;
  readonly port: number;
  readonly payload: Uint8Array;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** What a frame carries, if it is UDP without tag and options. */
export function udpOf(frame: Uint8Array): UdpFrame | undefined {
  const isUdp = word(frame, TYPE) === EtherType.IPV4 && frame[IP] === 0x45 && frame[IP + 9] === 17;
  if (!isUdp) return undefined;
  const source = Array.from(frame.subarray(IP + 12, IP + 16)).join('.');
  const [sourcePort, port] = [word(frame, UDP), word(frame, UDP + 2)];
  const payload = frame.subarray(PAYLOAD, IP + word(frame, IP + Ipv4Header.at.totalLength));
  return { frame, source, sourcePort, port, payload };
}

/** Whether a frame is a fragment of an IPv4 packet. */
export function isFragment(frame: Uint8Array): boolean {
  return word(frame, TYPE) === EtherType.IPV4 && (word(frame, IP + 6) & 0x3fff) !== 0;
}

/** Whether a frame has a tag. */
export function isTagged(frame: Uint8Array): boolean {
  return word(frame, TYPE) === EtherType.VLAN;
}

/** The same frame without its tag. */
export function untagged(frame: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from([
    ...frame.subarray(0, TYPE),
    ...frame.subarray(TYPE + VlanTag.size),
  ]);
  return bytes;
}

/** A datagram whose payload was changed: its checksum says nothing any more. */
export function rewritten({ frame }: UdpFrame): Uint8Array {
  frame.fill(0, UDP + UdpHeader.at.checksum, UDP + UdpHeader.at.checksum + 2);
  return frame;
}

/** An option of a DHCP message, where it stands, or -1. */
export function dhcpOptionAt(payload: Uint8Array, code: number): number {
  for (let at = 240; at < payload.length && payload[at] !== 255;) {
    if (payload[at] === code) return at;
    at += payload[at] === 0 ? 1 : 2 + payload[at + 1]!;
  }
  return -1;
}
