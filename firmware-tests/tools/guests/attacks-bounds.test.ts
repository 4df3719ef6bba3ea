// SPDX-License-Identifier: GPL-2.0-or-later

/** Hostile JavaScript guests that try to stop the tool, to fill it, or to steer the terminal. */

import { spawn } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CLI, childrenOf, directory, hypxe, lastLine, read, write } from '../../rigs/cli-rig.ts';
import { bootHostile } from '../../rigs/guests/hostile-rig.ts';
import { Op, call, firmware, i32, i64 } from '../../rigs/guests/wasm-builder.ts';

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
    const run = await bootHostile(
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
    // Where it is, and of the tool's own functions none
    const [told] = /^ended .*\n(?: {9}at .*\n)+/m.exec(run.out) ?? [''];
    assert.match(told, /^ {9}at .* \(guest:hostile-\d+\.js:\d+:\d+\)$/m, run.out);
    assert.not.match(told, /file:|node:|hypxe:/);
    assert.match(
      run.out,
      /^ {2}ERROR +4 not so: message and event page are disabled on every VP$/m,
    );
    assert.match(run.out, /shared by wrmsr SIMP on VP 0/);
    const trace = read('loops.jsonl').trimEnd().split('\n');
    assert.ok(trace.some((line) => line.includes('"kind":"wrmsr","msr":1073741955')));
  });
}

ends('a module of WebAssembly that loops and calls nothing is told in the same way', async () => {
  const module = firmware(['wrmsr'], (index) => [
    ...[...i32(0x40000083), ...i64(0x200001n), ...call(index('wrmsr'))],
    // loop, br 0, end
    ...[0x03, Op.VOID, 0x0c, 0, Op.END, ...i32(0)],
  ]);
  const where = /^ended .*\n {9}at hypxe_boot \(wasm:\/\/wasm\/[0-9a-f]+:0x[0-9a-f]+\)\naudit/m;
  const args = ['--firmware', write('loops.wasm', module), '--watchdog', '1'];
  const run = await hypxe('boot', ...args, '--trace', 'loops-wasm.jsonl');
  assert.is(run.code, 3, run.error);
  assert.match(
    lastLine(run),
    /^verdict: hang: .* for 1 s .*; last access: wrmsr 0x40000083 on VP 0 at tick \d+; now it is/,
  );
  assert.match(run.out, /^ {2}ERROR +4 not so: message and event page are disabled on every VP$/m);
  assert.match(run.out, /^ {2}ok +1 no connection is left/m);
  assert.match(read('loops-wasm.jsonl'), /"kind":"wrmsr","msr":1073741955/);
  assert.match(run.out, where);
});

ends('a name that a guest has chosen steers nothing where a hang is told', async () => {
  const name = JSON.stringify(`\u001b[31m\n verdict: clean ${'x'.repeat(5000)}`);
  const run = await bootHostile(
    `const all = { [${name}]() { for (;;); } };
      export function boot() { all[${name}](); }`,
    ...['--watchdog', '1'],
  );
  assert.is(run.code, 3);
  const [, told = ''] = /^ended .*\n(.*)\n/m.exec(run.out) ?? [];
  assert.match(told, /^ {9}at \?\[31m\? verdict: clean x+ \(guest:/);
  assert.ok(told.length < 200, `${told.length} characters`);
});

ends('a guest that the machine ends is told of with its functions, too', async () => {
  const run = await bootHostile(
    `function poke(machine) { machine.rdmsr(0x12345); }
      export function boot(machine) { poke(machine); }`,
  );
  assert.is(run.code, 3);
  assert.match(
    run.out,
    /^ended .*#GP on VP 0.*\n {9}at poke \(guest:[^)]+\)\n {9}at .*boot \(guest:/m,
  );
});

ends('a guest that logs for ever is ended by a bound, and its memory stays', async () => {
  const run = await bootHostile(
    `export function boot(machine, { events }) {
      for (;;) events({ kind: 'log', level: 'info', layer: 'BOOT', object: '', text: 'again' });
    }`,
    ...['--watchdog', '60'],
  );
  assert.is(run.code, 3);
  assert.match(lastLine(run), /threw Error: 10000 events without a call of the machine$/);
});

ends('one that catches that is ended by the watchdog', async () => {
  const run = await bootHostile(
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
    const run = await bootHostile(
      `export function boot(machine) { machine.wrmsr(0x40000000, 0x1000000000000n); ${text} }`,
      ...['--guest-memory-limit', '256', '--watchdog', '20'],
    );
    assert.is(run.code, 3, run.error);
    assert.match(lastLine(run), /^verdict: out-of-memory: the firmware is out of memory: /);
  });
}

for (const [command, told] of [
  ['boot', /^verdict: out-of-memory: the firmware is out of memory: its process was killed/m],
  ['explore', /^hypxe: GuestOutOfMemory: its process was killed \(SIGKILL\)/m],
  ['replay 01-boot', /^hypxe: FirmwareEnded: .*: out of memory: its process was killed/m],
] as const) {
  ends(`${command}: a guest's process that the system kills has ended as a guest`, async () => {
    if (childrenOf(process.pid).length === 0 && process.platform !== 'linux') return;
    const driver = 'export function createDriver() { for (;;); }';
    const text = `${driver}\nexport function boot() { for (;;); }`;
    const firmware = write(`killed-${command.slice(0, 4)}.js`, text);
    const args = [CLI, ...command.split(' '), '--firmware', firmware, '--watchdog', '60'];
    const child = spawn(process.execPath, args, { cwd: directory });
    let said = '';
    for (const output of [child.stdout, child.stderr])
      output.on('data', (data: Buffer) => (said += String(data)));
    const code = await new Promise((resolve) => {
      child.on('close', resolve);
      // As soon as there is one: loaded or not
      const timer = setInterval(() => {
        const [guest] = childrenOf(child.pid!);
        if (guest === undefined) return;
        clearInterval(timer);
        setTimeout(() => process.kill(guest, 'SIGKILL'), 1000);
      }, 20);
    });
    assert.match(said, told);
    assert.is(code, 3);
  });
}

ends('what a guest says cannot steer the terminal, nor write lines of the tool', async () => {
  const run = await bootHostile(
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
