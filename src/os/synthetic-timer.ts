// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The synthetic timers of our processor (TLFS 12.4): one-shot at a reference time, or periodic;
 * they tell by a message to a SINT, or by an interrupt of their own (direct mode). Who polls takes
 * the message out of the SINT's slot.
 */

import { HypxeError } from '../error.ts';
import type { HvPart } from '../hyperv/hyperv-options.ts';
import type { HyperV } from '../hyperv/hyperv.ts';
import type { ReceivedMessage } from '../hyperv/message.ts';
import {
  Cpuid,
  HvFeature,
  HvMessageType,
  HvMiscFeature,
  Msr,
  SINT_COUNT,
  STIMER_COUNT,
  StimerConfig,
  TimerMessage,
} from '../hyperv/protocol.ts';

/** Vectors and interrupt IDs below this are the processor's own, and more do not fit. */
const VECTOR_MIN = 16;
const VECTOR_MAX = 255;

/** What a timer shall do. */
export interface TimerOptions {
  /** The reference time at which it expires, in ticks; or its period. One of the two. */
  readonly at?: bigint;
  readonly period?: bigint;
  /** The SINT that gets its message; or the vector of its interrupt. One of the two. */
  readonly sint?: number;
  readonly vector?: number;
  /** A period may be skipped while the processor does not run (periodic timers only). */
  readonly lazy?: boolean;
}

/** What the message of a timer says. */
export interface TimerExpiry {
  readonly timer: number;
  /** When it expired, and when the message was delivered: reference time in ticks. */
  readonly expiredAt: bigint;
  readonly deliveredAt: bigint;
}

/** Plugs into the hypervisor layer: all timers are stopped before it lets go of the machine. */
export class SyntheticTimers implements HvPart {
  readonly #hv: HyperV;
  /** Timers that run, or that have run and were not stopped, as bits. */
  #used = 0;

  constructor(hv: HyperV) {
    this.#hv = hv;
    hv.parts.push(this);
  }

  /**
   * Start a timer; one that runs is started anew. A time that is over expires at once.
   *
   * @param timer 0 to 3
   * @throws HypxeError NoSyntheticTimers, BadTimer
   */
  start(timer: number, options: TimerOptions): void {
    const { platform } = this.#hv;
    if (!(platform.facts(Cpuid.HV_FEATURES).eax & HvFeature.SYNTHETIC_TIMERS)) {
      throw new HypxeError('NoSyntheticTimers', 'the host has no synthetic timers');
    }
    const config = this.#config(timer, options);
    const count = options.at ?? options.period!;

    // Stopped, then configured; the count starts it (Linux hv_ce_set_next_event)
    this.stop(timer);
    this.#used |= 1 << timer;
    platform.write(Msr.STIMER0_CONFIG + 2 * timer, config);
    platform.write(Msr.STIMER0_COUNT + 2 * timer, count);
  }

  /** Stop a timer: count, then configuration (Linux hv_ce_shutdown). Its message may be there. */
  stop(timer: number): void {
    if (!(this.#used & (1 << timer))) return;
    this.#hv.platform.write(Msr.STIMER0_COUNT + 2 * timer, 0n);
    this.#hv.platform.write(Msr.STIMER0_CONFIG + 2 * timer, 0n);
    this.#used &= ~(1 << timer);
  }

  /** Stop all that were started: nobody after us expects their messages. */
  unmapping(): void {
    for (let timer = 0; timer < STIMER_COUNT; timer++) this.stop(timer);
  }

  /** Whether a timer runs: a one-shot timer that has expired does not. */
  isRunning(timer: number): boolean {
    if (!(this.#used & (1 << timer))) return false;
    const config = this.#hv.platform.read(Msr.STIMER0_CONFIG + 2 * timer);
    return (config & StimerConfig.ENABLE) !== 0n;
  }

  #config(timer: number, { at, period, sint, vector, lazy = false }: TimerOptions): bigint {
    const bad = (text: string): HypxeError => new HypxeError('BadTimer', text);
    if (!isWithin(timer, 0, STIMER_COUNT - 1)) throw bad(`there is no timer ${timer}`);
    const count = at ?? period;
    if ((at === undefined) === (period === undefined) || count! <= 0n || count! >= 1n << 64n) {
      throw bad(`timer ${timer}: one time after 0, or one period`);
    }
    if (lazy && period === undefined) throw bad(`timer ${timer}: only periodic timers are lazy`);
    const repeat =
      (period === undefined ? 0n : StimerConfig.PERIODIC) | (lazy ? StimerConfig.LAZY : 0n);
    const config = repeat | StimerConfig.AUTO_ENABLE;

    // Message mode. SINT 0 takes no messages of timers: the timer would not start
    if (vector === undefined) {
      if (sint !== undefined && isWithin(sint, 1, SINT_COUNT - 1)) {
        return config | (BigInt(sint) << StimerConfig.SINT_SHIFT);
      }
      throw bad(`timer ${timer}: there is no SINT ${sint} for it`);
    }

    // Direct mode
    if (sint !== undefined || !isWithin(vector, VECTOR_MIN, VECTOR_MAX)) {
      throw bad(`timer ${timer}: vector ${vector}`);
    }
    if (!(this.#hv.platform.facts(Cpuid.HV_FEATURES).edx & HvMiscFeature.STIMER_DIRECT)) {
      throw new HypxeError('NoSyntheticTimers', 'the host has no direct timers');
    }
    const mode = StimerConfig.DIRECT_MODE | (BigInt(vector) << StimerConfig.APIC_VECTOR_SHIFT);
    return config | mode;
  }
}

/** What a message says, if it is a timer's; undefined if it is not, or too short. */
export function timerExpiry({ type, length, view }: ReceivedMessage): TimerExpiry | undefined {
  const { at, size } = TimerMessage;
  if (type !== HvMessageType.TIMER_EXPIRED || length < size) return undefined;
  const timer = view.getUint32(at.timerIndex, true);
  if (timer >= STIMER_COUNT) return undefined;
  const expiredAt = view.getBigUint64(at.expirationTime, true);
  const deliveredAt = view.getBigUint64(at.deliveryTime, true);
  return { timer, expiredAt, deliveredAt };
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}
