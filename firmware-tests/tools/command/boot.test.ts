// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe boot` as a user runs it: what it prints, what it writes, how it exits. */

import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CLI, assertKept, hypxe, lastLine, read, shell, write } from '../../rigs/cli-rig.ts';

const digest = (bytes: Uint8Array | string): string =>
  createHash('sha256').update(bytes).digest('hex');

const boot = suite('command line: boot');

boot('the default boot, as the README shows it', async () => {
  const { code, out, error } = await hypxe('boot');
  assert.is(error, '');
  assert.is(code, 0);
  assertKept('boot-default.txt', out);
});

boot('FILE is served from disk, and arrives', async () => {
  const contents = new Uint8Array(12_345).map((_, i) => i * 7);
  write('my image', contents);
  const run = await hypxe('boot', 'my image', '--no-os', '--no-second-boot', '--nics', '2');
  assert.is(run.code, 0);
  assert.ok(run.out.startsWith('booting my image (12345 bytes) on server2022: 2 NICs, 64 MiB, '));
  const lines = run.out.split('\n').filter((line) => line.includes('sha256'));
  assert.equal(lines, [
    `  served sha256 ${digest(contents)}`,
    `  in RAM sha256 ${digest(contents)}`,
  ]);
  assert.ok(run.out.includes('  not run 12 an OS connects'));
  assert.match(lastLine(run), /^verdict: clean: /);
});

boot('--serve DIR serves a path below it', async () => {
  write('tree/pxe/boot.img', 'below');
  const run = await hypxe('boot', 'pxe/boot.img', '--serve', 'tree', '--no-os', '--verbose');
  assert.is(run.code, 0);
  assert.match(run.out, /tftp:\/\/192\.168\.77\.1\/pxe\/boot\.img: 5 bytes/);
  assert.ok(run.out.includes(`  in RAM sha256 ${digest('below')}`));

  // --verbose shows the ledger and what went on between
  assert.match(run.out, /ledger: share simp \[0x3f\w+000,0x3f\w+000\): register SIMP/);
  assert.match(run.out, /DHCP net0 discover/);
});

boot('--trace writes lines of JSON, the same in every run', async () => {
  const args = ['--size', '5000', '--loss', '0.05', '--reorder', '0.1', '--no-os', '--seed', '3'];
  const runs = await Promise.all(
    ['a.jsonl', 'b.jsonl'].map((file) => hypxe('boot', ...args, '--trace', file)),
  );
  assert.equal(
    runs.map(({ code }) => code),
    [0, 0],
  );
  assert.is(runs[0]!.out, runs[1]!.out);
  const lines = read('a.jsonl').trimEnd().split('\n');
  const guests = new Set<string | undefined>();
  for (const line of lines) {
    const event = JSON.parse(line) as { ms: number; kind: string; guest?: string };
    assert.type(event.ms, 'number');
    assert.type(event.kind, 'string');
    guests.add(event.guest);
  }
  // What the machine sees is of nobody, what a guest says is its own
  assert.equal(guests, new Set(['firmware', undefined, 'second boot']));
  assert.ok(read('a.jsonl') === read('b.jsonl'), 'two traces of one seed differ');
});

boot('a trace that cannot be opened', async () => {
  const { code, error } = await hypxe('boot', '--size', '1', '--trace', '.');
  assert.match(
    error,
    /^hypxe: TraceUnwritable: the trace cannot be written to \.: it is a directory/,
  );
  assert.is(code, 4);
});

boot('a full disk: the boot is reported, and the trace is said to be incomplete', async () => {
  if (!fs.existsSync('/dev/full')) return;
  const run = await hypxe('boot', '--size', '1', '--no-os', '--trace', '/dev/full');
  assert.match(
    run.error,
    /^hypxe: TraceUnwritable: the trace in \/dev\/full is incomplete: no space left on device/,
  );
  assert.match(lastLine(run), /^verdict: clean: /);
  assert.is(run.code, 4);
});

boot.run();

const codes = suite('command line: exit codes');

