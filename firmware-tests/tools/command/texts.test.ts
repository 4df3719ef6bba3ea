// SPDX-License-Identifier: GPL-2.0-or-later

/** What the command line says of itself: exact texts, exit code 0. */

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hostProfileJson } from '../../../tools/simulator/profiles/profile-file.ts';
import { PROFILES } from '../../../tools/simulator/profiles/profiles.ts';
import { assertKept, assertRefused, hypxe } from '../../rigs/cli-rig.ts';

const texts = suite('command line: texts');

texts('--version is that of the package', async () => {
  const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  assert.equal(await hypxe('--version'), { code: 0, out: `${version}\n`, error: '' });
});

for (const [name, args] of [
  ['cli-help.txt', ['--help']],
  ['cli-boot-help.txt', ['boot', '--help']],
  ['cli-replay-help.txt', ['replay', '--help']],
  ['cli-hosts-help.txt', ['hosts', '--help']],
  ['cli-hosts.txt', ['hosts']],
  ['cli-hosts-openvmm.txt', ['hosts', 'openvmm']],
] as const) {
  texts(`hypxe ${args.join(' ')}`, async () => {
    const { code, out, error } = await hypxe(...args);
    assert.is(error, '');
    assert.is(code, 0);
    assertKept(name, out);
    for (const line of out.split('\n')) assert.ok(line.length <= 110, `too wide: ${line}`);
  });
}

texts('hosts --json is the profiles as data', async () => {
  const { code, out } = await hypxe('hosts', '--json');
  assert.is(code, 0);
  assert.equal(JSON.parse(out), JSON.parse(JSON.stringify(PROFILES.map(hostProfileJson))));
});

texts('hosts NAME --json is one of them', async () => {
  const { out } = await hypxe('hosts', 'qemu', '--json');
  const profile = PROFILES.find(({ name }) => name === 'qemu');
  assert.equal(JSON.parse(out), profile && hostProfileJson(profile));
});

for (const [words, same] of [
  ['help', '--help'],
  ['help help', '--help'],
  ['help boot', 'boot --help'],
  ['help scenarios', 'scenarios -h'],
  ['version', '--version'],
] as const) {
  texts(`hypxe ${words} is hypxe ${same}`, async () => {
    const [one, other] = await Promise.all([hypxe(...words.split(' ')), hypxe(...same.split(' '))]);
    assert.is.not(one.out, '');
    assert.equal(one, other);
  });
}

texts.run();

const refusals = suite('command line: commands that are none');

refusals('no command', async () => {
  assertRefused(await hypxe(), 'NoCommand', 'no command given', 'See hypxe --help.');
});

refusals('an unknown command', async () => {
  const run = await hypxe('boots');
  assertRefused(run, 'UnknownCommand', 'there is no command boots', 'Did you mean boot?');
});

for (const [option, advice] of [
  ['-V', 'Options stand behind a command; see hypxe --help.'],
  ['--json', 'Options stand behind a command; see hypxe --help.'],
  ['--versoin', 'Did you mean --version?'],
] as const) {
  refusals(`${option} without a command`, async () => {
    const { error, code } = await hypxe(option);
    assert.is(error, `hypxe: BadOption: there is no option ${option}\n       ${advice}\n`);
    assert.is(code, 2);
  });
}

refusals('an unknown option', async () => {
  const run = await hypxe('hosts', '--jsn');
  assertRefused(run, 'BadOption', 'there is no option --jsn', 'Did you mean --json?');
});

refusals('help about what there is not', async () => {
  const unknown = await hypxe('help', 'bot');
  assertRefused(unknown, 'UnknownCommand', 'there is no command bot', 'Did you mean boot?');
  const two = await hypxe('help', 'boot', 'hosts');
  const text = 'help takes the name of one command';
  assertRefused(two, 'TooManyNames', text, 'See hypxe --help.');
});

refusals('an unknown host profile', async () => {
  const run = await hypxe('hosts', 'Server2022R2');
  const text = 'there is no host profile Server2022R2';
  assertRefused(run, 'UnknownHost', text, 'Did you mean server2012r2?');
});

refusals('several host profiles', async () => {
  const run = await hypxe('hosts', 'qemu', 'openvmm');
  const advice = 'Give one, or none for a list of all.';
  assertRefused(run, 'TooManyNames', 'more than one NAME: qemu, openvmm', advice);
});

refusals.run();
