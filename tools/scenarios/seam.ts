// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Seams that make a correct guest wrong: what it reads of a register is not what is there, or a
 * message that it posts is never posted. So the broken half of a scenario is the fixed one but for
 * the one thing that it is about.
 */

import { HvCall, HvControl, PostMessage } from '../../src/hyperv/protocol.ts';
import { MessageHeader } from '../../src/vmbus/protocol.ts';
import { PassingX64 } from '../simulator/base/passing-machine.ts';

export interface SeamFault {
  /** Value of a register instead of the one that is there. */
  readonly read?: (msr: number) => bigint | undefined;
  /** Whether a write of a register never gets to the host. */
  readonly ignores?: (msr: number, value: bigint) => boolean;
  /** Whether a VMBus message of this type is kept from the host; the guest believes it was sent. */
  readonly keeps?: (type: number) => boolean;
}

export class FaultySeam extends PassingX64 {
  fault: SeamFault = {};

  override rdmsr(msr: number): bigint {
    return this.fault.read?.(msr) ?? super.rdmsr(msr);
  }

  override wrmsr(msr: number, value: bigint): void {
    if (this.fault.ignores?.(msr, value) !== true) super.wrmsr(msr, value);
  }

  override callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    if (
      this.fault.keeps !== undefined &&
      Number(control & HvControl.CODE_MASK) === HvCall.POST_MESSAGE
    ) {
      const at = Number(input) + PostMessage.at.data + MessageHeader.at.type;
      if (this.fault.keeps(new DataView(this.memory).getUint32(at, true))) return 0n;
    }
    return super.callHypercallPage(page, control, input, output);
  }
}
