// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The host's ledger: everything of the guest's memory that the host may touch, because the guest
 * said so. Each host access to guest memory, whatever device makes it, goes through a grant; the
 * audit reads this ledger and not the firmware's.
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../../../src/machine.ts';
import type { GuestRam } from '../base/guest-ram.ts';
import { PageCounts } from '../base/page-counts.ts';
import { Stack } from '../base/stack.ts';
import type { Keeper } from '../base/snapshot.ts';

/** What kind of sharing a grant is. The audit's items are by kind. */
export type GrantKind =
  | 'hypercall-page'
  | 'message-page'
  | 'event-page'
  | 'reference-tsc-page'
  | 'vp-assist-page'
  | 'interrupt-page'
  | 'monitor-page'
  | 'gpadl'
  | 'packet';

/** A piece of guest memory that the host may touch until it is revoked. */
export interface Grant {
  /** Running number in the order of granting. */
  readonly id: number;
  readonly kind: GrantKind;
  /** What it is for, in words: `message page of VP 0`, `receive buffer (GPADL 0x18ae0001)`. */
  purpose: string;
  /** Whether the host writes, or only reads. */
  readonly access: 'read' | 'write';
  /** Page numbers in order; they need not be contiguous. */
  readonly pfns: readonly number[];
  /** Offset of the first byte in the first page, and length in bytes. */
  readonly offset: number;
  readonly length: number;
  /** When it was granted, in ticks, and by what. */
  readonly grantedAt: number;
  readonly grantedBy: string;
  /** What would have revoked it, in words. */
  readonly revokedWith: string;
  /** When it was revoked, and by what; undefined while it lives. */
  revokedAt: number | undefined;
  revokedBy: string | undefined;
  /** Virtual processor or channel or GPADL that it belongs to, where there is one. */
  readonly vp?: number;
  readonly channel?: number;
  readonly gpadl?: number;
  /** Of the rings of an open channel: pages of the first one, which the guest writes to. */
  outPages?: number;
}

/** What a new grant needs; see {@link Grant}. */
export type GrantRequest = Pick<
  Grant,
  'kind' | 'purpose' | 'access' | 'pfns' | 'offset' | 'length' | 'grantedBy' | 'revokedWith'
> & { readonly vp?: number; readonly channel?: number; readonly gpadl?: number };

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

/** A reader of the ledger's changes. */
export type GrantListener = (change: 'grant' | 'revoke', grant: Grant) => void;

/**
 * What a grant for a packet in flight needs. The ledger copies it: one request can serve for all
 * packets of a device. Packets are only read.
 */
export interface PacketRequest {
  purpose: string;
  /** Page numbers; the first `pfnCount` of them count. */
  readonly pfns: number[];
  pfnCount: number;
  offset: number;
  length: number;
  grantedBy: string;
  revokedWith: string;
  channel: number;
}

/** A grant for a packet in flight, as the ledger itself sees it: it is used again and again. */
interface PacketGrant {
  id: number;
  readonly kind: 'packet';
  purpose: string;
  readonly access: 'read';
  pfns: number[];
  offset: number;
  length: number;
  grantedAt: number;
  grantedBy: string;
  revokedWith: string;
  revokedAt: number | undefined;
  revokedBy: string | undefined;
  channel: number;
  /** Where it stands among the packets in flight; -1 while it is not. */
  index: number;
}

/** Most grants that are kept for later packets. */
const PACKET_POOL_MAX = 256;

export class GrantLedger {
  /** Grants that live, and all of the last owners ({@link forget}): of packets those in flight. */
  readonly #live = new Map<number, Grant>();
  #history: Grant[] = [];
  /** Where in it those begin that were granted since the last reset. */
  #lastOwners = 0;
  /** By page of RAM: how many grants of {@link #live} it lies in. */
  readonly #covered: PageCounts;
  /** When a page was granted last that another grant had already, in ticks. */
  #sharedAgainAt = -1;
  readonly #ram: GuestRam;
  readonly #now: () => number;
  #next = 1;
  /** Packets in flight, in no order (behind the count: old ones), and grants for the next ones. */
  readonly #packets: PacketGrant[] = [];
  #packetCount = 0;
  readonly #pool = new Stack<PacketGrant>();
  listener: GrantListener | undefined;
  /** Told of a grant whose purpose has become known: what the host may touch is as before. */
  entitled: ((grant: Grant) => void) | undefined;
  /**
   * Whether the listener wants packets in flight now (unset: always). While it does, each packet
   * has a grant of its own; else grants are used again, and the listener is not called for them.
   */
  packetsWanted: (() => boolean) | undefined;

