// SPDX-License-Identifier: GPL-2.0-or-later

/** RAM for guests that bring none. */

/** So many bytes of RAM, for code of the tool's own. @throws RangeError */
export function guestRam(bytes: number): ArrayBuffer {
  return new ArrayBuffer(bytes);
}
