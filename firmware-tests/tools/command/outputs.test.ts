// SPDX-License-Identifier: GPL-2.0-or-later

/** Files that boot writes: never over what it reads or over each other, and whole or not at all. */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BootFiles } from '../../../tools/command/boot/boot-files.ts';
import {
  assertRefused,
  directory,
  hypxe,
  interrupted,
  read,
  shell,
  write,
} from '../../rigs/cli-rig.ts';

const SHORT = ['--no-os', '--no-second-boot'];
const IMAGE = 'the image';
const ADVICE = 'Give a file of its own.';

write('image', IMAGE);
write('folder/image', IMAGE);
write('firmware.js', 'export { boot } from "hypxe";');
write('host.json', '{ "extends": "server2022" }');
fs.linkSync(path.join(directory, 'image'), path.join(directory, 'hard'));
fs.symlinkSync('image', path.join(directory, 'soft'));
fs.symlinkSync('folder', path.join(directory, 'other'));
fs.symlinkSync('nowhere', path.join(directory, 'dangling'));

const outputs = suite('command line: outputs');

for (const [args, option, file, what] of [
  [['image'], '--trace', 'image', 'the boot file'],
  [['image'], '--pcap', './folder/../image', 'the boot file'],
  [['image'], '--trace', 'hard', 'the boot file'],
  [['image'], '--pcap', 'soft', 'the boot file'],
  [['soft'], '--trace', 'hard', 'the boot file'],
  [['image', '--serve', 'folder'], '--trace', 'other/image', 'the boot file'],
  [['--push', 'image=x'], '--trace', 'image', 'the pushed file'],
  [['image', '--firmware', 'firmware.js'], '--trace', 'firmware.js', 'the firmware'],
  [['image', '--host', './host.json'], '--pcap', 'host.json', 'the host'],
] as const) {
  outputs(`${args.join(' ')} ${option} ${file}: it would be written over ${what}`, async () => {
    const run = await hypxe('boot', ...args, option, file);
    assert.is(run.code, 2);
    const text = new RegExp(
      `^hypxe: OutputIsInput: ${option} .* would be written over ${what} .*\\n {7}${ADVICE}\\n$`,
    );
    assert.match(run.error, text);
    assert.is(run.out, '');
    assert.is(read('image'), IMAGE);
  });
}

for (const [trace, pcap] of [
  ['both', 'both'],
  ['both', './folder/../both'],
  ['both', 'BOTH'],
  ['folder/both', 'other/both'],
  ['nowhere', 'dangling'],
  ['hard', 'soft'],
] as const) {
  outputs(`--trace ${trace} --pcap ${pcap}: one over the other`, async () => {
    const run = await hypxe('boot', '--trace', trace, '--pcap', pcap);
    const text = `--pcap ${pcap} would be written over the file of --trace`;
    assertRefused(run, 'OutputsEqual', text, ADVICE);
    assert.not.ok(fs.existsSync(path.join(directory, 'both')));
  });
}

outputs('devices may be both', async () => {
  const run = await hypxe(
    ...['boot', 'image', ...SHORT, '--trace', '/dev/null', '--pcap', '/dev/null'],
  );
  assert.is(run.code, 0, run.error);
});

outputs('a whole file takes the place of the old one, through a link too', async () => {
  write('old.jsonl', 'old');
  fs.symlinkSync('old.jsonl', path.join(directory, 'link.jsonl'));
  const run = await hypxe('boot', 'image', ...SHORT, '--trace', 'link.jsonl');
  assert.is(run.code, 0, run.error);
  assert.match(read('old.jsonl'), /^\{"ms":/);
  assert.ok(fs.lstatSync(path.join(directory, 'link.jsonl')).isSymbolicLink());
  assert.not.ok(fs.existsSync(path.join(directory, 'old.jsonl.part')));
});

outputs('the same command can be given again', async () => {
  for (let i = 0; i < 2; i++) {
    const run = await hypxe(
      ...['boot', 'folder/image', '--serve', '.', ...SHORT, '--trace', 'again.jsonl'],
    );
    assert.is(run.code, 0, run.error);
  }
});

outputs('a run that is interrupted leaves the old file', async () => {
  write('kept.jsonl', 'old');
  write(
    'waits.js',
    `export function boot(machine, { events }) {
      events({ kind: 'log', level: 'info', layer: 'BOOT', object: '', text: 'begins' });
      for (;;);
    }`,
  );
  const { code, out } = await interrupted(
    ['boot', 'image', '--firmware', 'waits.js', '--watchdog', '600', '--trace', 'kept.jsonl'],
    /begins/,
  );
  assert.is(code, 130);
  assert.match(out, /what there is of it is in kept\.jsonl\.part/);
  assert.is(read('kept.jsonl'), 'old');
});

outputs('a directory, and a file that may not be written, are refused', async () => {
  const directoryRun = await hypxe('boot', 'image', ...SHORT, '--trace', 'folder');
  assert.is(directoryRun.code, 4);
  assert.match(directoryRun.error, /^hypxe: TraceUnwritable: /);
});

outputs('a pipe that nobody reads is told as that, and not laid to the firmware', async () => {
  if (process.platform === 'win32') return;
  for (const name of ['unread', 'followed']) execFileSync('mkfifo', [path.join(directory, name)]);
  const unread = await hypxe('boot', 'image', ...SHORT, '--pcap', 'unread');
  assert.is(unread.code, 4, unread.error);
  assert.match(unread.error, /^hypxe: CaptureUnwritable: .* cannot be written to unread/);

  // Whoever comes in time gets all of it
  const [run, followed] = await Promise.all([
    hypxe('boot', 'image', ...SHORT, '--trace', 'followed'),
    shell(`cat "${path.join(directory, 'followed')}"`),
  ]);
  assert.is(run.code, 0, run.error);
  assert.match(followed.out.trim().split('\n').at(-1)!, /^\{.*\}$/);
});

outputs('a session that does not come out of a pipe is not laid to the firmware', async () => {
  if (process.platform === 'win32') return;
  execFileSync('mkfifo', [path.join(directory, 'no-session')]);
  const silent = await hypxe('replay', './no-session', '--watchdog', '1');
  assert.is(silent.code, 4, silent.error);
  assert.match(silent.error, /^hypxe: PipeSilent: nothing has come out of \.\/no-session for 10 s/);
});

outputs(
  'a trace is in its place before the clean run, and stays if that one cannot follow',
  async () => {
    const at = (name: string): string => path.join(directory, name);
    const [trace, report] = [at('early.jsonl'), at('early.html')];
    const given = { trace, traceFormat: 'jsonl', report, pcap: undefined } as const;
    const files = new BootFiles(given, 'no page', given);
    fs.writeFileSync(files.request.trace!, 'the run\n');
    let early = '';
    const clean = (of: typeof files.request) => {
      early = read('early.jsonl');
      // What cannot be read
      fs.mkdirSync(of.trace!);
      return Promise.resolve({ verdict: 'done' });
    };
    const failures = await files.write(clean as never, { verdict: 'done' });
    files.close();
    assert.is(early, 'the run\n');
    assert.is(read('early.jsonl'), early);
    assert.is(failures[0]?.name, 'TraceUnwritable');
  },
);

outputs.run();
