// SPDX-License-Identifier: GPL-2.0-or-later

/** The table of exit codes: each code of each command, as a script sees it. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EXIT_TEXTS, Exit } from '../../../tools/command/usage.ts';
import { CLI, hypxe, shell, write, type Run } from '../../rigs/cli-rig.ts';

const TRACES = new URL('../../golden/ipxe-traces/', import.meta.url).pathname;
const TRACE = path.join(TRACES, '10a-no-hypervisor.json');
const ONE_RUN = ['explore', '--only', 'message.1/drop'];

/** Boots that need not last. */
const SHORT = ['boot', '--size', '1', '--no-os', '--no-second-boot'];

/** A firmware with everything of hypxe's own but for what a test replaces. */
function firmware(name: string, text: string): string {
  const own = new URL('../../../dist/hypxe.js', import.meta.url).href;
  return write(name, `export * from ${JSON.stringify(own)};\n${text}\n`);
}

const HANGS = firmware(
  'hangs.mjs',
  'export function boot() { for (;;); }\nexport function createDriver() { for (;;); }',
);
const HUNGRY = firmware(
  'hungry.mjs',
  'export function boot() { const all = []; for (;;) all.push(new Array(1e6).fill(all.length)); }',
);
const BROKEN = firmware('broken.mjs', 'export function boot() { throw new Error("no"); }');
const NO_MODULE = write('no-module.mjs', 'export {');
const NO_ENTRY = write('no-entry.mjs', 'export const start = 1;');
const NO_HOST = write('no-host.json', '{"extends": "qemu", "knobs": {"revoke": 1}}');

const codes = suite('exit codes');

const EACH: readonly (readonly [code: number, args: readonly string[], told: RegExp])[] = [
  [0, SHORT, /^$/],
  [0, ONE_RUN, /^$/],
  [0, ['scenarios', 'two-owners'], /^$/],
  [0, ['replay', TRACE], /^$/],
  [0, ['hosts', 'qemu'], /^$/],
  [0, ['record', '-o', 'session.json'], /^$/],
  [0, ['report', '--demo', 'demo.html'], /^$/],
  [0, ['guest', 'header', 'c'], /^$/],
  [0, ['help', 'boot'], /^$/],
  [0, ['version'], /^$/],
  [1, [...SHORT, '--knob', 'unloadAnswer=never'], /^$/],
  [2, ['boots'], /UnknownCommand/],
  [2, [...SHORT, '--sede', '1'], /BadOption/],
  [2, [...SHORT, '--firmware', NO_MODULE], /BadFirmware/],
  [2, [...SHORT, '--host', NO_HOST], /BadHost: no-host\.json: knobs\.revoke is 1/],
  [2, ['explore', '--shard', '2/1'], /BadShard/],
  [2, [...ONE_RUN, '--firmware', NO_MODULE], /BrokenFirmware/],
  [2, ['explore', '--only', 'alloc', '--firmware', BROKEN], /BrokenFirmware/],
  [2, ['explore', '--merge', NO_HOST], /BadParts/],
  [2, ['scenarios', 'three-owners'], /UnknownScenario/],
  [2, ['replay', NO_HOST], /TraceForeign/],
  [2, ['replay', TRACE, '--firmware', NO_ENTRY], /BadFirmware/],
  [2, ['hosts', 'server2023'], /UnknownHost/],
  [2, ['hosts', NO_HOST], /BadHost/],
  [2, ['record'], /NoOutput/],
  [2, ['record', '-o', 'x.json', '--with-defect', 'none'], /UnknownDefect/],
  [2, ['report', NO_HOST, '-o', 'x.html'], /BadTrace/],
  [2, ['guest', 'new', 'c'], /BadArguments/],
  [2, ['guest', 'check', NO_MODULE], /UnknownAction/],
  [2, ['pc'], /NoFile/],
  [2, ['help', 'bots'], /UnknownCommand/],
  [3, [...SHORT, '--firmware', HANGS, '--watchdog', '1'], /^$/],
  [3, ['explore', '--only', 'alloc', '--firmware', HANGS, '--watchdog', '1'], /FirmwareHangs/],
  [3, ['replay', TRACE, '--firmware', HANGS, '--watchdog', '1'], /FirmwareEnded.*no end after 1 s/],
  [4, ['boot', 'missing'], /FileMissing/],
  [4, [...SHORT, '--host', './missing'], /FileMissing/],
  [4, ['boot', '--link', 'stream:nowhere'], /LinkUnreachable/],
  [4, [...SHORT, '--trace', 'nowhere/trace'], /TraceUnwritable/],
  [4, ['explore', '--firmware', 'missing.wasm'], /FileMissing[^]*WebAssembly/],
  [4, ['explore', '--merge', 'missing.json'], /FileMissing/],
  [4, ['replay', 'missing.json'], /FileMissing/],
  [4, ['replay', TRACE, '--firmware', 'missing.wasm'], /FileMissing[^]*WebAssembly/],
  [4, ['hosts', 'missing.json'], /FileMissing/],
  [
    4,
    ['record', '-o', 'nowhere/x.json'],
    /FileUnwritable: nowhere\/x.json cannot be written: no such file/,
  ],
  [4, ['report', 'missing.jsonl', '-o', 'x.html'], /FileMissing/],
  [4, ['pc', 'missing.lkrn'], /FileMissing/],
  [6, [...SHORT, '--host', 'server2008'], /^$/],
  [6, ['explore', '--only', 'alloc', '--host', 'server2008'], /HostRefused.*VersionRefused/],
];

