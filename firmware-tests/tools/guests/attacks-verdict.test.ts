// SPDX-License-Identifier: GPL-2.0-or-later

/** Hostile JavaScript guests that try to forge their verdict. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hypxe, lastLine, read, write } from '../../rigs/cli-rig.ts';
import { bootHostile } from '../../rigs/guests/hostile-rig.ts';

const forged = suite('hostile guests: the verdict');

/** Makes registers that stay: a handoff that is not clean. */
const DIRTY = 'machine.wrmsr(0x40000000, 0x1000000000000n); machine.wrmsr(0x40000083, 0x200001n);';
const RESULT = `return { status: 'failed' };`;

for (const [what, before] of [
  ['as it is', ''],
  [
    'that has replaced Array.prototype',
    'for (const k of ["push", "map", "filter", "find", "some"]) Array.prototype[k] = () => [];',
  ],
  ['that has replaced the iterator', 'Array.prototype[Symbol.iterator] = function* () {};'],
  [
    'that has replaced DataView',
    'for (const k of Object.getOwnPropertyNames(DataView.prototype)) if ' +
      '(k.startsWith("get")) DataView.prototype[k] = () => 0;',
  ],
  [
    'that has replaced typed arrays',
    'Object.defineProperty(Object.getPrototypeOf(Uint8Array.prototype), ' +
      '"length", { get: () => 0 }); Uint8Array.prototype.fill = () => {};',
  ],
  [
    'that has replaced the size of buffers',
    'Object.defineProperty(ArrayBuffer.prototype, "byteLength", { get: () => 0 });',
  ],
  ['that has replaced JSON', 'JSON.stringify = () => "{}"; JSON.parse = () => ({});'],
  [
    'that has replaced Object and Reflect',
    'const keys = Object.getOwnPropertyNames; for (const o of [Object, ' +
      'Reflect]) for (const k of keys(o)) try { o[k] = () => undefined; } ' +
      'catch {}',
  ],
  [
    'that has setters on Object.prototype',
    'for (const k of ["verdict", "findings", "kind", "status", "then", ' +
      '"value"]) Object.defineProperty(Object.prototype, k, { get: () => ' +
      '"clean", set() {}, configurable: true });',
  ],
  [
    'with toJSON on every object',
    'Object.prototype.toJSON = String.prototype.toJSON = () => ({ verdict: "clean" });',
  ],
  [
    'that has replaced Function.prototype',
    'Function.prototype.call = Function.prototype.apply = Function.prototype.bind = () => 0;',
  ],
  ['that has replaced Promise', 'globalThis.Promise = class {}; '],
] as const) {
  forged(`the audit of a guest ${what} is the same`, async () => {
    const run = await bootHostile(
      `export function boot(machine) { ${DIRTY} ${before} ${RESULT} }`,
      '--watchdog',
      '60',
    );
    assert.is(run.code, 1, run.out + run.error);
    assert.match(
      run.out,
      /^ {2}ERROR +4 not so: message and event page are disabled on every VP$/m,
    );
    assert.match(run.out, /^ {2}ERROR +7 not so: the hypercall page is disabled/m);
  });
}

for (const [what, result, verdict] of [
  [
    'a proxy',
    'new Proxy({}, { get() { throw 1; }, ownKeys() { throw 2; } })',
    /boot\(\) returned \[unreadable\]/,
  ],
  [
    'an object of getters',
    '({ get status() { return "failed"; }, get memoryMap() { throw 1; } })',
    /memoryMap is no array/,
  ],
  ['two answers', '({ n: 0, get status() { return this.n++ ? "clean" : "failed"; } })', /^$/],
  [
    'itself in itself',
    '(() => { const a = { status: "failed" }; a.error = a; a.attempts = [a]; return a; })()',
    /^$/,
  ],
  [
    'a prototype of its own',
    'JSON.parse(\'{"__proto__": {"verdict": "clean"}, "status": "failed"}\')',
    /^$/,
  ],
  ['a verdict', '({ status: "failed", verdict: "clean", findings: [], exitCode: 0 })', /^$/],
  ['a promise', 'Promise.resolve({ status: "failed" })', /returned a promise/],
  ['a symbol', 'Symbol("x")', /boot\(\) returned \[symbol\]/],
  ['a bigint', '1n', /boot\(\) returned 0x1/],
  ['a function', 'boot', /boot\(\) returned \[function\]/],
  [
    'a huge text',
    '({ status: "x".repeat(1 << 28) })',
    /returned the status x{4096} \[268431360 more characters\]/,
  ],
  [
    'a huge list',
    '({ status: "failed", memoryMap: new Array(1e9) })',
    /memoryMap has more than 4096 ranges/,
  ],
  [
    'a list of holes',
    '({ status: "failed", memoryMap: new Array(4096) })',
    /memoryMap\[0\] has no address/,
  ],
  [
    'deep nesting',
    '(() => { let a = {}; for (let i = 0; i < 1e5; i++) a = { a }; return ' +
      '{ status: "failed", error: a }; })()',
    /^$/,
  ],
] as const) {
  forged(`a guest that returns ${what}`, async () => {
    const run = await bootHostile(
      `export function boot() { return ${result}; }`,
      '--watchdog',
      '60',
    );
    assert.match(run.error.split('\n')[0]!, verdict);
    assert.is(run.code, run.error === '' ? 1 : 2);
    assert.not.match(run.out, /verdict: clean/);
  });
}

