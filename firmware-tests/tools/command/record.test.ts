// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe record` on the command line: what it writes replays, and a guest that fails is told. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertRefused, directory, hypxe, write } from '../../rigs/cli-rig.ts';

const record = suite('hypxe record');

const inFolder = (name: string): string => path.join(directory, name);

record('what it writes replays without a difference', async () => {
  const file = inFolder('recorded.json');
  const { out, code, error } = await hypxe('record', '--seed', '3', '-o', file);
  assert.is(code, 0, error);
  assert.match(out, /^\S+recorded\.json: \d+ events of hypxe\.js\n$/);
  const replay = await hypxe('replay', file);
  assert.is(replay.code, 0, replay.out);
  assert.not.match(replay.out, 'deliberate');
});

record('a defect of iPXE is explained when it is replayed', async () => {
  const file = inFolder('defect.json');
  const one = await hypxe('record', '--with-defect', 'scontrol-as-found', '-o', file);
  assert.is(one.code, 0, one.error);
  const { out, code } = await hypxe('replay', file);
  assert.is(code, 0, out);
  assert.match(out, /scontrol-as-found × 1: /);
});

record('a guest that hangs is ended, and what was there stays', async () => {
  const guest = write('hangs-in-probe.mjs', 'export function createDriver() { for (;;); }');
  const file = inFolder('old.json');
  fs.writeFileSync(file, 'old');
  const args = ['--firmware', inFolder(guest), '--watchdog', '1', '-o', file];
  const { code, error } = await hypxe('record', ...args);
  assert.match(error, /^hypxe: FirmwareEnded: \S+hangs-in-probe\.mjs: no end after 1 s/);
  assert.is(code, 3);
  assert.is(fs.readFileSync(file, 'utf8'), 'old');
  assert.not.ok(fs.existsSync(`${file}.part`));
});

record('a guest that throws has its session until then', async () => {
  const text = `export function createDriver() {
    return { devices: [], probe() { throw new TypeError('broken guest'); } };
  }`;
  const file = inFolder('thrown.json');
  const args = ['--firmware', inFolder(write('throws.mjs', text)), '-o', file];
  const { out, error } = await hypxe('record', ...args);
  assert.match(out, /thrown\.json: \d+ events of throws\.mjs\n$/);
  assert.match(error + fs.readFileSync(file, 'utf8'), 'broken guest');
});

record('no input is written over, and nothing is left beside', async () => {
  const guest = inFolder(write('own.mjs', 'export function createDriver() {}'));
  const over = await hypxe('record', '--firmware', guest, '-o', guest);
  assert.match(
    over.error,
    /^hypxe: OutputIsInput: --output \S+ would be written over the firmware/,
  );
  assert.is(over.code, 2);
  const target = inFolder('target.json');
  fs.writeFileSync(`${inFolder('link.json')}.part`, 'mine');
  fs.symlinkSync(target, inFolder('link.json'));
  const bad = await hypxe('record', '--watchdog', '0', '-o', target);
  assert.is(bad.code, 2);
  const none = await hypxe('record', '--firmware', guest, '-o', inFolder('link.json'));
  assert.is.not(none.code, 0);
  assert.is(fs.readFileSync(`${inFolder('link.json')}.part`, 'utf8'), 'mine');
  assert.not.ok(fs.existsSync(`${target}.part`));
});

record('a boot is written down, and is the same when it is replayed', async () => {
  const file = inFolder('boot.json');
  const boot = await hypxe('boot', '--size', '16K', '--no-second-boot', '--record', file);
  assert.is(boot.code, 0, boot.error);
  const { out, code } = await hypxe('replay', file);
  assert.is(code, 0, out);
  assert.match(out, /^boot-server2022-1: ok\n {2}first boot, seed 1 on host server2022: clean\n/);
});

record('a run of an exploration is written down', async () => {
  const file = inFolder('run.json');
  const run = await hypxe('explore', '--only', 'message.4/drop', '--record', file);
  assert.is(run.code, 0, run.error);
  assert.match(run.out, /\nsession: \S+run\.json\n$/);
  const { out, code } = await hypxe('replay', file);
  assert.is(code, 0, out);
  assert.match(out, /^explore-server2022-message\.4\/drop: ok\n/);
});

record('a session that cannot be written down is refused before anything runs', async () => {
  for (const command of ['boot', 'explore']) {
    const arm64 = await hypxe(command, '--arch', 'arm64', '--record', inFolder('arm64.json'));
    assert.match(arm64.error, /^hypxe: NotRecordable: sessions are of x64 guests/);
    assert.is(arm64.code, 2);
  }
  const large = await hypxe('boot', '--memory', '257', '--record', 'large.json');
  assert.is(large.code, 2);
  assert.match(large.error, /^hypxe: NotRecordable: a session has at most 256 MiB of memory/);
  const nowhere = await hypxe('boot', '--record', '/nowhere/x.json');
  assert.match(nowhere.error, /^hypxe: SessionUnwritable: /);
  assert.is(nowhere.code, 4);
});

record('what is refused', async () => {
  const advice = 'Give one with -o FILE.json.';
  assertRefused(await hypxe('record'), 'NoOutput', 'no file to write to', advice);
  const nowhere = await hypxe('record', '-o', '/nowhere/x.json');
  assert.match(nowhere.error, /^hypxe: CannotWrite: /);
  assert.is(nowhere.code, 4);
  const bundle = write('no-driver.mjs', 'export function boot() {}');
  const none = await hypxe('record', '--firmware', inFolder(bundle), '-o', inFolder('n.json'));
  assert.match(none.error, /^hypxe: BadFirmware: \S+ exports no function createDriver\n/);
  assert.is(none.code, 2);
  const typo = await hypxe('record', '--with-defect', 'error-class', '-o', inFolder('n.json'));
  assert.match(typo.error, /Did you mean error-classes\?/);
});

record.run();
