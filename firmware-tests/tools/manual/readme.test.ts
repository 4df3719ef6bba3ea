// SPDX-License-Identifier: GPL-2.0-or-later

/** The README is the manual: its commands work as printed, its generated parts are up to date. */

import { spawnSync } from 'node:child_process';
import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { regenerate } from '../../../tools/manual/readme.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

/** The commands of all `sh` blocks, those of the first block aside: .ci/run runs those. */
function commands(): string[] {
  const blocks = [...README.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);
  return blocks.slice(1).flatMap((block) => block.trim().split('\n'));
}

const readme = suite('README');
let folder = '';

readme.before(() => {
  // The tree under other eyes: what a command writes must not lie about in the checkout
  folder = mkdtempSync(join(tmpdir(), 'hypxe-readme-'));
  for (const name of readdirSync(ROOT)) symlinkSync(join(ROOT, name), join(folder, name));
});

readme.after(() => rmSync(folder, { recursive: true }));

readme('the generated parts are up to date', () => {
  assert.is(regenerate(README), README, 'run npm run readme');
});

readme('the first block is what a newcomer runs', () => {
  const first = /^```sh\n([\s\S]*?)^```$/m.exec(README)![1];
  assert.is(first, 'npm ci && npm start\nnpm ci && npm test\n');
});

readme('there are commands to run', () => {
  assert.ok(commands().length >= 5);
});

for (const command of commands()) {
  readme(`works as printed: ${command}`, () => {
    const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    assert.is(status, 0, `${command}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
    assert.ok(stdout.length > 0);
  });
}

readme('the guest of a few lines runs, and is caught', () => {
  const example = /^```js\n(import \{ Network, Simul[\s\S]*?)^```$/m.exec(README)![1]!;
  const file = join(folder, 'example.mjs');
  writeFileSync(file, example);
  const { status, stdout, stderr } = spawnSync('node', [file], { encoding: 'utf8' });
  assert.is(status, 0, stderr);
  assert.match(stdout, /^message type 15 supported 1$/m);
  assert.match(stdout, /^error .*UNLOAD/m);
});

readme.run();
