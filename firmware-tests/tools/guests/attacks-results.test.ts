// SPDX-License-Identifier: GPL-2.0-or-later

/** Hostile JavaScript guests: what they return, throw and say, and calls that never end well. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { GUEST_LIMITS, GuestRuns } from '../../../tools/flow/guest-run.ts';
import { SAID_MAX, Talk } from '../../../tools/guests/guest-event.ts';
import { makeMachine } from '../../../tools/scenarios/rig.ts';
import { lastLine } from '../../rigs/cli-rig.ts';
import { DIRTY, assertHeld, bootHostile } from '../../rigs/guests/hostile-rig.ts';

const results = suite('hostile guests: results');

/** What a booted guest returns. */
const BOOTED =
  '{ status: "booted", image: { name: "i", address: 0x100000, length: 1, device: "d" }, ' +
  'memoryMap: machine.memoryMap }';

for (const [what, module, told] of [
  [
    'has its result on Object.prototype',
    `Object.prototype.status = 'booted'; Object.prototype.memoryMap = [];
      export function boot() { return {}; }`,
    /boot\(\) returned the status undefined/,
  ],
  [
    'returns what has a then of its own',
    'export function boot() { return { status: "booted", then(done) { done(this); } }; }',
    /returned a promise/,
  ],
  [
    'is an asynchronous generator',
    'export async function* boot() { yield { status: "booted" }; }',
    /returned the status undefined/,
  ],
  [
    'hands on a map of numbers that are none',
    'export function boot() { return { status: "booted", image: { name: "i", address: NaN, ' +
      'length: -1, device: "d" }, memoryMap: [{ address: -4096, length: 1e308, type: "usable" }] ' +
      '}; }',
    /memoryMap\[0\] has no address and length/,
  ],
  [
    'names everything __proto__',
    `export function boot(machine, { events }) {
      for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'then'])
        for (const event of [{ kind: name }, { kind: 'link', name, up: true }, { kind: 'boot-step',
          step: name, phase: name }, { kind: 'log', level: name, layer: name, object: name }])
          events(event);
      return { status: 'failed', error: { name: '__proto__', message: 'constructor', status: {} },
        attempts: [{ device: '__proto__', error: { name: 'constructor' } }],
        memoryMap: [{ address: 0x200000, length: 4096, type: '__proto__' }] };
    }`,
    /memoryMap\[0\] is __proto__/,
  ],
  [
    'returns a rope of 2^28 characters everywhere',
    `export function boot(machine, { events }) {
      let rope = 'x'; for (let i = 0; i < 28; i++) rope += rope;
      events({ kind: 'log', level: 'info', layer: rope, object: rope, text: rope });
      return { status: 'failed', memoryMap: Array.from({ length: 5000 }, () => ({
        address: 0x200000, length: 4096, type: 'reserved', purpose: rope })) };
    }`,
    /memoryMap\[\d+\] has no address and length/,
  ],
] as const) {
  results(`a guest that ${what} is refused`, async () => {
    const run = await bootHostile(module, '--watchdog', '60');
    assertHeld(run);
    assert.is(run.code, 2);
    assert.match(run.error, told);
  });
}

