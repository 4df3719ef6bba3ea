// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * When a host on other processors acts, and which stores it then sees: decided by a number, so that
 * a race is a run that can be made again.
 */

import { Random } from '../../simulator/base/random.ts';

/**
 * What orders a guest's stores for others.
 *
 * - `strong`: nothing needs to, each is seen at once
 * - `store-buffer`: they are seen in order, but late, unless a locked operation, a fence or an exit
 *   comes in between (x64)
 * - `weak`: they are seen in any order, unless a barrier comes in between; an exit is none (arm64)
 */
export const RACE_MODELS = ['strong', 'store-buffer', 'weak'] as const;
export type RaceModel = (typeof RACE_MODELS)[number];

/** The models of an architecture. */
export function modelsOf(architecture: 'x64' | 'arm64'): readonly RaceModel[] {
  return architecture === 'x64' ? ['strong', 'store-buffer'] : ['strong', 'weak'];
}

/** Races of each model that an exploration makes. */
export const RACES = 20;

/** What the host does at an access. */
export type RaceAct =
  | 'nothing'
  /** Where it is at a ring anyway, it reads what is there now. */
  | 'read'
  /** It stops looking: it unmasks, and looks once more. */
  | 'end'
  /** It sends a message that nobody has asked for. */
  | 'message';

/**
 * When the host acts: at an access, or at the end of those that nothing orders; `slot`: one of
 * these empties a slot of messages, which the host has yet to see.
 */
export type RaceMoment = 'access' | 'order' | 'slot';

/** Ends of unordered accesses after which the host of a regular race stops looking. */
const SPANS = [1, 1, 2, 2, 3, 3, 5, 5] as const;

/** Races from this number on have loads that are done early, where the model has them. */
const EARLY_FROM = 16;

/** Of so many races there are two in which the host hears signals at once: the last. */
const HEARS_EACH = 4;

/** How often the host has a message to send, where it does nothing else. */
const MESSAGE_CHANCE = { access: 0.01, order: 0.1, slot: 0.5 } as const;
/** Messages of one race at moments of each kind: each is logged, and delays what is waited for. */
const MESSAGES_MAX = 16;

export class RacePolicy {
  readonly #random: Random;
  readonly #model: RaceModel;
  readonly #number: number;
  /** Loads are done early. */
  readonly hasEarlyLoads: boolean;
  /** A signal is answered before the guest's next access, and not a little later. */
  readonly hearsAtOnce: boolean;
  /** Orders until the host stops looking, or undefined: at random. */
  readonly #span: number | undefined;
  readonly #newestFirst: boolean;
  #orders = 0;
  readonly #messages = { access: 0, order: 0, slot: 0 };

  /** The first numbers (of SPANS) are regular: the host is always about; others by chance. */
  constructor(model: RaceModel, number: number) {
    this.#random = new Random(number, 0x7ace);
    this.#model = model;
    this.#number = number;
    this.hasEarlyLoads = model === 'weak' && number >= EARLY_FROM;
    this.hearsAtOnce = number % HEARS_EACH >= HEARS_EACH - 2;
    this.#span = SPANS[number];
    this.#newestFirst = number % 2 === 1;
  }

  /** What the host does now. */
  next(moment: RaceMoment): RaceAct {
    const order = moment !== 'access';
    if (this.#span !== undefined)
      return order && ++this.#orders % this.#span === 0 ? 'end' : 'read';
    if (moment !== 'slot') {
      if (this.#random.chance(order ? 0.5 : 0.01)) return 'end';
      if (this.#random.chance(0.4)) return 'read';
    }
    if (this.#messages[moment] >= MESSAGES_MAX) return 'nothing';
    if (!this.#random.chance(MESSAGE_CHANCE[moment])) return 'nothing';
    this.#messages[moment]++;
    return 'message';
  }

  /** Whether a load is done before those in front of it. */
  isEarly(): boolean {
    return this.hasEarlyLoads && (this.#number % 2 === 0 || this.#random.chance(0.5));
  }

  /**
   * Whether the host sees store `index` of `count` that wait, from the oldest; `apart`: the newest
   * one is no part of what was stored before it, as an index is none of a packet.
   */
  sees(index: number, count: number, apart: boolean): boolean {
    switch (this.#model) {
      case 'strong':
        return true;
      case 'store-buffer':
        // None, or by chance the oldest ones
        return this.#span === undefined && index < this.#seen(count);
      case 'weak':
        if (this.#span === undefined) return this.#random.chance(0.5);
        return this.#newestFirst && apart && index === count - 1;
    }
  }

  /** How many of the oldest are seen: one number for all that wait at this moment. */
  #seen(count: number): number {
    if (count !== this.#seenOf) {
      this.#seenOf = count;
      this.#seenNow = this.#random.below(count + 1);
    }
    return this.#seenNow;
  }
  #seenOf = -1;
  #seenNow = 0;
}
