// SPDX-License-Identifier: GPL-2.0-or-later

/** A number as the field writes it: `0x40000083`. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
