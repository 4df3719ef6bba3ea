// SPDX-License-Identifier: GPL-2.0-or-later

/** Boots hostile JavaScript guests, each a bundle of its own. */

import { hypxe, write, type Run } from '../cli-rig.ts';

/** Boots that need not last. */
const SHORT = ['boot', '--size', '1', '--no-os', '--no-second-boot'];

let count = 0;

/** Boot a hostile bundle. */
export function bootHostile(text: string, ...args: string[]): Promise<Run> {
  return hypxe(...SHORT, '--firmware', write(`hostile-${count++}.js`, text), ...args);
}
