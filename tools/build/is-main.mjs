// SPDX-License-Identifier: GPL-2.0-or-later

/** Tells a program that was started from a module that was imported. */

import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Whether Node was started with this module. Links are followed: `process.argv[1]` is the path as
 * it was typed, a module's URL is where the file really lies. Compared as they are, a program in a
 * folder of links would do nothing, and call that a success.
 *
 * @param {string} url the module's `import.meta.url`
 */
export function isMain(url) {
  const started = process.argv[1];
  return started !== undefined && realpathSync(started) === fileURLToPath(url);
}
