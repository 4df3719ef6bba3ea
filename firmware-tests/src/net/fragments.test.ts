// SPDX-License-Identifier: GPL-2.0-or-later

/** IPv4 fragments and VLAN tags at the bytes, those of friends and those of others. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ipFrame, slowChecksum, u16, udpFrame } from '../../rigs/net-peer.ts';
import { bench, dropped, good } from '../../rigs/bench/net-interface.ts';
import type { Bench } from '../../rigs/bench/net-interface.ts';
import { FRAGMENT_TIMEOUT_MS, FRAGMENTED_MAX, FRAGMENTS_MAX } from '../../../src/net/fragment.ts';

const MORE = 0x2000;

/** The UDP datagram of a frame, without its headers. */
const datagramOf = (payload: readonly number[]): number[] =>
  udpFrame({ ...good, payload }).slice(34);

const bytes = (length: number): number[] =>
  Array.from({ length }, (_, i) => (i * 37 + (i >> 8)) & 255);

/** A fragment of a datagram: those bytes, at an offset in bytes. */
function fragment(
  datagram: readonly number[],
  from: number,
  to: number,
  change: {
    id?: number;
    from?: string;
    to?: string;
    protocol?: number;
    options?: number[];
    more?: boolean;
  } = {},
): number[] {
  const { id = 0x1234, more = to < datagram.length, ...rest } = change;
  const frame = ipFrame({
    payload: datagram.slice(from, to),
    fragment: (more ? MORE : 0) | (from / 8),
    ...rest,
  });
  [frame[18], frame[19]] = u16(id) as [number, number];
  frame[24] = frame[25] = 0;
  const end = 34 + (change.options?.length ?? 0);
  [frame[24], frame[25]] = u16(slowChecksum(frame.slice(14, end))) as [number, number];
  return frame;
}

/** Deliver fragments; what arrived, and what was dropped. */
function deliver(b: Bench, ...frames: number[][]): Partial<Record<string, number>> {
  b.got.length = 0;
  return dropped(b, ...frames);
}

const fragments = suite('IPv4 fragments');

fragments('fogproject#455: 1368 bytes and the rest, in both orders', () => {
  const payload = bytes(1472);
  const whole = datagramOf(payload);
  const parts = [fragment(whole, 0, 1368), fragment(whole, 1368, whole.length)];
  for (const frames of [parts, [...parts].reverse()]) {
    const b = bench();
    assert.equal(deliver(b, ...frames), {});
    assert.equal(b.got[0]!.payload, payload);
    assert.is(b.got.length, 1);
  }
});

fragments(
  'any number of parts in any order, with options, padding, and a length up to 64 KiB',
  () => {
    let state = 7;
    const random = (limit: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return (state >>> 8) % limit;
    };
    for (const length of [1, 9, 100, 1500, 9000, 65_507]) {
      const payload = bytes(length);
      const whole = datagramOf(payload);
      const step = Math.max(8, Math.ceil(whole.length / (1 + random(50)) / 8) * 8);
      const frames: number[][] = [];
      for (let from = 0; from < whole.length; from += step) {
        const options = random(2) === 0 ? [1, 1, 1, 0] : [];
        const one = fragment(whole, from, Math.min(from + step, whole.length), { options });
        frames.splice(random(frames.length + 1), 0, [...one, ...new Array(random(9)).fill(0xee)]);
      }
      const b = bench();
      assert.equal(deliver(b, ...frames), {}, `${length} bytes in ${frames.length} parts`);
      assert.equal(b.got.length, 1);
      assert.ok(Buffer.from(b.got[0]!.payload).equals(Buffer.from(payload)), `${length}`);
    }
  },
);

fragments('datagrams do not mix: another identification, sender or protocol', () => {
  const payload = bytes(100);
  const whole = datagramOf(payload);
  const others = [{ id: 0x1235 }, { from: '10.0.0.2' }, { to: '10.0.0.255' }, { protocol: 1 }];
  for (const other of others) {
    const b = bench();
    const end = fragment(whole, 40, whole.length, other);
    assert.equal(deliver(b, fragment(whole, 0, 40), end), { ipIncomplete: 2 });
    assert.is(b.got.length, 0);
    assert.equal(deliver(b, fragment(whole, 40, whole.length)), { ipIncomplete: 1 });
    assert.equal(b.got[0]!.payload, payload);
  }
});

