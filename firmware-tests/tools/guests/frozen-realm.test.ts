// SPDX-License-Identifier: GPL-2.0-or-later

/** The realm of a cell cannot be changed, and programs in it do what they did. */

import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('guests: frozen realm');

const HOOK = new URL('../../../tools/build/ts-hook.mjs', import.meta.url).href;
const MODULE = new URL('../../../tools/guests/cell/frozen-realm.ts', import.meta.url).href;

/** Run lines in a process of their own whose realm is frozen; what they print. */
function run(...lines: readonly string[]): string {
  const code = [`import { freezeRealm } from '${MODULE}';`, 'freezeRealm();', ...lines].join('\n');
  const args = ['--import', HOOK, '--no-warnings', '--input-type=module', '-e', code];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.is(status, 0, stderr);
  return stdout.trim();
}

const CHANGES = [
  'Array.prototype.map = () => 1',
  'Array.prototype[0] = 1',
  'Object.prototype.extra = 1',
  'Object.prototype.toString = () => 1',
  'Error.prototype.name = 1',
  'delete Map.prototype.get',
  'Object.setPrototypeOf(Array.prototype, null)',
  'JSON.parse = () => 1',
  'Uint8Array.prototype.extra = 1',
  'Object.getPrototypeOf(Uint8Array.prototype).subarray = () => 1',
  '[][Symbol.iterator]().__proto__.next = () => 1',
  'Promise.prototype.then = () => 1',
  'globalThis.JSON = 1',
  'console.log.extra = 1',
];

test('nothing of the language can be changed', () => {
  const tries = CHANGES.map(
    (change) => `try { ${change}; console.log('changed'); } catch { n++; }`,
  );
  assert.is(run('let n = 0;', ...tries, 'console.log(n);'), String(CHANGES.length));
});

test('what inherits has properties of its own', () => {
  const text = run(
    'const error = new TypeError("what"); error.name = "Other";',
    'const table = {}; table.toString = 1; table["constructor"] = 2;',
    'console.log(error.name, new TypeError("").name, JSON.stringify(table), String({}));',
  );
  assert.is(text, 'Other TypeError {"toString":1,"constructor":2} [object Object]');
});

test.run();
