// SPDX-License-Identifier: GPL-2.0-or-later

/** More ways to send guest memory than the firmware has (Linux vmbus_sendpacket and its likes). */

import { HypxeError } from '../error.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../machine.ts';
import type { VmbusChannel } from '../vmbus/channel.ts';
import { COMPLETION_REQUESTED, PacketType } from '../vmbus/protocol.ts';

/** Most pages of one packet (Linux MAX_PAGE_BUFFER_COUNT, MAX_MULTIPAGE_BUFFER_COUNT). */
const PAGE_BUFFERS_MAX = 32;

/**
 * Guest memory that a packet points the host to, page by page: as page buffers, each a range of its
 * own within one page (Linux `hv_page_buffer`). A list is filled, sent, and filled again.
 */
export class PageBuffers {
  count = 0;
  /** Reserved word, number of ranges; of each range length, offset, page number (64 bits). */
  readonly words = new Uint32Array(2 + 4 * PAGE_BUFFERS_MAX);

  clear(): void {
    this.count = 0;
  }

  /**
   * Add a piece of guest memory, cut at page boundaries (Linux fill_pg_buf).
   *
   * @throws HypxeError BadBuffer if it is empty or there is no room for its pages; nothing is added
   */
  add(address: number, length: number): void {
    let offset = address % PAGE_SIZE;
    let pfn = (address - offset) / PAGE_SIZE;
    const pages = (offset + length + PAGE_SIZE - 1) >>> PAGE_SHIFT;
    if (length <= 0 || this.count + pages > PAGE_BUFFERS_MAX) {
      const text = `${length} bytes at 0x${address.toString(16)} do not fit into page buffers`;
      throw new HypxeError('BadBuffer', text);
    }
    for (let left = length; left > 0; pfn++) {
      const part = Math.min(left, PAGE_SIZE - offset);
      const at = 2 + 4 * this.count++;
      this.words[at] = part;
      this.words[at + 1] = offset;
      this.words[at + 2] = pfn;
      left -= part;
      offset = 0;
    }
  }
}

/**
 * Send data that lies in guest memory as page buffers: several ranges of one page each, with an
 * in-band payload beside it (Linux vmbus_sendpacket_pagebuffer).
 *
 * @param id transaction ID (upper half 0)
 * @returns false if the ring has no room
 * @throws HypxeError BadBuffer if there is no page
 */
export function sendPageBuffers(
  channel: VmbusChannel,
  id: number,
  pages: PageBuffers,
  payload: Uint8Array,
  length: number,
): boolean {
  const { words, count } = pages;
  if (count === 0) throw new HypxeError('BadBuffer', 'no page to send');
  words[1] = count;
  return sendDirect(channel, id, words, 2 + 4 * count, payload, length);
}

/**
 * Send data that lies in guest memory as a multi-page buffer: one range over pages that may lie
 * anywhere, with an in-band payload beside it (Linux vmbus_sendpacket_mpb_desc).
 *
 * @param id transaction ID (upper half 0)
 * @param offset where the data begins in the first page
 * @param pfns numbers of the pages, as many as offset and length need, or more
 * @returns false if the ring has no room
 * @throws HypxeError BadBuffer if the data do not lie within the pages
 */
export function sendMultiPageBuffer(
  channel: VmbusChannel,
  id: number,
  offset: number,
  dataLength: number,
  pfns: Uint32Array,
  payload: Uint8Array,
  length: number,
): boolean {
  const pages = (offset + dataLength + PAGE_SIZE - 1) >>> PAGE_SHIFT;
  const valid = offset >= 0 && offset < PAGE_SIZE && dataLength > 0 && pages <= pfns.length;
  if (!valid || pages > PAGE_BUFFERS_MAX) {
    const text = `[${offset},+${dataLength}) of ${pfns.length} pages cannot be sent`;
    throw new HypxeError('BadBuffer', text);
  }
  const words = new Uint32Array(4 + 2 * pages);
  words.set([0, 1, dataLength, offset]);
  for (let i = 0; i < pages; i++) words[4 + 2 * i] = pfns[i]!;
  return sendDirect(channel, id, words, words.length, payload, length);
}

function sendDirect(
  channel: VmbusChannel,
  id: number,
  words: Uint32Array,
  count: number,
  payload: Uint8Array,
  length: number,
): boolean {
  const type = PacketType.DATA_GPA_DIRECT;
  return channel.send(type, COMPLETION_REQUESTED, id, 0, payload, length, words, count);
}
