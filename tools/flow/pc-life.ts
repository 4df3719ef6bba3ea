// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Whether a PC gets anywhere: what it shows that is new, and what it does to the hypervisor. Who
 * waits for a key, starts over and over, or computes for ever, does neither.
 */

import type { Pc } from '../guests/pc/pc.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { Keeper } from '../simulator/base/snapshot.ts';
import type { PcLimits } from './pc-limits.ts';
import type { PcEnd } from './pc-verdict.ts';

/** Why a run is at its end, and more of it in words. */
export interface PcEnding {
  readonly end: PcEnd;
  readonly text: string;
}

/** How far a run is. */
export interface PcProgress {
  /** Time of the PC, in ticks of 100 ns; and when something new came of it last. */
  readonly now: number;
  readonly newAt: number;
  readonly instructions: number;
  /** Accesses to registers of the hypervisor, but for its clock, and hypercalls. */
  readonly touches: number;
  /** The last line on its screen, or of its serial line; empty if there is none. */
  readonly last: string;
}

export class PcLife implements PcProgress {
  readonly #pc: Pc;
  /** When a byte came last, in ticks and in instructions. */
  #sign = { bytes: 0, at: 0, instructions: 0 };
  /** When something came that was not there before. */
  #new = { news: 0, touches: 0, at: 0, instructions: 0 };

  constructor(pc: Pc) {
    this.#pc = pc;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#sign, this.#new], (v) => ([this.#sign, this.#new] = v));
  }

  get now(): number {
    return this.#pc.machine.clock.now;
  }

  get newAt(): number {
    return this.#new.at;
  }

  get instructions(): number {
    return this.#pc.board.instructions;
  }

  get touches(): number {
    return this.#pc.board.touches;
  }

  get last(): string {
    const { console } = this.#pc;
    return console.serialRest.trim() || (console.screen.at(-1) ?? '');
  }

  /** For how long it has been quiet: no byte, no access. */
  quietTicks(now: number): number {
    return now - Math.max(this.#sign.at, this.#new.at);
  }

  /** Look at the console, and at what the hypervisor was asked for. */
  look(): void {
    const { console } = this.#pc;
    console.look();
    const { bytes, news } = console;
    const { touches, now: at, instructions } = this;
    if (bytes !== this.#sign.bytes) this.#sign = { bytes, at, instructions };
    if (news === this.#new.news && touches === this.#new.touches) return;
    this.#new = { news, touches, at, instructions };
  }

  /** Which of the limits it is at, if at one; `patience`: for so many seconds it may be silent. */
  ended(limits: PcLimits, patience: number): PcEnding | undefined {
    const { now, instructions, touches } = this;
    const { seconds, silentSeconds, silentInstructions, instructions: most } = limits;
    if (now > seconds * 1000 * TICKS_PER_MS) return { end: 'time', text: `${seconds} s` };
    if (instructions - this.#new.instructions > silentInstructions) {
      const isMute = instructions - this.#sign.instructions > silentInstructions / 2;
      return { end: isMute ? 'loop' : 'repeats', text: millions(silentInstructions) };
    }
    if (instructions > most) return { end: 'loop', text: `${millions(most)} in all` };
    if (touches > limits.touches) {
      return { end: 'loop', text: `${limits.touches} accesses to the hypervisor in all` };
    }
    const quiet = Math.max(silentSeconds, patience);
    const ticks = quiet * 1000 * TICKS_PER_MS;
    if (now - this.#new.at <= ticks) return undefined;
    return { end: now - this.#sign.at > ticks / 2 ? 'silent' : 'repeats', text: `${quiet} s` };
  }
}

function millions(instructions: number): string {
  return `${Math.round(instructions / 1e6)} million instructions`;
}
