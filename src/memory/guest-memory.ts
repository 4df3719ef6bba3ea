// SPDX-License-Identifier: GPL-2.0-or-later

import { PAGE_SIZE } from '../machine.ts';

/** Guest RAM from the firmware's side: bytes and little-endian words at physical addresses. */
export class GuestMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  /** `memory` is the machine's: byte 0 is guest physical address 0. */
  constructor(memory: ArrayBufferLike) {
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
  }

  u8(address: number): number {
    return this.bytes[address]!;
  }

  u16(address: number): number {
    return this.view.getUint16(address, true);
  }

  u32(address: number): number {
    return this.view.getUint32(address, true);
  }

  set8(address: number, value: number): void {
    this.bytes[address] = value;
  }

  set16(address: number, value: number): void {
    this.view.setUint16(address, value, true);
  }

  set32(address: number, value: number): void {
    this.view.setUint32(address, value, true);
  }

  /** Store a 64-bit word that is known to be a whole number below 2^53. */
  set64(address: number, value: number): void {
    this.view.setUint32(address, value >>> 0, true);
    this.view.setUint32(address + 4, Math.floor(value / 2 ** 32), true);
  }

  /** Copy guest memory into `into` (with its view), word by word: no view is made per copy. */
  copyOut(address: number, into: Uint8Array, view: DataView, at: number, length: number): void {
    let i = 0;
    for (; i + 4 <= length; i += 4) view.setUint32(at + i, this.view.getUint32(address + i));
    for (; i < length; i++) into[at + i] = this.bytes[address + i]!;
  }

  /** Copy the start of `from` (with its view) into guest memory, word by word. */
  copyIn(address: number, from: Uint8Array, view: DataView, length: number): void {
    let i = 0;
    for (; i + 4 <= length; i += 4) this.view.setUint32(address + i, view.getUint32(i));
    for (; i < length; i++) this.bytes[address + i] = from[i]!;
  }

  zero(address: number, length: number): void {
    this.bytes.fill(0, address, address + length);
  }
}

/** Round up to whole pages. */
export function pageAlign(length: number): number {
  return Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
}
