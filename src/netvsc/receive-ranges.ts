// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The ranges of a transfer-page packet, copied out of the receive buffer. Each range is one RNDIS
 * message: the ranges are the only message boundaries (iPXE 639632b05; the RNDIS length lies on
 * Windows Server 2012 R2 and on OpenVMM).
 */

import type { ErrorName } from '../error.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Packet } from '../vmbus/packet.ts';
import { XferPageHeader, XferPageRange } from '../vmbus/protocol.ts';

export class ReceiveRanges {
  /** The copies, one after the other. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Number of ranges of the last packet. */
  count = 0;
  readonly #bufferLength: number;
  readonly #offsets: Int32Array;
  readonly #lengths: Int32Array;

  /**
   * @param bufferLength length of the receive buffer. The ranges of one packet do not overlap on
   * any correct host, so as many bytes hold a packet's copies.
   * @param packetLength longest packet: bounds the number of ranges
   */
  constructor(bufferLength: number, packetLength: number) {
    const ranges = Math.floor((packetLength - XferPageHeader.size) / XferPageRange.size);
    this.#bufferLength = bufferLength;
    this.bytes = new Uint8Array(bufferLength);
    this.view = new DataView(this.bytes.buffer);
    this.#offsets = new Int32Array(ranges);
    this.#lengths = new Int32Array(ranges);
  }

  /** Copy the ranges of a packet, whose count has been checked, from the buffer at `address`. */
  copy(packet: Packet, memory: GuestMemory, address: number): void {
    let used = 0;
    this.count = packet.rangeCount;
    for (let i = 0; i < packet.rangeCount; i++) {
      const at = XferPageHeader.size + i * XferPageRange.size;
      const length = packet.view.getUint32(at + XferPageRange.at.length, true);
      const offset = packet.view.getUint32(at + XferPageRange.at.offset, true);

      // A range outside of the buffer, or more than the buffer holds, is left out
      const inside = offset <= this.#bufferLength && length <= this.#bufferLength - offset;
      const fits = length <= this.bytes.length - used;
      this.#offsets[i] = inside ? (fits ? used : -2) : -1;
      this.#lengths[i] = length;
      if (!inside || !fits) continue;
      memory.copyOut(address + offset, this.view, used, length);
      used += length;
    }
  }

  /** Why a range was left out, or undefined. */
  failure(i: number): ErrorName | undefined {
    const offset = this.#offsets[i]!;
    if (offset >= 0) return undefined;
    return offset === -1 ? 'RangeOutsideBuffer' : 'RangesTooLong';
  }

  /** Where a range's copy begins in {@link bytes}, and its length. */
  offset(i: number): number {
    return this.#offsets[i]!;
  }

  length(i: number): number {
    return this.#lengths[i]!;
  }
}
