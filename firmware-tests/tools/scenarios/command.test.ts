// SPDX-License-Identifier: GPL-2.0-or-later

/** The commands of flows and scenarios: what they print, and with which exit code they end. */

import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseBoot } from '../../../tools/command/boot/boot-options.ts';
import { scenariosCommand } from '../../../tools/command/scenarios-command.ts';
import { UsageError } from '../../../tools/command/usage.ts';
import { SCENARIOS } from '../../../tools/scenarios/index.ts';

const DIST = new URL('../../../dist/', import.meta.url);
const PLACES = {
  guestCell: new URL('guest-cell.js', DIST),
  reportPage: fileURLToPath(new URL('../../../dist/report-page.js', import.meta.url)),
  scenariosWorker: new URL('scenarios-worker.js', DIST),
};

/** Run `hypxe scenarios` in this process. */
async function run(...args: string[]) {
  let out = '';
  const terminal = { out: (text: string) => void (out += text), error: () => {} };
  const code = await scenariosCommand(args, PLACES, terminal);
  return { code, out };
}

/** The mistake that a call complains of. */
async function refusal(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return `${error.name}: ${error.message} | ${error.advice}`;
  }
  return 'not refused';
}

const command = suite('scenarios command');

command('lists each with its reference and one line', async () => {
  const { code, out } = await run();
  assert.is(code, 0);
  const lines = out.trimEnd().split('\n');
  assert.is(lines.length, 3 * SCENARIOS.length);
  for (const [i, { name, text, references }] of SCENARIOS.entries()) {
    assert.is(lines[3 * i], name);
    assert.is(lines[3 * i + 1], `    ${text}`);
    assert.is(lines[3 * i + 2], `    ${references.join('; ')}`);
  }
});

command('lists them as data', async () => {
  const list = JSON.parse((await run('--json')).out) as Record<string, unknown>[];
  assert.is(list.length, SCENARIOS.length);
  assert.equal(list[0], {
    name: 'kexec-without-unload',
    text: 'the old kernel does not disconnect: the host goes on as if it were there',
    mistake: 'kernel',
    references: ['Linux 2db84eff127e', 'systemd #20072', 'nixos-anywhere #400'],
    caughtBy: 'the check unload',
  });
});

command('runs both halves of one', async () => {
  const { code, out } = await run('kexec-timer-armed');
  assert.is(code, 0);
  assert.match(out, 'kexec-timer-armed: a synthetic timer stays armed');
  assert.match(out, '  broken: caught\n    by timers: timer 0 of VP 0 is enabled');
  assert.match(out, '  fixed: passes\n');
  assert.match(out, /verdict: the bug is caught, and its absence passes\n$/);
});

command('runs several as data', async () => {
  const { code, out } = await run('kexec-identity', 'two-owners', '--json');
  assert.is(code, 0);
  const [first, second] = JSON.parse(out) as Record<string, { passed: boolean; ended: unknown }>[];
  assert.is(first!['passed'] as unknown, true);
  assert.is(first!['broken']!.passed, true);
  assert.is(first!['fixed']!.ended, null);
  assert.is(second!['passed'] as unknown, true);
});

command('takes how names begin, and each scenario once', async () => {
  const { code, out } = await run('two-own', 'kexec-i', 'two-owners', '--json');
  assert.is(code, 0);
  const names = (JSON.parse(out) as { name: string }[]).map(({ name }) => name);
  assert.equal(names, ['two-owners', 'kexec-identity']);
});

command('asks what was meant', async () => {
  const name = 'kexec-without-unlod';
  assert.is(
    await refusal(() => run(name)),
    `UnknownScenario: there is no scenario ${name} | Did you mean kexec-without-unload?`,
  );
  assert.is(
    await refusal(() => run('nothing-like-it')),
    'UnknownScenario: there is no scenario nothing-like-it | hypxe scenarios lists them.',
  );
  assert.match(await refusal(() => run('--all', 'two-owners')), /^TooManyNames: /);
  assert.match(await refusal(() => run('--alll')), /^BadOption: /);
});

command('refuses options that nothing of what is asked for takes', async () => {
  const number = 'Give a whole number from 1 to 3600.';
  assert.is(
    await refusal(() => run('--all', '--watchdog', 'banana')),
    `BadNumber: --watchdog cannot be banana | ${number}`,
  );
  for (const [option, value] of [
    ['--watchdog', '5'],
    ['--guest-memory-limit', '512'],
  ] as const) {
    assert.is(
      await refusal(() => run('two-owners', option, value)),
      `BadOption: ${option} is about a --firmware | Give one, or leave it out.`,
    );
  }
  for (const args of [['--junit', 'never-written.xml'], ['--tap']]) {
    assert.is(
      await refusal(() => run(...args)),
      `BadOption: ${args[0]!} tells what was run, and nothing is | Give NAME, or --all.`,
    );
  }
});

command('explains itself', async () => {
  assert.match((await run('--help')).out, /^Usage: hypxe scenarios/);
});

command.run();

const steps = suite('boot --then');

const FIRMWARE = fileURLToPath(new URL('../../../src/index.ts', import.meta.url));
const request = (...args: string[]) => parseBoot(args, FIRMWARE)!;

steps('takes steps in one option or in several', () => {
  assert.equal(request().steps, []);
  assert.equal(request('--then', 'san,kexec', '--then', 'crash').steps, ['san', 'kexec', 'crash']);
  assert.equal(request('--then', 'crash@9,crash,kexec').steps, ['crash@9', 'crash', 'kexec']);
  assert.is(request().linux, 'linux-6.1');
  assert.is(request('--os', 'linux-6.12').linux, 'linux-6.12');
  assert.is(request('--processors', '4').processors, 4);
  assert.is(request().processors, 1);
});

for (const [args, expected] of [
  [
    ['--then', 'crash,san'],
    'BadOrder: --then crash,san: san cannot come after crash: the firmware is gone then | ' +
      'The order is chainload, san, then kexec and crash as you like.',
  ],
  [['--then', 'crash@'], 'UnknownStep: there is no step crash@ | Did you mean crash?'],
  [
    ['--os', 'linux-6.2'],
    'UnknownOs: there is no OS linux-6.2 | Did you mean linux-6.1 or linux-6.12?',
  ],
  [['--then', 'kexex'], 'UnknownStep: there is no step kexex | Did you mean kexec?'],
  [
    ['--then', 'kexec', '--no-os'],
    'BadOrder: --then kexec needs an OS, and --no-os forbids one | Leave one of them out.',
  ],
  [
    ['--then', 'san', '--memory', '8'],
    'MemoryTooSmall: a SAN boot does not fit into 8 MiB: the firmware stays | ' +
      'Give it --memory 16.',
  ],
  [
    ['--processors', '0'],
    'BadNumber: --processors cannot be 0 | Give a whole number from 1 to 240.',
  ],
] as const) {
  steps(`refuses ${args.join(' ')}`, async () => {
    assert.is(await refusal(() => request(...args)), expected);
  });
}

steps.run();
