// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The second half of `npm run test:guests`: the examples in C and Rust are explored, each for five
 * minutes at most: a sample that is spread evenly, if that is not all. A missing compiler leaves an
 * example out, or with `HYPXE_REQUIRE_TOOLS=1` is a failure. Exit code 0 or 1.
 */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { missingPrograms } from '../../tools/command/guest/guest-programs.ts';

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** Random walks behind the single faults. */
const WALKS = '200';

/** Longest that one exploration may take, in seconds. */
const TIME = '300';

function explored(language: 'c' | 'rust', folder: string): boolean {
  const missing = missingPrograms(language);
  if (missing.length > 0) {
    console.log(`left out: ${missing.join('; ')}`);
    return process.env.HYPXE_REQUIRE_TOOLS !== '1';
  }
  const project = path.join(folder, language);
  const run = (program: string, ...args: string[]): number | null =>
    spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] }).status;
  if (run(process.execPath, CLI, 'guest', 'new', language, project) !== 0) return false;
  if (run('make', '-s', '-C', project) !== 0) return false;
  const guest = path.join(project, 'guest.wasm');
  return (
    run(process.execPath, CLI, 'explore', '--firmware', guest, '--walks', WALKS, '--time', TIME) ===
    0
  );
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-guests-'));
try {
  const passed = (['c', 'rust'] as const).map((language) => explored(language, folder));
  process.exitCode = passed.every(Boolean) ? 0 : 1;
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
