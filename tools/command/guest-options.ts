// SPDX-License-Identifier: GPL-2.0-or-later

/** Options of all commands that run a guest. */

import type { GuestProgram } from '../guests/guest-program.ts';
import { wholeNumber } from './usage.ts';

/** What the process of a guest may have beyond its RAM, in MiB, unless the user says otherwise. */
const MEMORY_LIMIT_MIB = '1024';

/** What is said of a firmware that is not there. */
export const FIRMWARE_ADVICE =
  'Give the path of an ES module that exports boot(machine, options), or of a WebAssembly module.';

/** Their part of a help. */
export const GUEST_MEMORY_HELP = `  --guest-memory-limit MIB
                      what its process may take beyond its RAM, from 256 on
                      (default ${MEMORY_LIMIT_MIB})`;

/** The value of --guest-memory-limit, in MiB. @throws UsageError BadNumber */
export function guestMemoryLimit(text = MEMORY_LIMIT_MIB): number {
  return wholeNumber('--guest-memory-limit', text, 256, 65_536);
}

/** What is said of a guest that has no drivers which can be called one by one. */
export function withoutDrivers({ kind, name }: GuestProgram): string {
  if (kind === 'wasm') return `${name} is a whole firmware: it cannot be driven step by step`;
  return `${name} exports no function createDriver`;
}
