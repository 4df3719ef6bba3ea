// SPDX-License-Identifier: GPL-2.0-or-later

/** Scenarios with somebody else's firmware in place of the fixed half. */

import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SCENARIOS } from '../../../tools/scenarios/index.ts';
import { assertRefused, hypxe, read, write } from '../../rigs/cli-rig.ts';
import { firmware, i32 } from '../../rigs/guests/wasm-builder.ts';

const scenarios = suite('scenarios of guests');

const X64 = fileURLToPath(new URL('../../../dist/x64.js', import.meta.url));

/** A bundle that leaves something out of its clean-up. */
const LEAKY = `import * as x64 from '${X64}';
export const createDriver = x64.createDriver;
export function boot(machine, options) {
  const result = x64.boot(machine, options);
  machine.wrmsr(0x40000000, 0x98ae000000000000n);
  return result;
}
`;

scenarios('a firmware that has no such bug passes', async () => {
  const names = ['chainload-with-identity', 'microsoft-firmware-stolen', 'two-owners'];
  const { code, out, error } = await hypxe('scenarios', ...names, '--firmware', X64);
  assert.is(error, '');
  assert.is(code, 0, out);
  assert.is(out.match(/^ {2}broken: caught$/gm)?.length, names.length);
  assert.is(out.match(/^ {2}guest: passes$/gm)?.length, names.length);
  assert.match(out, /\n3 scenarios, 0 failed\n$/);
});

scenarios('one that has it is found, by what the broken half is caught by', async () => {
  const file = write('identity.mjs', LEAKY);
  const { code, out } = await hypxe('scenarios', 'chainload-with-identity', '--firmware', file);
  assert.is(code, 1, out);
  assert.match(out, /^ {2}guest: DOES NOT PASS\n {4}by hypercall: GUEST_OS_ID is/m);
  const told = await hypxe('scenarios', 'chainload', '--firmware', file, '--json');
  const [one] = JSON.parse(told.out) as { passed: boolean; broken: { passed: boolean } }[];
  assert.is(one!.passed, false);
  assert.is(one!.broken.passed, true);
  assert.is(told.code, 1);
});

