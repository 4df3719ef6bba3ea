// SPDX-License-Identifier: GPL-2.0-or-later

/** Frames on a stream, the socket behind a link, and the clock of a machine with a real link. */

import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FrameRing } from '../../../tools/links/frame-ring.ts';
import { startLink, type RunningLink } from '../../../tools/links/link-start.ts';
import { RingLink } from '../../../tools/links/ring-link.ts';
import { StreamFrames, encodeFrame } from '../../../tools/links/stream-frames.ts';
import { TICKS_PER_MS, WallClock } from '../../../tools/simulator/base/clock.ts';
import type { LinkHost } from '../../../tools/simulator/network/link.ts';

function collect(): { frames: number[][]; stream: StreamFrames } {
  const frames: number[][] = [];
  return { frames, stream: new StreamFrames((frame) => frames.push([...frame])) };
}

const cut = suite('frames on a stream');

cut('the length is 4 bytes, big endian', () => {
  assert.equal([...encodeFrame(Uint8Array.of(9, 8))], [0, 0, 0, 2, 9, 8]);
  assert.equal([...encodeFrame(new Uint8Array(0x123)).subarray(0, 4)], [0, 0, 1, 0x23]);
});

cut('however the stream comes in, the frames are the same', () => {
  const sent = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11]];
  const bytes = Uint8Array.from(sent.flatMap((f) => [...encodeFrame(Uint8Array.from(f))]));
  for (let size = 1; size <= bytes.length; size++) {
    const { frames, stream } = collect();
    for (let at = 0; at < bytes.length; at += size) stream.write(bytes.subarray(at, at + size));
    assert.equal(frames, sent, `chunks of ${size} bytes`);
    assert.is(stream.partial, undefined);
  }
});

cut('the longest frame', () => {
  const { frames, stream } = collect();
  stream.write(encodeFrame(new Uint8Array(65535)));
  assert.is(frames[0]?.length, 65535);
});

for (const length of [0, 65536, 0x7fff_ffff, 0xffff_ffff]) {
  cut(`a length of ${length} is a lie`, () => {
    const { frames, stream } = collect();
    const lie = new Uint8Array(8);
    new DataView(lie.buffer).setUint32(0, length);
    const text = new RegExp(`frame of ${length} bytes was announced: 1 to 65535 are possible`);
    assert.throws(() => stream.write(lie), text);
    assert.equal(frames, []);
  });
}

cut('what of a frame is there', () => {
  const { stream } = collect();
  stream.write(Uint8Array.of(0, 0, 0));
  assert.is(stream.partial, 'after 3 bytes of the length');
  stream.write(Uint8Array.of(60, 1, 2));
  assert.is(stream.partial, 'after 6 bytes of 64');
});

cut.run();

/** A peer on a Unix socket, of one connection. */
async function peer(): Promise<{ link: RunningLink; socket: net.Socket; end(): void }> {
  const name = path.join(os.tmpdir(), `hypxe-link-${process.pid}-${Math.random()}.sock`);
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(name, resolve));
  const connected = new Promise<net.Socket>((resolve) => server.once('connection', resolve));
  const link = await startLink({ kind: 'stream', path: name });
  const socket = await connected;
  return { link, socket, end: () => (socket.destroy(), server.close()) };
}

/** The guest's end, with what it got. */
function guestOf(link: RunningLink): { guest: RingLink; frames: number[][]; states: boolean[] } {
  const frames: number[][] = [];
  const states: boolean[] = [];
  const guest = new RingLink({ ...link.ends, ring: () => link.drain() });
  guest.connect({
    deliver: (frame: Uint8Array) => void frames.push([...frame]),
    setLinkState: (up: boolean) => void states.push(up),
  } as unknown as LinkHost);
  return { guest, frames, states };
}

/** Until something holds, or for a second. */
async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !holds(); i++) await new Promise((done) => setTimeout(done, 5));
}

const peers = suite('the socket behind a link');

peers('frames go both ways', async () => {
  const { link, socket, end } = await peer();
  const { guest, frames } = guestOf(link);
  const { frames: got, stream } = collect();
  socket.on('data', (chunk: Buffer) => stream.write(chunk));
  guest.transmit(new Uint8Array(60).fill(7));
  guest.transmit(new Uint8Array(61).fill(8));
  socket.write(encodeFrame(new Uint8Array(14).fill(1)));
  socket.write(encodeFrame(new Uint8Array(1514).fill(2)));
  // A runt: no Ethernet header
  socket.write(encodeFrame(new Uint8Array(13).fill(3)));
  await until(() => got.length === 2 && link.counts.framesDropped === 1);
  assert.is(guest.wall.poll(), true);
  assert.is(guest.wall.poll(), false);
  assert.equal(
    frames.map((f) => [f.length, f[0]]),
    [
      [14, 1],
      [1514, 2],
    ],
  );
  assert.equal(
    got.map((f) => [f.length, f[0]]),
    [
      [60, 7],
      [61, 8],
    ],
  );
  assert.equal(link.counts, { framesToGuest: 2, framesToPeer: 2, framesDropped: 1 });
  await link.close();
  assert.is(link.failure, undefined);
  end();
});

