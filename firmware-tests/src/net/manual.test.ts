// SPDX-License-Identifier: GPL-2.0-or-later

/** The tables of the room's manual: each line names a test that there is. */

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const manual = suite('net: manual');

const TOP = new URL('../../../', import.meta.url);

/** A test in the last cell of a line: `file: *title*`. */
const TEST = /\| ([a-z-]+): \*(.+?)\* \|$/;

/** The texts of a file, also those that are broken over lines. */
function textOf(file: string): string {
  for (const folder of ['net', 'netvsc']) {
    try {
      return readFileSync(new URL(`firmware-tests/src/${folder}/${file}.test.ts`, TOP), 'utf8');
    } catch {
      // It may lie in the other folder
    }
  }
  throw new Error(`there is no test file ${file}`);
}

manual('each line of the tables of what is asked of a client has a test, or says no', () => {
  const text = readFileSync(new URL('src/net/README.md', TOP), 'utf8');
  const lines = text.split('\n').filter((line) => /^\| (?!source|---)/.test(line));
  assert.ok(lines.length > 30, `${lines.length}`);
  for (const line of lines) {
    const found = TEST.exec(line);
    if (found === null) {
      assert.match(line, /\*\*no\*\*/, line);
      continue;
    }
    const [, file = '', title = ''] = found;
    assert.ok(textOf(file).includes(title), `${file}: ${title}`);
  }
});

manual.run();