scenarios('one that does not come back has ended, and is named', async () => {
  const file = write('throws.mjs', 'export const boot = () => { throw new Error("no"); };');
  const { code, out } = await hypxe('scenarios', 'owner-timers-go-on', '--firmware', file);
  assert.is(code, 3, out);
  assert.match(out, /firmware ended: Error: no/);
  const hangs = write('hangs.mjs', 'export const boot = () => { for (;;); };');
  const junit = 'hangs.xml';
  const args = ['owner-timers-go-on', '--firmware', hangs, '--watchdog', '1', '--junit', junit];
  const hung = await hypxe('scenarios', ...args, '--tap');
  assert.is(hung.code, 3, hung.out);
  const text = /FirmwareEnded: .*hangs\.mjs in owner-timers-go-on: no end after 1 s/;
  assert.match(hung.error, text);
  // A CI hears of it, too
  assert.match(hung.out, /^1\.\.1\nnot ok 1 - owner-timers-go-on\n {2}# FirmwareEnded: /m);
  const xml = read(junit);
  assert.match(xml, /tests="1" failures="1"/);
  assert.match(xml, text);
});

scenarios('what a guest says never stands in a line of the tool', async () => {
  const verdict = 'verdict: the bug is caught, and the guest does not have it';
  const boot = `export const boot = () => { throw new Error('x\\n${verdict}'); };`;
  const junit = 'lines.xml';
  const args = ['owner-timers-go-on', '--firmware', write('lines.mjs', boot), '--junit', junit];
  const { code, out } = await hypxe('scenarios', ...args);
  assert.is(code, 3, out);
  assert.match(out, `    firmware ended: Error: x\\n${verdict}\n`);
  assert.not.match(out, /^verdict: the bug/m);
  assert.match(out, /^verdict: FAILED$/m);
  const xml = read(junit);
  assert.match(xml, `Error: x\\n${verdict}&#10;`);
  assert.not.match(xml, `&#10;${verdict}`);
});

scenarios('a mistake of a driver is no refusal by name', async () => {
  const driver = `({ probe() { throw new TypeError('todo'); }, remove() {}, devices: [] })`;
  const file = write(
    'todo.mjs',
    `export { boot } from '${X64}';\nexport const createDriver = () => ${driver};\n`,
  );
  const names = ['monitor-page-left', 'uefi-guest-stolen', 'microsoft-firmware-stolen'];
  const { code, out } = await hypxe('scenarios', ...names, '--firmware', file);
  assert.is(code, 3, out);
  const ended = / {2}guest: DOES NOT PASS\n {4}firmware ended: TypeError: todo/g;
  assert.is(out.match(ended)?.length, names.length, out);
});

scenarios('a driver that cannot be made has ended, and the next scenario is run', async () => {
  const names = ['monitor-page-left', 'unload-answered-late', 'takeover-mid-transfer'];
  for (const [name, body] of [
    ['crashes', 'machine.rdmsr(0x9999);'],
    ['cannot', "throw new Error('no driver');"],
  ]) {
    const driver = `export const createDriver = (machine) => { ${body} };`;
    const file = write(`${name}.mjs`, `export { boot } from '${X64}';\n${driver}\n`);
    const { code, out, error } = await hypxe('scenarios', ...names, '--firmware', file);
    assert.is(error, '');
    assert.is(code, 3, out);
    assert.is(out.match(/^ {4}firmware ended: /gm)?.length, names.length, out);
    assert.match(out, /\n3 scenarios, 3 failed\n$/);
  }
});

scenarios('a firmware that takes the machine of another one is a finding, and no end', async () => {
  const file = write(
    'steals.mjs',
    `import * as x64 from '${X64}';
export const boot = x64.boot;
export function createDriver(machine, options) {
  const rdmsr = (msr) => (msr === 0x40000000 ? 0n : machine.rdmsr(msr));
  return x64.createDriver(Object.create(machine, { rdmsr: { value: rdmsr } }), options);
}
`,
  );
  const run = (name: string) => hypxe('scenarios', name, '--firmware', file);
  const uefi = await run('uefi-guest-stolen');
  assert.match(uefi.out, /guest: DOES NOT PASS\n {4}by UEFI firmware ended: /);
  assert.is(uefi.code, 1, uefi.out);
  const microsoft = await run('microsoft-firmware-stolen');
  const text = "error: hypercall: the firmware has started on a machine that is somebody else's";
  assert.match(microsoft.out, text);
  assert.is(microsoft.code, 1, microsoft.out);
});

scenarios('what does not fit is left out, and said', async () => {
  const file = write(
    'whole.wasm',
    firmware(['pause'], () => i32(0)),
  );
  const { code, out } = await hypxe('scenarios', 'chainload', 'two', 'kexec-i', '--firmware', file);
  assert.is(code, 0, out);
  assert.match(out, /^-- {5}two-owners: the guest has no drivers that can be called one by one$/m);
  assert.match(out, /^-- {5}kexec-identity: it is about a kernel, and runs no firmware$/m);
  assert.match(out, /\n1 scenario, 0 failed, 2 left out\n$/);

  const none = await hypxe('scenarios', 'kexec-identity', '--firmware', file);
  assert.is(none.code, 2);
  assert.match(none.error, /^hypxe: NothingToRun: nothing of it fits whole\.wasm\n/);
  const data = await hypxe('scenarios', 'kexec-identity', '--firmware', file, '--json');
  const { error } = JSON.parse(data.out) as { error: { name: string } };
  assert.is(error.name, 'NothingToRun');
  const tap = await hypxe('scenarios', 'kexec-identity', '--firmware', file, '--tap');
  assert.is(tap.out, '');
  assert.is(tap.code, 2);
  const advice = 'Give the path of an ES module that exports boot(machine, options), or of a ';
  assertRefused(
    await hypxe('scenarios', '--firmware', 'nobody.js'),
    'FileMissing',
    'nobody.js does not exist',
    `${advice}WebAssembly module.`,
    4,
  );
});

scenarios('each that is about a firmware says what it asks of one', () => {
  const asked = SCENARIOS.filter(({ asks }) => asks !== undefined);
  assert.ok(asked.length >= 40, `${asked.length}`);
  assert.ok(asked.every(({ mistake }) => mistake === 'firmware'));
  // Or why another one cannot be tried
  for (const { name, mistake, asks, onlyOwn } of SCENARIOS) {
    assert.is(mistake === 'firmware', (asks === undefined) !== (onlyOwn === undefined), name);
  }
});

scenarios.run();
