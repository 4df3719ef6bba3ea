// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The clean-up of the example in C, done by halves: what a boot says of each way, strictly judged;
 * and that it says nothing where the host has nothing left.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CLEAN_UP_MUTANTS } from '../../mutants/c-clean-up-mutants.ts';
import { directory } from '../../rigs/cli-rig.ts';
import { boot, compile, missingCompiler, project } from '../../rigs/guests/compiled-guest.ts';

const cleanUp = suite('guest in C: a clean-up by halves');

for (const [index, { name, edits, says, nics = 1 }] of CLEAN_UP_MUTANTS.entries()) {
  cleanUp(`${says === undefined ? 'nothing is said' : 'told'}: ${name}`, async () => {
    if (missingCompiler('c')) return;
    const folder = await project('c', `half-${index}`);
    for (const [file, from, to] of edits) {
      const source = path.join(directory, folder, file);
      const text = fs.readFileSync(source, 'utf8');
      assert.is(text.split(from).length, 2, `${file} has not once: ${from}`);
      fs.writeFileSync(
        source,
        text.replace(from, () => to),
      );
    }
    const module = compile(folder, 'DEFINES=-Wno-unused');
    const { verdict, ended, findings } = boot(module, { nics, secondBoot: false });
    const told = findings
      .filter(({ severity }) => severity !== 'info')
      .map(({ severity, check, text }) => `${severity} ${check}: ${text}`);
    if (ended !== undefined)
      told.unshift(`${ended.kind === 'thrown' ? 'crash' : ended.kind}: ${ended.text}`);
    if (says === undefined) {
      assert.equal(told, []);
      assert.is(verdict, 'clean');
    } else {
      assert.ok(
        told.some((line) => says.test(line)),
        told.join('\n'),
      );
      assert.is.not(verdict, 'clean');
    }
  });
}

cleanUp.run();