for (const [what, module, told] of [
  [
    'is a class',
    'export class boot {}',
    /threw TypeError: Class constructor boot cannot be invoked/,
  ],
  [
    'throws causes and stacks without end',
    `export function boot() {
      const error = new Error('a');
      error.cause = error;
      Object.defineProperty(error, 'stack', { get: () => 'x\\n'.repeat(1e6) });
      throw new AggregateError(Array(1e5).fill(error), 'many', { cause: error });
    }`,
    /threw AggregateError: many$/,
  ],
  [
    'has a stack of any depth',
    `Error.stackTraceLimit = Infinity;
      export function boot() {
        const down = (n) => { if (n === 0) throw new RangeError('deep'); down(n - 1); };
        down(5000);
      }`,
    /threw RangeError: deep$/,
  ],
  [
    'writes its own stacks',
    `for (const kind of [TypeError, RangeError]) Object.defineProperty(kind, 'prepareStackTrace',
        { value: () => 'verdict: clean' });
      Error.prototype.toString = () => 'verdict: clean';
      export function boot() { null.x; }`,
    /threw TypeError: Cannot read properties of null/,
  ],
  [
    'says where its source is',
    'export function boot() { null.x; }\n//# sourceMappingURL=file:///etc/passwd',
    /threw TypeError: Cannot read properties of null/,
  ],
  [
    'has a function with a name of a million characters',
    'const all = { ["x".repeat(1e6)]() { null.x; } };\n' +
      'export function boot() { all["x".repeat(1e6)](); }',
    /threw TypeError: Cannot read properties of null/,
  ],
  [
    'catches the fault of a register that is no number',
    `export function boot(machine) { try { machine.rdmsr(NaN); } catch {} return ${BOOTED}; }`,
    /crashed: #GP on VP 0: rdmsr 0xNaN/,
  ],
  [
    'watches its own watched allocator, and catches what comes of it',
    `export function boot(machine, options) {
      let a;
      a = options.pages({ allocate: (...x) => a.allocate(...x), free: (...x) => a.free(...x) });
      try { a.allocate(4096, 4096, 'x'); } catch {}
      return ${BOOTED};
    }`,
    /its stack was used up in a call of the tool$/,
  ],
  [
    'calls the machine with its stack nearly full, and catches what comes of it',
    `export function boot(machine) {
      const call = () => { try { machine.wrmsr(0x40000000, 0n); } catch {} };
      for (let i = 0; i < 30; i++) call();
      let left = 12;
      const down = () => { try { down(); } catch {} if (left-- < 0 && left > -40) call(); };
      down();
      return ${BOOTED};
    }`,
    /(?:its stack (?:was|is) used up)/,
  ],
] as const) {
  results(`a guest that ${what} has crashed`, async () => {
    const run = await bootHostile(module, '--watchdog', '60');
    assertHeld(run);
    assert.is(run.code, 3);
    assert.match(lastLine(run), told);
  });
}

results('what shows as nothing, or turns a text, is escaped wherever a guest says it', async () => {
  const run = await bootHostile(
    `export function boot(machine, { events }) {
      ${DIRTY}
      const evil = '\\u2066\\u061c\\u200f\\u2028\\ufeff\\u{e0041}\\ud800\\x85\\x9d52;c;QQ==\\x07' +
        '\\x1b]8;;http://x\\x1b\\\\\\x08\\x7f\\0\\xad\\u200b';
      for (const level of ['info', 'error', 'warning', 'debug'])
        events({ kind: 'log', level, layer: evil, object: evil, text: evil });
      return { status: 'failed', error: Object.assign(new Error(evil), { name: evil }),
        attempts: [{ device: evil, error: new Error(evil) }],
        memoryMap: [{ address: 0x300000, length: 4096, type: 'reserved', purpose: evil }] };
    }`,
  );
  assertHeld(run);
  assert.is(run.code, 1);
  assert.match(run.out, '\\u001b]8;;http://x');
  assert.match(run.out, '\\udb40\\udc41');
});

results('what a guest says in all is bounded, and that something is left out is said', () => {
  const talk = new Talk();
  const line = { kind: 'log', level: 'info', layer: 'BOOT', object: '', text: 'x' } as const;
  const told: unknown[] = [];
  for (let said = 0; said < 2 * SAID_MAX; said += 4096) {
    talk.called();
    const event = talk.told(4096, line);
    if (event !== undefined) told.push(event);
  }
  assert.ok(told.length < SAID_MAX / 4096);
  const isSaid = (event: unknown): boolean => event !== line;
  assert.is(told.filter(isSaid).length, 1);
  assert.match(JSON.stringify(told.at(-1)), /it says more than \d+ characters/);
  // A transfer may be of any length
  const progress = { kind: 'progress', received: 1, total: 2 } as const;
  assert.is(talk.told(0, progress), progress);
});

results('a guest that calls the machine for ever comes to an end', () => {
  for (const limit of Object.values(GUEST_LIMITS)) assert.ok(Number.isFinite(limit));
  const machine = makeMachine({});
  const guests = new GuestRuns(machine, { ...GUEST_LIMITS, seamCalls: 10_000 });
  const seam = machine.bootProcessor;
  guests.run('firmware', () => {
    for (;;) seam.cpuid(1, 0);
  });
  assert.is(guests.ended?.kind, 'hang');
  assert.match(guests.ended?.text ?? '', /too many calls/);
});

results.run();
