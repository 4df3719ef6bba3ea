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

for (const defect of ['scontrol-as-found', 'deferral-is-no-error'])
  record(`a defect of iPXE is explained when it is replayed: ${defect}`, async () => {
    const file = inFolder('defect.json');
    const one = await hypxe('record', '--with-defect', defect, '-o', file);
    assert.is(one.code, 0, one.error);
    const { out, code } = await hypxe('replay', file);
    assert.is(code, 0, out);
    assert.match(out, new RegExp(`${defect} × [1-9]\\d*: `));
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

record('options of a boot, and what goes wrong', async () => {
  const file = inFolder('options.json');
  const host = ['--host', 'openvmm', '--nics', '2', '--processors', '2', '--loss', '0.2'];
  const network = ['--vlan', '5', '--mtu', '576', '--only', 'message.9/drop+rndis.3/twice'];
  const one = await hypxe('record', ...host, ...network, '-o', file);
  assert.is(one.code, 0, one.error);
  const { host: facts } = JSON.parse(fs.readFileSync(file, 'utf8')) as { host: object };
  assert.equal(facts, {
    ...{ profile: 'openvmm', seed: 1, processors: 2, nics: 2 },
    network: {
      ...{ vlan: 5, path: { mtu: 576, fragments: 'in-order' } },
      faults: { loss: 0.2, duplication: 0, reordering: 0, corruption: 0, delayTicks: 0 },
    },
    plan: 'message.9/drop+rndis.3/twice',
  });
  const { out, code } = await hypxe('replay', file);
  assert.is(code, 0, out);
});

record('the loaded OS is recorded, and the replay says what it cannot say of it', async () => {
  const file = inFolder('os.json');
  const one = await hypxe('record', '--os', 'linux-6.12', '--nics', '2', '-o', file);
  assert.is(one.code, 0, one.error);
  assert.match(one.out, /os\.json: \d+ events of linux-6\.12\n$/);
  const text = fs.readFileSync(file, 'utf8');
  assert.match(text, '{"op":"step","name":"os","phase":"end","err":"OK"}');
  // From the contact to UNLOAD, and its answer
  for (const type of ['0e', '0f', '03', '08', '05', '07', '0b', '10', '11'])
    assert.match(text, new RegExp(`"(?:input":"[0-9a-f]{32}|payload":")${type}000000`), type);
  const { out, code } = await hypxe('replay', file);
  assert.is(code, 0, out);
  assert.match(out, /not replayed\n {4}step 0 "os": the loaded OS is no firmware/);
  assert.not.match(out, 'self-check');
});

record('the manual says what is not replayed, as the commands do', async () => {
  const manual = new URL('../../../tools/record/README.md', import.meta.url);
  const said = fs.readFileSync(manual, 'utf8').replace(/\s+/g, ' ');
  for (const command of ['record', 'boot', 'explore']) {
    const to = [command === 'record' ? '-o' : '--record', inFolder('none.json')];
    const { error, code } = await hypxe(command, '--arch', 'arm64', ...to);
    assert.is(code, 2);
    const [, name, why] = /^hypxe: (\w+): (sessions are of x64 guests)/.exec(error)!;
    assert.match(said, `**arm64**: ${why}`);
    assert.match(said, `(\`${name}\`)`);
  }
  const file = inFolder('os-manual.json');
  await hypxe('record', '--os', 'linux-6.12', '-o', file);
  const { out } = await hypxe('replay', file);
  const [, why] = /"os": (the loaded OS is no firmware)/.exec(out)!;
  assert.match(said, why!);
});

record('of a firmware that only boots its boot is recorded', async () => {
  const text = fs.readFileSync(new URL('../../../dist/hypxe.js', import.meta.url), 'utf8');
  const whole = inFolder(
    write('boots.mjs', text.replace(/^ {2}(?:\w+ as )?createDriver\n(?=};)/m, '')),
  );
  const file = inFolder('boots.json');
  const one = await hypxe('record', '--firmware', whole, '-o', file);
  assert.is(one.code, 0, one.error);
  const { out, code } = await hypxe('replay', '--firmware', whole, file);
  assert.is(code, 0, out);
});

record('what no session can show is refused by name', async () => {
  const to = ['-o', inFolder('n.json')];
  for (const [name, text, ...args] of [
    ['BadPlan', /no session can show race\/strong/, '--only', 'race.0/strong'],
    ['BadPlan', /no session can show packet\/scribble/, '--only', 'packet.0/scribble:3'],
    ['BadPlan', /not driven by the flow "loader"/, '--only', 'loader:message.1/drop'],
    ['BadPlan', /linux-6\.1 has no alloc\/fail/, '--os', 'linux-6.1', '--only', 'alloc.0/fail'],
    ['NotRecordable', /a session has one/, '--os', 'linux-6.1', '--processors', '2'],
    ['NotRecordable', /sessions are of x64 guests/, '--arch', 'arm64'],
    ['NotTogether', /are two guests/, '--os', 'linux-6.1', '--with-defect', 'ipxe'],
  ] as const) {
    const { error, code } = await hypxe('record', ...args, ...to);
    assert.match(error, new RegExp(`^hypxe: ${name}: `));
    assert.match(error, text);
    assert.is(code, 2);
  }
});

record('what is refused', async () => {
  const advice = 'Give one with -o FILE.json.';
  assertRefused(await hypxe('record'), 'NoOutput', 'no file to write to', advice);
  const nowhere = await hypxe('record', '-o', '/nowhere/x.json');
  assert.match(
    nowhere.error,
    /^hypxe: FileUnwritable: .* cannot be written: no such file or directory\n/,
  );
  assert.is(nowhere.code, 4);
  const bundle = write('no-driver.mjs', 'export const nothing = 1;');
  const none = await hypxe('record', '--firmware', inFolder(bundle), '-o', inFolder('n.json'));
  assert.match(none.error, /^hypxe: BadFirmware: \S+ exports no function createDriver\n/);
  assert.is(none.code, 2);
  const typo = await hypxe('record', '--with-defect', 'error-class', '-o', inFolder('n.json'));
  assert.match(typo.error, /Did you mean error-classes\?/);
});

record.run();
