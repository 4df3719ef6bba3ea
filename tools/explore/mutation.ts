// SPDX-License-Identifier: GPL-2.0-or-later

/** Changes to one little-endian field of a message: the operations by name. */

/** A field of some bytes. */
export interface FieldPlace {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

/** What is done to a field: constants, off by one, the top bit flipped, and {@link BIG}. */
export const OPERATIONS = ['0', '1', 'max', 'inc', 'dec', 'top', 'big'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Second byte of `big`, 4096: too long for any buffer of its kind, but not out of this world. */
const BIG = 0x10;

/** Whether a text is an operation. */
export function isOperation(text: string): text is Operation {
  return (OPERATIONS as readonly string[]).includes(text);
}

/** A copy of `bytes` with the operation done to the field. */
export function mutate(bytes: Uint8Array, field: FieldPlace, operation: Operation): Uint8Array {
  const copy = bytes.slice();
  const { offset, length } = field;
  const part = copy.subarray(offset, offset + length);
  switch (operation) {
    case '0':
      part.fill(0);
      break;
    case '1':
      part.fill(0);
      part[0] = 1;
      break;
    case 'max':
      part.fill(0xff);
      break;
    case 'inc':
      for (let i = 0; i < part.length; i++) {
        part[i]!++;
        if (part[i] !== 0) break;
      }
      break;
    case 'dec':
      for (let i = 0; i < part.length; i++) {
        part[i]!--;
        if (part[i] !== 0xff) break;
      }
      break;
    case 'big':
      part.fill(0);
      part[Math.min(1, part.length - 1)] = BIG;
      break;
    case 'top':
      part[part.length - 1]! ^= 0x80;
  }
  return copy;
}

/** The operations that change the field, each result once. */
export function effective(bytes: Uint8Array, field: FieldPlace): Operation[] {
  const seen = new Set([key(bytes, field)]);
  return OPERATIONS.filter((operation) => {
    const result = key(mutate(bytes, field, operation), field);
    if (seen.has(result)) return false;
    seen.add(result);
    return true;
  });
}

function key(bytes: Uint8Array, { offset, length }: FieldPlace): string {
  return bytes.subarray(offset, offset + length).join();
}

/** The same for a 32-bit word that is no part of a message. */
export function mutateWord(value: number, operation: Operation): number {
  const bytes = new Uint8Array(4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, value, true);
  const result = mutate(bytes, { name: '', offset: 0, length: 4 }, operation);
  return new DataView(result.buffer).getUint32(0, true);
}
