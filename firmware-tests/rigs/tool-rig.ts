// SPDX-License-Identifier: GPL-2.0-or-later

/** Programs that tests need and that not every machine has. */

import { execFile, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';

/** Longest that one run may take, in ms. */
const RUN_MAX_MS = 500_000;

/** Tries to remove a program's directory, and the pause between two of them, in ms. */
const REMOVE_TRIES_MAX = 50;
const REMOVE_PAUSE_MS = 100;

/**
 * Whether a program is missing: then the reason is printed, and the test returns early. Where
 * everything must be there (`HYPXE_REQUIRE_TOOLS=1`) it is a failure.
 *
 * @throws Error
 */
export function missing(program: string, debianPackage: string): boolean {
  const { error } = spawnSync(program, ['--version'], { stdio: 'ignore', timeout: RUN_MAX_MS });
  if (error === undefined) return false;
  const text = `${program} is not installed (apt-get install ${debianPackage})`;
  if (process.env.HYPXE_REQUIRE_TOOLS === '1') throw new Error(text);
  console.log(`\n  left out: ${text}`);
  return true;
}

/** What a program prints. @throws Error if it fails */
export function output(program: string, args: readonly string[]): Promise<string> {
  const options = { maxBuffer: 1 << 27, timeout: RUN_MAX_MS };
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (error, out) => (error ? reject(error) : resolve(out)));
  });
}

/**
 * Remove what a program has written. Chromium's helpers outlive it for a moment and still write to
 * its profile: `fs.rmSync` looks at each directory once and then fails with ENOTEMPTY, however
 * often it may try (seen with Node 20), so all of it is tried again. @throws Error in the end
 */
export async function removeDirectory(directory: string): Promise<void> {
  for (let left = REMOVE_TRIES_MAX; ; left--) {
    try {
      return fs.rmSync(directory, { recursive: true, force: true });
    } catch (error) {
      if (left === 1) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, REMOVE_PAUSE_MS));
  }
}