fragments('the same fragment again is dropped, and does no harm', () => {
  const payload = bytes(100);
  const whole = datagramOf(payload);
  const [a, z] = [fragment(whole, 0, 40), fragment(whole, 40, whole.length)];
  const b = bench();
  assert.equal(deliver(b, a, a, a, z), { ipFragment: 2 });
  assert.equal(b.got[0]!.payload, payload);
});

fragments('a datagram that was whole may come again, with the same identification', () => {
  const payload = bytes(100);
  const whole = datagramOf(payload);
  const [a, z] = [fragment(whole, 0, 40), fragment(whole, 40, whole.length)];
  const b = bench();
  assert.equal(deliver(b, a, z, z, a), {});
  assert.equal(
    b.got.map((one) => one.payload),
    [payload, payload],
  );
});

fragments('overlaps spoil their datagram: teardrop, tiny, conflicting, beyond the end', () => {
  const whole = datagramOf(bytes(200));
  const cut = (from: number, to: number, more = true): number[] =>
    fragment(whole, from, to, { more });
  const cases: [string, number[][]][] = [
    ['teardrop', [cut(0, 40), cut(24, 36, false)]],
    ['teardrop, last first', [cut(24, 36, false), cut(0, 40)]],
    ['the header again', [cut(0, 40), cut(8, 48)]],
    ['inside another', [cut(0, 80), cut(24, 32)]],
    ['around another', [cut(24, 32), cut(0, 80)]],
    ['the same begin, longer', [cut(0, 40), cut(0, 48)]],
    ['the same begin, shorter', [cut(0, 40), cut(0, 32)]],
    ['two ends', [cut(40, 60, false), cut(80, 100, false)]],
    ['two ends, the shorter last', [cut(80, 100, false), cut(40, 60, false)]],
    ['beyond the end', [cut(40, 60, false), cut(64, 72)]],
    ['an end before what was there', [cut(160, 168), cut(40, 60, false)]],
    ['an end in a hole', [cut(0, 8), cut(24, 32), cut(16, 24, false)]],
  ];
  for (const [name, frames] of cases) {
    const b = bench();
    assert.equal(deliver(b, ...frames), { ipIncomplete: 1, ipFragment: 1 }, name);
    // What comes after it finds nothing any more
    deliver(b, cut(0, 104), cut(104, whole.length, false));
    assert.is(b.got.length, 1, name);
    assert.equal(b.got[0]!.payload, bytes(200), name);
  }
});

fragments('what cannot be a fragment is dropped by itself', () => {
  const whole = datagramOf(bytes(200));
  const ping = ipFrame({ payload: bytes(100), fragment: 0x1fff - 8 });
  const cases: number[][] = [
    fragment(whole, 0, 0, { more: true }),
    fragment(whole, 40, 40, { more: false }),
    fragment(whole, 0, 13, { more: true }),
    fragment(whole, 8, 15, { more: true }),
    ping,
    ipFrame({ payload: bytes(8), fragment: 0x1fff }),
  ];
  for (const frame of cases) {
    const b = bench();
    assert.equal(deliver(b, frame), { ipFragment: 1 });
    assert.is(b.got.length, 0);
  }
});

fragments('bounds: datagrams in the making, fragments of one, time', () => {
  // The oldest makes room
  const whole = datagramOf(bytes(100));
  const b = bench();
  for (let id = 0; id <= FRAGMENTED_MAX; id++) deliver(b, fragment(whole, 0, 40, { id }));
  for (let id = 0; id <= FRAGMENTED_MAX; id++) {
    deliver(b, fragment(whole, 40, whole.length, { id: FRAGMENTED_MAX - id }));
    assert.is(b.got.length, id === FRAGMENTED_MAX ? 0 : 1, `${id}`);
  }

  // As many fragments as there may be, and one more
  for (const [count, arrives] of [
    [FRAGMENTS_MAX, 1],
    [FRAGMENTS_MAX + 1, 0],
  ] as const) {
    const long = datagramOf(bytes(count * 8 - 8));
    const one = bench();
    const frames = Array.from({ length: count }, (_, i) => fragment(long, i * 8, i * 8 + 8));
    deliver(one, ...frames);
    assert.is(one.got.length, arrives, `${count}`);
  }

  // Time
  for (const [ms, arrives] of [
    [FRAGMENT_TIMEOUT_MS - 10, 1],
    [FRAGMENT_TIMEOUT_MS + 10, 0],
  ] as const) {
    const late = bench();
    deliver(late, fragment(whole, 0, 40));
    late.clock.ticks += ms * 10_000;
    deliver(late, fragment(whole, 40, whole.length));
    assert.is(late.got.length, arrives, `${ms} ms`);
  }
});