  constructor(ram: GuestRam, now: () => number) {
    this.#ram = ram;
    this.#now = now;
    this.#covered = new PageCounts(Math.ceil(ram.size / PAGE_SIZE));
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#history, this.#lastOwners], (v) => ([this.#history, this.#lastOwners] = v));
    keeper.put([this.#sharedAgainAt, this.#next], (v) => ([this.#sharedAgainAt, this.#next] = v));
    keeper.put([this.#packetCount, this.listener], (v) => ([this.#packetCount, this.listener] = v));
    keeper.put([this.entitled], (v) => ([this.entitled] = v));
    keeper.put([this.packetsWanted], (v) => ([this.packetsWanted] = v));
    keeper.keep(this.#live, this.#covered, this.#ram, this.#packets, this.#pool);
  }

  /** Enter a grant. */
  grant(request: GrantRequest): Grant {
    const { kind, purpose, access, pfns, offset, length, grantedBy, revokedWith } = request;
    // Written out: of a spread the engine makes a new shape for each grant
    const fields = { kind, purpose, access, pfns, offset, length, grantedBy, revokedWith };
    const grant = fields as Writable<Grant>;
    if (request.vp !== undefined) grant.vp = request.vp;
    if (request.channel !== undefined) grant.channel = request.channel;
    if (request.gpadl !== undefined) grant.gpadl = request.gpadl;
    grant.id = this.#next++;
    grant.grantedAt = this.#now();
    grant.revokedAt = undefined;
    grant.revokedBy = undefined;
    this.#live.set(grant.id, grant);
    this.#cover(grant);
    if (grant.kind !== 'packet') this.#history.push(grant);
    this.listener?.('grant', grant);
    return grant;
  }

  /**
   * Enter a grant for a packet in flight, to be read only. Makes no object in steady state unless
   * the listener wants packets. The grant is not to be touched after {@link revokePacket}.
   */
  grantPacket(request: PacketRequest): Grant {
    const wanted = this.#packetsWanted();
    const grant = (wanted ? undefined : this.#pool.pop()) ?? blankPacket();
    grant.id = this.#next++;
    grant.purpose = request.purpose;
    if (grant.pfns.length > request.pfnCount) grant.pfns.length = request.pfnCount;
    for (let i = 0; i < request.pfnCount; i++) grant.pfns[i] = request.pfns[i]!;
    grant.offset = request.offset;
    grant.length = request.length;
    grant.grantedAt = this.#now();
    grant.grantedBy = request.grantedBy;
    grant.revokedWith = request.revokedWith;
    grant.revokedAt = undefined;
    grant.revokedBy = undefined;
    grant.channel = request.channel;
    grant.index = this.#packetCount;
    this.#packets[this.#packetCount++] = grant;
    if (wanted) this.listener?.('grant', grant);
    return grant;
  }

  /** Strike the grant of a packet out. Twice is a mistake in the simulator. */
  revokePacket(grant: Grant, by: string): void {
    const packet = grant as PacketGrant;
    const last = this.#packets[this.#packetCount - 1];
    if (last === undefined || this.#packets[packet.index] !== packet)
      throw new Error(`grant ${grant.id} is not alive`);

    // Close the gap with the last one: order does not matter here
    this.#packets[packet.index] = last;
    last.index = packet.index;
    this.#packetCount--;
    packet.index = -1;
    packet.revokedAt = this.#now();
    packet.revokedBy = by;

    // A reader may keep the grant that it was shown: never fill that one again
    if (this.#packetsWanted()) this.listener?.('revoke', grant);
    else if (this.#pool.size < PACKET_POOL_MAX) this.#pool.push(packet);
  }

  /** Strike a grant out. Twice is a mistake in the simulator. */
  revoke(grant: Grant, by: string): void {
    if (!this.#live.delete(grant.id)) throw new Error(`grant ${grant.id} is not alive`);
    this.#uncover(grant);
    grant.revokedAt = this.#now();
    grant.revokedBy = by;
    this.listener?.('revoke', grant);
  }

  /** What a grant is for has become known; of rings also how many pages the first one has. */
  entitle(grant: Grant, purpose: string, outPages?: number): void {
    grant.purpose = purpose;
    if (outPages !== undefined) grant.outPages = outPages;
    this.entitled?.(grant);
  }

  /** The grants that live, in order of granting. */
  live(): Grant[] {
    const packets = this.#packets.slice(0, this.#packetCount);
    const grants = [...this.#live.values(), ...packets];
    return grants.sort((a, b) => a.id - b.id);
  }

  /** Those of them that have one of the pages from `first` up to, and without, `end`. */
  liveAt(first: number, end: number): readonly Grant[] {
    return this.#isLive(first, end) ? this.live().filter((one) => hasPage(one, first, end)) : NONE;
  }

  /**
   * Whether a page may have been granted after `at` that another grant had at that moment (packets
   * in flight aside): who looks for such pages need not begin if not.
   */
  mayShareTwice(at: number): boolean {
    return this.#sharedAgainAt > at;
  }

  /**
   * The machine is reset. Forget the grants that were over at the reset before: those of the last
   * owner may still be told of, but a machine that is reset in a loop would keep, and be asked for,
   * all that there ever were.
   */
  forget(): void {
    const lives = (grant: Grant, at: number): boolean =>
      at >= this.#lastOwners || grant.revokedAt === undefined;
    this.#history = this.#history.filter(lives);
    this.#lastOwners = this.#history.length;
  }

  /**
   * All grants but packets since the reset before the last, revoked or not, in order of granting:
   * those later than `at`.
   */
  history(at = -1): readonly Grant[] {
    const history = this.#history;
    let first = history.length;
    while (first > 0 && history[first - 1]!.grantedAt > at) first--;
    return first === 0 ? history : history.slice(first);
  }

  /**
   * Write to granted memory, as a host device does.
   *
   * @throws Error if the grant is revoked, read-only or too short: a mistake in the simulator,
   * which must never write where the guest did not allow it.
   */
  write(grant: Grant, at: number, bytes: Uint8Array, from = 0, length = bytes.length): void {
    this.#check(grant, at, length);
    if (grant.access !== 'write')
      throw new Error(`grant ${grant.id} (${grant.purpose}) is read-only`);
    let done = 0;
    while (done < length) {
      const run = this.#run(grant, at + done, length - done);
      const address = this.address(grant, at + done);
      this.#ram.write(address, bytes, from + done, run);
      done += run;
    }
  }

  /** Copy granted memory out. @throws Error as {@link write}. */
  read(grant: Grant, at: number, into: Uint8Array, to = 0, length = into.length): void {
    this.#check(grant, at, length);
    let done = 0;
    while (done < length) {
      const run = this.#run(grant, at + done, length - done);
      const address = this.address(grant, at + done);
      this.#ram.read(address, into, to + done, run);
      done += run;
    }
  }

  /** Guest physical address of byte `at` of a grant. */
  address(grant: Grant, at: number): number {
    const position = grant.offset + at;
    return grant.pfns[position >>> PAGE_SHIFT]! * PAGE_SIZE + (position & (PAGE_SIZE - 1));
  }

  /** Bytes from byte `at` of a grant, at most `length`, that lie in one piece in RAM. */
  #run(grant: Grant, at: number, length: number): number {
    const position = grant.offset + at;
    let page = position >>> PAGE_SHIFT;
    let run = PAGE_SIZE - (position & (PAGE_SIZE - 1));
    while (run < length && grant.pfns[page + 1] === grant.pfns[page]! + 1) {
      run += PAGE_SIZE;
      page++;
    }
    return Math.min(run, length);
  }

  /** Count a new grant's pages. */
  #cover({ pfns, grantedAt }: Grant): void {
    const covered = this.#covered;
    // By index: an iterator makes an object for each page
    for (let i = 0; i < pfns.length; i++) {
      const pfn = pfns[i]!;
      if (pfn < covered.length && covered.add(pfn) === 0) continue;
      this.#sharedAgainAt = grantedAt;
    }
  }

  /** ... and those of one that is over. */
  #uncover({ pfns }: Grant): void {
    const covered = this.#covered;
    for (let i = 0; i < pfns.length; i++) if (pfns[i]! < covered.length) covered.take(pfns[i]!);
  }

  /** Whether a grant that lives, of whatever kind, has one of these pages. */
  #isLive(first: number, end: number): boolean {
    const covered = this.#covered;
    if (end > covered.length) return true;
    for (let page = Math.max(first, 0); page < end; page++) if (covered.of(page) > 0) return true;
    for (let i = 0; i < this.#packetCount; i++)
      if (hasPage(this.#packets[i]!, first, end)) return true;
    return false;
  }

  #packetsWanted(): boolean {
    if (this.listener === undefined) return false;
    return this.packetsWanted === undefined || this.packetsWanted();
  }

  #check(grant: Grant, at: number, length: number): void {
    if (grant.revokedAt !== undefined) {
      throw new Error(`grant ${grant.id} (${grant.purpose}) was revoked by ${grant.revokedBy}`);
    }
    if (at < 0 || length < 0 || at + length > grant.length) {
      throw new Error(`access outside grant ${grant.id} (${grant.purpose})`);
    }
  }
}

const NONE: readonly Grant[] = [];

function hasPage({ pfns }: Grant, first: number, end: number): boolean {
  for (const pfn of pfns) if (pfn >= first && pfn < end) return true;
  return false;
}

function blankPacket(): PacketGrant {
  return {
    id: 0,
    kind: 'packet',
    purpose: '',
    access: 'read',
    pfns: [],
    offset: 0,
    length: 0,
    grantedAt: 0,
    grantedBy: '',
    revokedWith: '',
    revokedAt: undefined,
    revokedBy: undefined,
    channel: 0,
    index: -1,
  };
}
