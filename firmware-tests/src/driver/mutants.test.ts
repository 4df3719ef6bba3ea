// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * That the tests of the firmware find mistakes: each mutant fails the test that is named for it,
 * and what is no mistake fails none. And the tables of all mutants say what the lists say.
 */

import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { tables } from '../../mutants/caught-by.ts';
import { PATCHES, type Patch } from '../../mutants/bundle.ts';
import { EQUIVALENT, TESTED_MUTANTS } from '../../mutants/tested-mutants.ts';

const ROOT = new URL('../../../', import.meta.url);
const HOOKS = ['tools/build/ts-hook.mjs', 'firmware-tests/mutants/patching-hook.ts'];

/** The longest that one file of tests may take. */
const TIMEOUT_MS = 400_000;

/** What became of a file of tests: names of those that failed, and how many there were. */
interface Tested {
  readonly failed: readonly string[];
  readonly total: number;
  readonly output: string;
}

/** Run a file of tests of the firmware, with a patch applied to it. */
async function tested(path: string, patches: readonly Patch[]): Promise<Tested> {
  const hooks = HOOKS.flatMap((hook) => ['--import', new URL(hook, ROOT).href]);
  const file = fileURLToPath(new URL(`firmware-tests/src/${path}`, ROOT));
  const env = { ...process.env, [PATCHES]: JSON.stringify(patches) };
  const output = await new Promise<string>((resolve) => {
    execFile(process.execPath, [...hooks, file], { env, timeout: TIMEOUT_MS }, (_, out, err) =>
      resolve(out + err),
    );
  });
  const failed = [...output.matchAll(/FAIL .*?"(.*)"$/gm)].map(([, name]) => name!);
  const totals = [...output.matchAll(/^ *Total: +(\d+)$/gm)].map(([, total]) => Number(total));
  return { failed, total: totals.reduce((sum, total) => sum + total, 0), output };
}

const mutants = suite('mutants of the firmware');

for (const { name, path, test, file, search, replace } of TESTED_MUTANTS) {
  mutants(`found by its test: ${name}`, async () => {
    const { failed, output } = await tested(path, [{ file, search, replace }]);
    assert.ok(failed.includes(test), output);
  });
}

for (const { name, path, reason, file, search, replace } of EQUIVALENT) {
  mutants(`no mistake: ${name} (${reason})`, async () => {
    const { failed, total, output } = await tested(path, [{ file, search, replace }]);
    assert.equal([failed, total > 0], [[], true], output);
  });
}

mutants('without a patch the tests that find them pass', async () => {
  for (const path of new Set(TESTED_MUTANTS.map((mutant) => mutant.path))) {
    const { failed, total, output } = await tested(path, []);
    assert.equal([failed, total > 0], [[], true], output);
  }
});

mutants('a patch whose text is not there passes for nothing', async () => {
  const [{ path, file, replace }] = TESTED_MUTANTS as [(typeof TESTED_MUTANTS)[number]];
  const { failed, total, output } = await tested(path, [{ file, search: 'no such text', replace }]);
  assert.equal([failed, total], [[], 0], output);
  assert.match(output, `${file} has 0 times: no such text`);
});

mutants('the tables in the README are those of the lists', () => {
  const readme = new URL('firmware-tests/mutants/README.md', ROOT);
  const text = readFileSync(readme, 'utf8');
  // A table is the end of its section
  const left = new Map(Object.entries(tables()));
  const sections = text.split(/^(?=## )/m).map((section) => {
    const title = /^## (.*)/.exec(section)?.[1] ?? '';
    const table = left.get(title);
    left.delete(title);
    return table ? section.replace(/^\|[^]*/m, () => table) : section.trimEnd();
  });
  assert.equal([...left.keys()], [], 'sections that are missing');
  const made = `${sections.join('\n\n')}\n`;
  if (process.env['SNAPSHOT'] === 'update') writeFileSync(readme, made);
  else assert.is(text, made, 'SNAPSHOT=update npm test -- src/driver/mutants');
});

mutants.run();
