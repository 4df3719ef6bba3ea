// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The reference guest: what iPXE's Hyper-V drivers do, written once more from their description,
 * with each defect that hypxe has mended behind a switch. It shares the wire definitions with the
 * firmware and no code: what it does is what the firmware is compared with.
 */

import type { X64Machine } from '../../src/machine.ts';
import { Bus } from './bus.ts';
import { Connection } from './connection.ts';
import { DEFECTS, type Defect } from './defects.ts';
import { GuestContext, GuestError, type GuestOptions } from './guest.ts';
import { Hypervisor } from './hypervisor.ts';
import type { RndisDevice } from './rndis.ts';

export { DEFECTS, isDefect, type Defect } from './defects.ts';
export { GuestError, type GuestOptions } from './guest.ts';

/** The reference guest as a driver. */
export class ReferenceGuest {
  readonly #context: GuestContext;
  #hv: Hypervisor | undefined;
  #bus: Bus;
  #probed = false;
  #resetFailed = false;

  constructor(machine: X64Machine, defects: ReadonlySet<Defect>, options: GuestOptions) {
    const context = new GuestContext(machine, (defect) => defects.has(defect), options);
    this.#context = context;
    this.#hv = new Hypervisor(context);
    this.#bus = new Bus(new Connection(this.#hv));
  }

  /** The registered network devices. */
  get devices(): readonly RndisDevice[] {
    return this.#bus.devices;
  }

  /** @throws GuestError with everything undone */
  probe(): void {
    if (this.#probed) return;
    const hv = this.#hv!;
    hv.probe();
    try {
      this.#bus.probe();
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      hv.unmap(true);
      hv.free();
      throw error;
    }
    this.#probed = true;
  }

  remove(): void {
    if (!this.#probed) return;
    const hv = this.#hv!;
    if (!hv.running && !this.#context.has('remove-while-quiesced')) {
      try {
        this.unquiesce();
      } catch (error) {
        if (!(error instanceof GuestError)) throw error;
      }
    }
    this.#probed = this.#resetFailed = false;
    this.#bus.remove();
    if (hv.running || this.#context.has('remove-while-quiesced')) hv.unmap(true);
    hv.free();
  }

  quiesce(): void {
    if (this.#probed && this.#hv!.running) this.#hv!.quiesce();
    else if (this.#probed && this.#context.has('remove-while-quiesced')) this.#hv!.quiesce();
  }

  /** @throws GuestError if the host does not connect */
  unquiesce(): void {
    if (!this.#probed) return;
    const hv = this.#hv!;
    const again = this.#resetFailed && !this.#context.has('reset-is-retried');
    if (hv.isMapped && !again) return;
    if (!hv.isMapped) hv.takeBack();
    this.#resetFailed = true;
    try {
      this.#bus.reset();
      this.#resetFailed = false;
    } catch (error) {
      // iPXE says nothing of it
      if (!(error instanceof GuestError) || !this.#context.has('reset-is-retried')) throw error;
    }
  }
}

/** The reference guest as a firmware: what exports `createDriver`. */
export function referenceFirmware(defects: Iterable<Defect> = DEFECTS): {
  createDriver(machine: X64Machine, options: GuestOptions): ReferenceGuest;
} {
  const set = new Set(defects);
  return { createDriver: (machine, options) => new ReferenceGuest(machine, set, options) };
}
