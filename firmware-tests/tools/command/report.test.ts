// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe report`, `hypxe boot --report` and `--format`: the files, and what is refused. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ReportData } from '../../../tools/report/html.ts';
import { Exit } from '../../../tools/command/usage.ts';
import { assertRefused, directory, hypxe, read, write } from '../../rigs/cli-rig.ts';

const report = suite('command line: report');

/** What a page has in it. */
function dataOf(name: string): ReportData {
  const [, json] = /id="data">(.*?)<\/script>/s.exec(read(name))!;
  return JSON.parse(json!) as ReportData;
}

report('a page of a boot, and the same of its trace', async () => {
  const boot = await hypxe('boot', '--size', '4K', '--trace', 'a.jsonl', '--report', 'a.html');
  assert.is(boot.code, Exit.CLEAN, boot.error);
  const made = await hypxe('report', 'a.jsonl', '-o', 'b.html');
  assert.is(made.code, Exit.CLEAN, made.error);
  const [a, b] = [dataOf('a.html'), dataOf('b.html')];
  assert.equal(a.events, b.events);
  assert.is(a.title, 'hypxe boot hypxe.img on server2022');
  assert.is(a.clean, null);
  assert.match(a.noClean, /^This is the clean boot/);
  assert.is(a.events.at(-1)!.kind, 'verdict');
});

report(
  'a boot that goes wrong is compared with a clean one; the trace is nobody else’s',
  async () => {
    const firmware = write(
      'leak.mjs',
      `export function boot(machine) {
       machine.wrmsr(0x40000000, 1n << 48n);
       machine.wrmsr(0x40000001, 0x200001n);
       return { status: 'failed' };
     }`,
    );
    const before = fs.readdirSync(directory);
    const run = await hypxe(
      'boot',
      '--size',
      '4K',
      '--firmware',
      firmware,
      '--report',
      'leak.html',
    );
    assert.is(run.code, Exit.FINDINGS, run.error);
    const { events, clean } = dataOf('leak.html');
    assert.ok(events.some(({ kind, check }) => kind === 'finding' && check === 'hypercall'));
    assert.is(clean!.at(-1)!.verdict, 'clean');
    assert.equal(fs.readdirSync(directory).sort(), [...before, 'leak.html'].sort());
  },
);

report('a guest that hangs has a page of what it did', async () => {
  const firmware = write(
    'hang.mjs',
    `export function boot(machine) {
       for (let i = 0; i < 5000; i++) machine.wrmsr(0x40000000, BigInt(i) << 48n);
       for (;;);
     }`,
  );
  const args = ['--firmware', firmware, '--watchdog', '1', '--report', 'hang.html'];
  const run = await hypxe('boot', '--size', '4K', ...args);
  assert.is(run.code, Exit.CRASH, run.error);
  const { events } = dataOf('hang.html');
  assert.is(events[0]!.kind, 'run');
  assert.ok(events.filter(({ kind }) => kind === 'wrmsr').length > 500);
});

report('for Perfetto, by boot and by report', async () => {
  const trace = ['--trace', 'p.json', '--format', 'perfetto'];
  const boot = await hypxe('boot', '--size', '4K', ...trace);
  assert.is(boot.code, Exit.CLEAN, boot.error);
  await hypxe('boot', '--size', '4K', '--trace', 'p.jsonl');
  const made = await hypxe('report', 'p.jsonl', '--format', 'perfetto', '-o', 'q.json');
  assert.is(made.code, Exit.CLEAN, made.error);
  assert.is(read('p.json'), read('q.json'));
  const { traceEvents } = JSON.parse(read('p.json')) as { traceEvents: unknown[] };
  assert.ok(traceEvents.length > 500);
});

report('what is refused', async () => {
  write('bad.jsonl', '{"ms":0,"kind":"stage"}\nnothing\n');
  const help = 'See hypxe report --help.';
  assertRefused(await hypxe('report'), 'NoTrace', 'no trace given', help);
  assertRefused(
    await hypxe('report', 'bad.jsonl'),
    'NoOutput',
    'nowhere to write to',
    'Name the page: -o FILE.html.',
  );
  assertRefused(
    await hypxe('report', 'bad.jsonl', '-o', 'x.html'),
    'BadTrace',
    'bad.jsonl: line 2: it is no JSON',
    'Give a file that hypxe boot --trace or hypxe pc --trace has written.',
  );
  assertRefused(
    await hypxe('report', 'bad.jsonl', '-o', './bad.jsonl'),
    'OutputIsInput',
    '--output ./bad.jsonl would be written over the trace bad.jsonl',
    'Give a file of its own.',
  );
  assertRefused(
    await hypxe('boot', '--format', 'perfetto'),
    'NoTrace',
    '--format says how the trace is written, and there is none',
    'Add --trace FILE.',
  );
  const unwritable = await hypxe('boot', '--report', 'nowhere/x.html');
  assert.is(unwritable.code, Exit.ENVIRONMENT);
  assert.match(unwritable.error, /^hypxe: ReportUnwritable: nowhere\/x\.html cannot be written/);
  assert.not.ok(fs.existsSync(path.join(directory, 'x.html')));
});

report.run();
