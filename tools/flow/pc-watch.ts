// SPDX-License-Identifier: GPL-2.0-or-later

import type { ConsoleSource } from '../guests/pc/pc-console.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

/** Who watches one run. */
export interface PcWatch {
  /** The machine is there, and nothing has run yet. */
  machine(machine: SimulatedMachine): void;
  /** A line of the console is complete; `since`: when its first character came, in ticks. */
  line(text: string, source: ConsoleSource, since: number): void;
  /** The last that its screen and its serial line showed. */
  screen(lines: readonly string[]): void;
}
