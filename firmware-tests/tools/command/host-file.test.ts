// SPDX-License-Identifier: GPL-2.0-or-later

/** A host that a file describes, wherever one can be named. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseBoot } from '../../../tools/command/boot/boot-options.ts';
import type { Part } from '../../../tools/explore/part.ts';
import { PROFILES } from '../../../tools/simulator/profiles/profiles.ts';
import { assertRefused, directory, hypxe, read, write } from '../../rigs/cli-rig.ts';

const SHORT = ['boot', '--size', '1000', '--no-second-boot'];

/** The host of `hypxe boot` with these arguments. */
function hostOf(...args: string[]) {
  return parseBoot(args.map(inDirectory), `${directory}/firmware.js`)!;
}

/** Files of the tests, from wherever the test runs. */
function inDirectory(word: string): string {
  return word.endsWith('.json') ? `${directory}/${word}` : word;
}

write('firmware.js', '');

const files = suite('host files: the command line');

files('what hypxe hosts NAME --json prints boots byte for byte like the name', async () => {
  for (const name of ['server2022', 'openvmm']) {
    const file = write(`${name}.json`, (await hypxe('hosts', name, '--json')).out);
    const byName = await hypxe(...SHORT, '--host', name, '--trace', 'name.jsonl');
    const byFile = await hypxe(...SHORT, '--host', file, '--trace', 'file.jsonl');
    assert.equal(byFile, byName);
    assert.is(byFile.code, 0);
    assert.ok(read('file.jsonl').length > 10_000);
    assert.ok(read('file.jsonl') === read('name.jsonl'), 'the traces differ');
  }
});

files('hypxe hosts FILE shows it as it shows a name', async () => {
  const file = write('qemu.json', (await hypxe('hosts', 'qemu', '--json')).out);
  assert.equal(await hypxe('hosts', file), await hypxe('hosts', 'qemu'));
  assert.equal(await hypxe('hosts', file, '--json'), await hypxe('hosts', 'qemu', '--json'));
});

files('a file that extends a profile is one when it is printed', async () => {
  const file = write('odd.json', '{"extends": "qemu", "knobs": {"echoVersion": true}}');
  const { out } = await hypxe('hosts', file, '--json');
  const whole = JSON.parse(out) as { name: string; extends?: string; knobs: object };
  assert.is(whole.name, 'odd');
  assert.is(whole.extends, undefined);
  write('whole.json', out);
  assert.equal(hostOf('--host', 'whole.json').profile, hostOf('--host', 'odd.json').profile);
});

files('a host that no version or feature of the firmware fits is refused', async () => {
  const hosts = {
    VersionRefused: { vmbusVersions: ['3.0'] },
    NoHypercallRegister: { features: 0 },
  };
  for (const [error, facts] of Object.entries(hosts)) {
    const file = write('unfit.json', JSON.stringify({ extends: 'server2022', ...facts }));
    const run = await hypxe(...SHORT, '--host', file);
    assert.is(run.code, 6);
    assert.ok(
      run.out.includes(`verdict: refused: the firmware does not run on this host (${error})`),
    );
  }
});

files('--knob turns what the file says', () => {
  write('knob.json', '\uFEFF{"extends": "qemu", "knobs": {"messageQueue": 3, "ppiEvery": 2}}');
  const { host, profile, knobs } = hostOf('--host', 'knob.json', '--knob', 'messageQueue=5');
  assert.is(host, 'knob');
  assert.equal(knobs, { messageQueue: 5 });
  const qemu = PROFILES.find(({ name }) => name === 'qemu')!;
  assert.equal(profile.knobs, { ...qemu.knobs, messageQueue: 5, ppiEvery: 2 });
});

files('a name that stands twice is refused, wherever it stands', async () => {
  for (const [text, name] of [
    ['{"extends": "qemu", "features": "0x1", "features": "0x2"}', 'features'],
    [
      '{"extends": "qemu", "knobs": {"overlay": "preserve", "overlay": "preserve"}}',
      'knobs.overlay',
    ],
    ['{"extends": "qemu", "knobs": {}, "knobs": {}}', 'knobs'],
    ['{"extends": "qemu", "ext\\u0065nds": "qemu"}', 'extends'],
    ['{"source": "a \\"x\\": {", "extends": "qemu", "source" : "b"}', 'source'],
  ] as const) {
    write('twice.json', text);
    const advice = 'Leave one of them: of two the last would count.';
    const run = await hypxe('hosts', 'twice.json');
    assertRefused(run, 'BadHost', `twice.json: ${name} stands twice`, advice);
  }
  // Not names, or of another object
  write('once.json', '{"extends": "qemu", "source": "source\\\\", "knobs": {"monitors": "none"}}');
  assert.is((await hypxe('hosts', 'once.json')).code, 0);
});

