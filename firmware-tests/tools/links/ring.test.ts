// SPDX-License-Identifier: GPL-2.0-or-later

/** The ring of frames that two threads share, at its bytes. */

import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BrokenRingError, FRAME_MAX, FrameRing } from '../../../tools/links/frame-ring.ts';

const SIZE = 2 ** 18;
/** Bytes of the head: HEAD, TAIL, DROPPED and STATE. */
const HEAD_BYTES = 16;

/** Both ends of one ring. */
function ends(): { giver: FrameRing; taker: FrameRing; words: Uint32Array } {
  const giver = new FrameRing(SIZE);
  const taker = new FrameRing(giver.buffer);
  return { giver, taker, words: new Uint32Array(giver.buffer) };
}

function frame(length: number, fill = length): Uint8Array {
  return new Uint8Array(length).map((_, i) => fill + i * 7);
}

/** Take everything out. */
function drain(ring: FrameRing): Uint8Array[] {
  const frames: Uint8Array[] = [];
  while (ring.pull((bytes) => frames.push(bytes.slice())));
  return frames;
}

const bytes = suite('ring of frames: bytes');

bytes('a record is the length and the frame, filled up to whole words', () => {
  const { giver, taker, words } = ends();
  assert.ok(giver.push(Uint8Array.of(1, 2, 3, 4, 5)));
  assert.equal([...words.subarray(0, 4)], [12, 0, 0, 0]);
  const at = new Uint8Array(giver.buffer, HEAD_BYTES, 12);
  assert.equal([...at], [5, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0]);
  assert.equal(drain(taker), [Uint8Array.of(1, 2, 3, 4, 5)]);
  assert.equal([...words.subarray(0, 4)], [12, 12, 0, 0]);
  assert.ok(taker.empty);
});

bytes('a record that would wrap begins at the start, behind a mark', () => {
  const { giver, taker, words } = ends();
  const whole = frame(65532);
  for (let i = 0; i < 3; i++) giver.push(whole);
  assert.is(drain(taker).length, 3);
  giver.push(frame(65000));
  drain(taker);
  // 196608 + 65004 are gone: 532 are left, and this wants 1004
  const last = 3 * 65536 + 65004;
  assert.ok(giver.push(frame(1000, 3)));
  assert.is(words[(HEAD_BYTES + last) / 4], 0xffff_ffff);
  assert.is(words[HEAD_BYTES / 4], 1000);
  assert.is(words[0], SIZE + 1004);
  assert.equal(drain(taker), [frame(1000, 3)]);
});

bytes('positions count on beyond 2^32', () => {
  const { giver, taker, words } = ends();
  const start = 2 ** 32 - 2 * SIZE + 65536;
  words[0] = words[1] = start;
  for (let i = 0; i < 40; i++) {
    assert.ok(giver.push(frame(60000, i)), `frame ${i}`);
    assert.equal(drain(taker), [frame(60000, i)], `frame ${i}`);
  }
  assert.ok(words[0]! < start);
});

bytes.run();

const full = suite('ring of frames: no room');

full('what finds no room is lost and counted, and what is there stays', () => {
  const { giver, taker } = ends();
  let pushed = 0;
  while (giver.push(frame(1514, pushed))) pushed++;
  assert.is(pushed, Math.floor(SIZE / 1520));
  assert.is(taker.dropped, 1);
  assert.is(giver.push(frame(1514)), false);
  assert.is(taker.dropped, 2);
  // Smaller than what is left over
  assert.ok(giver.push(frame(60)));
  const frames = drain(taker);
  assert.is(frames.length, pushed + 1);
  assert.equal(frames[5], frame(1514, 5));
  assert.ok(giver.push(frame(1514)));
});

full('a full ring is not an empty one', () => {
  const { giver, taker } = ends();
  for (let i = 0; i < 4; i++) assert.ok(giver.push(frame(65532, i)));
  assert.not(taker.empty);
  assert.is(giver.push(frame(1)), false);
  assert.is(drain(taker).length, 4);
});

full('a frame that is too long is lost', () => {
  const { giver, taker } = ends();
  assert.is(giver.push(new Uint8Array(FRAME_MAX + 1)), false);
  assert.ok(giver.push(new Uint8Array(FRAME_MAX)));
  assert.is(drain(taker)[0]!.length, FRAME_MAX);
});

full('no ring has an odd size', () => {
  for (const size of [0, 1000, SIZE - 16, SIZE * 3, 2 ** 31]) {
    assert.throws(() => new FrameRing(size), /a ring of/, `${size}`);
  }
  assert.throws(() => new FrameRing(new SharedArrayBuffer(SIZE)), /a ring of/);
});

full.run();

const broken = suite('ring of frames: broken by the other end');

for (const [what, damage] of [
  ['a length beyond what is in use', (words: Uint32Array) => (words[4] = 4000)],
  ['a length beyond all bounds', (words: Uint32Array) => (words[4] = 0xffff_fff0)],
  ['more in use than there is', (words: Uint32Array) => (words[0] = SIZE + 4)],
] as const) {
  broken(what, () => {
    const { giver, taker, words } = ends();
    giver.push(frame(100));
    damage(words);
    assert.throws(
      () => taker.pull(() => assert.unreachable()),
      (error: unknown) => error instanceof BrokenRingError,
    );
  });
}

broken.run();

const threads = suite('ring of frames: two threads');

threads('one that sleeps is to be told once, and one that does not is not', () => {
  const { giver, taker } = ends();
  assert.is(giver.takeSleeper(), false);
  taker.sleep();
  assert.is(giver.takeSleeper(), true);
  assert.is(giver.takeSleeper(), false);
  assert.is(giver.closed, false);
  giver.close();
  assert.is(taker.closed, true);
  assert.is(giver.takeSleeper(), false);
});

threads('frames of another thread come whole and in order', async () => {
  const { giver, taker } = ends();
  const COUNT = 20_000;
  const code = `
    import { workerData } from 'node:worker_threads';
    const { FrameRing } = await import(workerData.module);
    const ring = new FrameRing(workerData.buffer);
    for (let i = 0; i < ${COUNT}; ) {
      const frame = new Uint8Array(14 + (i * 37) % 1500).fill(i);
      if (ring.push(frame)) { i++; ring.notify(); }
    }
    ring.close(); ring.notify();`;
  const module = new URL('../../../tools/links/frame-ring.ts', import.meta.url).href;
  const url = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  const worker = new Worker(url, { workerData: { module, buffer: giver.buffer } });
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  await new Promise((resolve) => worker.once('online', resolve));
  let count = 0;
  for (let turns = 0; !(taker.closed && taker.empty); turns++) {
    assert.ok(turns < 1e6, `${count} frames after ${turns} turns`);
    taker.wait(20);
    while (
      taker.pull((bytes) => {
        const length = 14 + ((count * 37) % 1500);
        if (bytes.length !== length || bytes[0] !== (count & 255) || bytes.at(-1) !== bytes[0])
          assert.unreachable(`frame ${count}: ${bytes.length} bytes of ${bytes[0]}`);
        count++;
      })
    );
  }
  assert.is(count, COUNT);
  await ended;
});

threads.run();
