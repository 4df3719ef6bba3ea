// SPDX-License-Identifier: GPL-2.0-or-later

/** The firmware for both architectures. */

import { bootWith, type BootOptions, type BootResult } from './boot/boot.ts';
import { HypervDriver as RomDriver, type DriverOptions } from './driver.ts';
import { arm64Platform } from './hyperv/arm64.ts';
import type { ClockChoice, Platform } from './hyperv/platform.ts';
import { x64Platform } from './hyperv/x64.ts';
import type { Machine } from './machine.ts';
import { NET_PARTS } from './net/parts.ts';
import { checkPolicy } from './netvsc/policy.ts';

/** The platform of a machine of either architecture. @throws HypxeError ArchitectureUnsupported */
export function anyPlatform(machine: Machine, choice?: ClockChoice): Platform {
  return machine.architecture === 'arm64' ? arm64Platform(machine, choice) : x64Platform(machine);
}

/** The drivers, with a check of what was chosen. */
export class HypervDriver extends RomDriver {
  /** As without the check. @throws HypxeError BadPolicy, and what the drivers throw */
  override probe(): void {
    checkPolicy(this.policy);
    super.probe();
  }
}

/** Make the drivers for a machine. @throws HypxeError for a machine that cannot be driven */
export function createDriver(machine: Machine, options: DriverOptions = {}): HypervDriver {
  return new HypervDriver(anyPlatform(machine, options), machine, options);
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