fragments(
  'a wrong checksum over all is found, and a datagram of another host is none of ours',
  () => {
    const whole = datagramOf(bytes(100));
    whole[50]! ^= 1;
    const b = bench();
    const parts = [fragment(whole, 0, 40), fragment(whole, 40, whole.length)];
    assert.equal(deliver(b, ...parts), { udpMalformed: 1 });
    assert.equal(
      deliver(bench(), ipFrame({ payload: bytes(16), fragment: MORE, to: '10.0.0.51' })),
      {
        ipForeign: 1,
      },
    );
  },
);

fragments(
  'random fragments, overlapping and not, never crash and never make another datagram',
  () => {
    for (let seed = 1; seed <= 40; seed++) {
      let state = seed;
      const random = (limit: number): number => {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        return (state >>> 8) % limit;
      };
      const whole = datagramOf(bytes(300));
      const b = bench();
      for (let i = 0; i < 400; i++) {
        const from = random(40) * 8;
        const to = Math.min(from + 8 * (1 + random(8)) + (random(8) === 0 ? random(8) : 0), 308);
        const id = random(12);
        if (to > from) b.device.deliver(fragment(whole, from, to, { id, more: random(4) > 0 }));
      }
      b.net.turn();
      for (const { payload } of b.got) {
        const sent = bytes(300).slice(0, payload.length);
        assert.equal(payload, sent, `seed ${seed}`);
      }
    }
  },
);

fragments.run();

const vlan = suite('VLAN');

/** A frame with a tag of this type and these 16 bits, in front of its type. */
const tagged = (frame: number[], type: number, control: number): number[] => [
  ...frame.slice(0, 12),
  ...u16(type),
  ...u16(control),
  ...frame.slice(12),
];

vlan('opnsense-plugins#94: a priority tag is no VLAN', () => {
  const frame = udpFrame(good);
  const frames = [
    tagged(frame, 0x8100, 3 << 13),
    tagged(frame, 0x8100, 0),
    tagged(frame, 0x8100, 0xf000),
    tagged(frame, 0x88a8, 7 << 13),
    tagged(tagged(frame, 0x8100, 0), 0x88a8, 0),
  ];
  const b = bench();
  assert.equal(dropped(b, ...frames), {});
  assert.is(b.got.length, frames.length);
  for (const { payload } of b.got) assert.equal(payload, good.payload);
});

vlan('openvmm#3552: another VLAN than 0 is not ours, whatever is in it', () => {
  const frame = udpFrame(good);
  const frames = [
    tagged(frame, 0x8100, 100),
    tagged(frame, 0x8100, 1),
    tagged(frame, 0x8100, (3 << 13) | 4095),
    tagged(frame, 0x88a8, 100),
    tagged(tagged(frame, 0x8100, 100), 0x8100, 0),
    tagged(tagged(frame, 0x8100, 0), 0x8100, 100),
  ];
  const b = bench();
  assert.equal(dropped(b, ...frames), { vlanForeign: frames.length });
  assert.is(b.got.length, 0);

  // The same beside the frame, as RNDIS tells it
  b.net.receive(Uint8Array.from(frame), 0, frame.length, 100);
  assert.is(b.net.drops.vlanForeign, frames.length + 1);
  b.net.receive(Uint8Array.from(frame), 0, frame.length, 0);
  b.net.receive(Uint8Array.from(frames[0]!), 0, frames[0]!.length, 0);
  assert.is(b.net.drops.vlanForeign, frames.length + 2);
  assert.is(b.got.length, 1);
});

vlan('tags that are cut off are dropped', () => {
  const frame = tagged(tagged(udpFrame(good), 0x8100, 0), 0x8100, 0);
  for (let length = 14; length < 22; length++)
    assert.equal(dropped(bench(), frame.slice(0, length)), { frameShort: 1 }, `${length}`);
});

vlan.run();
