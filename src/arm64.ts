// SPDX-License-Identifier: GPL-2.0-or-later

/** hypxe's firmware for arm64 alone: the smallest that there is. */

import { bootWith, type BootOptions, type BootResult } from './boot/boot.ts';
import { HypervDriver, type DriverOptions } from './driver.ts';
import { arm64Platform } from './hyperv/arm64.ts';
import type { Machine } from './machine.ts';

/** Make the drivers for a machine. @throws HypxeError for a machine that cannot be driven */
export function createDriver(machine: Machine, options: DriverOptions = {}): HypervDriver {
  return new HypervDriver(arm64Platform(machine), machine, options);
}

/** Boot. Conditions from outside are in the result. */
export function boot(machine: Machine, options: BootOptions = {}): BootResult {
  return bootWith(createDriver, machine, options);
}
