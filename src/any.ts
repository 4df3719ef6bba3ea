// SPDX-License-Identifier: GPL-2.0-or-later

/** The firmware for both architectures. */

import { bootWith, type BootOptions, type BootResult } from './boot/boot.ts';
import { HypervDriver, type DriverOptions } from './driver.ts';
import { arm64Platform } from './hyperv/arm64.ts';
import type { Platform } from './hyperv/platform.ts';
import { x64Platform } from './hyperv/x64.ts';
import type { Machine } from './machine.ts';
import { NET_PARTS } from './net/parts.ts';

/** The platform of a machine of either architecture. @throws HypxeError ArchitectureUnsupported */
export function anyPlatform(machine: Machine): Platform {
  return machine.architecture === 'arm64' ? arm64Platform(machine) : x64Platform(machine);
}

/** Make the drivers for a machine. @throws HypxeError for a machine that cannot be driven */
export function createDriver(machine: Machine, options: DriverOptions = {}): HypervDriver {
  return new HypervDriver(anyPlatform(machine), machine, options);
}

/** Boot. Conditions from outside are in the result. */
export function boot(machine: Machine, options: BootOptions = {}): BootResult {
  return bootWith(createDriver, machine, withNetParts(options));
}

/** With all parts of the network client, but for those that the options replace or leave out. */
export function withNetParts<T extends BootOptions>(options: T): T {
  const { net } = options;
  return { ...options, net: { ...net, parts: { ...NET_PARTS, ...net?.parts } } };
}