codes('1: findings', async () => {
  const run = await hypxe('boot', '--size', '1', '--knob', 'unloadAnswer=never', '--no-os');
  assert.is(run.code, 1);
  assert.is(
    lastLine(run),
    'verdict: findings: nothing was booted (NoResponse); the audit has 0 errors, 3 warnings',
  );
  // Each page: what for, by whom, when, until when, and whether the next owner knows
  const at = run.out.indexOf('warning: the host may still write to the monitor page');
  const lines = run.out.slice(at).split('\n').slice(0, 6);
  assert.equal(
    lines.map((line) =>
      line
        .trim()
        .replace(/0x[0-9a-f]+000/g, 'PAGE')
        .replace(/0\.\d+/, 'TIME'),
    ),
    [
      'warning: the host may still write to the monitor page, parent to child',
      '1 page: [PAGE,PAGE)',
      'what for: monitor page, parent to child',
      'shared by INITIATE_CONTACT at TIME ms',
      'would have been revoked by UNLOAD',
      'reserved in the memory map: lost, but safe',
    ],
  );
  assert.match(
    run.out,
    /\[0x3f\w+000,0x3f\w+000\) reserved: monitor-in \(INITIATE_CONTACT 3\.0 not/,
  );
});

codes('1: nothing fits', async () => {
  const run = await hypxe('boot', '--memory', '4', '--size', '4000000', '--no-os');
  assert.is(run.code, 1);
  assert.match(
    run.out,
    /^error +ImageTooLarge: an image of 4000000 bytes does not fit: \d+ bytes/m,
  );
  assert.match(run.out, /^ +Give the guest more memory, or boot a smaller image\.$/m);
  assert.is(
    lastLine(run),
    'verdict: findings: nothing was booted (ImageTooLarge); the audit has 0 errors',
  );
});

codes('the exit code is that of the verdict although nobody reads on: | head', async () => {
  const command = `"${process.execPath}" "${CLI}" boot --size 1 --verbose`;
  const { error, code } = await shell(`(${command}; echo $? >code) | head -1 >/dev/null`);
  assert.is(error, '');
  assert.is(code, 0);
  assert.is(read('code').trim(), '0');
});

codes('4: the output is lost', async () => {
  if (!fs.existsSync('/dev/full')) return;
  const { error, code } = await shell(`"${process.execPath}" "${CLI}" hosts >/dev/full`);
  assert.match(
    error,
    /^hypxe: OutputLost: standard output: no space left on device\n {7}Redirect [^\n]*\n$/,
  );
  assert.is(code, 4);
});

codes('6: the host is refused', async () => {
  const run = await hypxe('boot', '--host', 'server2008', '--size', '1');
  assert.is(run.code, 6);
  assert.is(
    lastLine(run),
    'verdict: refused: the firmware does not run on this host (VersionRefused)',
  );
  assert.match(run.out, /^error +VersionRefused: /m);
});

codes.run();

const json = suite('command line: --json');

/** Members of the document, whatever the verdict. */
const MEMBERS = [
  ...['verdict', 'summary', 'exitCode', 'request', 'served', 'image', 'error', 'attempts'],
  ...['ended', 'vmbusVersions', 'memoryMap', 'os', 'secondBoot', 'counts', 'handoffMs', 'endMs'],
  ...['traceFailure', 'captureFailure', 'checks'],
];

interface Document {
  readonly verdict: string;
  readonly exitCode: number;
  readonly image: { sha256: string; equal: boolean } | null;
  readonly served: { sha256: string };
  readonly checks: readonly { name: string; state: string; findings: readonly object[] }[];
  readonly counts: { hypercalls: number } | null;
  readonly ended: { kind: string; text: string } | null;
  readonly vmbusVersions: readonly string[];
}

interface Finding {
  readonly severity: string;
  readonly text: string;
  readonly pages: { readonly sharedAtMs: number; readonly pages: readonly number[] };
}

async function document(...args: string[]): Promise<Document> {
  const { code, out, error } = await hypxe('boot', '--json', ...args);
  assert.is(error, '');
  const parsed = JSON.parse(out) as Document;
  for (const member of MEMBERS) assert.ok(member in parsed, `${member} is missing`);
  assert.is(parsed.exitCode, code);
  return parsed;
}

json('a clean boot', async () => {
  const { verdict, exitCode, image, served, checks, counts, vmbusVersions } = await document(
    ...['--size', '3000'],
  );
  assert.is(verdict, 'clean');
  assert.is(exitCode, 0);
  assert.is(image?.equal, true);
  assert.is(image?.sha256, served.sha256);
  assert.equal(vmbusVersions, ['3.0', '0.13']);
  assert.ok(counts!.hypercalls > 0);
  assert.equal(
    checks.filter(({ state }) => state !== 'ok').map(({ name, state }) => [name, state]),
    [],
  );
});

json('a boot with findings has their pages', async () => {
  const { verdict, checks } = await document(
    ...['--size', '1', '--no-os', '--knob', 'unloadAnswer=never'],
  );
  assert.is(verdict, 'findings');
  const shared = checks.find(({ name }) => name === 'shared-pages')!;
  assert.is(shared.state, 'warning');
  const [{ severity, text, pages }] = shared.findings as [Finding];
  assert.is(severity, 'warning');
  assert.is(text, 'the host may still write to the monitor page, parent to child');
  const { sharedAtMs, pages: addresses, ...rest } = pages;
  assert.is(addresses.length, 1);
  assert.is(addresses[0]! % 4096, 0);
  assert.ok(sharedAtMs > 0 && sharedAtMs < 1, `shared at ${sharedAtMs} ms`);
  assert.equal(rest, {
    purpose: 'monitor page, parent to child',
    length: 4096,
    sharedBy: 'INITIATE_CONTACT',
    revokedWith: 'UNLOAD',
    reserved: true,
  });
});

json('a refused host', async () => {
  const { verdict, exitCode, image } = await document('--host', 'server2012', '--no-os');
  assert.is(verdict, 'refused');
  assert.is(exitCode, 6);
  assert.is(image, null);
});

json('a crash', async () => {
  write('crash.js', 'export const boot = (machine) => machine.wrmsr(1, 1n);');
  const { verdict, exitCode, ended } = await document('--firmware', 'crash.js');
  assert.is(verdict, 'crash');
  assert.is(exitCode, 3);
  assert.is(ended?.text, '#GP on VP 0: wrmsr 0x1: no such register');
});

json.run();
