// SPDX-License-Identifier: GPL-2.0-or-later

/** UTF-16LE of the host as UTF-8, and UTF-8 as text; wall time as text. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { utf16ToUtf8, utf8Text } from '../../../src/services/unicode.ts';
import { utcText } from '../../../src/services/utc.ts';

function utf16(...units: number[]): Uint8Array {
  return new Uint8Array(units.flatMap((unit) => [unit & 0xff, unit >> 8]));
}

function converted(bytes: Uint8Array, offset = 0, length = bytes.length - offset): string {
  const utf8 = utf16ToUtf8(bytes, offset, length);
  // Node's own decoder is the judge: what it refuses is no UTF-8
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(utf8);
}

const names = suite('UTF-16LE to UTF-8');

names('text of one, two, three and four bytes', () => {
  const text = 'a\u00e4\u20ac\ud83d\ude00z';
  assert.is(
    converted(utf16(...[...Array(text.length).keys()].map((i) => text.charCodeAt(i)))),
    text,
  );
});

names('ends at the first NUL', () => {
  assert.is(converted(utf16(0x61, 0, 0x62)), 'a');
  assert.is(converted(utf16(0, 0x62)), '');
});

names('without NUL the whole field is the text', () => {
  const field = utf16(...new Array<number>(260).fill(0x78));
  assert.is(converted(field), 'x'.repeat(260));
  const wide = utf16(...new Array<number>(260).fill(0x20ac));
  assert.is(utf16ToUtf8(wide, 0, wide.length).length, 780);
});

names('begins at the offset and reads nothing beyond the length', () => {
  assert.is(converted(utf16(0x61, 0x62, 0x63, 0x64), 2, 4), 'bc');
});

names('half a unit at the end is no character', () => {
  assert.is(converted(new Uint8Array([0x61, 0, 0x62])), 'a\ufffd');
  assert.is(converted(new Uint8Array([0x62])), '\ufffd');
  assert.is(converted(new Uint8Array(0)), '');
});

names('unpaired surrogates are no characters', () => {
  assert.is(converted(utf16(0xd800, 0x61)), '\ufffda');
  assert.is(converted(utf16(0xdc00, 0x61)), '\ufffda');
  assert.is(converted(utf16(0xd83d)), '\ufffd');
  assert.is(converted(utf16(0xd83d, 0xd83d, 0xde00)), '\ufffd\ud83d\ude00');
  // The second half of the pair is cut off
  assert.is(converted(new Uint8Array([0x3d, 0xd8, 0x00])), '\ufffd\ufffd');
});

names('any units become valid UTF-8, the same that Node makes of them', () => {
  let state = 0x1234567;
  for (let round = 0; round < 300; round++) {
    const units: number[] = [];
    for (let i = 0; i < 12; i++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      // Half of all units are surrogates
      const unit = state & 0x10000 ? 0xd800 | (state & 0x7ff) : (state >>> 8) & 0xffff;
      units.push(unit === 0 ? 1 : unit);
    }
    const expected = new TextDecoder('utf-16le', { ignoreBOM: true }).decode(utf16(...units));
    assert.is(converted(utf16(...units)), expected, `seed 0x1234567, round ${round}`);
  }
});

names.run();

const text = suite('UTF-8 to text');

text('every valid length', () => {
  const value = 'a\u00e4\u20ac\ud83d\ude00\u07ff\u0800\uffff\u{10ffff}';
  assert.is(utf8Text(new TextEncoder().encode(value)), value);
});

const BAD: readonly (readonly [what: string, bytes: number[]])[] = [
  ['continuation alone', [0x80]],
  ['cut short', [0xe2, 0x82]],
  ['two bytes for one', [0xc1, 0x81]],
  ['three bytes for two', [0xe0, 0x9f, 0xbf]],
  ['four bytes for three', [0xf0, 0x8f, 0xbf, 0xbf]],
  ['surrogate', [0xed, 0xa0, 0x80]],
  ['beyond the last plane', [0xf4, 0x90, 0x80, 0x80]],
  ['five bytes', [0xf8, 0x88, 0x80, 0x80, 0x80]],
];

for (const [what, bytes] of BAD)
  text(`no character: ${what}`, () => {
    const read = utf8Text(new Uint8Array([0x61, ...bytes, 0x7a]));
    assert.match(read, /^a\ufffd+z$/);
  });

text('part of an array', () => {
  assert.is(utf8Text(new Uint8Array([0x61, 0x62, 0x63]), 1, 1), 'b');
});

text.run();

const utc = suite('wall time as text');

utc('as Node has it, at the ends and across leap days', () => {
  const times = [0, 1, 951_782_399_999, 951_782_400_000, 1_767_225_600_000, 253_402_300_799_999];
  for (let year = 1970; year < 2400; year += 7) {
    for (const [month, day] of [
      [1, 28],
      [1, 29],
      [2, 1],
      [11, 31],
    ] as const) {
      times.push(Date.UTC(year, month, day, 23, 59, 59, 999));
    }
  }
  for (const time of times) assert.is(utcText(time), new Date(time).toISOString());
});

utc('fractions of a millisecond are cut off', () => {
  assert.is(utcText(1.9), '1970-01-01T00:00:00.001Z');
});

utc.run();
