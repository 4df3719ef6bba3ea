// SPDX-License-Identifier: GPL-2.0-or-later

/** From a file to a guest program, whatever kind of guest it is. */

import type { Guard, GuestProgram } from './guest-program.ts';
import { loadJavascript } from './javascript-guest.ts';
import { isGuestFile, loadWasm } from './wasm-file.ts';

/**
 * Load the guest program in a file.
 *
 * @param guard how a guest is called that may never return; by default it is just called
 * @throws BadGuest for what is none, by name
 */
export async function loadGuest(
  path: string,
  guard: Guard = (call) => call(),
): Promise<GuestProgram> {
  return isGuestFile(path) ? loadWasm(path, guard) : loadJavascript(path, guard);
}
