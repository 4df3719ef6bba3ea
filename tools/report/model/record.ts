// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * An event of a trace as a reader has it: of any origin, so that nothing is taken for granted. Each
 * accessor gives a value of its type, whatever the file says.
 */

/** An event: `ms` and `kind`, and whatever its kind has. */
export interface TraceRecord {
  readonly ms: number;
  readonly kind: string;
  readonly [name: string]: unknown;
}

/** Most characters of a text that are shown. */
export const TEXT_MAX = 4000;

/** A member as text; '' if it is none. */
export function text(record: object, name: string): string {
  const value = (record as Record<string, unknown>)[name];
  if (typeof value === 'string') return value.length > TEXT_MAX ? value.slice(0, TEXT_MAX) : value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

/** A member as a finite number; undefined if it is none. */
export function number(record: object, name: string): number | undefined {
  const value = (record as Record<string, unknown>)[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** A member that is an object; an empty one otherwise. */
export function object(record: object, name: string): object {
  const value = (record as Record<string, unknown>)[name];
  return typeof value === 'object' && value !== null ? value : {};
}

/** A member that is a list; an empty one otherwise. */
export function list(record: object, name: string): readonly unknown[] {
  const value = (record as Record<string, unknown>)[name];
  return Array.isArray(value) ? value : [];
}

/** Bytes that are written as hexadecimal text; as far as they are that. */
export function bytes(record: object, name: string): Uint8Array {
  const value = (record as Record<string, unknown>)[name];
  if (typeof value !== 'string') return new Uint8Array(0);
  // A loop: a regular expression runs out of stack on a text of any length
  let digits = 0;
  while (isHexDigit(value.charCodeAt(digits))) digits++;
  const out = new Uint8Array(digits >> 1);
  for (let i = 0; i < out.length; i++) out[i] = parseInt(value.slice(i * 2, i * 2 + 2), 16);
  return out;
}

function isHexDigit(code: number): boolean {
  const lower = code | 0x20;
  return (code >= 0x30 && code <= 0x39) || (lower >= 0x61 && lower <= 0x66);
}
