// SPDX-License-Identifier: GPL-2.0-or-later

/** Reads the binary format of WebAssembly, piece by piece, never beyond its end. */

/** The bytes are not what the format says: cut off, or damaged. */
export class WasmFormatError extends Error {
  override readonly name = 'WasmFormatError';
}

export class WasmReader {
  readonly bytes: Uint8Array;
  readonly end: number;
  position: number;

  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
  }

  get atEnd(): boolean {
    return this.position >= this.end;
  }

  byte(): number {
    if (this.position >= this.end) this.fail('ends too early');
    return this.bytes[this.position++]!;
  }

  /** An unsigned LEB128 of at most 53 bits. */
  unsigned(): number {
    let value = 0;
    for (let shift = 0; shift < 53; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return this.fail('has a number that is too long');
  }

  /** A signed LEB128 of at most 64 bits. */
  signed(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return byte >= 0x40 ? value - (1n << (shift + 7n)) : value;
    }
    return this.fail('has a number that is too long');
  }

  text(): string {
    return new TextDecoder().decode(this.take(this.unsigned()));
  }

  take(length: number): Uint8Array {
    if (length > this.end - this.position) this.fail('ends too early');
    this.position += length;
    return this.bytes.subarray(this.position - length, this.position);
  }

  /** What a vector has, each read by `read`. */
  vector<T>(read: () => T): T[] {
    const count = this.unsigned();
    // Each takes a byte at least: a larger count is a lie
    if (count > this.end - this.position) this.fail('ends too early');
    return Array.from({ length: count }, read);
  }

  fail(what: string): never {
    throw new WasmFormatError(
      `the module ${what}, at byte ${this.position} of ${this.bytes.length}`,
    );
  }
}

/** An unsigned LEB128. */
export function unsignedBytes(value: number): number[] {
  const bytes: number[] = [];
  do {
    const low = value % 128;
    value = Math.floor(value / 128);
    bytes.push(value > 0 ? low | 0x80 : low);
  } while (value > 0);
  return bytes;
}
