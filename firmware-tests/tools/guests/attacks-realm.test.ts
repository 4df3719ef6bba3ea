// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Hostile JavaScript guests: what they try to get out of their realm. What is held stands in
 * tools/guests/README.md, with the test that shows it.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withoutDynamicImport } from '../../../tools/guests/module-text.ts';
import { assertLinear } from '../../rigs/bench/linear.ts';
import { directory, write } from '../../rigs/cli-rig.ts';
import { bootHostile } from '../../rigs/guests/hostile-rig.ts';

/**
 * What a guest may get hold of: each text is the body of a function of `machine` and `options`, and
 * gives what it has caught. Whatever it is, no constructor on the way up from it makes code of text
 * or is of another realm than the guest's.
 */
const CATCHES: readonly (readonly [what: string, body: string])[] = [
  ['the global object', 'return globalThis;'],
  ['this of a function', 'return (function () { return this; })();'],
  ['the machine', 'return machine;'],
  ['its memory', 'return machine.memory;'],
  ['a view of its memory', 'return new Uint8Array(machine.memory, 0, 4).subarray(1);'],
  ['a copy of its memory', 'return machine.memory.slice(0, 16);'],
  ['its memory map', 'return machine.memoryMap;'],
  ['an entry of the map', 'return machine.memoryMap[0];'],
  ['a call of the seam', 'return machine.cpuid;'],
  ['what CPUID returns', 'return machine.cpuid(1, 0);'],
  ['the options', 'return options;'],
  ['the sink of events', 'return options.events;'],
  ['what the sink returns', 'return options.events({ kind: "link", name: "", up: true });'],
  ['a watched allocator', 'return options.pages({ allocate: () => 4096, free() {} });'],
  ['a call of the allocator', 'return options.pages({ allocate: () => 1, free() {} }).allocate;'],
  [
    'an error out of an allocator',
    'try { options.pages({ allocate() { throw new RangeError(); }, free() {} })' +
      '.allocate(1, 1, "") } catch (e) { return e; }',
  ],
  ['a refused argument', 'try { machine.rdmsr({ valueOf: () => 1 }); } catch (e) { return e; }'],
  ['a proxy as argument', 'try { machine.rdmsr(new Proxy({}, {})); } catch (e) { return e; }'],
  ['a symbol as argument', 'try { machine.wrmsr(Symbol(), 1n); } catch (e) { return e; }'],
  [
    'an endless bigint',
    'machine.cpuid(1, 0); return machine.wrmsr(0x40000000, (1n << 70000n) | 1n);',
  ],
  ['the frames of a stack', 'return new Error("x").stack;'],
  [
    'structured frames',
    'let caught; try { Error.prepareStackTrace = (e, frames) => (caught = frames); } catch {}' +
      'new Error("x").stack; return caught;',
  ],
  [
    'another Error',
    'let caught; try { globalThis.Error = { prepareStackTrace: (e, f) => ' +
      '(caught = f) }; } catch {}' +
      'try { null.x; } catch (e) { e.stack; } return caught;',
  ],
  ['captureStackTrace', 'const o = {}; Error.captureStackTrace(o); return o.stack;'],
  ['a name that is a symbol', 'const e = new Error(); e.name = Symbol(); return e.stack;'],
  ['its caller', 'return (function f() { try { return f.caller; } catch (e) { return e; } })();'],
  [
    'the caller of the sink',
    'let got; const o = { get kind() { try { got = ' +
      'arguments.callee.caller; } catch (e) { got = e; }' +
      ' return "x"; } }; options.events(o); return got;',
  ],
  ['import.meta', 'return import.meta;'],
  ['a dynamic import', 'try { return import("node:fs"); } catch (e) { return e; }'],
  [
    'a dynamic import behind a comment',
    'try { return import /* ( */ ("fs"); } catch (e) { return e; }',
  ],
  [
    'a dynamic import in an arrow',
    'try { return (() => import\n("fs"))(); } catch (e) { return e; }',
  ],
  ['a dynamic import as an element', 'try { return [...import("fs")]; } catch (e) { return e; }'],
  ['eval', 'try { return eval("1"); } catch (e) { return e; }'],
  ['Function', 'try { return new Function("return 1"); } catch (e) { return e; }'],
  ['an async function', 'return (async () => 1)();'],
  [
    'the constructor of async functions',
    'try { return (async () => {}).constructor("return 1"); } catch (e) { return e; }',
  ],
  ['a rejected promise', 'return Promise.reject(new Error()).catch((e) => e);'],
  ['a generator', 'return (function* () {})();'],
  [
    'a species',
    'class A extends Array { static get [Symbol.species]() { return Object; } } return new A();',
  ],
  ['Atomics', 'return Atomics;'],
  [
    'an error at the end of the stack',
    'let caught; const deep = () => { try { deep(); } catch (e) { caught ' +
      '??= e; machine.cpuid(1, 0); } };' +
      'try { deep(); } catch (e) { caught = e; } return caught;',
  ],
];

