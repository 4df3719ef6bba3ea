// SPDX-License-Identifier: GPL-2.0-or-later

/** Faults of the wires between guests and switch: what can go wrong, and how often. */

import { NetworkOptionError, probability, whole } from './options.ts';

/** Faults of one direction. Each fault is drawn from random numbers of its own. */
export interface DirectionFaults {
  /** Probability (0 to 1) that a frame is lost. */
  readonly loss: number;
  /** Probability that a frame arrives twice, one copy behind the other. */
  readonly duplication: number;
  /**
   * Probability that a frame is held back until the next one has overtaken it, or for
   * {@link HOLD_TICKS}. Only one frame of a wire is held at a time.
   */
  readonly reordering: number;
  /**
   * Probability that one bit flips, always one that a checksum (IP, UDP, TCP, ICMP) covers. A frame
   * without such a checksum (ARP) is lost instead, as a NIC drops it for its check sequence.
   */
  readonly corruption: number;
  /** Extra delay in ticks: evenly spread from `delayTicks - jitterTicks` to the sum of both. */
  readonly delayTicks: number;
  /** At most `delayTicks`. Jitter alone does not change the order of frames. */
  readonly jitterTicks: number;
}

/** Faults of both directions: what is given for one direction goes before what is for both. */
export interface NetworkFaults extends Partial<DirectionFaults> {
  readonly toGuest?: Partial<DirectionFaults>;
  readonly fromGuest?: Partial<DirectionFaults>;
}

/** Longest time that a frame is held back for reordering: 1 ms. */
export const HOLD_TICKS = 10_000;

/** Longest delay: 60 s. */
const DELAY_MAX = 600_000_000;

const NAMES = [
  'loss',
  'duplication',
  'reordering',
  'corruption',
  'delayTicks',
  'jitterTicks',
] as const satisfies (keyof DirectionFaults)[];

/** Faults of each direction, complete and checked. @throws NetworkOptionError */
export function resolveFaults(faults: NetworkFaults = {}): {
  readonly toGuest: DirectionFaults;
  readonly fromGuest: DirectionFaults;
} {
  checkNames('faults', faults, [...NAMES, 'toGuest', 'fromGuest']);
  return {
    toGuest: resolveDirection('toGuest', faults, faults.toGuest),
    fromGuest: resolveDirection('fromGuest', faults, faults.fromGuest),
  };
}

function resolveDirection(
  name: string,
  both: Partial<DirectionFaults>,
  own: Partial<DirectionFaults> = {},
): DirectionFaults {
  checkNames(`faults.${name}`, own, NAMES);
  const option = (fault: keyof DirectionFaults): string =>
    own[fault] === undefined ? `faults.${fault}` : `faults.${name}.${fault}`;
  const chance = (fault: keyof DirectionFaults): number =>
    probability(option(fault), own[fault] ?? both[fault], 0);
  const ticks = (fault: keyof DirectionFaults): number =>
    whole(option(fault), own[fault] ?? both[fault], 0, 0, DELAY_MAX);

  const resolved: DirectionFaults = {
    loss: chance('loss'),
    duplication: chance('duplication'),
    reordering: chance('reordering'),
    corruption: chance('corruption'),
    delayTicks: ticks('delayTicks'),
    jitterTicks: ticks('jitterTicks'),
  };
  if (resolved.jitterTicks > resolved.delayTicks) {
    throw new NetworkOptionError(
      option('jitterTicks'),
      `${resolved.jitterTicks} is more than the delay of ${resolved.delayTicks} ticks`,
    );
  }
  return resolved;
}

/** A misspelt fault would be a fault that never happens. */
function checkNames(option: string, given: object, known: readonly string[]): void {
  for (const name of Object.keys(given)) {
    if (!known.includes(name)) {
      throw new NetworkOptionError(`${option}.${name}`, `unknown; there are ${known.join(', ')}`);
    }
  }
}
