// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * `run-tests.mjs --minified` puts the ROMs in the place of the entries of `src/`: what tools and
 * tests import of an entry must be in its ROM. That run comes late, and not of every test.
 */

import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MINIFIED } from '../../../tools/build/targets.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** `import { a, type B, c as d } from 'PATH'`: what is between the braces, and the path. */
const IMPORT = /^(?:import|export) \{([^}]*)\} from '(\.[^']*)';$/gm;

interface Wanted {
  readonly file: string;
  readonly entry: string;
  readonly names: readonly string[];
}

/** The values that files outside of `src/` import of an entry. */
function wanted(): Wanted[] {
  const entries = new Map(
    Object.keys(MINIFIED).map((name) => [join(ROOT, `src/${name}.ts`), name]),
  );
  const found: Wanted[] = [];
  for (const folder of ['tools', 'firmware-tests']) {
    for (const path of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
      if (!/\.(?:ts|mjs)$/.test(path)) continue;
      const file = join(ROOT, folder, path);
      for (const [, names = '', from = ''] of readFileSync(file, 'utf8').matchAll(IMPORT)) {
        const entry = entries.get(join(dirname(file), from));
        if (entry !== undefined)
          found.push({ file: relative(ROOT, file), entry, names: values(names) });
      }
    }
  }
  return found;
}

/** Names in the braces of an import that are no types. */
function values(braces: string): string[] {
  return braces
    .split(',')
    .map((name) => name.trim().replace(/ as .*/, ''))
    .filter((name) => name !== '' && !name.startsWith('type '));
}

/** Names that a ROM exports. */
async function exportsOf(rom: string): Promise<readonly string[]> {
  return Object.keys((await import(join(ROOT, `dist/${rom}.min.js`))) as object);
}

const minified = suite('minified');

minified('each name that is imported of an entry is in the ROM that stands for it', async () => {
  const all = wanted();
  assert.ok(all.length > 10, `only ${all.length} imports of entries found`);
  for (const [entry, rom] of Object.entries(MINIFIED)) {
    const there = await exportsOf(rom);
    for (const { file, names } of all.filter((one) => one.entry === entry)) {
      const missing = names.filter((name) => !there.includes(name));
      assert.equal(missing, [], `${file} imports of src/${entry}.ts what ${rom}.min.js has not`);
    }
  }
});

minified.run();
