// SPDX-License-Identifier: GPL-2.0-or-later

/** Makes items out of what a guest tells of itself, and of what the machine finds. */

import { toHex } from './hex.ts';
import { makeItem, type Item } from './item.ts';

/** A packet that the guest wrote into a ring. */
export interface GuestPacket {
  readonly channel: number;
  /** Ring offset of the packet's first byte. */
  readonly start: number;
  /** The packet with its footer. */
  readonly bytes: Uint8Array;
  /** Contents of the ranges of a GPA-direct packet. */
  readonly data: Uint8Array | undefined;
}

/** A frame that the driver handed up. */
export function frameItem(frame: Uint8Array, event: number): Item {
  const fields = [
    { name: 'length', text: String(frame.length) },
    { name: 'frame', text: toHex(frame) },
  ];
  return makeItem('frame', 'received frame', fields, event);
}

/** A frame that the driver was given is done (`err` of iPXE: `OK`, …), or waits. */
export function completionItem(frame: number, what: string, event: number): Item {
  const fields = [
    { name: 'frame', text: String(frame) },
    { name: 'result', text: what },
  ];
  return makeItem('completion', 'transmitted frame', fields, event);
}

/** Something received that is no frame, counted as an error. */
export function receiveErrorItem(err: string, data: Uint8Array, event: number): Item {
  const fields = [
    { name: 'error', text: err },
    { name: 'data', text: toHex(data) },
  ];
  return makeItem('receive-error', 'receive error', fields, event);
}

/** The link changed. */
export function linkItem(up: boolean, event: number): Item {
  return makeItem('link', 'link', [{ name: 'state', text: up ? 'up' : 'down' }], event);
}

/** A network device came or went. */
export function deviceItem(
  what: string,
  addresses: { permanent: string; current: string },
  event: number,
): Item {
  const fields = [
    { name: 'permanentAddress', text: addresses.permanent },
    { name: 'address', text: addresses.current },
  ];
  return makeItem('device', what, fields, event);
}

/** Counters of a device. */
export function statisticsItem(counters: Readonly<Record<string, number>>, event: number): Item {
  const fields = Object.entries(counters).map(([name, n]) => ({ name, text: String(n) }));
  return makeItem('statistics', 'statistics', fields, event);
}

/** How a step ended. */
export function resultItem(step: string, err: string, event: number): Item {
  return makeItem('result', step, [{ name: 'result', text: err }], event);
}

/** Of a guest that calls the machine without end. */
export const NO_PROGRESS = 'the guest makes no progress';

/** An endless loop, or a guest that the machine had to end. */
export function livelockItem(what: string, event: number): Item {
  return makeItem('livelock', what, [], event);
}

/** The guest broke the protocol or gave up memory that the host can still reach. */
export function violationItem(text: string, event: number): Item {
  return makeItem('violation', text, [], event);
}

/** A violation's text without its numbers, so that two of the same sort compare. */
export function violationSort(text: string): string {
  return text.replace(/0x[0-9a-f]+|\b\d+\b/g, '…');
}

/** `bytes` with the ranges [offset, length] zeroed. */
export function maskStale(
  bytes: Uint8Array,
  stale: readonly (readonly [number, number])[] | undefined,
): Uint8Array {
  for (const [offset, length] of stale ?? []) bytes.fill(0, offset, offset + length);
  return bytes;
}
