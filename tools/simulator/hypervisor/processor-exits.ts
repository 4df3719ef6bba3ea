// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a virtual processor works on, and its exits, whatever the architecture: each call of the
 * seam costs virtual time, and the host looks at what the guest did meanwhile.
 */

import type { MemoryRange } from '../../../src/machine.ts';
import { TICKS_PER_MS } from '../base/clock.ts';
import type { VirtualClock } from '../base/clock.ts';
import type { CpuidLeaves } from './cpuid.ts';
import type { HostEvents } from '../ledger/events.ts';
import type { GuestRam } from '../base/guest-ram.ts';
import type { Hypercalls } from './hypercalls.ts';
import type { RegisterFile } from './register-file.ts';
import type { VirtualProcessor } from './virtual-processor.ts';
import type { SeamCall, Watchdog } from './watchdog.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Virtual time of one call of the seam, so that a guest that only spins sees time pass. */
export const SEAM_CALL_TICKS = 1;

/** Longest step of `pause()`: an alarm that comes before cuts it short. */
export const PAUSE_TICKS = TICKS_PER_MS;

/** What a processor works on. */
export interface ProcessorContext {
  readonly ram: GuestRam;
  readonly memoryMap: readonly MemoryRange[];
  readonly pageSize: number;
  readonly clock: VirtualClock;
  readonly events: HostEvents;
  readonly cpuid: CpuidLeaves;
  readonly registers: RegisterFile;
  readonly hypercalls: Hypercalls;
  readonly watchdog: Watchdog;
  /** All processors: an exit of one lets the host look at all. */
  readonly processors: readonly VirtualProcessor[];
}

export class ProcessorExits {
  readonly #context: ProcessorContext;
  readonly #vp: VirtualProcessor;

  constructor(context: ProcessorContext, vp: VirtualProcessor) {
    this.#context = context;
    this.#vp = vp;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#context, this.#vp);
  }

  /** An exit of the guest: time passes, and the host looks around. {@link leave} ends it. */
  exit(call: SeamCall, argument: number): void {
    const { watchdog, clock } = this.#context;
    this.#vp.calls++;
    watchdog.enter(this.#vp.index, call, argument);
    try {
      // What the guest did before the call comes before what happens during it
      this.#look();
      clock.advanceTo(clock.now + SEAM_CALL_TICKS);
    } catch (error) {
      throw this.fail(error);
    }
  }

  /** One turn of a polling loop. */
  pause(): void {
    const { watchdog, clock } = this.#context;
    this.#vp.calls++;
    watchdog.enter(this.#vp.index, 'pause', 0);
    // To the next alarm, but by one tick at least: time never stands still
    const least = clock.now + SEAM_CALL_TICKS;
    const alarm = clock.nextAlarm;
    let until = clock.now + PAUSE_TICKS;
    if (alarm !== undefined && alarm < until) until = alarm > least ? alarm : least;
    try {
      clock.advanceTo(until);
      this.#look();
    } catch (error) {
      throw this.fail(error);
    }
    watchdog.leave();
  }

  /** Wait without an access: what is due meanwhile happens. */
  delay(ticks: number): void {
    const { watchdog, clock } = this.#context;
    // What is no number is the guest's mistake: thrown before the call begins
    const length = Math.max(SEAM_CALL_TICKS, ticks);
    this.#vp.calls++;
    watchdog.enter(this.#vp.index, 'pause', 0);
    try {
      this.#look();
      const end = clock.now + length;
      // A clock that goes by the wall's stops for each frame
      do clock.advanceTo(end);
      while (clock.now < end);
      this.#look();
    } catch (error) {
      throw this.fail(error);
    }
    watchdog.leave();
  }

  /** The guest goes on behind its exit. */
  leave(): void {
    this.#context.watchdog.leave();
  }

  /** What to throw of something that came up in the host: the guest did not do it. */
  fail(error: unknown): unknown {
    return this.#context.watchdog.fail(this.#vp.index, error);
  }

  #look(): void {
    const { processors } = this.#context;
    for (let i = 0; i < processors.length; i++) processors[i]!.exit();
  }
}
