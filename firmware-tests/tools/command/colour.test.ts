// SPDX-License-Identifier: GPL-2.0-or-later

/** Colour: by choice and by terminal, and never by what a guest has written. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAINTED, UNPAINTED, chooseColour, paintFor } from '../../../tools/command/colour.ts';
import { hypxe, write } from '../../rigs/cli-rig.ts';

const colours = suite('colour');

colours('by what a line says; what says nothing stays as it is', () => {
  const lines = [
    ['verdict: clean: x', 32],
    ['verdict: findings: x', 31],
    ['verdict: interrupted: x', 33],
    ['  ERROR    4 not so: x', 31],
    ['  WARNING  4 not so: x', 33],
    ['  ok       4 x', 32],
    ['[      0.004]   HV error: x', 31],
    ['[      0.004]   RNDIS {1} warning: x', 33],
    ['finding   x', 31],
    ['[      0.004]   HV "error: x"', 0],
    ['image    x', 0],
    ['', 0],
  ] as const;
  for (const [line, code] of lines) {
    const painted = PAINTED(line);
    const bold = code === 31 ? '1;' : '';
    assert.is(painted, code === 0 ? line : `\x1b[${bold}${code}m${line}\x1b[0m`);
  }
  assert.is(PAINTED('image\nverdict: clean\n'), 'image\n\x1b[32mverdict: clean\x1b[0m\n');
});

colours('on a terminal, unless NO_COLOR or the terminal says no; or as is said', () => {
  const paint = (when: 'auto' | 'always' | 'never', tty: boolean, env = {}): boolean =>
    paintFor(when, tty, env) !== UNPAINTED;
  assert.is(paint('auto', true), true);
  assert.is(paint('auto', false), false);
  assert.is(paint('auto', true, { NO_COLOR: '1' }), false);
  assert.is(paint('auto', true, { NO_COLOR: '' }), true);
  assert.is(paint('auto', true, { TERM: 'dumb' }), false);
  assert.is(paint('always', false, { NO_COLOR: '1' }), true);
  assert.is(paint('never', true), false);
});

colours('the option may stand anywhere, once, and not behind --', () => {
  const args = ['boot', '--seed', '1'];
  assert.equal(chooseColour(['--color', 'never', ...args]), { args, when: 'never' });
  assert.equal(chooseColour([...args, '--color=always']), { args, when: 'always' });
  assert.equal(chooseColour(['x', '--', '--color']), {
    args: ['x', '--', '--color'],
    when: 'auto',
  });
  for (const [words, text] of [
    [['--color'], /no value/],
    [['--color', 'alway'], /cannot be alway/],
    [['--color=auto', '--color', 'auto'], /twice/],
  ] as const) {
    assert.throws(() => chooseColour(words), text);
  }
});

colours('a guest brings no colour of its own, and a document has none', async () => {
  const text = '\\u001b[31mred\\u001b[0m';
  const event = `{ kind: 'log', level: 'info', layer: 'X', object: '', text: '${text}' }`;
  write(
    'red.mjs',
    `export function boot(machine, { events }) {
      events(${event});
      return { status: 'booted', image: null };
    }`,
  );
  const run = await hypxe('boot', '--firmware', 'red.mjs', '--size', '1', '--color', 'always');
  assert.match(run.out, /\\u001b\[31mred\\u001b\[0m\n/);
  assert.match(run.out, /\x1b\[32m {2}ok +1 /);
  const plain = await hypxe('boot', '--firmware', 'red.mjs', '--size', '1');
  assert.not.match(plain.out, /\x1b/);
  const json = await hypxe('hosts', '--json', '--color', 'always');
  assert.is(json.code, 0, json.error);
  assert.not.match(json.out, /\x1b/);
});

colours.run();
