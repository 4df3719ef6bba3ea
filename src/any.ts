// SPDX-License-Identifier: GPL-2.0-or-later

/** The firmware for both architectures. */

import { bootWith, type BootOptions, type BootResult } from './boot/boot.ts';
import { HypervDriver as RomDriver, type DriverOptions } from './driver.ts';
import { arm64Platform } from './hyperv/arm64.ts';
import type { ClockChoice, Platform } from './hyperv/platform.ts';
import { x64Platform } from './hyperv/x64.ts';
import type { Machine } from './machine.ts';
import { NET_PARTS } from './net/parts.ts';
import { SanPart } from './os/san.ts';

/** The platform of a machine of either architecture. @throws HypxeError ArchitectureUnsupported */
export function anyPlatform(machine: Machine, choice?: ClockChoice): Platform {
  return machine.architecture === 'arm64' ? arm64Platform(machine, choice) : x64Platform(machine);
}

/** The drivers, with the part for boots from a SAN. */
export class HypervDriver extends RomDriver {
  readonly #san = new SanPart(this);

  /**
   * Leave the machine for somebody who takes over while we are still needed (SAN boot): pages and
   * interrupts are off, channels stay open. Nothing may be sent until {@link unquiesce}.
   */
  quiesce(): void {
    this.#san.quiesce();
  }

  /**
   * Take the machine back after {@link quiesce}, if nobody else has it: connect anew and reset the
   * devices.
   *
   * @throws HypxeError if the host does not connect; the next call tries again
   */
  unquiesce(): void {
    this.#san.unquiesce();
  }

  /** As without the part; after {@link quiesce} the machine is taken back first. */
  override remove(): void {
    this.hv.clock.finish();
    if (this.isProbed) this.#san.end();
    super.remove();
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