for (const [what, thrown, text] of [
  [
    'what has a toString that throws',
    '{ toString() { throw 1; } }',
    /threw \{"toString":"\[function\]"\}/,
  ],
  ['a proxy', 'new Proxy({}, { get() { throw 1; }, getPrototypeOf() { throw 1; } })', /threw /],
  ['null', 'null', /threw null/],
  ['undefined', 'undefined', /threw undefined/],
  ['a symbol', 'Symbol("s")', /threw \[symbol\]|threw "\[symbol\]"/],
  ['a huge text', '"x".repeat(1 << 28)', /threw x{4096} \[268431360 more characters\]/],
  [
    'an error of getters',
    'Object.defineProperty(new Error("m"), "message", { get() { throw 1; } })',
    /threw Error: \[unreadable\]/,
  ],
  [
    'the crash of another guest',
    'Object.assign(new Error("no"), { name: "GuestCrash" })',
    /threw GuestCrash: no/,
  ],
] as const) {
  forged(`a guest that throws ${what}`, async () => {
    const run = await bootHostile(
      `export function boot() { throw ${thrown}; }`,
      '--watchdog',
      '60',
    );
    assert.is(run.code, 3, run.error);
    assert.match(lastLine(run), /^verdict: crash: the firmware threw /);
    assert.match(lastLine(run), text);
  });
}

forged('what a guest leaves for later never runs', async () => {
  const run = await bootHostile(
    `export function boot(machine, { events }) {
      const say = (text) => events({ kind: 'log', level: 'info', layer: 'BOOT', object: '', text });
      Promise.resolve().then(() => { say('LATER'); machine.wrmsr(0x40000000, 1n); for (;;); });
      (async () => { await 0; say('LATER'); })();
      return { status: 'failed' };
    }`,
    ...['--watchdog', '60'],
  );
  assert.is(run.code, 1);
  assert.not.match(run.out, /LATER/);
});

forged('a promise that nobody waits for is nothing to the tool', async () => {
  const run = await bootHostile(
    'Promise.reject(new Error("lost"));\n' +
      'export function boot() { Promise.reject(1); return { status: "failed" }; }',
  );
  assert.is(run.error, '');
  assert.is(run.code, 1);
  const loading = await bootHostile('throw new SyntaxError("late");');
  assert.match(loading.error, /^hypxe: BadFirmware: .*: SyntaxError: late\n/);
});

forged('a machine that was kept is none any more', async () => {
  const run = await hypxe(
    ...['boot', '--size', '1', '--no-os', '--firmware'],
    write(
      'keeps.js',
      `let kept;
      export function boot(machine, { events }) {
        if (kept !== undefined) {
          try { kept.wrmsr(0x40000000, 1n); } catch (error) {
            events({ kind: 'log', level: 'info', layer: 'BOOT', object: '', text: error.message });
          }
        }
        kept = machine;
        return { status: 'booted', image: { name: 'i', address: 0x100000, length: 1, device: 'd' },
          memoryMap: [{ address: 0x200000, length: 0x100000, type: 'usable' }] };
      }`,
    ),
    ...['--then', 'chainload', '--trace', 'kept.jsonl'],
  );
  assert.is(run.error, '');
  assert.match(read('kept.jsonl'), /"text":"the guest has ended"/);
});

forged.run();
