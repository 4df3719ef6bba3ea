// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Hostile JavaScript guests: what they try to get out of their realm, to forge their verdict, to
 * stop the tool, and to steer the terminal. What is held stands in tools/guests/README.md, with the
 * test that shows it.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withoutDynamicImport } from '../../../tools/guests/module-text.ts';
import { directory, hypxe, lastLine, read, write, type Run } from '../../rigs/cli-rig.ts';

/** Boots that need not last. */
const SHORT = ['boot', '--size', '1', '--no-os', '--no-second-boot'];

let count = 0;

/** Boot a hostile bundle. */
function boot(text: string, ...args: string[]): Promise<Run> {
  return hypxe(...SHORT, '--firmware', write(`hostile-${count++}.js`, text), ...args);
}

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

const told = boot(all, '--watchdog', '20');

realm('the guest has run to its end', async () => {
  const { out, error } = await told;
  assert.is(error, '');
  assert.match(out, /^verdict: findings: nothing was booted/m);
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
  ['import//c\n(a)', true],
  ['[...import("a")]', true],
  ['0..import(a)', true],
  ['import.source("a")', true],
  ['import . defer ("a")', true],
  ['"import(a)"', true],
  ['import a from "b"', false],
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
  const begin = Date.now();
  withoutDynamicImport(`import${'/**/ '.repeat(100_000)}x`);
  withoutDynamicImport('import '.repeat(100_000));
  assert.ok(Date.now() - begin < 5000);
});

for (const [what, specifier] of [
  ['of Node', 'node:fs'],
  ['of Node, without its prefix', 'fs'],
  ['a package', 'esbuild'],
  ['a file outside of its folder', '/etc/hostname'],
  ['a file above its folder', '../../../../../etc/hostname'],
] as const) {
  realm(`it cannot import what is ${what}`, async () => {
    const run = await boot(`import x from ${JSON.stringify(specifier)};\nexport const boot = x;`);
    assert.is(run.code, 2);
    assert.match(run.error, /^hypxe: BadFirmware: .* cannot be loaded: it imports /);
  });
}

realm('a link out of its folder is no way out', async () => {
  fs.symlinkSync('/etc', path.join(directory, 'out'));
  const run = await boot('import x from "./out/hostname";\nexport const boot = x;');
  assert.match(run.error, /BadFirmware: .* lies outside of its folder/);
});

realm("hypxe's own bundles and files beside it can be imported", async () => {
  write('beside/own.js', 'export { boot } from "hypxe";');
  const run = await boot('export { boot } from "./beside/own.js";');
  assert.is(run.code, 0, run.out);
});

realm.run();

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
    const run = await boot(
      `export function boot(machine) { ${DIRTY} ${before} ${RESULT} }`,
      '--watchdog',
      '5',
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
    const run = await boot(`export function boot() { return ${result}; }`, '--watchdog', '5');
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
    const run = await boot(`export function boot() { throw ${thrown}; }`, '--watchdog', '5');
    assert.is(run.code, 3, run.error);
    assert.match(lastLine(run), /^verdict: crash: the firmware threw /);
    assert.match(lastLine(run), text);
  });
}

forged('what a guest leaves for later never runs', async () => {
  const run = await boot(
    `export function boot(machine, { events }) {
      const say = (text) => events({ kind: 'log', level: 'info', layer: 'BOOT', object: '', text });
      Promise.resolve().then(() => { say('LATER'); machine.wrmsr(0x40000000, 1n); for (;;); });
      (async () => { await 0; say('LATER'); })();
      return { status: 'failed' };
    }`,
    ...['--watchdog', '5'],
  );
  assert.is(run.code, 1);
  assert.not.match(run.out, /LATER/);
});

