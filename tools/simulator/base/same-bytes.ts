// SPDX-License-Identifier: GPL-2.0-or-later

/** Comparing bytes, without a call for each. */

/** Whether an array has `expected`, all of it, from `at` on. */
export function sameBytes(bytes: ArrayLike<number>, expected: Uint8Array, at = 0): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
  return true;
}
