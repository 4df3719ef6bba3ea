// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Running guests one after the other, each within its limits, and what ended one that did not
 * return.
 */

import { OsOops } from '../os/os-oops.ts';
import { ORIGIN } from '../guests/guest-origin.ts';
import { GuestThrew } from '../guests/guest-program.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import {
  GuestCrash,
  GuestHang,
  GuestStopped,
  isOfGuest,
} from '../simulator/hypervisor/guest-end.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { PartitionLimits } from '../simulator/hypervisor/watchdog.ts';
import { lostMessages } from './link-harm.ts';

/** Limits of one guest: a boot that takes longer hangs. */
export const GUEST_LIMITS = {
  /** Virtual time: a slow network with every retry stays far below an hour. */
  virtualTicks: 3600 * 1000 * TICKS_PER_MS,
  pauses: 20_000_000,
  /** Minutes of somebody's time; 20 s of the guest's, if it waits without a pause. */
  seamCalls: 200_000_000,
} as const satisfies Required<PartitionLimits>;

/** How a guest ended that did not return. */
export interface GuestEnd {
  /** `firmware`, `OS` or `second boot`; of longer flows the name of the stage. */
  readonly guest: string;
  readonly kind: 'crash' | 'hang' | 'thrown' | 'out-of-memory';
  readonly text: string;
  /** Where it was thrown; of a guest that the machine has ended, or that hangs, where it was. */
  readonly stack: string | undefined;
}

export class GuestRuns {
  /** How the last guest ended that did not return; undefined while all have. */
  ended: GuestEnd | undefined;
  readonly #machine: SimulatedMachine;
  readonly #limits: PartitionLimits;

  constructor(machine: SimulatedMachine, limits: PartitionLimits = GUEST_LIMITS) {
    this.#machine = machine;
    this.#limits = limits;
  }

  /**
   * Run a guest within its limits. Undefined if it did not return.
   *
   * @throws what is a mistake in the simulator
   */
  run<T>(guest: string, run: () => T): T | undefined {
    this.#machine.partition.recover(this.#limits);
    const reports = this.#machine.partition.inspection.crashReports.length;
    const since = this.#machine.clock.now;
    try {
      const result = run();
      this.#checkTool();
      return result;
    } catch (error) {
      this.#checkTool();
      // Whatever else ends in the middle of a call (stopped, a mistake of ours) has left room
      if (leftNoRoom(error)) this.#machine.partition.settle();
      const ended = this.#machine.partition.ended ?? error;
      if (ended instanceof FirmwareThrew) {
        const report = this.#machine.partition.inspection.crashReports.slice(reports).at(-1);
        const text = report === undefined ? ended.message : `${ended.message} (${report})`;
        this.ended = { guest, kind: 'thrown', text, stack: ended.where };
      } else if (ended instanceof GuestStopped) {
        const text = `${ended.message}; last access: ${this.#machine.partition.lastAccess}`;
        this.ended = { guest, kind: ended.kind, text, stack: ended.where };
      } else if (ended instanceof GuestHang) {
        const text = `${ended.message}${this.#lost(since)}`;
        this.ended = { guest, kind: 'hang', text, stack: guestFrames(ended) };
      } else if (ended instanceof GuestCrash || ended instanceof OsOops) {
        this.ended = { guest, kind: 'crash', text: ended.message, stack: guestFrames(ended) };
      } else throw error;
      return undefined;
    }
  }

  /** Messages that the host has lost from `since` on: a guest that waits may wait for one. */
  #lost(since: number): string {
    const lost = lostMessages(this.#machine, since);
    return lost === '' ? '' : `; the host has lost ${lost}`;
  }

  /** A tool that has failed in the middle of a guest says nothing about it, whatever came of it. */
  #checkTool(): void {
    const { failure } = this.#machine.partition;
    if (failure !== undefined) throw failure.error;
  }

  /** Call a firmware, of which nobody knows what it throws. */
  callFirmware<T>(call: () => T): T {
    let result: T;
    try {
      result = call();
    } catch (error) {
      throw isOfGuest(error) === 'ended' ? error : new FirmwareThrew(error);
    }
    // A guest that catches its own crash has crashed all the same
    const { partition } = this.#machine;
    partition.settle();
    if (partition.ended !== undefined) throw partition.ended;
    return result;
  }
}

/** Whether what was thrown says that a stack was used up, the firmware's or a kernel's. */
function leftNoRoom(error: unknown): boolean {
  return isOfGuest(error instanceof FirmwareThrew ? error.cause : error) === 'stack';
}

/** A line of a stack that is of a guest's module. */
const GUEST_FRAME = new RegExp(`^ *at .*(?:wasm://|${ORIGIN})`);

/** Where the guest was that the machine has ended; undefined for the tool's own code. */
export function guestFrames({ stack = '' }: Error): string | undefined {
  const lines = stack.split('\n').filter((line) => GUEST_FRAME.test(line));
  return lines.length === 0 ? undefined : lines.join('\n');
}

/** The firmware threw something of its own. */
class FirmwareThrew extends Error {
  /** Its stack, as far as it is the firmware's. */
  readonly where: string | undefined = undefined;

  constructor(thrown: unknown) {
    const named = thrown instanceof Error;
    const name = named && thrown.name !== '' ? `${thrown.name}: ` : '';
    super(named ? `${name}${thrown.message}` : String(thrown), { cause: thrown });
    if (thrown instanceof GuestThrew) this.where = thrown.where;
    else if (named) this.where = thrown.stack;
  }
}
