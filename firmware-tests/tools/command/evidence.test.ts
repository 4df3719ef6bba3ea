// SPDX-License-Identifier: GPL-2.0-or-later

/** Trace, capture and page of a scenario and of a replay; headings of a chain in its log. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Exit } from '../../../tools/command/usage.ts';
import { modelOf } from '../../../tools/report/model/model.ts';
import type { TraceRecord } from '../../../tools/report/model/record.ts';
import { slim } from '../../../tools/report/read-trace.ts';
import { hypxe, read, write } from '../../rigs/cli-rig.ts';

const evidence = suite('command line: evidence');

/** Run a command with all its files; its page must be that of its trace. */
async function samePage(name: string, ...args: string[]): Promise<string> {
  const files = ['--trace', `${name}.jsonl`, '--report', `${name}.html`];
  const run = await hypxe(...args, ...files, '--pcap', `${name}.pcapng`);
  assert.is(run.code, Exit.CLEAN, run.error);
  const made = await hypxe('report', `${name}.jsonl`, '-o', `${name}-again.html`);
  assert.is(made.code, Exit.CLEAN, made.error);
  assert.is(read(`${name}-again.html`), read(`${name}.html`));
  assert.ok(read(`${name}.pcapng`).length > 1000);
  return read(`${name}.jsonl`);
}

evidence('of a scenario: the half with the bug, compared with the half without', async () => {
  const trace = await samePage('unload', 'scenarios', 'kexec-without-unload');
  const halves = trace.match(/"half":"\w+"/g);
  assert.equal(halves, ['"half":"broken"', '"half":"fixed"']);
  assert.match(trace, /"kind":"finding","stage":"kernel","check":"unload","severity":"error"/);
  assert.match(trace, /"kind":"handoff","stage":"\w+","end":"kexec"/);
  assert.match(read('unload.html'), /<title>hypxe scenarios kexec-without-unload broken</);
  // One that audits by itself, without a chain of kernels
  const identity = await samePage('identity', 'scenarios', 'chainload-with-identity');
  assert.match(identity, /"kind":"handoff","stage":"firmware"/);
});

evidence('of a replay: the firmware, compared with the reference drivers', async () => {
  const trace = await samePage('boot', 'replay', '01-boot');
  assert.equal(trace.match(/"firmware":"[^"]*"/g), [
    '"firmware":"hypxe.js"',
    '"firmware":"reference drivers"',
  ]);
  const lines = trace.split('\n').filter(Boolean);
  const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const first = events.slice(
    0,
    events.findIndex(({ kind }, i) => i > 0 && kind === 'run'),
  );
  const of = (kind: string) => first.filter((event) => event.kind === kind);
  assert.is(of('grant').length, of('revoke').length, 'all is given back');
  assert.ok(of('host-message').length > 10 && of('ring-packet').length > 10);
  // No check of the audit is made: none may be shown as one that holds
  const states = modelOf(slim(first as unknown as TraceRecord[])).checks.map(({ state }) => state);
  assert.ok(states.every((state) => state === 'not run'));

  // What shared it, and what revoked it, by number
  const acts = new Map(first.map((event) => [event.act, event]));
  for (const { cause } of [...of('grant'), ...of('revoke')]) assert.ok(acts.has(cause));
  const says = of('revoke').map(({ cause }) => acts.get(cause)!.says ?? 'a register');
  assert.ok(
    says.some((text) => /^GPADL_TEARDOWN, channel/.test(String(text))),
    says.join('\n'),
  );
});

