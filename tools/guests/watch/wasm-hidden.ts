// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What an instance of a module may have besides memory and integers in globals: nobody outside of
 * it can copy that. (WebAssembly core specification 2.0, chapters 4 and 5.)
 */

const I32 = 0x7f;
const I64 = 0x7e;

const TABLE_SET = 0x26;
const BULK = 0xfc;
/** Of {@link BULK}: data.drop and elem.drop; table.init, copy, grow and fill. */
const DROPS = [9, 13];
const CHANGES = [12, 14, 15, 17];

/** What an instruction changes that cannot be copied, in words; undefined: nothing. */
export function hiddenState(opcode: number, operation = -1): string | undefined {
  if (opcode === TABLE_SET) return 'it changes a table';
  if (opcode !== BULK) return undefined;
  if (DROPS.includes(operation)) return 'it drops segments';
  return CHANGES.includes(operation) ? 'it changes a table' : undefined;
}

/** The same of a variable by its type: of a float the engine may lose bits, and so on. */
export function hiddenVariable(type: number): string | undefined {
  return type === I32 || type === I64 ? undefined : 'a global that is no integer';
}
