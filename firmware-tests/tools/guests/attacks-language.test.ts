// SPDX-License-Identifier: GPL-2.0-or-later

/** Hostile JavaScript guests that turn the language against whoever looks at what they give. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lastLine } from '../../rigs/cli-rig.ts';
import { DIRTY, assertHeld, assertTold, bootHostile } from '../../rigs/guests/hostile-rig.ts';

const language = suite('hostile guests: the language');

/** A guest that leaves registers, does `text`, and returns. */
const leaves = (text: string): string =>
  `export function boot(machine, options) { ${DIRTY} ${text} return { status: 'failed' }; }`;

/** Its audit is that of any guest that leaves this: what it is, its module. */
const SAME: readonly (readonly [what: string, module: string])[] = [
  [
    'that gives the machine what turns into a number for ever',
    leaves(
      'const bomb = { [Symbol.toPrimitive]() { for (;;); }, valueOf() { for (;;); } };' +
        'for (const f of [() => machine.rdmsr(bomb), () => machine.wrmsr(1, bomb), ' +
        '() => machine.callHypercallPage(bomb, 1n, 1n, 1n), () => machine.cpuid(bomb, 0)]) ' +
        'try { f(); } catch {}',
    ),
  ],
  [
    'that exports what makes its module thenable, and names of Object.prototype',
    'export function then(resolve) { resolve({ boot() { return { status: "booted" }; } }); }' +
      leaves('').replace('export ', '') +
      'export { boot, boot as "__proto__", boot as "constructor", boot as default };',
  ],
  [
    'whose boot is a proxy, and returns one',
    `export const boot = new Proxy(function () {}, { apply(target, self, [machine]) { ${DIRTY}
      return new Proxy({ status: 'failed' }, { ownKeys: () => ['status', 'verdict'],
        get: (_, key) => (key === 'status' ? 'failed' : 'clean') }); } });`,
  ],
  [
    'with species of its own',
    leaves(
      'const { memory } = machine; try { memory.constructor = { [Symbol.species]: function () ' +
        '{ return memory; } }; memory.slice(0, 8); } catch {}' +
        'class A extends Uint8Array { static get [Symbol.species]() { return class { ' +
        'constructor() { return new Proxy([], {}); } }; } }' +
        'try { new A(memory).map((x) => x); } catch {}',
    ),
  ],
  [
    'that has redefined all that it was given',
    leaves(
      'for (const o of [machine, machine.memory, machine.memoryMap, options])' +
        ' { for (const k of Reflect.ownKeys(o)) try { Object.defineProperty(o, k, ' +
        '{ get: () => 0 }); } catch {} try { Object.setPrototypeOf(o, null); } catch {} }',
    ),
  ],
  [
    'with setters at the indices of every array',
    leaves(
      'for (const p of [Array.prototype, Object.prototype]) for (let i = 0; i < 300; i++) ' +
        'Object.defineProperty(p, i, { get: () => "x", set() { throw 1; } });' +
        'try { options.events({ kind: "log", level: "info", layer: "A", object: "", text: "b" });' +
        ' options.pages({ allocate: () => 4096, free() {} }); } catch {}',
    ),
  ],
  [
    'that goes on in asynchronous generators',
    leaves(
      'const g = async function* () { for (;;) yield 0; };' +
        '(async () => { for await (const x of g()) machine.wrmsr(0x40000083, 0n); })();',
    ),
  ],
  [
    'whose lists have iterators without end',
    leaves('').replace(
      "{ status: 'failed' }",
      "{ status: 'failed', attempts: { [Symbol.iterator]: function* () { for (;;) yield 1; } } }",
    ),
  ],
  [
    'that tells of a number of a hundred million bits',
    leaves(
      'try { options.events({ kind: "log", level: "info", layer: "A", object: "", text: "b", ' +
        'n: 1n << 100_000_000n }); } catch {}',
    ),
  ],
  [
    'that imports with attributes',
    leaves(
      'for (const f of [() => import("data:text/javascript,0", { with: { type: "json" } }), ' +
        '() => import("./x.js", { get with() { for (;;); } })]) ' +
        'try { f()?.catch?.(() => {}); } catch {}',
    ),
  ],
  [
    'whose allocator lies',
    leaves(
      'let n = 0; const values = [NaN, -4096, 1e18, 0.5, 0x300000, 0x300000, "5", null, {}];' +
        'const a = options.pages({ allocate: () => values[n++ % 9], free() { throw new Proxy({}, ' +
        '{}); } }); for (let i = 0; i < 30; i++) try { a.allocate(i % 3 ? 4096 : NaN, i % 5 ? 4 ' +
        ': -1, "__proto__"); } catch {}' +
        'for (const v of [NaN, -1, 0x300000, 1e300]) try { a.free(v, v, "\\x1b[2J"); } catch {}',
    ),
  ],
];