evidence('a session that differs has its failures as findings', async () => {
  const leak = `import { createDriver as own } from ${JSON.stringify(
    new URL('../../../dist/hypxe.js', import.meta.url).href,
  )};
export function createDriver(machine, options) {
  const driver = own(machine, options);
  driver.remove = () => {};
  return driver;
}
`;
  const firmware = write('keeps.mjs', leak);
  const run = await hypxe('replay', '01-boot', '--firmware', firmware, '--trace', 'keeps.jsonl');
  assert.is(run.code, Exit.FINDINGS, run.error);
  assert.match(read('keeps.jsonl'), /"kind":"finding".*"text":"step \d+ remove: /);
  assert.match(read('keeps.jsonl'), /"kind":"verdict","verdict":"findings"/);
});

evidence(
  'of a firmware that hangs or dies in a session there is what it did until then',
  async () => {
    const dies = write(
      'hangs.mjs',
      `import { createDriver as own } from ${JSON.stringify(
        new URL('../../../dist/hypxe.js', import.meta.url).href,
      )};
export function createDriver(machine, options) {
  const driver = own(machine, options);
  driver.remove = () => {
    for (let i = 0; i < 2000; i++) machine.rdmsr(0x40000000);
    for (;;);
  };
  return driver;
}
`,
    );
    const args = ['replay', '01-boot', '--firmware', dies, '--watchdog', '5'];
    const run = await hypxe(...args, '--trace', 'hangs.jsonl', '--report', 'hangs.html');
    assert.is(run.code, Exit.CRASH, run.error);
    assert.match(read('hangs.html'), /<title>hypxe replay 01-boot/);
    assert.match(read('hangs.jsonl.part'), /"kind":"wrmsr"/);
    assert.match(run.error, /FileIncomplete: .* is in hangs\.jsonl\.part\n/);
  },
);

evidence('a page that cannot be written is told before anything is run', async () => {
  const unwritable = ['--report', 'no/such/directory/x.html', '--trace', 'early.jsonl'];
  const { code, error, out } = await hypxe('scenarios', 'kexec-without-unload', ...unwritable);
  assert.is(code, Exit.ENVIRONMENT, error);
  assert.match(error, /^hypxe: FileUnwritable: /);
  assert.is(out, '', 'nothing was run');
});

evidence('a bug that is a warning is no clean run', async () => {
  const { code } = await hypxe(
    'scenarios',
    'host-signals-after-unload',
    '--trace',
    'warning.jsonl',
  );
  assert.is(code, Exit.CLEAN);
  assert.match(read('warning.jsonl'), /"kind":"verdict","verdict":"findings"/);
});

evidence('of a SAN boot and of memory that was freed: who had the machine', async () => {
  const told: readonly (readonly [string, RegExp, readonly string[]])[] = [
    [
      'two-owners',
      /"kind":"stage","stage":"[^"]*"/g,
      ['firmware', 'firmware', 'firmware, serving', 'loader'],
    ],
    ['ring-freed-with-gpadl', /"kind":"handoff","stage":"[^"]*"/g, ['firmware']],
    ['uefi-guest-stolen', /"kind":"handoff","stage":"[^"]*"/g, ['UEFI firmware']],
  ];
  for (const [name, pattern, stages] of told) {
    const { code, error } = await hypxe('scenarios', name, '--trace', `${name}.jsonl`);
    assert.is(code, Exit.CLEAN, error);
    const found = read(`${name}.jsonl`).match(pattern) ?? [];
    assert.equal(
      found.map((text) => /"stage":"(.*)"/.exec(text)![1]),
      stages,
      name,
    );
  }
});

evidence('files are of one scenario and of one session', async () => {
  const refused: readonly (readonly [string, readonly string[]])[] = [
    ['BadOption: --report is about one scenario', ['scenarios', 'kexec', '--report', 'x.html']],
    ['BadOption: --trace is about one scenario', ['scenarios', '--trace', 'x.jsonl']],
    ['BadOption: --pcap is about one trace', ['replay', '01-boot', '14-monitored', '--pcap', 'x']],
    ['OutputIsInput: ', ['replay', './x.json', '--report', 'x.json']],
  ];
  for (const [text, args] of refused) {
    const { code, error } = await hypxe(...args);
    assert.is(code, Exit.USAGE, error);
    assert.ok(error.startsWith(`hypxe: ${text}`), error);
  }
});

evidence('a chain has a heading for each owner of the machine in its log', async () => {
  const args = ['--size', '4K', '--processors', '4', '--then', 'kexec,crash'];
  const { code, out } = await hypxe('boot', ...args);
  assert.is(code, Exit.CLEAN);
  const headings = out.match(/^\[ *[\d.]+\] (?:=== .*|.* (?:handed over|crashed|was reset))$/gm);
  assert.equal(
    headings?.map((line) => line.replace(/^\[.*?\] /, '')),
    [
      ...['=== firmware', 'firmware handed over', '=== OS', 'OS handed over'],
      ...['=== kexec 1', 'kexec 1 crashed', '=== crash kernel', 'crash kernel was reset'],
      ...['=== second boot', 'second boot handed over'],
    ],
  );
  assert.is(out.match(/ the same on 2 more VPs: 1 to 2/g)?.length, 5);
});

evidence.run();
