// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * arm64 as the firmware of both architectures has it: with the older form of hypercalls where the
 * machine asks for it (mu_msvm), and the architectural counter as its clock: no exit for a look.
 */

import type { Log } from '../events.ts';
import type { Arm64Machine } from '../machine.ts';
import { Arm64Platform } from './arm64.ts';
import { wantsBestClock, type ClockChoice, type ClockSource } from './platform.ts';
import { HV_REFERENCE_HZ } from './protocol.ts';

/** Immediate of the older form. Its inputs begin in X0, and its outputs end with X16. */
const IMMEDIATE = 1;
const OUTPUT = 15;

/** Frequencies that a counter may have, in Hz: below a tick it is no clock. */
const FREQUENCY_MIN = HV_REFERENCE_HZ / 10;
const FREQUENCY_MAX = 100_000_000_000;

export class AnyArm64Platform extends Arm64Platform {
  readonly #wantsClock: boolean;

  constructor(machine: Arm64Machine, choice: ClockChoice) {
    super(machine);
    this.#wantsClock = wantsBestClock(choice);
  }

  protected override get output(): number {
    return this.#isImmediate ? OUTPUT : super.output;
  }

  get #isImmediate(): boolean {
    return this.machine.hypercallConvention === 'immediate';
  }

  /** The virtual counter: Hyper-V guarantees its frequency (Linux clocks.rst). */
  clock(log: Log): ClockSource | undefined {
    const { machine } = this;
    if (!this.#wantsClock) return undefined;
    const hz = Math.round(machine.counterFrequency);
    if (!(hz >= FREQUENCY_MIN && hz <= FREQUENCY_MAX)) {
      const text = `counter frequency of ${machine.counterFrequency} Hz is impossible: not used`;
      log.warning('HV', '', text);
      return undefined;
    }
    return {
      name: `architectural counter, ${hz} Hz`,
      read: () => Number((machine.readCounter() * BigInt(HV_REFERENCE_HZ)) / BigInt(hz)),
    };
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
