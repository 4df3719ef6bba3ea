// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A rig for the tests of the audit: the firmware on a seam that swallows what it does to clean up,
 * from the moment at which the image is there.
 */

import type { FirmwareEvent } from '../../src/events.ts';
import { boot, type BootResult } from '../../src/index.ts';
import { PAGE_SIZE, type Machine, type MemoryRange, type X64Machine } from '../../src/machine.ts';
import { carve } from '../../src/memory/shared-memory.ts';
import { ForgetfulMachine, hasImage, untoldMap, type Forgets } from '../../tools/demo/forgetful.ts';
import type { Firmware } from '../../tools/flow/boot-flow.ts';
import type { SimulatedMachine } from '../../tools/simulator/machine.ts';

/** What else is wrong with a firmware. */
export interface Manners extends Forgets {
  /**
   * The memory map that it hands on is the machine's, with nothing but the image reserved: what it
   * could not revoke, it does not tell.
   */
  readonly lies?: boolean;
  /** Pages that it reserves in its memory map besides; asked when it hands over. */
  readonly reserves?: () => readonly number[];
  /** Done to the machine after the firmware has returned, as by the firmware. */
  readonly leave?: (machine: X64Machine) => void;
  /** Done when the image is there, before anything is closed. */
  readonly loaded?: () => void;
}

/**
 * hypxe's firmware with bad manners.
 *
 * @param when whether the manners are bad this time
 */
export function badFirmware(manners: Manners, when = (): boolean => true): Firmware {
  return {
    boot(machine: Machine, options = {}) {
      if (!when()) return boot(machine, options);
      const seam = new ForgetfulMachine(machine as X64Machine, manners);
      const events = (event: FirmwareEvent): void => {
        options.events?.(event);
        if (!hasImage(event)) return;
        manners.loaded?.();
        seam.forgetting = true;
      };
      const result = boot(seam, { ...options, events });
      manners.leave?.(machine as X64Machine);
      return { ...result, memoryMap: mapToHandOn(manners, machine, result) };
    },
  };
}

function mapToHandOn(manners: Manners, machine: Machine, result: BootResult): MemoryRange[] {
  const { image } = result;
  const lies = manners.lies === true && image !== undefined;
  let map = lies ? untoldMap(machine, image) : [...result.memoryMap];
  for (const page of manners.reserves?.() ?? []) {
    map = map.flatMap((range) => carve(range, page, page + PAGE_SIZE, 'not revoked'));
  }
  return map;
}

/** Guest physical addresses of the pages of live grants whose purpose matches. */
export function granted(machine: SimulatedMachine, purpose: RegExp): number[] {
  return machine.partition.grants
    .live()
    .filter((grant) => purpose.test(grant.purpose))
    .flatMap(({ pfns }) => pfns.map((pfn) => pfn * PAGE_SIZE));
}
