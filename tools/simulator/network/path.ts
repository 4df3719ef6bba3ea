// SPDX-License-Identifier: GPL-2.0-or-later

/** What may lie between a server and the switch: a trunk with tags, a path with a smaller MTU. */

import { EtherType, IPV4_MORE_FRAGMENTS, VlanTag } from '../../../src/net/protocol.ts';
import { foldSum, sumWords } from './checksum.ts';
import type { NetworkContext } from './context.ts';
import type { Frame } from './frame.ts';
import { choice, whole } from './options.ts';
import { ETH, IP, IP_MTU } from './protocol.ts';
import type { SwitchEntry, SwitchPort } from './switch.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Largest VLAN: 4095 is reserved (802.1Q). */
export const VLAN_MAX = 4094;

/** Priority of a priority tag, in the upper bits (802.1Q: "critical applications"). */
export const PRIORITY_TAG = 3 << 13;

/** Smallest MTU of a path (RFC 791, 3.2). */
const PATH_MTU_MIN = 68;

/** A path to the servers that carries less than Ethernet: a tunnel. */
export interface PathOptions {
  /** Longest IPv4 packet, in bytes. */
  readonly mtu: number;
  /** What becomes of a longer one from a server: fragments, these the last first, or nothing. */
  readonly fragments?: 'in-order' | 'reversed' | 'dropped';
}

/** @throws NetworkOptionError */
export function planPath(options: PathOptions): Required<PathOptions> {
  return {
    mtu: whole('path.mtu', options.mtu, IP_MTU, PATH_MTU_MIN, IP_MTU),
    fragments: choice('path.fragments', options.fragments, 'in-order', [
      'in-order',
      'reversed',
      'dropped',
    ]),
  };
}

/** A port of a VLAN: what its host sends gets a tag. What comes to the host has none. */
export class Trunk implements SwitchEntry {
  readonly #to: SwitchEntry;
  readonly #control: number;

  /** `control`: priority in the upper three bits, VLAN in the lower twelve. */
  constructor(to: SwitchEntry, control: number) {
    this.#to = to;
    this.#control = control;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#to);
  }

  attach(port: SwitchPort): void {
    this.#to.attach(port);
  }

  input(frame: Frame, from: SwitchPort): void {
    const { bytes, view, length } = frame;
    bytes.copyWithin(ETH.type + VlanTag.size, ETH.type, length);
    view.setUint16(ETH.type, EtherType.VLAN);
    view.setUint16(ETH.type + VlanTag.at.control, this.#control);
    frame.length = length + VlanTag.size;
    this.#to.input(frame, from);
  }
}

/** The path from a host to the switch. What comes to the host is short enough. */
export class Path implements SwitchEntry {
  readonly #context: NetworkContext;
  readonly #to: SwitchEntry;
  readonly #plan: Required<PathOptions>;

  constructor(context: NetworkContext, to: SwitchEntry, plan: Required<PathOptions>) {
    this.#context = context;
    this.#to = to;
    this.#plan = plan;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#context, this.#to);
  }

  attach(port: SwitchPort): void {
    this.#to.attach(port);
  }

  input(frame: Frame, from: SwitchPort): void {
    const { mtu, fragments } = this.#plan;
    const { view } = frame;
    const isIp = view.getUint16(ETH.type) === EtherType.IPV4;
    const total = isIp ? view.getUint16(IP.totalLength) : 0;
    if (total <= mtu) {
      this.#to.input(frame, from);
      return;
    }
    if (fragments === 'dropped') {
      this.#context.drop('path-mtu', frame);
      return;
    }

    // As many bytes in each as there is room for, a multiple of eight
    const step = Math.floor((mtu - 20) / 8) * 8;
    const parts: Frame[] = [];
    for (let at = 0; at < total - 20; at += step) {
      const part = this.#fragment(frame, at, Math.min(step, total - 20 - at), total - 20);
      if (part !== undefined) parts.push(part);
    }
    this.#context.pool.give(frame);
    if (fragments === 'reversed') parts.reverse();
    for (const part of parts) this.#to.input(part, from);
  }

  /** `length` bytes at `at` of the `all` bytes behind the header. */
  #fragment(frame: Frame, at: number, length: number, all: number): Frame | undefined {
    const part = this.#context.pool.take();
    if (part === undefined) {
      this.#context.count('no-frame');
      return undefined;
    }
    const { bytes, view, words } = part;
    bytes.set(frame.bytes.subarray(0, IP.end));
    bytes.set(frame.bytes.subarray(IP.end + at, IP.end + at + length), IP.end);
    view.setUint16(IP.totalLength, 20 + length);
    view.setUint16(IP.fragment, (at + length < all ? IPV4_MORE_FRAGMENTS : 0) | (at / 8));
    view.setUint16(IP.checksum, 0);
    words[IP.checksum >> 1] = ~foldSum(sumWords(words, ETH.end, 20)) & 0xffff;
    part.length = IP.end + length;
    return part;
  }
}
