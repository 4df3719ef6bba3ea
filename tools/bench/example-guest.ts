// SPDX-License-Identifier: GPL-2.0-or-later

/** The example in C that `hypxe guest new c` makes, compiled: what is measured of guests. */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingPrograms } from '../command/guest/guest-programs.ts';
import { abiHeader } from '../guests/abi/abi-c.ts';

/** What there is to measure, or why there is not. */
export type ExampleGuest =
  | { readonly bytes: Uint8Array }
  /** Programs that are not there, in lines that name their package. */
  | { readonly missing: readonly string[] };

/** Longest that the compiler may take, in ms. */
const COMPILE_MAX_MS = 400_000;

/**
 * Compile the example.
 *
 * @param root the project's directory
 * @throws Error with what the compiler says
 */
export function compileExample(root: string): ExampleGuest {
  const missing = missingPrograms('c');
  if (spawnSync('make', ['--version'], { stdio: 'ignore' }).error !== undefined) {
    missing.push('make is not there: apt-get install make');
  }
  if (missing.length > 0) return { missing };
  const project = mkdtempSync(join(tmpdir(), 'hypxe-bench-'));
  try {
    cpSync(join(root, 'tools/guests/c'), project, { recursive: true });
    writeFileSync(join(project, 'hypxe.h'), abiHeader());
    const options = { encoding: 'utf8', timeout: COMPILE_MAX_MS } as const;
    const { status, stdout, stderr } = spawnSync('make', ['-s', '-C', project], options);
    if (status !== 0) throw new Error(`the example does not compile: ${stdout}${stderr}`);
    return { bytes: readFileSync(join(project, 'guest.wasm')) };
  } finally {
    rmSync(project, { recursive: true, force: true });
  }
}
