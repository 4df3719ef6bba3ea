// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * GPADLs (guest physical address descriptor lists): how the host is told of memory that it may use,
 * and how it is asked to let go (iPXE vmbus_establish_gpadl, vmbus_gpadl_teardown).
 */

import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../machine.ts';
import type { Region } from '../memory/shared-memory.ts';
import type { VmbusConnection } from './connection.ts';
import type { ControlMessage } from './control-messages.ts';
import type { RegionPart } from './ring-layout.ts';
import {
  GPADL_BODY_PFNS,
  GPADL_HEADER_PFNS,
  GpaRange,
  GpadlBody,
  GpadlCreated,
  GpadlHeader,
  GpadlTeardown,
  GpadlTorndown,
  MessageType,
} from './protocol.ts';

/** IDs count up from here (iPXE VMBUS_GPADL_MAGIC), over the life of the driver: never twice. */
export const GPADL_FIRST = 0x18ae0000;

/** Most pages of a GPADL: the length of its ranges is a 16-bit number in GPADL_HEADER. */
const GPADL_PAGES_MAX = Math.floor((0xffff - GpaRange.size) / 8);

/** Memory that the host was told of. */
export interface Gpadl {
  readonly id: number;
  readonly channel: number;
  readonly region: Region;
  /** What of it the host was told of, in whole Hyper-V pages. */
  readonly parts: readonly RegionPart[];
  /** Of a channel's rings: where packets on them point to. */
  packets: Region | undefined;
  /** A teardown was posted: the host may say at any time that it has let go. */
  asked: boolean;
}

export class GpadlTable {
  readonly #connection: VmbusConnection;
  readonly #log: Log;
  #last: number;
  /** GPADLs that the host may hold, by ID: also those whose teardown was never confirmed. */
  readonly #live = new Map<number, Gpadl>();

  constructor(connection: VmbusConnection, first = GPADL_FIRST) {
    this.#connection = connection;
    this.#log = connection.hv.log;
    this.#last = first;
  }