/** Whether a command says on standard error why it fails; else its report says all. */
function isRefused(told: RegExp): boolean {
  return told.source !== '^$';
}

/** Commands whose result is a file or a text: they have no `--json`. */
const PLAIN = ['record', 'report', 'guest', 'help'];

/** Whether a run prints its failure as a document, too. */
function isDocumented([command]: readonly string[], told: RegExp): boolean {
  return isRefused(told) && !PLAIN.includes(command!);
}

/** Processes that run at the same time. */
const LANES = 4;

/** All runs, some at a time: each waits for the one that is {@link LANES} before it. */
const runs: Promise<Run>[] = [];
for (const [i, [, args, told]] of EACH.entries()) {
  const before = runs[i - LANES] ?? Promise.resolve();
  runs.push(before.then(() => hypxe(...args, ...(isDocumented(args, told) ? ['--json'] : []))));
}

for (const [i, [code, args, told]] of EACH.entries()) {
  codes(`${code}: ${args.map((word) => path.basename(word)).join(' ')}`, async () => {
    const run = await runs[i]!;
    assert.match(run.error, told);
    assert.is(run.code, code);
    if (!isRefused(told)) return;
    assert.match(run.error, /^hypxe: \w+: [^\n]+\n {7}[^\n]+\n$/);
    if (isDocumented(args, told)) assertDocument(run);
  });
}

/** Assert that `--json` has printed of a failure what standard error says of it. */
function assertDocument({ out, error: text, code }: Run): void {
  const { error, exitCode } = JSON.parse(out) as {
    readonly error: { readonly name: string; readonly message: string; readonly advice: string };
    readonly exitCode: number;
  };
  assert.is(exitCode, code);
  assert.is(text, `hypxe: ${error.name}: ${error.message}\n       ${error.advice}\n`);
}

codes('3: a firmware that eats all memory is ended, and said to', async () => {
  const run = await hypxe(
    ...['boot', '--size', '1', '--firmware', HUNGRY, '--guest-memory-limit', '256'],
  );
  assert.match(run.out, /^verdict: out-of-memory: the firmware is out of memory: /m);
  assert.is(run.code, 3);
});

codes('4: a program that is not installed', async () => {
  const run = await shell(`PATH= "${process.execPath}" "${CLI}" boot --link passt --boot-file x`);
  assert.match(run.error, /^hypxe: ProgramMissing: passt is not installed\n/);
  assert.is(run.code, 4);
});

codes('4: a disk that is full', async () => {
  if (!fs.existsSync('/dev/full')) return;
  const run = await hypxe(...SHORT, '--trace', '/dev/full', '--json');
  assert.is((JSON.parse(run.out) as { exitCode: number }).exitCode, 4);
  assert.is(run.code, 4);
});

const COMMANDS = ['boot', 'explore', 'scenarios', 'replay', 'hosts', ...PLAIN.slice(0, 3), 'pc'];

codes('whoever is asked for what -v prints can say it: every command takes it', async () => {
  for (const command of COMMANDS) {
    const { out, error, code } = await hypxe(command, '--help', '-v');
    assert.equal([code, error], [0, ''], command);
    assert.match(out, /^  -v, --verbose  /m, command);
  }
  const demo = await hypxe('report', '--demo', 'verbose.html', '-v');
  assert.equal([demo.code, demo.error], [0, '']);
});

codes('each is explained by every help', async () => {
  for (const command of [[], ...COMMANDS.map((name) => [name])]) {
    const { out } = await hypxe(...command, '--help');
    for (const [code, text] of EXIT_TEXTS) {
      assert.ok(out.includes(`  ${String(code).padEnd(4)}${text}\n`), `${command.join()}: ${code}`);
    }
  }
  assert.equal(
    EXIT_TEXTS.map(([code]) => code),
    Object.values(Exit),
  );
});

codes.run();