files('a file with the name of a profile that is another says so', async () => {
  const said =
    /^It has the name of the host server2019 and is another: reports call it server2019#/m;
  write('named.json', '{"extends": "server2022", "name": "server2019"}');
  assert.match((await hypxe('hosts', 'named.json')).out, said);
  assert.match(hostOf('--host', 'named.json').host, /^server2019#[0-9a-f]{8}$/);
  write('same.json', '{"extends": "server2019", "name": "server2019"}');
  assert.not.match((await hypxe('hosts', 'same.json')).out, said);
  assert.is(hostOf('--host', 'same.json').host, 'server2019');
  write('server2016.json', '{"extends": "server2016", "knobs": {"ppiEvery": 7}}');
  assert.match(hostOf('--host', 'server2016.json').host, /^server2016#/);
});

files('a file of the name of a profile is meant only with a slash', async () => {
  write('mine', '{"extends": "qemu"}');
  const text = 'there is no host profile mine';
  const advice = 'For the file that lies here, write ./mine.';
  assertRefused(await hypxe('hosts', 'mine'), 'UnknownHost', text, advice);
  assert.match((await hypxe('hosts', './mine')).out, /^mine: as qemu, with what a file says\n/);
});

for (const [name, text, error, advice] of [
  ['no.json', '{', /^HostNotJson: no\.json: /, 'Write JSON: hypxe hosts NAME --json prints such a'],
  [
    'list.json',
    '[]',
    /^BadHost: list\.json: a host is an object, not \[\]$/,
    'See what hypxe hosts',
  ],
  [
    'typo.json',
    '{"extends": "qemu", "knob": {}}',
    /^BadHost: typo\.json: there is no field knob$/,
    'Did you mean knobs?',
  ],
] as const) {
  files(`${name} is refused`, async () => {
    const run = await hypxe('hosts', write(name, text));
    const [first = '', second = ''] = run.error.split('\n');
    assert.match(first.replace('hypxe: ', ''), error);
    assert.ok(second.trim().startsWith(advice), second);
    assert.is(run.code, 2);
  });
}

files('what a file says cannot steer the terminal', async () => {
  const odd = '\x1b[2J\u202e\r\u009b';
  const shown = '\\u001b[2J\\u202e';
  write('steer.json', `{${odd}\nhypxe: all is well`);
  write('field.json', JSON.stringify({ extends: 'qemu', [odd]: 1 }));
  write('value.json', JSON.stringify({ extends: 'qemu', description: odd }));
  for (const name of ['steer.json', 'field.json', 'value.json', `${odd}.json`]) {
    const { out, error } = await hypxe('hosts', name);
    assert.not.match(out + error, /[\0-\x08\x0b-\x1f\x7f-\x9f\u202e]/, name);
    assert.not.match(error, /^hypxe: all is well/m);
  }
  const { error } = await hypxe('hosts', 'steer.json');
  assert.ok(error.startsWith('hypxe: HostNotJson: steer.json: '), error);
  const other = await hypxe('hosts', `./${odd}.json`);
  assert.ok(other.error.includes(`./${shown}`), other.error);
});

files('a directory, and a file that is no file of ours', async () => {
  const run = await hypxe('hosts', './');
  const advice = 'Check that it is the file that you mean.';
  assertRefused(run, 'NotAFile', './ is a directory', advice);
  write('large.json', ' '.repeat(2 ** 20 + 1));
  const large = 'large.json has 1048577 bytes, more than 1048576';
  assertRefused(await hypxe('hosts', 'large.json'), 'FileTooLarge', large, advice);
});

files('explore takes one, and does not merge it with a host that does otherwise', async () => {
  write('a.json', '{"extends": "server2022", "name": "odd", "knobs": {"ppiEvery": 2}}');
  write('b.json', '{"extends": "server2022", "name": "odd", "knobs": {"ppiEvery": 1}}');
  const only = ['explore', '--only', 'step/give-up', '--time', '600', '--workers', '1', '--json'];
  const shard = async (host: string, index: number): Promise<string> => {
    const run = await hypxe(...only, '--shard', `${index}/200`, '--host', host);
    assert.is(run.code, 0, run.error);
    return write(`part-${host}-${index}`, run.out);
  };
  const first = await shard('a.json', 1);
  assert.match((JSON.parse(read(first)) as Part).host, /^odd#[0-9a-f]{8}$/);
  const other = await shard('b.json', 2);
  const { code, error } = await hypxe('explore', '--merge', first, other);
  assert.match(error, /differ in the host profile: odd#[0-9a-f]{8} and odd#[0-9a-f]{8}\n/);
  assert.is(code, 2);
});

files.run();
