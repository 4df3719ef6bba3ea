// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe boot --record`: whole firmware, stages, and a firmware that is ended. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { directory, hypxe, write } from '../../rigs/cli-rig.ts';

const record = suite('hypxe boot --record');

const inFolder = (name: string): string => path.join(directory, name);

record('a whole firmware without drivers replays its boot, and nothing else', async () => {
  const text = fs.readFileSync(new URL('../../../dist/hypxe.js', import.meta.url), 'utf8');
  const exported = /^ {2}(?:\w+ as )?createDriver\n(?=};)/m;
  assert.match(text, exported);
  const guest = inFolder(write('whole.mjs', text.replace(exported, '')));
  const file = inFolder('whole.json');
  const args = ['--firmware', guest, '--size', '16K', '--no-second-boot', '--record', file];
  const boot = await hypxe('boot', ...args);
  assert.is(boot.code, 0, boot.error);
  const { out, code } = await hypxe('replay', '--firmware', guest, file);
  assert.is(code, 0, out);
  assert.match(out, /^boot-server2022-1: ok\n/);
  const drivers = await hypxe('replay', '--firmware', guest, '19-no-netvsc');
  assert.match(drivers.error, /^hypxe: BadFirmware: /);
  assert.is(drivers.code, 2);
});

record('each stage of a boot that goes on has its session', async () => {
  const file = inFolder('stages.json');
  const args = ['--size', '16K', '--then', 'chainload,san', '--no-second-boot', '--record', file];
  const boot = await hypxe('boot', ...args);
  assert.is(boot.code, 0, boot.error);
  const { out, code } = await hypxe('replay', file, inFolder('stages-2.json'));
  assert.is(code, 0, out);
  assert.match(out, /^boot-server2022-1: ok\n/);
  assert.match(out, /\nboot-server2022-1-2: ok\n {2}session 2 of \d of boot-server2022-1\n/);
});

record('a numbered session leaves what is there, and the command says so', async () => {
  const file = inFolder('kept.json');
  const beside = inFolder('kept-2.json');
  fs.writeFileSync(beside, 'mine');
  const args = ['--size', '16K', '--then', 'chainload,san', '--no-second-boot', '--record', file];
  const { code, error } = await hypxe('boot', ...args);
  assert.is(code, 4, error);
  assert.match(error, /kept-2\.json is there already, and was left as it is/);
  assert.is(fs.readFileSync(beside, 'utf8'), 'mine');
  assert.ok(fs.existsSync(file));
});

record('numbered sessions are of one run: beside another’s none is written', async () => {
  const file = inFolder('mixed.json');
  fs.writeFileSync(inFolder('mixed-9.json'), 'of a longer run');
  const args = ['--size', '16K', '--then', 'chainload,san', '--no-second-boot', '--record', file];
  const { code, error } = await hypxe('boot', ...args);
  assert.is(code, 4, error);
  assert.match(error, /mixed-9\.json is there already/);
  assert.ok(fs.existsSync(file));
  assert.not.ok(fs.existsSync(inFolder('mixed-2.json')));
});

record('of a firmware that is ended from outside it is said why there is no session', async () => {
  const guest = inFolder(write('never-loads.mjs', 'for (;;);\nexport function boot() {}'));
  const file = inFolder('lost.json');
  const args = ['--firmware', guest, '--watchdog', '1', '--size', '16K', '--record', file];
  const { code, error } = await hypxe('boot', ...args);
  assert.is(code, 3);
  assert.match(
    error,
    /SessionUnwritable: not every session is in \S+ or beside it: the firmware was ended/,
  );
  assert.not.ok(fs.existsSync(file));
});

record.run();
