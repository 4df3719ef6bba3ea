// SPDX-License-Identifier: GPL-2.0-or-later

/** The hypervisor's state of one virtual processor: registers, SynIC, timers, overlay pages. */

import type { VirtualClock } from '../base/clock.ts';
import type { HostEvents } from '../ledger/events.ts';
import type { InterruptSink } from './interrupts.ts';
import type { OverlayPage, OverlayPages } from './overlay.ts';
import { PendingInterrupts } from './pending-interrupts.ts';
import type { HostKnobs } from '../profiles/profile.ts';
import { registerNamed, REGISTERS } from './registers.ts';
import { Synic } from './synic.ts';
import { SyntheticTimers } from './synthetic-timers.ts';
import type { Keeper } from '../base/snapshot.ts';

const SCONTROL = registerNamed('SCONTROL').index;

export class VirtualProcessor {
  readonly index: number;
  /** Calls of the seam that a guest has made on it. */
  calls = 0;
  /** Values of the registers that each processor has, by register index. */
  readonly values = new BigUint64Array(REGISTERS.length);
  /** For a guest that takes them; nobody else looks. */
  readonly interrupts = new PendingInterrupts();
  readonly synic: Synic;
  readonly timers: SyntheticTimers;
  readonly assistPage: OverlayPage;
  readonly #knobs: HostKnobs;
  readonly #clock: VirtualClock;
  readonly #scanOnExit: boolean;

  /**
   * `slotEmptied` is called whenever the guest has made room in a slot, `interrupts` for each that
   * is raised.
   */
  constructor(
    index: number,
    overlays: OverlayPages,
    clock: VirtualClock,
    events: HostEvents,
    knobs: HostKnobs,
    slotEmptied: () => void,
    interrupts?: InterruptSink,
  ) {
    this.index = index;
    this.#knobs = knobs;
    this.#clock = clock;
    this.#scanOnExit = knobs.slotScan === 'exit';
    this.assistPage = overlays.create('vp-assist-page', `VP assist page of VP ${index}`, index);
    const raise: InterruptSink = (vp, vector, autoEoi) => {
      this.interrupts.raise(vector);
      interrupts?.(vp, vector, autoEoi);
    };
    this.synic = new Synic(
      index,
      overlays.create('message-page', `message page of VP ${index}`, index),
      overlays.create('event-page', `event page of VP ${index}`, index),
      events,
      knobs,
      { slotEmptied, sintScanned: (_vp, sint) => this.timers.retry(sint), interrupts: raise },
    );
    this.timers = new SyntheticTimers(index, this.#clock, this.synic, events, raise);
    this.reset();
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.calls], (v) => ([this.calls] = v));
    keeper.keep(this.values, this.interrupts, this.synic, this.timers, this.assistPage);
    keeper.keep(this.#clock);
  }

  /** Registers, SynIC and timers as after a processor reset. The pages are reset by their owner. */
  reset(): void {
    this.synic.reset();
    this.interrupts.clear();
    this.timers.reset();
    for (const register of REGISTERS) {
      this.values[register.index] = register.reset;
      if (register.role === 'sint') this.synic.setSint(register.ordinal, Number(register.reset));
    }
    this.values[SCONTROL] = BigInt(this.#knobs.scontrolReset);
    this.synic.enabled = this.#knobs.scontrolReset === 1;
  }

  /** An exit of the guest: notice emptied slots, and deliver if this host does so on exits. */
  exit(): void {
    this.synic.exit();
    if (this.#scanOnExit) this.scan();
  }

  /** Deliver what waits, where there is room: on EOM and its like. Free if nothing waits. */
  scan(): void {
    if (this.synic.waiting > 0 || this.timers.anyDue) this.synic.scanAll();
  }
}
