// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe boot --push` and `--services`, as a user sees them. */

import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hypxe, lastLine, write } from '../../rigs/cli-rig.ts';
import { contentsOf } from '../../rigs/utility-rig.ts';

const QUICK = ['--no-os', '--no-second-boot'];

const image = contentsOf(100_000);
const sha256 = createHash('sha256').update(image).digest('hex');
write('vmlinuz', image);
write('initrd.img', contentsOf(7000, 2));
write('cmdline', 'quiet\n');
write('empty', '');
write('a=b', 'equals');
write('autoexec.ipxe', '#!ipxe\nkernel vmlinuz quiet\n');

interface Document {
  readonly verdict: string;
  readonly summary: string;
  readonly image: { name: string; device: string; equal: boolean; sha256: string } | null;
  readonly served: { name: string; sha256: string | null };
  readonly pushes: readonly {
    name: string;
    outcome: string;
    reason: string;
    sha256: string;
    equal: boolean | null;
  }[];
  readonly counts: { framesFromGuest: number };
  readonly memoryMap: readonly { purpose?: string }[];
}

async function json(...args: string[]): Promise<{ code: number | null; document: Document }> {
  const { code, out, error } = await hypxe('boot', '--json', ...QUICK, ...args);
  assert.is(error, '');
  return { code, document: JSON.parse(out) as Document };
}

const push = suite('command line: --push');

push('boots the first image without the network, and compares every file', async () => {
  const { code, document } = await json(
    ...['--push', 'vmlinuz', '--push', 'initrd.img=boot/initrd', '--push', 'cmdline'],
  );
  assert.is(code, 0);
  assert.is(document.verdict, 'clean');
  assert.is(document.image?.device, 'file copy');
  assert.is(document.image?.sha256, sha256);
  assert.is(document.served.sha256, sha256);
  assert.is(document.counts.framesFromGuest, 0);
  assert.equal(
    document.pushes.map(({ name, outcome, equal }) => [name, outcome, equal]),
    [
      ['vmlinuz', 'copied', true],
      ['boot/initrd', 'copied', true],
      ['cmdline', 'copied', true],
    ],
  );
  assert.ok(document.memoryMap.some(({ purpose }) => purpose === 'pushed file boot/initrd'));
});

push('the report: log with wall time, throughput, digests', async () => {
  const run = await hypxe('boot', '--push', 'vmlinuz=k', '--push', 'a=b');
  assert.is(run.code, 0);
  assert.match(run.out, /^booting k \(100000 bytes, pushed\) on server2022/);
  assert.match(run.out, /receive: take the files that the host pushes/);
  assert.match(run.out, /^\[ +\d+\.\d{3} 2026-01-01T00:00:0\d\.\d{3}Z\] +BOOT took "k": 100000/m);
  assert.match(run.out, /\[#{30}\] 100 %/);
  assert.match(run.out, /^pushed +k, 100000 bytes, copied, in \d+\.\d{3} ms .*\d MiB\/s\)$/m);
  assert.match(run.out, new RegExp(`^ +sha256 ${sha256} equal in RAM$`, 'm'));
  assert.match(run.out, /^pushed +a=b, 6 bytes, copied/m);
  assert.match(lastLine(run), 'verdict: clean: the host has nothing of this guest any more');
});

push('with a FILE of the network, which is booted', async () => {
  const { document } = await json('initrd.img', '--push', 'vmlinuz');
  assert.is(document.image?.name, 'initrd.img');
  assert.is(document.image?.device, 'net0');
  assert.is(document.image?.equal, true);
  assert.is(document.pushes[0]!.equal, true);
});

push('a script beside the network boot', async () => {
  const { document } = await json('--push', 'autoexec.ipxe', '--push', 'vmlinuz');
  assert.is(document.image?.name, 'vmlinuz');
  assert.is(document.image?.equal, true);
  const other = await json('vmlinuz', '--push', 'autoexec.ipxe');
  assert.is(other.document.image?.device, 'net0');
});

push('a file that the guest does not take is a finding', async () => {
  write('big', contentsOf(5 << 20));
  const { code, document } = await json('--memory', '8', '--push', 'vmlinuz', '--push', 'big');
  assert.is(code, 1);
  assert.is(document.pushes[1]!.outcome, 'refused');
  assert.match(document.summary, /big was pushed in vain \(refused\)/);
});

const MISTAKES: readonly (readonly [string, ...string[]])[] = [
  ['FileMissing', '--push', 'nothing'],
  ['FileMissing', '--push', 'nothing=name'],
  ['NotAFile', '--push', '.'],
  ['BadName', '--push', 'vmlinuz='],
  ['BadName', '--push', `vmlinuz=${'x'.repeat(261)}`],
  ['PushedTwice', '--push', 'vmlinuz', '--push', 'initrd.img=/vmlinuz'],
  ['FileEmpty', '--push', 'empty'],
  ['BadOrder', '--push', 'vmlinuz', '--then', 'san'],
  ['UnknownService', '--services', 'heartbeat,kvp'],
];

push('mistakes have names', async () => {
  const runs = await Promise.all(MISTAKES.map(([, ...args]) => hypxe('boot', ...args)));
  runs.forEach(({ code, error }, i) => {
    assert.is(code, MISTAKES[i]![0] === 'FileMissing' ? 4 : 2, MISTAKES[i]!.join(' '));
    assert.ok(error.startsWith(`hypxe: ${MISTAKES[i]![0]}: `), error);
  });
});

push('services without files', async () => {
  const run = await hypxe('boot', ...QUICK, '--size', '1000', '--services', 'heartbeat,time-sync');
  assert.is(run.code, 0);
  assert.match(run.out, /UTIL heartbeat negotiated framework 3\.0, messages 3\.0/);
  assert.match(run.out, /UTIL time synchronisation it is 2026-01-01/);
  assert.is(/receive:/.test(run.out), false);
});

push.run();
