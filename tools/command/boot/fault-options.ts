// SPDX-License-Identifier: GPL-2.0-or-later

/** Options of what the network does to frames. */

import type { FrameFaults } from '../../library/boot-plan.ts';
import { probability, wholeNumber } from '../usage.ts';

/** Names of these options, as `parseArguments` wants them. */
export const FAULT_OPTIONS = {
  loss: { type: 'string' },
  duplicate: { type: 'string' },
  reorder: { type: 'string' },
  corrupt: { type: 'string' },
  delay: { type: 'string' },
} as const;

type FaultValues = Readonly<Partial<Record<keyof typeof FAULT_OPTIONS, string>>>;

/** @throws UsageError BadNumber */
export function readFaults(values: FaultValues): FrameFaults {
  return {
    loss: probability('--loss', values.loss ?? '0'),
    duplication: probability('--duplicate', values.duplicate ?? '0'),
    reordering: probability('--reorder', values.reorder ?? '0'),
    corruption: probability('--corrupt', values.corrupt ?? '0'),
    delayTicks: wholeNumber('--delay', values.delay ?? '0', 0, 10_000) * 10_000,
  };
}
