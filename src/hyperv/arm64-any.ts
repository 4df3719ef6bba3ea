// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * arm64 as the firmware of both architectures has it: with the older form of hypercalls where the
 * machine asks for it (mu_msvm), and a word on a counter that is none.
 */

import type { Log } from '../events.ts';
import { Arm64Platform } from './arm64.ts';
import type { ClockSource } from './platform.ts';

/** Immediate of the older form. Its inputs begin in X0, and its outputs end with X16. */
const IMMEDIATE = 1;
const OUTPUT = 15;

export class AnyArm64Platform extends Arm64Platform {
  protected override get output(): number {
    return this.#isImmediate ? OUTPUT : super.output;
  }

  get #isImmediate(): boolean {
    return this.machine.hypercallConvention === 'immediate';
  }

  override clock(log: Log): ClockSource | undefined {
    const clock = super.clock(log);
    const text = `counter frequency of ${this.machine.counterFrequency} Hz is impossible: not used`;
    if (this.wantsClock && !clock) log.warning('HV', '', text);
    return clock;
  }

  protected override hypercall(
    control: bigint,
    first: bigint,
    second = 0n,
    third = 0n,
    fifth = 0n,
  ): bigint {
    if (!this.#isImmediate) return super.hypercall(control, first, second, third, fifth);
    const { x } = this;
    x.fill(0n);
    x[0] = control;
    x[1] = first;
    x[2] = second;
    x[3] = third;
    x[5] = fifth;
    this.machine.hvc(IMMEDIATE, x);
    return x[0];
  }
}
