// SPDX-License-Identifier: GPL-2.0-or-later

/** The VLAN tag of a frame (802.1Q), and as per-packet information (Linux `hyperv_net.h`). */

import { putWord, word } from './ip-frame.ts';

/** Where the tag lies, its length, and its type. */
const TAG_AT = 12;
export const TAG_SIZE = 4;
const TAG_TYPE = 0x8100;
const TAGGED_MIN = 18;

/** A frame without a tag, or no VLAN information. */
export const NO_TAG = -1;

/** The tag of a frame as per-packet information has it: priority, drop bit, VLAN; or NO_TAG. */
export function tagOf(frame: Uint8Array): number {
  if (frame.length < TAGGED_MIN || word(frame, TAG_AT) !== TAG_TYPE) return NO_TAG;
  const tag = word(frame, TAG_AT + 2);
  return (tag >> 13) | (((tag >> 12) & 1) << 3) | ((tag & 0xfff) << 4);
}

/** A copy of a tagged frame without its tag. */
export function withoutTag(frame: Uint8Array): Uint8Array {
  const bare = new Uint8Array(frame.length - TAG_SIZE);
  bare.set(frame.subarray(0, TAG_AT));
  bare.set(frame.subarray(TAG_AT + TAG_SIZE), TAG_AT);
  return bare;
}

/** Put a tag into the `length` bytes of a frame; there is room for it. */
export function insertTag(frame: Uint8Array, length: number, info: number): void {
  frame.copyWithin(TAG_AT + TAG_SIZE, TAG_AT, length);
  putWord(frame, TAG_AT, TAG_TYPE);
  const tag = ((info & 7) << 13) | (((info >> 3) & 1) << 12) | ((info >> 4) & 0xfff);
  putWord(frame, TAG_AT + 2, tag);
}
