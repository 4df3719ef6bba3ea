// SPDX-License-Identifier: GPL-2.0-or-later

/** Boots hostile JavaScript guests, each a bundle of its own. */

import * as assert from 'uvu/assert';
import { hypxe, write, type Run } from '../cli-rig.ts';

/** Boots that need not last. */
const SHORT = ['boot', '--size', '1', '--no-os', '--no-second-boot'];

let count = 0;

/** Boot a hostile bundle. */
export function bootHostile(text: string, ...args: string[]): Promise<Run> {
  return hypxe(...SHORT, '--firmware', write(`hostile-${count++}.js`, text), ...args);
}

/** Makes registers that stay: a handoff that is not clean, whatever its guest says of it. */
export const DIRTY =
  'machine.wrmsr(0x40000000, 0x1000000000000n); machine.wrmsr(0x40000083, 0x200001n);';

/** Longest output of a hostile guest, in characters. */
const OUTPUT_MAX = 1 << 16;

/** What holds of every run of a hostile guest. */
export function assertHeld({ out, error, code }: Run): void {
  assert.ok(code === 1 || code === 2 || code === 3, `${code}: ${out}${error}`);
  assert.not.match(out, /^verdict: clean/m);
  assert.not.match(error, 'InternalError');
  assert.ok(out.length + error.length < OUTPUT_MAX, `${out.length} and ${error.length} characters`);
  // Nothing that steers a terminal, or hides
  assert.not.match(out + error, /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\p{Cf}\p{Cs}]/u);
}

/** That what it has left is told, though it says nothing of it. */
export function assertTold({ out }: Run): void {
  assert.match(out, /^ {2}ERROR +4 not so: message and event page are disabled on every VP$/m);
  assert.match(out, /^ {2}ERROR +7 not so: the hypercall page is disabled/m);
}
