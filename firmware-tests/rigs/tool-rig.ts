// SPDX-License-Identifier: GPL-2.0-or-later

/** Programs that tests need and that not every machine has. */

import { execFile, spawnSync } from 'node:child_process';

/** Longest that one run may take, in ms. */
const RUN_MAX_MS = 50_000;

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
