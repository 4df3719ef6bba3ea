// SPDX-License-Identifier: GPL-2.0-or-later

/** "Bring your own": firmware bundles of others, above all bad ones. */

import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Machine } from '../../../src/machine.ts';
import { BadBootResult, readBootResult } from '../../../tools/flow/boot-result.ts';
import { directory, hypxe, lastLine, write, type Run } from '../../rigs/cli-rig.ts';

/** A watchdog that does not wait for long: where it is what is tested. */
const SHORT = ['--watchdog', '1'];

/** Boot a bundle with this text. */
async function boot(text: string, ...args: string[]): Promise<Run & { readonly file: string }> {
  const name = `firmware-${count++}.js`;
  write(name, text);
  const run = await hypxe('boot', '--size', '1', '--firmware', name, ...args);
  return { ...run, file: path.join(directory, name) };
}
let count = 0;

const EXPORT = 'A firmware bundle is an ES module that exports boot(machine, options).';
const RESULT =
  "boot() returns { status: 'booted' or 'failed', image: { name, address, length, device }, " +
  'error, memoryMap }.';

const bad = suite('command line: bad firmware');

for (const [what, text, message, advice] of [
  ['throws while it is loaded', 'throw new Error("no");', ' cannot be loaded: Error: no', EXPORT],
  ['is no module', 'export {', ' cannot be loaded: SyntaxError: ', EXPORT],
  ['has no entry point', 'export const start = 1;', ' exports no function boot', EXPORT],
  ['returns nothing', 'export const boot = () => {};', ': boot() returned undefined', RESULT],
] as const) {
  bad(`a bundle that ${what} is refused`, async () => {
    const { code, error, file } = await boot(text);
    assert.ok(error.startsWith(`hypxe: BadFirmware: ${file}${message}`), error);
    assert.ok(error.endsWith(`\n       ${advice}\n`), error);
    assert.is(code, 2);
  });
}

bad('one that throws while it boots is shown with its own stack, and audited', async () => {
  const run = await boot(
    'export function boot(machine) {\n' +
      '  machine.wrmsr(0x40000083, 0x200001n);\n' +
      '  lose();\n' +
      '}\n' +
      'function lose() {\n' +
      '  throw new TypeError("lost my way");\n' +
      '}\n',
  );
  assert.is(run.code, 3);
  assert.is(lastLine(run), 'verdict: crash: the firmware threw TypeError: lost my way');
  const stack = run.out.split('\n').filter((line) => /^ +at /.test(line));
  assert.is(stack.length, 2);
  assert.match(stack[0]!, /at lose \(guest:firmware-\d+\.js:6:\d+\)$/);
  assert.match(stack[1]!, /at .*boot \(guest:firmware-\d+\.js:3:\d+\)$/);
  assert.match(run.out, /^ {2}ERROR +4 not so: message and event page are disabled on every VP$/m);
  assert.match(run.out, /shared by wrmsr SIMP on VP 0 at 0\.000 ms/);
});

bad('what the host puts up with is told by -v, in its place in the log', async () => {
  const text =
    'export function boot(machine, { events }) {\n' +
    '  const log = (text) =>\n' +
    "    events({ kind: 'log', level: 'info', layer: 'HV', object: '', text });\n" +
    "  log('before');\n" +
    '  machine.wrmsr(0x40000001, 0x1001n);\n' +
    "  log('behind');\n" +
    "  throw new Error('enough');\n" +
    '}\n';
  const violation = 'HOST hypervisor violation: wrmsr HYPERCALL: ignored while GUEST_OS_ID is 0';
  const told = (await boot(text, '-v')).out.split('\n').filter((line) => line.startsWith('['));
  assert.equal(
    told.map((line) => line.replace(/^\[.*?\] +/, '')),
    ['HV before', violation, 'HV behind'],
  );
  assert.not.match((await boot(text)).out, /violation/);
  assert.not.match((await boot(text, '-v', '--json')).out, /HOST hypervisor/);
});

