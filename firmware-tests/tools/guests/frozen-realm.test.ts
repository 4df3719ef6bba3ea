// SPDX-License-Identifier: GPL-2.0-or-later

/** The realm of a cell cannot be changed, and programs in it do what they did. */

import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('guests: frozen realm');

const HOOK = new URL('../../../tools/build/ts-hook.mjs', import.meta.url).href;
const MODULE = new URL('../../../tools/guests/cell/frozen-realm.ts', import.meta.url).href;

const REALM = new URL('../../../dist/guest-realm.js', import.meta.url).href;

/** Run lines in a process of their own whose realm is frozen; what they print. */
function run(...lines: readonly string[]): string {
  const code = [`import { freezeRealm } from '${MODULE}';`, 'freezeRealm();', ...lines].join('\n');
  const flags = ['--no-warnings', '--experimental-vm-modules', '--allow-natives-syntax'];
  const args = ['--import', HOOK, ...flags, '--input-type=module', '-e', code];
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

/** Names of what the engine has as tables, in which it looks everything up, each time. */
const TABLES = [
  "const isFast = new Function('object', 'return %HasFastProperties(object)');",
  "const names = ['Array', 'ArrayBuffer', 'Atomics', 'DataView', 'Map', 'Math', 'Promise',",
  "  'Reflect', 'Set', 'String', 'Uint8Array'];",
  'const tables = (global) => names.flatMap((name) => {',
  '  const { prototype } = global[name];',
  '  const slow = [isFast(global[name]), prototype === undefined || isFast(prototype)];',
  '  return slow.includes(false) ? [name] : [];',
  '});',
];

test('what is frozen is as fast as it was', () => {
  assert.is(run(...TABLES, 'console.log(tables(globalThis).join());'), '');
});

test('so is what a realm of a guest has lost', () => {
  const lines = [
    "import * as vm from 'node:vm';",
    `import { readFileSync } from 'node:fs';`,
    'const context = vm.createContext(vm.constants.DONT_CONTEXTIFY);',
    `const code = readFileSync(new URL('${REALM}'), 'utf8');`,
    'const module = new vm.SourceTextModule(code, { context });',
    'await module.link(() => undefined);',
    'await module.evaluate();',
    "module.namespace.createRealm({}, 'guest:');",
    "console.log(tables(vm.runInContext('globalThis', context)).join());",
  ];
  assert.is(run(...TABLES, ...lines), '');
});

test.run();