forged('a promise that nobody waits for is nothing to the tool', async () => {
  const run = await boot(
    'Promise.reject(new Error("lost"));\n' +
      'export function boot() { Promise.reject(1); return { status: "failed" }; }',
  );
  assert.is(run.error, '');
  assert.is(run.code, 1);
  const loading = await boot('throw new SyntaxError("late");');
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

const ends = suite('hostile guests: without end');

for (const [what, text] of [
  ['loops and calls nothing', 'for (;;);'],
  ['loops in a pattern', '/(a+)+$/.test("a".repeat(60) + "b");'],
  ['sorts for ever', 'for (;;) [3, 2, 1].sort(() => { for (;;); });'],
  ['catches everything', 'for (;;) try { for (;;) null.x; } catch {}'],
  ['has a getter that loops', 'return { get status() { for (;;); } };'],
  ['has a toString that loops', 'throw { get message() { for (;;); } };'],
] as const) {
  ends(`a guest that ${what} hangs, and what it has left is told`, async () => {
    const run = await boot(
      `export function boot(machine) { machine.wrmsr(0x40000000, 0x1000000000000n);
        machine.wrmsr(0x40000083, 0x200001n); ${text} }`,
      ...['--watchdog', '1', '--trace', 'loops.jsonl'],
    );
    assert.is(run.code, 3, run.error);
    assert.match(
      lastLine(run),
      /^verdict: hang: the firmware hangs: no sign of life for 1 s \(see --watchdog\); /,
    );
    assert.match(
      lastLine(run),
      /last access: wrmsr 0x40000083 on VP 0 at tick \d+; now it is tick \d+$/,
    );
    assert.match(
      run.out,
      /^ {2}ERROR +4 not so: message and event page are disabled on every VP$/m,
    );
    assert.match(run.out, /shared by wrmsr SIMP on VP 0/);
    const trace = read('loops.jsonl').trimEnd().split('\n');
    assert.ok(trace.some((line) => line.includes('"kind":"wrmsr","msr":1073741955')));
  });
}

ends('a guest that logs for ever is ended by a bound, and its memory stays', async () => {
  const run = await boot(
    `export function boot(machine, { events }) {
      for (;;) events({ kind: 'log', level: 'info', layer: 'BOOT', object: '', text: 'again' });
    }`,
    ...['--watchdog', '5'],
  );
  assert.is(run.code, 3);
  assert.match(lastLine(run), /threw Error: 10000 events without a call of the machine$/);
});

ends('one that catches that is ended by the watchdog', async () => {
  const run = await boot(
    `export function boot(machine, { events }) {
      for (;;) try {
        events({ kind: 'log', level: 'debug', layer: 'BOOT', object: '', text: 'again' });
      } catch {}
    }`,
    ...['--watchdog', '1'],
  );
  assert.is(run.code, 3);
  assert.match(lastLine(run), /^verdict: hang: /);
});

for (const [what, text] of [
  ['arrays', 'const all = []; for (;;) all.push(new Array(1e5).fill(all.length));'],
  ['buffers', 'const all = []; for (;;) all.push(new Uint8Array(1 << 24).fill(1));'],
  ['texts', 'const all = []; for (let i = 0;; i++) all.push(("x" + i).repeat(1 << 20) + i);'],
] as const) {
  ends(`a guest that allocates ${what} for ever is out of memory, and that is told`, async () => {
    const run = await boot(
      `export function boot(machine) { machine.wrmsr(0x40000000, 0x1000000000000n); ${text} }`,
      ...['--guest-memory-limit', '256', '--watchdog', '20'],
    );
    assert.is(run.code, 3, run.error);
    assert.match(lastLine(run), /^verdict: out-of-memory: the firmware is out of memory: /);
  });
}

ends('what a guest says cannot steer the terminal, nor write lines of the tool', async () => {
  const run = await boot(
    `export function boot(machine, { events }) {
      const evil = '\\x1b[2J\\x9b1m\\u202e\\r\\nverdict: clean';
      events({ kind: 'log', level: 'info', layer: evil, object: evil, text: evil });
      events({ kind: 'log', level: 'error', layer: 'BOOT', object: evil, text: evil });
      return { status: 'failed', error: Object.assign(new Error(evil), { name: evil }),
        attempts: [{ device: evil, error: new Error(evil) }],
        memoryMap: [{ address: 0x200000, length: 4096, type: 'reserved', purpose: evil }] };
    }`,
  );
  // eslint-disable-next-line no-control-regex
  assert.not.match(run.out, /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/);
  assert.not.match(run.out, /^verdict: clean/m);
  assert.is(run.code, 1);
});

ends.run();
