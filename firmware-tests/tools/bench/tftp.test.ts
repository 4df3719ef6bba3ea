// SPDX-License-Identifier: GPL-2.0-or-later

/** The part of the bench that fetches over a real link: what it reads of a capture. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { transferOf } from '../../../tools/bench/tftp-capture.ts';

const capture = suite('bench: TFTP in a capture');

interface Packet {
  /** In microseconds. */
  readonly at: number;
  readonly from: number;
  readonly to: number;
  readonly op: number;
  /** Bytes behind the op code. */
  readonly more: number;
  readonly protocol?: number;
}

/** A capture as passt writes it. */
function captured(packets: readonly Packet[]): Uint8Array {
  const parts = [new Uint8Array(24)];
  new DataView(parts[0]!.buffer).setUint32(0, 0xa1b2c3d4, true);
  for (const { at, from, to, op, more, protocol = 17 } of packets) {
    const part = new Uint8Array(16 + 14 + 20 + 8 + 2 + more);
    const view = new DataView(part.buffer);
    const words = [Math.floor(at / 1e6), at % 1e6, part.length - 16, part.length - 16];
    words.forEach((word, i) => view.setUint32(4 * i, word, true));
    view.setUint16(16 + 12, 0x0800);
    view.setUint8(30, 0x45);
    view.setUint8(30 + 9, protocol);
    [from, to, 8 + 2 + more, 0, op].forEach((word, i) => view.setUint16(50 + 2 * i, word));
    parts.push(part);
  }
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const [RRQ, DATA, ACK] = [1, 3, 4];
const TRANSFER: readonly Packet[] = [
  // What comes before, and what is of somebody else
  { at: 1, from: 69, to: 500, op: DATA, more: 2 + 9 },
  { at: 999_000, from: 500, to: 69, op: RRQ, more: 30 },
  { at: 1_000_000, from: 53, to: 53, op: DATA, more: 2 + 7 },
  { at: 1_001_000, from: 69, to: 500, op: DATA, more: 2 + 512 },
  { at: 1_002_000, from: 500, to: 69, op: ACK, more: 2 },
  { at: 1_003_000, from: 69, to: 500, op: DATA, more: 2 + 100 },
  { at: 1_004_500, from: 500, to: 69, op: ACK, more: 2 },
];

capture('the first transfer is told from all else, to its last packet', () => {
  assert.equal(transferOf(captured(TRANSFER)), { ms: 5.5, packets: 5, bytes: 612 });
  // The second one, which the OS or a second boot makes, is none of it
  const again = [
    { at: 2_000_000, from: 501, to: 69, op: RRQ, more: 30 },
    { at: 2_001_000, from: 69, to: 501, op: DATA, more: 2 + 512 },
  ];
  assert.is(transferOf(captured([...TRANSFER, ...again]))!.packets, 5);
  // Nor what is no UDP
  const other = { at: 3_000_000, from: 500, to: 69, op: DATA, more: 8, protocol: 6 };
  assert.is(transferOf(captured([...TRANSFER, other]))!.ms, 5.5);
});

capture('without a request there is none', () => {
  assert.is(transferOf(captured([])), undefined);
  assert.is(transferOf(captured(TRANSFER.slice(2))), undefined);
});

capture('what is no capture is refused, and so is half a packet', () => {
  const file = captured(TRANSFER);
  assert.throws(() => transferOf(file.subarray(0, file.length - 1)), RangeError);
  assert.throws(() => transferOf(file.subarray(0, 10)), RangeError);
  assert.throws(() => transferOf(Uint8Array.from(file, (byte) => byte ^ 1)), RangeError);
});

capture.run();
