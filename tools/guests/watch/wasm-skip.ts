// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Reading over what a module has and what is not rewritten in it: types, tables, and what follows
 * an opcode. (WebAssembly core specification 2.0, chapter 5.)
 */

import type { WasmReader } from '../wasm-reader.ts';

/** It has something that is not known here. */
export class NotKnown extends Error {}

/** Types of more than one byte: references, with what they refer to. */
const isLong = (type: number): boolean => type === 0x63 || type === 0x64;

/** Read over the type of a value. @throws NotKnown */
export function valueType(reader: WasmReader): void {
  if (isLong(reader.byte())) throw new NotKnown();
}

/** Read over a table: of functions, and empty at first. @throws NotKnown */
export function table(reader: WasmReader): void {
  // 0x40: what its entries are at first follows
  const type = reader.byte();
  if (type === 0x40 || isLong(type)) throw new NotKnown();
  const limits = reader.byte();
  reader.unsigned();
  if ((limits & 1) !== 0) reader.unsigned();
}

/** Read over what follows an opcode. @throws NotKnown */
export function skip(reader: WasmReader, opcode: number): void {
  if (opcode >= 0x45 && opcode <= 0xc4) return;
  switch (opcode) {
    case 0x00: // unreachable, nop, else, end, return, drop, select
    case 0x01:
    case 0x05:
    case 0x0b:
    case 0x0f:
    case 0x1a:
    case 0x1b:
    case 0xd1:
      return;
    case 0x02: // block, loop, if: no type, a type of a value, or the number of one
    case 0x03:
    case 0x04:
      if (isLong(reader.bytes[reader.position]!)) throw new NotKnown();
      return void reader.signed();
    case 0x41: // constants; ref.null
    case 0x42:
    case 0xd0:
      return void reader.signed();
    case 0x0e: // br_table
      reader.vector(() => reader.unsigned());
      return void reader.unsigned();
    case 0x11: // call_indirect
      reader.unsigned();
      return void reader.unsigned();
    case 0x1c: // select with types
      return void reader.vector(() => valueType(reader));
    case 0x43:
      return void reader.take(4);
    case 0x44:
      return void reader.take(8);
    default:
      // br, br_if; locals, globals, tables; memory.size, memory.grow
      if (![0x0c, 0x0d].includes(opcode) && (opcode < 0x20 || opcode > 0x26)) {
        if (opcode !== 0x3f && opcode !== 0x40) throw new NotKnown();
      }
      return void reader.unsigned();
  }
}
