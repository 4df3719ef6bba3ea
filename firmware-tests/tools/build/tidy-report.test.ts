// SPDX-License-Identifier: GPL-2.0-or-later

/** What the check prints: errors stand out, and a newcomer's own files do not hinder it. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkTree, report } from '../../../tools/build/tidy.mjs';

const SPDX = '// SPDX-License-Identifier: GPL-2.0-or-later\n';

interface Context {
  root: string;
}

const tidy = suite<Context>('tidy: what is printed', { root: '' });

tidy.before.each((context) => {
  context.root = mkdtempSync(join(tmpdir(), 'hypxe-tidy-'));
  for (const room of ['src/net', 'tools/command']) {
    mkdirSync(join(context.root, room), { recursive: true });
  }
  writeFileSync(join(context.root, 'src/net/long.ts'), SPDX + '\n'.repeat(350));
  writeFileSync(join(context.root, 'tools/command/longer.ts'), SPDX + '\n'.repeat(360));
});

tidy.after.each(({ root }) => rmSync(root, { recursive: true }));

/** Git in the folder, as on a machine where nothing of it is configured. */
function git(root: string, ...args: string[]): void {
  execFileSync('git', args, { cwd: root, stdio: 'ignore' });
}

tidy('warnings are one line', ({ root }) => {
  assert.equal(report(checkTree(root)), [
    'tidy: 2 warnings (file-length 2); node tools/build/tidy.mjs --warnings lists them',
  ]);
});

tidy('with --warnings each is a line', ({ root }) => {
  assert.equal(report(checkTree(root), true), [
    'src/net/long.ts:351: file-length (warning): 351 lines, at most 400',
    'tools/command/longer.ts:361: file-length (warning): 361 lines, at most 400',
  ]);
});

tidy('errors come last, each with its line, and their number', ({ root }) => {
  writeFileSync(join(root, 'src/net/bad.ts'), `${SPDX}let value: any;\nconsole.log(1);\n`);
  const wanted = [
    'src/net/bad.ts:2: any: the type any: use unknown, or the type',
    'src/net/bad.ts:3: banned: console is banned here',
    'tidy: 2 errors',
  ];
  const findings = checkTree(root);
  assert.equal(report(findings).slice(1), wanted);
  assert.equal(report(findings, true).slice(2), wanted);
});

tidy('a file that no rule would see is an error, also one that is hidden or a link', ({ root }) => {
  writeFileSync(join(root, 'src/net/dns.mts'), SPDX);
  writeFileSync(join(root, 'tools/command/.secret'), '');
  symlinkSync('longer.ts', join(root, 'tools/command/link.ts'));
  const found = checkTree(root).filter(({ rule }) => rule === 'kind');
  assert.equal(
    found.map(({ path }) => path),
    ['src/net/dns.mts', 'tools/command/.secret', 'tools/command/link.ts (no file)'],
  );
});

tidy('nothing found, nothing printed', () => {
  assert.equal(report([]), []);
});

tidy('at the top, only what is committed is an error', ({ root }) => {
  git(root, 'init', '--quiet');
  writeFileSync(join(root, '.gitignore'), '/*.jsonl\n');
  for (const name of ['boot.jsonl', 'my-firmware.js', 'notes']) {
    writeFileSync(join(root, name), '');
  }
  git(root, 'add', 'notes');
  const found = checkTree(root).filter(({ rule }) => rule === 'top-level');
  assert.equal(
    found.map(({ path, warning }) => [path, warning]),
    [
      ['my-firmware.js', true],
      ['notes', false],
    ],
  );
});

tidy.run();
