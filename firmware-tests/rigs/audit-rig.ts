// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A rig for the tests of the audit: the firmware on a seam that swallows what it does to clean up,
 * from the moment at which the image is there.
 */

import type { FirmwareEvent } from '../../src/events.ts';
import { HvCall, HvControl, PostMessage } from '../../src/hyperv/protocol.ts';
import { boot, type BootResult } from '../../src/index.ts';
import { PAGE_SIZE, type Machine, type MemoryRange, type X64Machine } from '../../src/machine.ts';
import { carve } from '../../src/memory/shared-memory.ts';
import type { Firmware } from '../../tools/flow/boot-flow.ts';
import { PassingX64 } from '../../tools/simulator/base/passing-machine.ts';
import type { SimulatedMachine } from '../../tools/simulator/machine.ts';

/** What a guest forgets. */
export interface Forgets {
  /** Registers that it does not write any more. */
  readonly registers?: readonly number[];
  /** Whether it does not send a VMBus message of this type; `nth` of the type, from 0. */
  readonly messages?: (type: number, nth: number) => boolean;
  /** Whether it does not signal its `nth` event, from 0. */
  readonly signals?: (nth: number) => boolean;
}

/** A seam between a guest and its processor on which some things are lost, once it is told to. */
export class ForgetfulMachine extends PassingX64 {
  forgetting = false;
  readonly #view: DataView;
  readonly #forgets: Forgets;
  readonly #sent = new Map<number | 'signals', number>();

  constructor(machine: X64Machine, forgets: Forgets) {
    super(machine);
    this.#view = new DataView(machine.memory);
    this.#forgets = forgets;
  }

  override wrmsr(msr: number, value: bigint): void {
    if (this.forgetting && this.#forgets.registers?.includes(msr)) return;
    super.wrmsr(msr, value);
  }

  override callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    const code = Number(control & HvControl.CODE_MASK);
    if (code === HvCall.SIGNAL_EVENT && this.forgetting) {
      if (this.#forgets.signals?.(this.#count('signals')) === true) return 0n;
    }
    if (code === HvCall.POST_MESSAGE) {
      const type = this.#view.getUint32(Number(input) + PostMessage.at.data, true);
      if (this.forgetting && this.#forgets.messages?.(type, this.#count(type)) === true) return 0n;
    }
    return super.callHypercallPage(page, control, input, output);
  }

  #count(type: number | 'signals'): number {
    const count = this.#sent.get(type) ?? 0;
    this.#sent.set(type, count + 1);
    return count;
  }
}

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
        if (event.kind !== 'boot-step' || event.step !== 'download') return;
        if (event.phase !== 'end') return;
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
  let map = [...result.memoryMap];
  if (manners.lies === true && image !== undefined) {
    const end = Math.ceil((image.address + image.length) / PAGE_SIZE) * PAGE_SIZE;
    const purpose = `boot image ${image.name}`;
    map = machine.memoryMap.flatMap((range) => carve(range, image.address, end, purpose));
  }
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
