// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe report`, `hypxe boot --report` and `--format`: the files, and what is refused. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ReportData } from '../../../tools/report/html.ts';
import { Exit } from '../../../tools/command/usage.ts';
import {
  CLI,
  assertRefused,
  directory,
  hypxe,
  interrupted,
  read,
  shell,
  write,
} from '../../rigs/cli-rig.ts';

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
  assert.match(a.noClean, /^This run is clean/);
  assert.is(read('a.html'), read('b.html'));
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

/** Never comes to an end, and has no trace. */
const HANGS = write('never.mjs', 'for (;;);\nexport function boot() {}\n');

report('a guest that ends before its trace begins: the boot is told, and no page is', async () => {
  const firmware = ['--firmware', HANGS, '--watchdog', '1', '--json'];
  const files = ['--report', 'none.html', '--trace', 'none.jsonl', '--junit', 'none.xml'];
  const run = await hypxe('boot', '--size', '4K', ...firmware, ...files);
  assert.is(run.code, Exit.CRASH, run.error);
  const { verdict, exitCode } = JSON.parse(run.out) as { verdict: string; exitCode: number };
  assert.equal([verdict, exitCode], ['hang', Exit.CRASH]);
  assert.match(run.error, /^hypxe: NothingTraced: there is no event to make a report of/);
  assert.match(read('none.xml'), /hang/);
  const left = fs.readdirSync(directory).filter((name) => name.startsWith('none.'));
  assert.equal(left, ['none.xml']);
});

report('a trace of another run is not shown as the one of a boot that ends early', async () => {
  write('old.jsonl', '{"ms":0,"kind":"run","trace":1,"command":"older"}\n');
  write('old.jsonl.part', '{"ms":0,"kind":"run","trace":1,"command":"older"}\n');
  const firmware = write(
    'ends.mjs',
    `export function boot(machine, { events }) {
       for (let i = 0; i < 5000; i++) machine.wrmsr(0x40000000, BigInt(i) << 48n);
       events?.({ kind: 'log', level: 'info', layer: 'BOOT', object: '', text: 'begins' });
       for (;;);
     }`,
  );
  const args = ['--firmware', firmware, '--trace', 'old.jsonl'];
  const boot = ['boot', '--size', '4K', ...args, '--report', 'new.html'];
  const run = await interrupted(boot, /begins/);
  assert.is(run.code, Exit.INTERRUPTED, run.error);
  assert.match(run.out, /what there is of it is in old\.jsonl\.part$/m);
  assert.is(dataOf('new.html').title, 'hypxe boot hypxe.img on server2022');
  assert.match(read('old.jsonl'), /older/);
  assert.match(read('old.jsonl.part'), /^\{"ms":0,"kind":"run","trace":1,"command":"boot"/);
});

report('without a directory for the trace nothing is begun, and nothing left', async () => {
  const before = fs.readdirSync(directory);
  const { error, code } = await shell(
    `TMPDIR=/nonexistent "${process.execPath}" "${CLI}" boot --size 4K --report tmp.html`,
  );
  assert.is(code, Exit.ENVIRONMENT);
  assert.match(error, /^hypxe: NoTemporaryDirectory: no directory can be made in \/nonexistent: /);
  assert.equal(fs.readdirSync(directory), before);
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
    'Give a file that --trace of a hypxe command has written.',
  );
  assertRefused(
    await hypxe('report', 'bad.jsonl', '-o', './bad.jsonl'),
    'OutputIsInput',
    '--output ./bad.jsonl would be written over the trace bad.jsonl',
    'Give a file of its own.',
  );
  assertRefused(
    await hypxe('report', 'bad.jsonl', '--format', 'perfetto', '--clean', 'x', '-o', 'x.json'),
    'BadOption',
    '--clean compares in a page, and --format is perfetto',
    'Leave one out.',
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

report('a page that boots: one file, written whole, and nothing but its own option', async () => {
  const made = await hypxe('report', '--demo', 'demo.html');
  assert.equal(made, { code: Exit.CLEAN, out: '', error: '' });
  const html = read('demo.html');
  assert.match(html, /id="worker">const linked\$modules=/);
  assert.not.ok(/<script[^>]* src=|https?:\/\/(?!www\.w3\.org\/)[^"' ]*\.js/.test(html));

  const told = fs.readdirSync(directory);
  for (const [args, kind, stray] of [
    [['--demo', 'd.html', 'a.jsonl'], 'demo', 'a.jsonl'],
    [['--demo', 'd.html', '--bios', '.'], 'demo', '--bios'],
    [['--demo-pc', 'd', '-o', 'x'], 'demo-pc', '--output'],
  ] as const) {
    const text = `--${kind} does not take ${stray}`;
    assertRefused(await hypxe('report', ...args), 'DemoAlone', text, 'Leave it out.');
  }
  const text = '--bios is for --demo-pc, which is not there';
  const bios = await hypxe('report', '--bios', '.');
  assertRefused(bios, 'NoPc', text, 'Say --demo-pc DIRECTORY as well.');
  assert.equal(fs.readdirSync(directory), told);
});

report('a page with a PC: what is not installed is named, and nothing is written', async () => {
  const { code, error } = await hypxe('report', '--demo-pc', 'pc-demo', '--bios', '/nowhere');
  assert.is(code, Exit.ENVIRONMENT);
  assert.match(error, /^hypxe: BiosMissing: there is no bios\.bin of SeaBIOS in \/nowhere\n/);
  assert.match(error, /apt-get install seabios/);
  assert.not.ok(fs.readdirSync(directory).includes('pc-demo'));
});

report.run();
