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
import type { Keeper } from '../base/snapshot.ts';

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
  /** Something of the tool's own has begun and has not come to its end. */
  #inside = false;
  /** The processor that has called last, pauses included. */
  #caller = 0;
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

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.seamCalls, this.pauses], (v) => ([this.seamCalls, this.pauses] = v));
    keeper.put([this.heartbeat, this.#hang], (v) => ([this.heartbeat, this.#hang] = v));
    keeper.put([this.#failure, this.#lastTick], (v) => ([this.#failure, this.#lastTick] = v));
    keeper.put([this.#lastSeamCall], (v) => ([this.#lastSeamCall] = v));
    keeper.put([this.#lastPause, this.#call], (v) => ([this.#lastPause, this.#call] = v));
    keeper.put([this.#argument, this.#vp], (v) => ([this.#argument, this.#vp] = v));
    keeper.put([this.#inside, this.#caller], (v) => ([this.#inside, this.#caller] = v));
    keeper.put([this.#at, this.#paused], (v) => ([this.#at, this.#paused] = v));
    keeper.keep(this.#clock, this.#events, this.#crashed);
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
    this.#inside = false;
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
    const outer = this.#inside;
    this.#inside = true;
    try {
      const result = action();
      this.#inside = outer;
      return result;
    } catch (error) {
      throw this.fail(this.#caller, error);
    }
  }

  /**
   * The guest has come back, or was ended. If it left no room on the stack for a call of the seam
   * to come to its end, nor for whoever would have told of that, that is how it has ended: what the
   * host did then it did by half.
   */
  settle(): void {
    if (this.#inside && this.ended === undefined && this.#failure === undefined) {
      this.#fault(this.#caller, '#DF', 'its stack was used up in the middle of a call');
    }
  }

  /**
   * A call of the seam begins; {@link Watchdog.leave} ends it. `argument` is the leaf, the MSR or
   * the low word of the control.
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
    if (this.#inside) this.crash(vp, '#DF', 'its stack was used up in the middle of a call');
    if (this.heartbeat !== undefined) this.heartbeat[0]!++;
    if (++this.seamCalls > this.#lastSeamCall) this.#end('seamCalls', 'too many calls');
    if (this.#clock.now > this.#lastTick) this.#end('virtualTicks', 'too much virtual time');
    this.#paused = call === 'pause';
    this.#caller = vp;
    if (call === 'pause') {
      if (++this.pauses > this.#lastPause) this.#end('pauses', 'too many pauses');
      this.#inside = true;
      return;
    }
    this.#call = call;
    this.#argument = argument;
    this.#vp = vp;
    this.#at = this.#clock.now;
    this.#inside = true;
  }

  /**
   * A call of the seam has come to its end. One that was left by an exception has not: whoever
   * threw it has ended the guest, or had no room on the stack to do so.
   */
  leave(): void {
    this.#inside = false;
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
    // It is told of: other processors go on
    this.#inside = false;
    if (this.#events.on) this.#tell('crash', crash.message);
    return crash;
  }

  #end(limit: GuestHang['limit'], reason: string): never {
    const now = this.#clock.now;
    const figures = `${now} ticks, ${this.seamCalls} calls, ${this.pauses} pauses`;
    this.#hang = new GuestHang(limit, `${reason} (${figures})`, this.#activity());
    if (this.#events.on) this.#tell('hang', this.#hang.message);
    throw this.#hang;
  }

  /** Whoever listens and throws is the tool: that counts, not how the guest has ended. */
  #tell(kind: 'crash' | 'hang', text: string): void {
    try {
      this.#events.emit({ kind, text });
    } catch (error) {
      if (isOfGuest(error) === undefined) this.#failure ??= { error };
      throw error;
    }
  }

  #activity(): string {
    if (this.#call === undefined) return 'none but pauses';
    return `${this.#call} ${hex(this.#argument)} on VP ${this.#vp} at tick ${this.#at}`;
  }
}