/** Names that must not be there. */
const ABSENT = [
  ...['process', 'require', 'module', 'fetch', 'setTimeout', 'setInterval', 'queueMicrotask'],
  ...[
    'Buffer',
    'URL',
    'TextEncoder',
    'console',
    'performance',
    'structuredClone',
    'MessageChannel',
  ],
  ...['SharedArrayBuffer', 'WebAssembly', 'FinalizationRegistry', 'WeakRef', 'Date', 'Intl'],
  ...['crypto', 'navigator', 'global', 'parentPort', 'ShadowRealm', 'Temporal', 'escape'],
];

/** Looks up from what was caught. Sloppy code does not compile in a module: `with` is not tried. */
const PROBE = `
let tell;
function upwards(name, caught) {
  const found = new Set();
  const look = (value, depth) => {
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return;
    for (let at = value, i = 0; at !== null && i < 8; at = Object.getPrototypeOf(at), i++) {
      const own = Object.getOwnPropertyDescriptors(at);
      for (const key of Reflect.ownKeys(own)) {
        const { value: each, get, set } = own[key];
        for (const part of [each, get, set]) {
          if (typeof part === 'function') check(part);
          else if (depth > 0) look(part, depth - 1);
        }
      }
      if (typeof at === 'function') check(at);
    }
  };
  const check = (f) => {
    let top = f;
    while (Object.getPrototypeOf(top) !== null) top = Object.getPrototypeOf(top);
    if (top !== Object.prototype) found.add('function of another realm');
    try {
      const made = f.constructor.constructor('return this')();
      found.add('code of text: ' + typeof made?.process);
    } catch (error) {
      if (!(error instanceof Error)) found.add('error of another realm');
    }
  };
  look(caught, 3);
  if (typeof caught === 'object' && caught !== null && Object.getPrototypeOf(caught) !== null &&
      !(caught instanceof Object)) found.add('object of another realm');
  tell(name, found.size === 0 ? 'held' : 'ESCAPED: ' + [...found].join('; '));
}
`;

const realm = suite('hostile guests: out of the realm');

const all = `${PROBE}
export function boot(machine, options) {
  tell = (object, text) =>
    options.events({ kind: 'log', level: 'info', layer: 'BOOT', object, text });
${CATCHES.map(
  ([what, body]) =>
    `  { let caught; try { caught = (() => { ${body} })(); } catch (e) { caught = e; } ` +
    `upwards(${JSON.stringify(what)}, caught); }`,
).join('\n')}
  for (const name of ${JSON.stringify(ABSENT)}) {
    tell('global ' + name, name in globalThis ? 'THERE' : 'absent');
  }
  const { prototype } = ArrayBuffer;
  for (const [object, name] of [[prototype, 'transfer'], [prototype, 'resize'],
    [Atomics, 'wait'], [Atomics, 'waitAsync'], [Math, 'random']]) {
    tell('method ' + name, name in object ? 'THERE' : 'absent');
  }
  return { status: 'failed' };
}
`;

