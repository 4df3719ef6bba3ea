// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Guest memory that a packet points the host to, page by page: as page buffers, each a range of its
 * own within one page (Linux `hv_page_buffer`). A list is filled, sent, and filled again.
 */

import { HypxeError } from '../error.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../machine.ts';

/** Most pages of one packet (Linux MAX_PAGE_BUFFER_COUNT, MAX_MULTIPAGE_BUFFER_COUNT). */
export const PAGE_BUFFERS_MAX = 32;

export class PageBuffers {
  count = 0;
  /** Page numbers: below 2^32, which is 16 TiB of guest memory. */
  readonly pfns = new Uint32Array(PAGE_BUFFERS_MAX);
  /** Where the data begins in its page, and its length: together at most a page. */
  readonly offsets = new Uint16Array(PAGE_BUFFERS_MAX);
  readonly lengths = new Uint16Array(PAGE_BUFFERS_MAX);

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
      this.pfns[this.count] = pfn;
      this.offsets[this.count] = offset;
      this.lengths[this.count++] = part;
      left -= part;
      offset = 0;
    }
  }
}