for (const [what, send, reason] of [
  ['closes the socket', [], 'the peer closed the socket'],
  [
    'closes it in the middle of a frame',
    [0, 0, 0, 60, 1, 2, 3],
    'the peer closed the socket, after 7 bytes of 64',
  ],
  ['says a length of 0', [0, 0, 0, 0], 'a frame of 0 bytes was announced: 1 to 65535 are possible'],
  [
    'says a length of 65536',
    [0, 1, 0, 0],
    'a frame of 65536 bytes was announced: 1 to 65535 are possible',
  ],
] as const) {
  peers(`a peer that ${what}: the cable is out, after what came before`, async () => {
    const { link, socket, end } = await peer();
    const { guest, frames, states } = guestOf(link);
    socket.write(encodeFrame(new Uint8Array(60)));
    socket.end(Uint8Array.from(send));
    await until(() => link.failure !== undefined);
    assert.is(link.failure?.name, 'LinkLost');
    assert.is(link.failure?.message, reason);
    assert.is(guest.wall.poll(), true);
    assert.is(frames.length, 1);
    assert.equal(states, []);
    guest.wall.poll();
    guest.wall.poll();
    assert.equal(states, [false]);
    // What the guest sends now goes nowhere, and does no harm
    guest.transmit(new Uint8Array(60));
    await link.close();
    assert.is(link.failure?.message, reason);
    end();
  });
}

peers('a socket that is not there, or that nobody listens on', async () => {
  const refused = async (name: string): Promise<string> => {
    try {
      await startLink({ kind: 'stream', path: name });
    } catch (error) {
      return `${(error as Error).name}: ${(error as Error).message}`;
    }
    return 'connected';
  };
  const missing = path.join(os.tmpdir(), `hypxe-link-${process.pid}-missing`);
  assert.is(await refused(missing), `LinkUnreachable: ${missing}: there is no such socket`);
  const file = new URL(import.meta.url).pathname;
  assert.is(await refused(file), `LinkUnreachable: ${file}: nobody listens there`);
});

peers.run();

const wall = suite('clock that goes by the wall');

/** A wall whose time moves only by waiting. */
function fakeWall() {
  const waits: number[] = [];
  const state = { now: 5000, came: false, cutShort: 0, polls: 0 };
  return {
    ...{ waits, state },
    now: () => state.now,
    poll: () => {
      state.polls++;
      return state.came;
    },
    wait: (ticks: number) => {
      waits.push(ticks);
      state.now += ticks - state.cutShort;
    },
  };
}

wall('waits as long as it is ahead, and counts from 0', () => {
  const source = fakeWall();
  const clock = new WallClock(source);
  assert.is(clock.now, 0);
  clock.advanceTo(TICKS_PER_MS);
  assert.equal(source.waits, [TICKS_PER_MS]);
  assert.is(clock.now, TICKS_PER_MS);
});

wall('moves on to the time of the wall, with each alarm at its own time', () => {
  const source = fakeWall();
  const clock = new WallClock(source);
  const fired: number[] = [];
  for (const delay of [300, 100, 20_000]) clock.schedule(delay, () => fired.push(clock.now));
  source.state.now += 10_000;
  clock.advanceTo(clock.now + 1);
  assert.equal(fired, [100, 300]);
  assert.is(clock.now, 10_000);
  assert.equal(source.waits, []);
});

wall('does not wait for what is near, but is never far ahead', () => {
  const source = fakeWall();
  const clock = new WallClock(source);
  for (let i = 0; i < 5000; i++) {
    clock.advanceTo(clock.now + 1);
    assert.ok(clock.now - (source.state.now - 5000) <= 1000);
  }
  assert.is(clock.now, 5000);
  assert.ok(source.waits.length >= 3);
});

wall('what comes in cuts a wait short, and time moves all the same', () => {
  const source = fakeWall();
  const clock = new WallClock(source);
  source.state.cutShort = 4000;
  clock.advanceTo(10_000);
  assert.is(clock.now, 6000);
  source.state.came = true;
  clock.advanceTo(16_000);
  assert.is(source.waits.length, 1);
  assert.is(clock.now, 6001);
});

wall('a guest waits for a frame, and not if one is there', () => {
  const toGuest = new FrameRing();
  const toPeer = new FrameRing();
  let beats = 0;
  const link = new RingLink({
    ...{ toGuest: toGuest.buffer, toPeer: toPeer.buffer },
    ...{ ring: () => undefined, alive: () => beats++ },
  });
  link.connect({ deliver: () => undefined } as unknown as LinkHost);
  const { wait } = Atomics;
  const waits: [number | undefined, string][] = [];
  Atomics.wait = (words: never, index: number, value: never, ms?: number) => {
    const ended = wait(words, index, value, ms);
    waits.push([ms, ended]);
    return ended;
  };
  try {
    link.wall.wait(20 * TICKS_PER_MS);
    assert.equal(waits, [[20, 'timed-out']]);
    // A sign of life comes in between
    link.wall.wait(2000 * TICKS_PER_MS);
    assert.equal(waits.slice(1), [[50, 'timed-out']]);
    assert.is(beats, 2);
    toGuest.push(new Uint8Array(60));
    link.wall.wait(2000 * TICKS_PER_MS);
    assert.equal(waits.slice(2), []);
    assert.is(beats, 3);
  } finally {
    Atomics.wait = wait;
  }
});

wall.run();