const told = bootHostile(all, '--watchdog', '20');

realm('the guest has run to its end', async () => {
  const { out, error } = await told;
  assert.is(error, '');
  // The last thing that it tries ends in the middle of a call of the tool, or in front of it
  assert.match(out, /^verdict: (?:findings: nothing was booted|crash: .*its stack \w+ used)/m);
});

for (const [what] of CATCHES) {
  realm(`${what}: nothing of the tool's`, async () => {
    const { out } = await told;
    const line = out.split('\n').find((each) => each.includes(` BOOT ${what} `));
    assert.is(line?.split(` ${what} `)[1] ?? 'nothing was told', 'held');
  });
}

realm('nothing of Node, no clock, no randomness, nothing that waits', async () => {
  const { out } = await told;
  const lines = out.split('\n').filter((line) => /BOOT (?:global|method) /.test(line));
  assert.is(lines.length, ABSENT.length + 5);
  assert.equal(
    lines.filter((line) => !line.endsWith(' absent')),
    [],
  );
});

for (const [text, code] of [
  ['import("a")', true],
  ['x = import\n\n(a)', true],
  ['import/* ) */(a)', true],
  ['import/*/*/(a)', true],
  ['import// (b)\n(a)', true],
  ['import//c\n(a)', true],
  ['[...import("a")]', true],
  ['0..import(a)', true],
  ['import.source("a")', true],
  ['import . defer ("a")', true],
  ['"import(a)"', true],
  ['import a from "b"', false],
  ['import// (c)\na from "b"', false],
  ['import/* ( */a from "b"', false],
  ['import { a } from "b"', false],
  ['import.meta', false],
  ['a.import("b")', false],
  ['a?.import("b")', false],
  ['$import("b")', false],
  ['\u00e4import("b")', false],
  ['reimport("b")', false],
] as const) {
  realm(`import() in ${JSON.stringify(text)}: ${code ? 'gone' : 'there is none'}`, () => {
    assert.is(withoutDynamicImport(text) !== text, code);
  });
}

realm('the search for import() takes no longer for a text that was made to be slow', () => {
  for (const text of ['/**/ ', 'import ', 'import/*', '//import \n'])
    assertLinear(8000, (count) => withoutDynamicImport(`import${text.repeat(count)}x`));
});

realm('a comment behind import may be of any length', () => {
  const comment = `/*${'x'.repeat(1 << 23)}*/`;
  assert.match(withoutDynamicImport(`import${comment}("a")`), /^guest_may_not_import/);
  assert.match(withoutDynamicImport(`import${comment}a from "b"`), /^import/);
});

for (const [what, specifier] of [
  ['of Node', 'node:fs'],
  ['of Node, without its prefix', 'fs'],
  ['a package', 'esbuild'],
  ['a file outside of its folder', '/etc/hostname'],
  ['a file above its folder', '../../../../../etc/hostname'],
] as const) {
  realm(`it cannot import what is ${what}`, async () => {
    const run = await bootHostile(
      `import x from ${JSON.stringify(specifier)};\nexport const boot = x;`,
    );
    assert.is(run.code, 2);
    assert.match(run.error, /^hypxe: BadFirmware: .* cannot be loaded: it imports /);
  });
}

realm('a link out of its folder is no way out', async () => {
  fs.symlinkSync('/etc', path.join(directory, 'out'));
  const run = await bootHostile('import x from "./out/hostname";\nexport const boot = x;');
  assert.match(run.error, /BadFirmware: .* lies outside of its folder/);
});

realm("hypxe's own bundles and files beside it can be imported", async () => {
  write('beside/own.js', 'export { boot } from "hypxe";');
  const run = await bootHostile('export { boot } from "./beside/own.js";');
  assert.is(run.code, 0, run.out);
});

realm.run();
