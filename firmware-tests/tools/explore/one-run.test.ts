// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe explore --only PLAN`: the story that it tells, and its files. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Exit } from '../../../tools/command/usage.ts';
import { assertRefused, hypxe, read, write } from '../../rigs/cli-rig.ts';

const one = suite('explore --only PLAN');

const OWN = new URL('../../../dist/hypxe.js', import.meta.url).href;

/** Keeps the hypercall page if a message is lost before it has a connection. */
const LEAKS = write(
  'leaks.mjs',
  `import { boot as own } from ${JSON.stringify(OWN)};
export function boot(machine, options) {
  const result = own(machine, options);
  if (result.status === 'failed') {
    machine.wrmsr(0x40000000, 1n << 48n);
    machine.wrmsr(0x40000001, 0x200001n);
  }
  return result;
}
`,
);

one(
  'tells the fault, what the firmware did, and what was found, in the words of a log',
  async () => {
    const { code, out } = await hypxe('explore', '--firmware', LEAKS, '--only', 'message.1/mute');
    assert.is(code, Exit.FINDINGS, out);
    const told = [
      /^\[ {6}0\.000\] === firmware$/m,
      /^\[ {6}0\.004\] connect: connect to VMBus, probe the devices$/m,
      /^\[ .*\] {3}FAULT message of the host 1 \(\w+\): it is lost, and .* \(message\.1\/mute\)$/m,
      /^\[ +\d+\.\d+\] firmware handed over$/m,
      /^\[ +\d+\.\d+\] {3}FOUND error: HYPERCALL is enabled/m,
      /^\[ +\d+\.\d+\] {3}HOST writes late to what it still has: hypercall page, 4096 bytes$/m,
      /^\[ +\d+\.\d+\] === second boot$/m,
      /^run {7}message\.1\/mute$/m,
      /^finding {3}handoff: hypercall: HYPERCALL is enabled/m,
    ];
    let at = 0;
    for (const line of told) {
      const found = out.slice(at).search(line);
      assert.ok(found >= 0, `${line.source}\n${out}`);
      at += found;
    }
    assert.not.match(out, /ledger: share/, 'that is for -v');
    const all = await hypxe('explore', '--only', 'message.4/drop', '-v');
    assert.match(all.out, /^\[.*\] {3}ledger: share hypercall/m);
    const plain = await hypxe('explore', '--only', 'message.4/drop', '--json');
    assert.is((JSON.parse(plain.out) as { plan: string }).plan, 'message.4/drop');
  },
);

one('writes trace, capture and page; the page of the trace is the same', async () => {
  const files = ['--trace', 'one.jsonl', '--pcap', 'one.pcapng', '--report', 'one.html'];
  const run = await hypxe('explore', '--only', 'message.4/drop', ...files);
  assert.is(run.code, Exit.CLEAN, run.error);
  const made = await hypxe('report', 'one.jsonl', '-o', 'again.html');
  assert.is(made.code, Exit.CLEAN, made.error);
  assert.is(read('again.html'), read('one.html'));
  assert.match(read('one.html'), /<title>hypxe explore on server2022: message\.4\/drop<\/title>/);
  assert.ok(read('one.pcapng').length > 1000);
  // The trace alone has no run to compare with in it
  await hypxe('explore', '--only', 'message.4/drop', '--trace', 'alone.jsonl');
  const runs = (name: string) => read(name).match(/"kind":"run"/g)?.length;
  assert.equal([runs('alone.jsonl'), runs('one.jsonl')], [1, 2]);
});

one('a guest that hangs has a page of what it did before', async () => {
  const firmware = write(
    'hangs.mjs',
    `export function boot(machine) {
      for (let i = 0; i < 2000; i++) machine.wrmsr(0x40000000, BigInt(i) << 48n);
      for (;;);
    }`,
  );
  const args = ['--firmware', firmware, '--only', 'none', '--watchdog', '1'];
  const run = await hypxe('explore', ...args, '--report', 'hangs.html');
  assert.is(run.code, Exit.CRASH, run.error);
  assert.match(run.out, /^hang {6}no exit of the guest for 1 s/m);
  assert.match(read('hangs.html'), /"kind":"wrmsr"/);
});

one('files are of one run, and lie where nothing else is', async () => {
  for (const option of ['--trace', '--pcap', '--report']) {
    const run = await hypxe('explore', option, 'x', '--only', 'message/drop');
    const advice = 'Name the run, as a finding is printed: --only message.4/drop.';
    assertRefused(run, 'BadOption', `${option} is about one run`, advice);
  }
  const both = ['--trace', 'x.jsonl', '--report', 'x.jsonl'];
  const same = await hypxe('explore', '--only', 'none', ...both);
  assert.match(same.error, /^hypxe: OutputsEqual: /);
  const nowhere = await hypxe('explore', '--only', 'none', '--trace', 'no/such/x.jsonl');
  assert.is(nowhere.code, Exit.ENVIRONMENT, nowhere.error);
});

one.run();
