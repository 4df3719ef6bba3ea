// SPDX-License-Identifier: GPL-2.0-or-later

/** The step of the bundler that spells literals so that they repeat. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { respell } from '../../../tools/build/respell.mjs';

const spelt = (code: string): string => respell(code).code;

const test = suite('respell');

test('texts have the quotes of templates, numbers beyond 16 bits base 16', () => {
  assert.is(spelt('f("a",x?"b":"c");'), 'f(`a`,x?`b`:`c`);');
  assert.is(
    spelt('f(65535,65536,4294967295,18446744073709551615n);'),
    ['f(65535,0x10000,0xffffffff,0xffffffffffffffffn);'][0],
  );
});

test('not keys, and not what would mean something else', () => {
  for (const same of [
    'x={"a b":1,"c d":2};',
    'f("`","${x}","\\n",/"65536"/,1e10,0x10000,1.5,70000.5);',
    'f(`"a" 65536`);',
  ])
    assert.is(spelt(same), same);
});

test('it is the same code', () => {
  const code = 'return["a"+65536,"b".length,{"c d":"e"}["c d"],typeof"x",4294967296n]';
  const run = (text: string): unknown => Function(text)() as unknown;
  assert.equal(run(spelt(code)), run(code));
  assert.is.not(spelt(code), code);
});

test('the columns of the source map move with the code', () => {
  // Segments at columns 0, 2 (65536) and 8 (x); a second line at 1
  const map = JSON.stringify({ version: 3, mappings: 'AAAA,EAAE,MAAM;CACA' });
  const moved = respell('f(65536,x)\nx', map);
  assert.is(moved.code, 'f(0x10000,x)\nx');
  assert.is(JSON.parse(moved.map!).mappings, 'AAAA,EAAE,QAAM;CACA');
  // Nothing moves by other quotes
  assert.is(JSON.parse(respell('f("655",x)\nx', map).map!).mappings, 'AAAA,EAAE,MAAM;CACA');
});

test.run();