for (const [what, module] of SAME) {
  language(`the audit of a guest ${what} is the same`, async () => {
    const run = await bootHostile(module, '--watchdog', '60');
    assertHeld(run);
    assertTold(run);
    assert.is(run.code, 1, run.error);
  });
}

language('no text becomes code, whatever makes it', async () => {
  const run = await bootHostile(`
    const made = [];
    const kinds = [function* () {}, async () => {}, async function* () {}];
    const tries = [
      ...kinds.map((kind) => () => kind.constructor('return 1')),
      () => Reflect.construct(Function, ['return 1'], class {}),
      () => (0, globalThis.eval)('1'),
      () => RegExp.prototype.exec.constructor('return 1'),
      () => new Proxy(Function, {})('return 1'),
      () => Function.apply(null, ['return 1']),
      () => Function.bind(null, 'return 1')(),
      () => ['return 1'].map(Function),
    ];
    tries.forEach((each, index) => { try { each(); made.push(index); } catch {} });
    export function boot(machine, { events }) {
      const text = 'made ' + made.length + ' of ' + tries.length;
      events({ kind: 'log', level: 'info', layer: 'BOOT', object: '', text });
      return { status: 'failed' };
    }`);
  assertHeld(run);
  assert.match(run.out, 'made 0 of 10');
});

for (const [what, module] of [
  ['of Node, under another name', 'import { createRequire } from "module";'],
  ['a text', 'import "data:text/javascript,0";'],
  ['a file by its URL', 'import "file:///etc/hostname";'],
  ['a server', 'import "https://example.com/x.mjs";'],
  ['data', 'import x from "/etc/hostname" with { type: "json" };'],
] as const) {
  language(`it cannot import ${what}`, async () => {
    const run = await bootHostile(`${module}\nexport function boot() {}`);
    assertHeld(run);
    assert.is(run.code, 2);
    assert.match(run.error, /^hypxe: BadFirmware: .* cannot be loaded: it imports /);
  });
}

for (const [what, module] of [
  ['in microtasks', 'const f = () => void Promise.resolve().then(f); f();'],
  ['in an asynchronous function', '(async () => { for (;;) await 0; })();'],
] as const) {
  language(`a module that never ends ${what} is ended while it is loaded`, async () => {
    const run = await bootHostile(`${module}\nexport function boot() {}`, '--watchdog', '1');
    assertHeld(run);
    assert.is(run.code, 3);
    assert.match(lastLine(run), /^verdict: hang: the firmware hangs: while it is loaded, /);
  });
}

// Each promise waits for the one after it, so that none can be forgotten
language('a module that fills memory with promises is ended while it is loaded', async () => {
  const source = `
    const f = () => Promise.resolve().then(f);
    f();
    export function boot() {}`;
  const run = await bootHostile(source, '--guest-memory-limit', '256', '--watchdog', '60');
  assertHeld(run);
  assert.is(run.code, 3);
  assert.match(lastLine(run), /^verdict: out-of-memory: .* while it is loaded, /);
});

language.run();