bad('one that the host puts up with again and again: as much as somebody reads', async () => {
  const run = await boot(
    'export function boot(machine) {\n' +
      '  for (let i = 0; i < 1100; i++) machine.wrmsr(0x40000001, 0x1001n);\n' +
      "  throw new Error('enough');\n" +
      '}\n',
    '-v',
  );
  const told = run.out.split('\n').filter((line) => line.includes('HOST '));
  assert.is(told.length, 1001);
  assert.match(
    told.at(-1)!,
    /HOST more than 1000 violations: the rest is left out, --trace has all/,
  );
});

bad('one that crashes the machine', async () => {
  const run = await boot(
    'export const boot = (machine) => machine.callHypercallPage(0x1000, 0n, 0n, 0n);',
  );
  assert.is(run.code, 3);
  const text = 'call to 0x1000: the hypercall page is not enabled';
  assert.is(lastLine(run), `verdict: crash: the firmware crashed: #UD on VP 0: ${text}`);
});

bad('one that catches its own crash has crashed all the same', async () => {
  const run = await boot(
    'export function boot(machine) {\n' +
      '  try { machine.wrmsr(1, 1n); } catch {}\n' +
      '  return { status: "failed" };\n' +
      '}\n',
  );
  assert.is(run.code, 3);
  assert.match(lastLine(run), /^verdict: crash: the firmware crashed: #GP on VP 0: wrmsr 0x1: /);
});

bad('one that waits for ever', async () => {
  const run = await boot('export function boot(machine) { for (;;) machine.pause(); }');
  assert.is(run.code, 3);
  assert.match(lastLine(run), /^verdict: hang: the firmware hangs: too much virtual time/);
});

for (const [what, text, why] of [
  [
    'while it is loaded',
    'for (;;);',
    'while it is loaded, no sign of life for 10 s (see --watchdog)',
  ],
  [
    'while it boots',
    'export function boot() { for (;;); }',
    'no sign of life for 1 s (see --watchdog); last access: none',
  ],
] as const) {
  bad(`one that loops for ever ${what} is ended by the watchdog`, async () => {
    const run = await boot(text, ...SHORT);
    assert.is(run.code, 3);
    const verdict = `verdict: hang: the firmware hangs: ${why}`;
    assert.is(lastLine(run), verdict);
  });
}

/** Keeps the loader busy for longer than the watchdog of these tests. */
const SLOW = 'let spins = 0;\nwhile (spins < 4e8) spins++;\n';

bad("the time that loading takes is not the firmware's", async () => {
  const without = await boot(`${SLOW}export const other = 1;`, ...SHORT);
  assert.match(without.error, /^hypxe: BadFirmware: .* exports no function boot\n/);
  assert.is(without.code, 2);
  const broken = await boot(`${SLOW}throw new SyntaxError('late');`, ...SHORT);
  assert.match(broken.error, /^hypxe: BadFirmware: .* cannot be loaded: SyntaxError: late\n/);
  assert.is(broken.code, 2);
});

bad('what it throws cannot steer the terminal', async () => {
  const text = 'export function boot() { throw new Error("\\x1b[2J\\u202ee\\r\\x9b1m"); }';
  const run = await boot(text);
  assert.ok(lastLine(run).endsWith('Error: \\u001b[2J\\u202ee\\u000d\\u009b1m'), lastLine(run));
  const document = await boot(text, '--json');
  assert.match(document.out, /\\u001b\[2J\\u202ee/);
  assert.ok(document.out.includes('\\r'));
  assert.ok(JSON.stringify(JSON.parse(document.out)).includes('\u202e'));
});

bad.run();

const results = suite('command line: what boot() returns');

const RAM = 4 * 2 ** 20;
const machine = {
  memory: new ArrayBuffer(RAM),
  memoryMap: [{ address: 0x1000, length: RAM - 0x1000, type: 'usable' }],
} as unknown as Machine;
const reserved = [{ address: 0, length: RAM, type: 'reserved' }];
const image = { name: 'i', address: 0x100000, length: 5, device: 'd' };

for (const [value, message] of [
  [null, 'boot() returned null'],
  ['booted', 'boot() returned booted'],
  [Promise.resolve(), 'boot() returned a promise, but firmware is synchronous'],
  [{ status: 0 }, 'boot() returned the status 0'],
  [{ status: 'failed', memoryMap: 7 }, 'memoryMap is no array'],
  [
    { status: 'failed', memoryMap: [...new Array(4096).fill(reserved[0]), '[904 more]'] },
    'memoryMap has more than 4096 ranges',
  ],
  [{ status: 'failed', memoryMap: [null] }, 'memoryMap[0] has no address and length'],
  [
    { status: 'failed', memoryMap: [{ address: 0, length: -1 }] },
    'memoryMap[0] has no address and length',
  ],
  [
    { status: 'failed', memoryMap: [...reserved, { ...image, type: 'free' }] },
    'memoryMap[1] is free',
  ],
  [
    { status: 'failed', memoryMap: [{ address: 0, length: RAM + 1, type: 'usable' }] },
    'memoryMap[0] is usable beyond the end of RAM',
  ],
  [
    { status: 'failed', memoryMap: [{ address: 0, length: 0x2000, type: 'usable' }] },
    'memoryMap calls 0x0 to 0x2000 usable, which the guest was not given',
  ],
  [
    {
      status: 'failed',
      memoryMap: [
        { address: 0x100000, length: 0x2000, type: 'usable' },
        { address: 0x101000, length: 0x1000, type: 'reserved' },
      ],
    },
    'memoryMap calls 0x100000 to 0x102000 usable, and 0x101000 to 0x102000 reserved',
  ],
  [{ status: 'booted' }, 'boot() booted, but returned no image that lies in RAM'],
  [
    { status: 'booted', image: { ...image, address: RAM - 4 } },
    'boot() booted, but returned no image that lies in RAM',
  ],
  [
    { status: 'booted', image: { ...image, length: 0.5 } },
    'boot() booted, but returned no image that lies in RAM',
  ],
  [{ status: 'booted', image }, 'the image lies in memory that memoryMap calls usable'],
] as const) {
  results(message, () => {
    assert.throws(
      () => readBootResult(value, machine),
      (error: Error) => error instanceof BadBootResult && error.message === message,
    );
  });
}

results('what may be left out is filled in', () => {
  assert.equal(readBootResult({ status: 'failed', image }, machine), {
    status: 'failed',
    image: undefined,
    error: undefined,
    attempts: [],
    memoryMap: machine.memoryMap,
  });
  const { status, memoryMap } = readBootResult(
    { status: 'booted', image, memoryMap: reserved },
    machine,
  );
  assert.is(status, 'booted');
  assert.is(memoryMap, reserved);
});

results.run();

const own = suite('command line: firmware of others');

own('a few lines that load an image and leave nothing are clean', async () => {
  const run = await boot(
    'export function boot(machine, { events }) {\n' +
      '  const text = "image of another firmware";\n' +
      '  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));\n' +
      '  new Uint8Array(machine.memory).set(bytes, 0x100000);\n' +
      '  const [low, high] = machine.memoryMap;\n' +
      '  const rest = { ...high, address: 0x101000, length: high.length - 0x1000 };\n' +
      '  const memoryMap = [low, rest];\n' +
      '  const image = { name: "mine", address: 0x100000, length: 25, device: "rom" };\n' +
      '  return { status: "booted", image, memoryMap };\n' +
      '}\n',
  );
  // It is clean, but it is not what was served
  assert.is(run.code, 1);
  assert.is(
    lastLine(run),
    'verdict: findings: the image in RAM is not what was served; the audit has 0 errors',
  );
  assert.match(run.out, /^ +DIFFERENT, at 0x100000, over rom, but 25 bytes$/m);
});

own.run();
