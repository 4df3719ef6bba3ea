// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * GPADLs (guest physical address descriptor lists): how the host is told of memory that it may use,
 * and how it is asked to let go (iPXE vmbus_establish_gpadl, vmbus_gpadl_teardown).
 */

import { HypxeError } from '../error.ts';
import { PAGE_SIZE } from '../machine.ts';
import { pageNumbers, type Region } from '../memory/shared-memory.ts';
import { hex } from '../wire.ts';
import type { ControlMessage, VmbusConnection } from './connection.ts';
import {
  GPADL_BODY_PFNS,
  GPADL_HEADER_PFNS,
  GpaRange,
  GpadlTorndown,
  MessageType,
} from './protocol.ts';

/** IDs count up from here (iPXE VMBUS_GPADL_MAGIC), over the life of the driver: never twice. */
export const GPADL_FIRST = 0x18ae0000;

/** Most bytes of a GPADL's ranges: their length is a 16-bit number in GPADL_HEADER. */
const GPADL_RANGES_MAX = 0xffff;

/** Memory that the host was told of. */
export interface Gpadl {
  /** For log and ledger. */
  readonly name: string;
  readonly id: number;
  readonly channel: number;
  readonly region: Region;
  /** Of a channel's rings: where packets on them point to. */
  packets: Region | undefined;
  /** A teardown was posted: the host may say at any time that it has let go. */
  asked: boolean;
}

export class GpadlTable {
  readonly #connection: VmbusConnection;
  #last: number;
  /** GPADLs that the host may hold, by ID: also those whose teardown was never confirmed. */
  readonly #live = new Map<number, Gpadl>();

  constructor(connection: VmbusConnection, first = GPADL_FIRST) {
    this.#connection = connection;
    this.#last = first;
  }

  /**
   * Tell the host of a region, in as many messages as its pages need.
   *
   * @param region page aligned; becomes shared, and stays so until the host has let go
   * @param pages numbers of the Hyper-V pages of it that the host sees; by default all
   * @throws HypxeError GpadlTooLarge, GpadlRefused, NoResponse, PostFailed. The region is revoked
   * if the host said no; otherwise a teardown was tried, and freeing the region keeps it reserved
   * if that failed.
   */
  establish(
    channel: number,
    region: Region,
    pages = pageNumbers(region.address, region.length),
  ): Gpadl {
    const connection = this.#connection;
    if (GpaRange.size + 8 * pages.length > GPADL_RANGES_MAX) {
      throw new HypxeError('GpadlTooLarge', `${region.purpose} of ${pages.length} pages`);
    }
    // Nobody would answer
    if (connection.version === 0) throw new HypxeError('NoResponse', 'not connected');
    const id = ++this.#last;
    const name = `GPADL ${hex(id)}`;
    const gpadl: Gpadl = { name, id, channel, region, packets: undefined, asked: false };

    // From here on the host may write to the region
    connection.hv.pages.share(region, name);
    this.#live.set(id, gpadl);
    let posted = 0;
    try {
      // Post header, then bodies
      while (posted < pages.length) posted += this.#post(gpadl, pages, posted);

      // Wait for response to this GPADL, and check it
      const status = connection.waitStatus(MessageType.GPADL_CREATED, channel, id);
      if (status !== 0) {
        this.#forget(gpadl, 'refused');
        throw new HypxeError('GpadlRefused', `${name}: status ${hex(status)}`);
      }
    } catch (error) {
      if (posted === 0) this.#forget(gpadl, 'never sent');
      this.teardown(gpadl);
      throw error;
    }
    return gpadl;
  }

  /** Post GPADL_HEADER or the next GPADL_BODY. @returns how many pages are in it */
  #post({ id, channel }: Gpadl, pages: readonly number[], done: number): number {
    const first = done === 0;
    const end = Math.min(pages.length, done + (first ? GPADL_HEADER_PFNS : GPADL_BODY_PFNS));
    // Channel, GPADL, length and number of ranges, byte count and offset; or number, GPADL
    const ranges = (1 << 16) | (GpaRange.size + 8 * pages.length);
    const words = first
      ? [channel, id, ranges, pages.length * PAGE_SIZE, 0]
      : [1 + (done - GPADL_HEADER_PFNS) / GPADL_BODY_PFNS, id];
    const type = first ? MessageType.GPADL_HEADER : MessageType.GPADL_BODY;
    for (let i = done; i < end; i++) words.push(pages[i]!, 0);
    this.#connection.post(type, words);
    return end - done;
  }

  /**
   * Ask the host to let go of a region.
   *
   * @returns true if it confirmed. If not, the region stays shared: freeing it keeps it reserved,
   * and a late confirmation or an UNLOAD_RESPONSE still gives it back.
   */
  teardown(gpadl: Gpadl): boolean {
    const connection = this.#connection;
    const { name, id, channel } = gpadl;
    if (!this.#live.has(id)) return true;
    // Nobody to ask: whoever is contacted next has let go of it
    if (connection.version === 0) return false;
    const error = connection.hv.log.attempt('error', 'VMBUS', name, 'not torn down', () => {
      connection.post(MessageType.GPADL_TEARDOWN, [channel, id]);
      gpadl.asked = true;
      // Late answers for other GPADLs are theirs (iPXE takes them for this one's and gives up)
      connection.wait(
        MessageType.GPADL_TORNDOWN,
        GpadlTorndown.size,
        ({ view }) => view.getUint32(GpadlTorndown.at.gpadl, true) === id,
      );
    });
    if (!error) this.#forget(gpadl, 'GPADL_TORNDOWN');
    return !error;
  }

  /** A GPADL_TORNDOWN that nobody waits for any more: the host has let go after all. */
  late(message: ControlMessage): void {
    if (message.length < GpadlTorndown.size) return;
    const id = message.view.getUint32(GpadlTorndown.at.gpadl, true);
    const gpadl = this.#live.get(id);
    if (gpadl?.asked) this.#forget(gpadl, 'late GPADL_TORNDOWN');
    // It is in use: what the host says it let go of it may still have
    else if (gpadl) this.#connection.hv.log.error('VMBUS', gpadl.name, 'torn down unasked');
  }

  /**
   * The connection is gone, and with it every GPADL.
   *
   * @param by how the host has said that it let go, or undefined: then all of it stays shared
   */
  forgetAll(by: string | undefined): void {
    if (!by) this.#live.clear();
    for (const gpadl of [...this.#live.values()]) this.#forget(gpadl, by!);
  }

  #forget({ id, region, packets }: Gpadl, by: string): void {
    const { pages } = this.#connection.hv;
    this.#live.delete(id);
    pages.revoke(region, by);
    // What the packets point to goes with the last of the rings
    if (!packets) return;
    if ([...this.#live.values()].every((other) => other.packets !== packets)) {
      pages.revoke(packets, by);
    }
  }
}
