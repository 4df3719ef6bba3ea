// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A firmware that forgets: the seam under it loses what it does to clean up, and it believes that
 * it was done. So it is wrong in nothing but what it is made to forget.
 */

import type { FirmwareEvent } from '../../src/events.ts';
import { HvCall, HvControl, PostMessage } from '../../src/hyperv/protocol.ts';
import {
  PAGE_SIZE,
  type MachineCommon,
  type MemoryRange,
  type X64Machine,
} from '../../src/machine.ts';
import { carve } from '../../src/memory/shared-memory.ts';
import { PassingX64 } from '../simulator/base/passing-machine.ts';

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
  /** Whether it forgets now. At first it does not. */
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

/** Whether a firmware has its image now: what it does from here on is to clean up. */
export function hasImage(event: FirmwareEvent): boolean {
  return event.kind === 'boot-step' && event.step === 'download' && event.phase === 'end';
}

/**
 * A memory map that tells of nothing that could not be revoked: the machine's, with nothing but an
 * image reserved.
 */
export function untoldMap(
  { memoryMap }: Pick<MachineCommon, 'memoryMap'>,
  image: { readonly name: string; readonly address: number; readonly length: number } | undefined,
): MemoryRange[] {
  if (image === undefined) return [...memoryMap];
  const end = Math.ceil((image.address + image.length) / PAGE_SIZE) * PAGE_SIZE;
  const purpose = `boot image ${image.name}`;
  return memoryMap.flatMap((range) => carve(range, image.address, end, purpose));
}
