// SPDX-License-Identifier: GPL-2.0-or-later

/** Files that a command reads: devices and pipes have no size, and may have no end. */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { directoryFiles } from '../../../tools/command/boot/directory-files.ts';
import { readBytes, readText } from '../../../tools/command/files.ts';
import { assertRefused, directory, hypxe, shell, write, CLI } from '../../rigs/cli-rig.ts';

/** How long a pipe may be silent in these tests, in ms. */
const SILENCE_MS = 200;

const HOST = '{"extends": "qemu"}';
const MEANT = 'Check that it is the file that you mean.';

const files = suite('files: the command line');

/** A pipe with a name in the directory of the tests; nobody has opened it. */
function pipe(name: string): string {
  const file = path.join(directory, name);
  execFileSync('mkfifo', [file]);
  return file;
}

files('a device without an end is read up to the limit', async () => {
  const run = await hypxe('hosts', '/dev/zero');
  assertRefused(run, 'FileTooLarge', '/dev/zero has more than 1048576 bytes', MEANT);
  const part = await hypxe('explore', '--merge', '/dev/zero');
  assertRefused(part, 'FileTooLarge', '/dev/zero has more than 268435456 bytes', MEANT);
});

files('a pipe that nobody opens is given up', () => {
  const file = pipe('nobody');
  const text = `nothing has come out of ${file} for 0.2 s`;
  assert.throws(
    () => readText(file, 1000, SILENCE_MS),
    (error: Error) => error.name === 'PipeSilent' && error.message === text,
  );
});

files('a pipe that stays open without a word is given up', () => {
  const file = pipe('silent');
  // Open for both, it never ends
  const descriptor = fs.openSync(file, 'r+');
  try {
    assert.throws(
      () => readText(file, 1000, SILENCE_MS),
      (error: Error) => error.name === 'PipeSilent',
    );
  } finally {
    fs.closeSync(descriptor);
  }
});

files('a pipe is read to its end, however slowly it comes', async () => {
  const slow = `(printf '{"extends":'; sleep 1; printf '"qemu"}')`;
  const run = await shell(`${slow} | "${process.execPath}" "${CLI}" hosts /dev/stdin`);
  assert.is(run.error, '');
  assert.match(run.out, /^stdin: as qemu/);
  assert.is(run.code, 0);
});

files('the limit holds for a pipe, to the byte', async () => {
  const most = 2 ** 20;
  const hosts = `"${process.execPath}" "${CLI}" hosts /dev/stdin`;
  const fill = (count: number): string =>
    `(printf '${HOST}'; head -c ${count} /dev/zero | tr '\\0' ' ')`;
  assert.is((await shell(`${fill(most - HOST.length)} | ${hosts}`)).code, 0);
  const run = await shell(`${fill(most - HOST.length + 1)} | ${hosts}`);
  assertRefused(run, 'FileTooLarge', '/dev/stdin has more than 1048576 bytes', MEANT);
});

files('what is served has the limit of the guest', () => {
  write('served/image', 'abcd');
  const read = (most: number) => directoryFiles(path.join(directory, 'served'), most).read('image');
  assert.equal(read(4), Buffer.from('abcd'));
  const file = path.join(directory, 'served/image');
  assert.equal(read(3), { error: `${file} has 4 bytes, more than 3` });
  assert.throws(
    () => readBytes(file, 3),
    (error: Error) => error.name === 'FileTooLarge',
  );
});

files.run();
