// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Whether the guest may go on: crashed processors stay crashed, and a guest that uses up its limits
 * is ended. Counts every call of the seam.
 */

import type { VirtualClock } from '../base/clock.ts';
import type { HostEvents } from '../ledger/events.ts';
import { hex } from '../base/hex.ts';
import { GuestCrash, GuestHang, isOfGuest } from './guest-end.ts';
import type { GuestFault } from './guest-end.ts';

/** Limits of a guest; each counts from the start or the last recovery. Unset: no limit. */
export interface PartitionLimits {
  /** Virtual time, in ticks of 100 ns. */
  readonly virtualTicks?: number;
  /** Calls of the seam, pauses included. */
  readonly seamCalls?: number;
  /** Calls of `pause()`. */
  readonly pauses?: number;
}

/** A call of the seam. */
export type SeamCall =
  'cpuid' | 'rdtsc' | 'rdmsr' | 'wrmsr' | 'hypercall' | 'hvc' | 'counter' | 'pause';

export class Watchdog {
  /** Calls of the seam and pauses since the partition was made. */
  seamCalls = 0;
  pauses = 0;
  /** Counted up, modulo 2^32, with each call: a sign of life for whoever watches from outside. */
  heartbeat: Int32Array | undefined;
  readonly #clock: VirtualClock;
  readonly #events: HostEvents;
  readonly #crashed = new Map<number, GuestCrash>();
  #hang: GuestHang | undefined;
  #failure: { readonly error: unknown } | undefined;
  #lastTick = Infinity;
  #lastSeamCall = Infinity;
  #lastPause = Infinity;
  // The last call that was not a pause, for the report of a hang
  #call: SeamCall | undefined;
  #argument = 0;
  #vp = 0;
  #at = 0;
  #paused = false;

  constructor(clock: VirtualClock, events: HostEvents, limits: PartitionLimits = {}) {
    this.#clock = clock;
    this.#events = events;
    this.limit(limits);
  }

  /** Set limits, counted from now. */
  limit(limits: PartitionLimits): void {
    this.#lastTick = this.#clock.now + (limits.virtualTicks ?? Infinity);
    this.#lastSeamCall = this.seamCalls + (limits.seamCalls ?? Infinity);
    this.#lastPause = this.pauses + (limits.pauses ?? Infinity);
  }

  /** Forget crashes and hangs: another guest takes over. */
  recover(): void {
    this.#crashed.clear();
    this.#hang = undefined;
  }

  /** Why the guest ended, if it did; of several processors the first that crashed. */
  get ended(): GuestCrash | GuestHang | undefined {
    for (const crash of this.#crashed.values()) return crash;
    return this.#hang;
  }

  /** What went wrong in the tool itself while a guest ran: for good. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure;
  }

  /**
   * Something was thrown in the tool's own code, during a call of the guest's. Returns what is to
   * be thrown on: through the guest, which may catch it and cannot go on.
   */
  fail(vp: number, error: unknown): unknown {
    const whose = isOfGuest(error);
    if (whose === 'ended') return error;
    if (whose === 'stack') return this.#fault(vp, '#DF', 'its stack is used up');
    this.#failure ??= { error };
    return error;
  }

  /** Do something of the tool's own in the middle of a guest. @throws as {@link Watchdog.fail} */
  guard<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw this.fail(this.#vp, error);
    }
  }

  /**
   * A call of the seam begins. `argument` is the leaf, the MSR or the low word of the control.
   *
   * @throws GuestCrash, GuestHang if the guest has ended, or ends now; whatever the tool has thrown
   */
  enter(vp: number, call: SeamCall, argument: number): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#hang !== undefined) throw this.#hang;
    if (this.#crashed.size > 0) {
      const crash = this.#crashed.get(vp);
      if (crash !== undefined) throw crash;
    }
    if (this.heartbeat !== undefined) this.heartbeat[0]!++;
    if (++this.seamCalls > this.#lastSeamCall) this.#end('seamCalls', 'too many calls');
    if (this.#clock.now > this.#lastTick) this.#end('virtualTicks', 'too much virtual time');
    this.#paused = call === 'pause';
    if (call === 'pause') {
      if (++this.pauses > this.#lastPause) this.#end('pauses', 'too many pauses');
      return;
    }
    this.#call = call;
    this.#argument = argument;
    this.#vp = vp;
    this.#at = this.#clock.now;
  }

  /** The last call of the seam, in words; that it was followed by pauses alone. */
  get lastAccess(): string {
    if (this.seamCalls === 0) return 'none';
    const now = `; now it is tick ${this.#clock.now}`;
    return this.#paused ? `${this.#activity()}, then pauses${now}` : `${this.#activity()}${now}`;
  }

  /** End the guest on this processor by a fault. Always throws. */
  crash(vp: number, fault: GuestFault, reason: string): never {
    throw this.#fault(vp, fault, reason);
  }

  #fault(vp: number, fault: GuestFault, reason: string): GuestCrash {
    const crash = new GuestCrash(vp, fault, reason);
    this.#crashed.set(vp, crash);
    if (this.#events.on) this.#events.emit({ kind: 'crash', text: crash.message });
    return crash;
  }

  #end(limit: GuestHang['limit'], reason: string): never {
    const now = this.#clock.now;
    const figures = `${now} ticks, ${this.seamCalls} calls, ${this.pauses} pauses`;
    this.#hang = new GuestHang(limit, `${reason} (${figures})`, this.#activity());
    if (this.#events.on) this.#events.emit({ kind: 'hang', text: this.#hang.message });
    throw this.#hang;
  }

  #activity(): string {
    if (this.#call === undefined) return 'none but pauses';
    return `${this.#call} ${hex(this.#argument)} on VP ${this.#vp} at tick ${this.#at}`;
  }
}
