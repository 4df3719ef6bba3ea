// SPDX-License-Identifier: GPL-2.0-or-later

/** The lines that the run of a PC is told in: its console, its stages, and how far it is. */

import type { PcProgress } from '../../flow/pc-life.ts';
import { TICKS_PER_MS } from '../../simulator/base/clock.ts';
import { plural } from '../usage.ts';

/** After so many ms of the wall's clock without a line the command says how far it is. */
export const PROGRESS_MS = 10_000;

export class PcTelling {
  readonly #tell: (line: string) => void;
  readonly #wall: () => number;
  readonly #begin: number;
  /** When the last line was told. */
  #told: number;

  /**
   * `wall`: a clock in ms. Not Date's: lines come while an instruction runs, and the emulator has
   * the PC's time there.
   */
  constructor(tell: (line: string) => void, wall = (): number => performance.now()) {
    this.#tell = tell;
    this.#wall = wall;
    this.#begin = this.#told = wall();
  }

  /** A line, with the time of the PC, in ticks. */
  line(text: string, now: number): void {
    this.#told = this.#wall();
    this.#tell(`${seconds(now / TICKS_PER_MS, 3).padStart(10)} s  ${text}`);
  }

  /** How far it is, if nothing was told for long. */
  progress({ now, newAt, instructions, touches, last }: PcProgress): void {
    const here = this.#wall();
    if (here - this.#told < PROGRESS_MS) return;
    this.#told = here;
    const parts = [
      `${seconds(here - this.#begin)} s here: ${seconds(now / TICKS_PER_MS)} s of the PC`,
      `${Math.round(instructions / 1e6)} million instructions`,
      plural(touches, 'access to the hypervisor', 'accesses to the hypervisor'),
      `nothing new for ${seconds((now - newAt) / TICKS_PER_MS)} s of the PC`,
    ];
    this.#tell(`   ... ${parts.join(', ')}${last === '' ? '' : `; at: ${last}`}`);
  }
}

function seconds(ms: number, digits = 1): string {
  return (ms / 1000).toFixed(digits);
}