  /**
   * Tell the host of a region, in as many messages as its pages need.
   *
   * @param region page aligned; becomes shared, and stays so until the host has let go
   * @param parts what of it the host sees, one after the other; by default all
   * @throws HypxeError GpadlTooLarge, GpadlRefused, NoResponse, PostFailed. The region is revoked
   * if the host said no; otherwise a teardown was tried, and freeing the region keeps it reserved
   * if that failed.
   */
  establish(
    channel: number,
    region: Region,
    parts: readonly RegionPart[] = [whole(region)],
  ): Gpadl {
    const pages = pageCount(parts);
    if (pages > GPADL_PAGES_MAX) {
      const text = `${region.purpose} of ${pages} pages does not fit into a GPADL`;
      throw new HypxeError('GpadlTooLarge', text);
    }
    const id = ++this.#last;
    const gpadl: Gpadl = { id, channel, region, parts, packets: undefined, asked: false };
    const name = `GPADL ${hex(gpadl.id)}`;

    // From here on the host may write to the region
    this.#connection.hv.pages.share(region, name);
    this.#live.set(gpadl.id, gpadl);
    let posted = false;
    try {
      this.#postHeader(gpadl);
      posted = true;
      this.#postBodies(gpadl);

      // Wait for response to this GPADL, and check it
      const { status } = this.#waitCreated(gpadl);
      if (status !== 0) {
        this.#forget(gpadl, `${name} refused`);
        const text = `${name} for channel ${channel} refused with status ${hex(status)}`;
        throw new HypxeError('GpadlRefused', text);
      }
    } catch (error) {
      if (!posted) this.#forget(gpadl, `${name} was never posted`);
      else if (this.#live.has(gpadl.id)) this.teardown(gpadl);
      throw error;
    }
    const end = region.address + region.length;
    this.#log.debug('VMBUS', `${channel}`, `${name} is [${hex(region.address)},${hex(end)})`);
    return gpadl;
  }

  /**
   * Ask the host to let go of a region.
   *
   * @returns true if it confirmed. If not, the region stays shared: freeing it keeps it reserved,
   * and a late confirmation or an UNLOAD_RESPONSE still gives it back.
   */
  teardown(gpadl: Gpadl): boolean {
    if (!this.#live.has(gpadl.id)) return true;
    // Nobody to ask: whoever is contacted next has let go of it
    if (this.#connection.version === 0) return false;
    const message = this.#connection.begin(MessageType.GPADL_TEARDOWN, GpadlTeardown.size);
    message.setUint32(GpadlTeardown.at.channel, gpadl.channel, true);
    message.setUint32(GpadlTeardown.at.gpadl, gpadl.id, true);
    try {
      this.#connection.post(GpadlTeardown.size);
      gpadl.asked = true;
      // Late answers for other GPADLs are theirs (iPXE takes them for this one's and gives up)
      this.#connection.wait(
        MessageType.GPADL_TORNDOWN,
        GpadlTorndown.size,
        (reply) => reply.view.getUint32(GpadlTorndown.at.gpadl, true) === gpadl.id,
      );
    } catch (error) {
      if (!(error instanceof HypxeError)) throw error;
      const text = `GPADL ${hex(gpadl.id)} not torn down: ${error.message}`;
      this.#log.error('VMBUS', `${gpadl.channel}`, text);
      return false;
    }
    this.#forget(gpadl, 'GPADL_TORNDOWN');
    return true;
  }

  /** A GPADL_TORNDOWN that nobody waits for any more: the host has let go after all. */
  late(message: ControlMessage): void {
    if (message.length < GpadlTorndown.size) return;
    const id = message.view.getUint32(GpadlTorndown.at.gpadl, true);
    const gpadl = this.#live.get(id);
    if (gpadl === undefined) return;
    if (!gpadl.asked) {
      // It is in use: what the host says it let go of it may still have
      this.#log.error('VMBUS', `${gpadl.channel}`, `GPADL ${hex(id)} torn down unasked: ignored`);
      return;
    }
    this.#log.info('VMBUS', `${gpadl.channel}`, `GPADL ${hex(id)} torn down late`);
    this.#forget(gpadl, 'late GPADL_TORNDOWN');
  }

  /** The connection is gone, and with it every GPADL. */
  revokeAll(by: string): void {
    for (const gpadl of [...this.#live.values()]) this.#forget(gpadl, by);
  }

  /** The connection is gone, but the host has not said that it let go: all of it stays shared. */
  abandonAll(): void {
    this.#live.clear();
  }

  #forget(gpadl: Gpadl, by: string): void {
    const { pages } = this.#connection.hv;
    const { packets } = gpadl;
    this.#live.delete(gpadl.id);
    pages.revoke(gpadl.region, by);
    // What the packets point to goes with the last of the rings
    if (packets !== undefined && !this.#isPointedTo(packets)) pages.revoke(packets, by);
  }

  #isPointedTo(region: Region): boolean {
    for (const { packets } of this.#live.values()) if (packets === region) return true;
    return false;
  }

  #postHeader(gpadl: Gpadl): void {
    const { parts } = gpadl;
    const count = pageCount(parts);
    const inHeader = Math.min(count, GPADL_HEADER_PFNS);
    const range = GpadlHeader.at.range;
    const length = range + GpaRange.size + 8 * inHeader;
    const message = this.#connection.begin(MessageType.GPADL_HEADER, length);
    message.setUint32(GpadlHeader.at.channel, gpadl.channel, true);
    message.setUint32(GpadlHeader.at.gpadl, gpadl.id, true);
    message.setUint16(GpadlHeader.at.rangeLength, GpaRange.size + 8 * count, true);
    message.setUint16(GpadlHeader.at.rangeCount, 1, true);
    message.setUint32(range + GpaRange.at.byteCount, count * PAGE_SIZE, true);
    message.setUint32(range + GpaRange.at.byteOffset, 0, true);
    setPfns(message, range + GpaRange.at.pfn, gpadl, 0, inHeader);
    this.#connection.post(length);
  }

  #postBodies(gpadl: Gpadl): void {
    const count = pageCount(gpadl.parts);
    let number = 0;
    for (let done = GPADL_HEADER_PFNS; done < count; done += GPADL_BODY_PFNS) {
      const inBody = Math.min(count - done, GPADL_BODY_PFNS);
      const length = GpadlBody.at.pfn + 8 * inBody;
      const message = this.#connection.begin(MessageType.GPADL_BODY, length);
      message.setUint32(GpadlBody.at.messageNumber, ++number, true);
      message.setUint32(GpadlBody.at.gpadl, gpadl.id, true);
      setPfns(message, GpadlBody.at.pfn, gpadl, done, inBody);
      this.#connection.post(length);
    }
  }

  #waitCreated(gpadl: Gpadl): { status: number } {
    const created = this.#connection.wait(
      MessageType.GPADL_CREATED,
      GpadlCreated.size,
      (reply) =>
        reply.view.getUint32(GpadlCreated.at.gpadl, true) === gpadl.id &&
        reply.view.getUint32(GpadlCreated.at.channel, true) === gpadl.channel,
    );
    return { status: created.view.getUint32(GpadlCreated.at.status, true) };
  }
}

/** Store the numbers of pages `first` to `first + n` of what the host sees. */
function setPfns(message: DataView, at: number, gpadl: Gpadl, first: number, n: number): void {
  const { region, parts } = gpadl;
  let before = 0;
  for (const { offset, length } of parts) {
    // The pages that this part has of them
    const pages = length / PAGE_SIZE;
    const base = Math.floor((region.address + offset) / 2 ** PAGE_SHIFT) - before;
    const end = Math.min(first + n, before + pages);
    for (let page = Math.max(first, before); page < end; page++) {
      message.setUint32(at + 8 * (page - first), base + page, true);
      message.setUint32(at + 8 * (page - first) + 4, 0, true);
    }
    before += pages;
  }
}

function whole(region: Region): RegionPart {
  return { offset: 0, length: region.length };
}

/** Hyper-V pages of all parts. */
function pageCount(parts: readonly RegionPart[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0) / PAGE_SIZE;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
