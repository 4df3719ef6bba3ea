// SPDX-License-Identifier: GPL-2.0-or-later

import { toHex } from '../replay/hex.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';

/**
 * An event of machine or guest as a line of a trace, without the line end: JSON, with the virtual
 * time in ms.
 *
 * @param now in ticks
 */
export function traceLine(event: object, now: number): string {
  return JSON.stringify({ ms: now / TICKS_PER_MS, ...event }, plain);
}

/** What JSON has no form for: bytes as hexadecimal text, 64-bit numbers as `0x…`. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (value instanceof Uint8Array) return toHex(value);
  return value;
}
