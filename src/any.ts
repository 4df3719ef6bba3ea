// SPDX-License-Identifier: GPL-2.0-or-later

/** The firmware for both architectures. */

import { bootWith, type BootOptions, type BootResult } from './boot/boot.ts';
import { withAll } from './boot/whole.ts';
import { HypervDriver as RomDriver, type DriverOptions } from './driver.ts';
import { Log } from './events.ts';
import { AnyArm64Platform } from './hyperv/arm64-any.ts';
import type { ClockChoice, Platform } from './hyperv/platform.ts';
import { x64Platform } from './hyperv/x64.ts';
import { PAGE_SIZE, type Machine } from './machine.ts';
import { checkMachine, soundMap } from './memory/memory-map.ts';
import { checkPolicy } from './netvsc/policy.ts';

/** The platform of a machine of either architecture. @throws HypxeError ArchitectureUnsupported */
export function anyPlatform(machine: Machine, choice: ClockChoice = {}): Platform {
  if (machine.architecture === 'arm64') return new AnyArm64Platform(machine, choice);
  return x64Platform(machine);
}

/** The drivers, with a check of what was chosen, and of the memory map. */
export class HypervDriver extends RomDriver {
  constructor(platform: Platform, machine: Machine, options: DriverOptions) {
    const { memory, pageSize = PAGE_SIZE } = machine;
    const memoryMap = soundMap(machine, new Log(options.events));
    super(platform, { memory, memoryMap, pageSize }, options);
  }

  /** As without the check. @throws HypxeError BadPolicy, and what the drivers throw */
  override probe(): void {
    checkPolicy(this.policy);
    super.probe();
  }
}

/** Make the drivers for a machine. @throws HypxeError for a machine that cannot be driven */
export function createDriver(machine: Machine, options: DriverOptions = {}): HypervDriver {
  checkMachine(machine);
  return new HypervDriver(anyPlatform(machine, options), machine, options);
}

/** Boot. Conditions from outside are in the result. @throws HypxeError BadMachine */
export function boot(machine: Machine, options: BootOptions = {}): BootResult {
  return bootWith(createDriver, machine, withAll(machine, options));
}
