// SPDX-License-Identifier: GPL-2.0-or-later

/** Guest RAM from the firmware's side: bytes and little-endian words at physical addresses. */
export class GuestMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /**
   * Whole memory as words of the engine's own order, for what must be done in one step although the
   * host writes there too (Atomics): the word at a multiple of 4 is number `address / 4`.
   */
  readonly words: Int32Array;

  /** `memory` is the machine's: byte 0 is guest physical address 0. */
  constructor(memory: ArrayBufferLike) {
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
    this.words = new Int32Array(memory, 0, memory.byteLength >>> 2);
  }

  u8(address: number): number {
    return this.view.getUint8(address);
  }

  u32(address: number): number {
    return this.view.getUint32(address, true);
  }

  /** As {@link u32}; nothing behind it is loaded before it. */
  acquire32(address: number): number {
    return Atomics.load(this.words, address >>> 2) >>> 0;
  }

  set8(address: number, value: number): void {
    this.bytes[address] = value;
  }

  set32(address: number, value: number): void {
    this.view.setUint32(address, value, true);
  }

  /**
   * Everything before is done before anything after: a store before a load as well. It is an
   * operation on the word at `address`, which stays as it is.
   */
  barrier(address: number): void {
    Atomics.or(this.words, address >>> 2, 0);
  }

  zero(address: number, length: number): void {
    this.bytes.fill(0, address, address + length);
  }
}

/**
 * Copy bytes without making an object for it, as `set(subarray(…))` would for each frame. Four
 * words at a time are twice as fast as one; signed, so that none is too large for a small integer.
 */
export function copyBytes(
  from: DataView,
  fromAt: number,
  to: DataView,
  toAt: number,
  length: number,
): void {
  let i = 0;
  for (; i + 16 <= length; i += 16) {
    const a = fromAt + i;
    const b = toAt + i;
    to.setInt32(b, from.getInt32(a, true), true);
    to.setInt32(b + 4, from.getInt32(a + 4, true), true);
    to.setInt32(b + 8, from.getInt32(a + 8, true), true);
    to.setInt32(b + 12, from.getInt32(a + 12, true), true);
  }
  for (; i < length; i++) to.setUint8(toAt + i, from.getUint8(fromAt + i));
}
