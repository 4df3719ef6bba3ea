// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Checks of the network's options: each refusal names the option, what it is and what it may be.
 */

/** An option of the built-in network that cannot be. */
export class NetworkOptionError extends RangeError {
  /** Which option: `faults.toGuest.loss`. */
  readonly option: string;

  constructor(option: string, message: string) {
    super(`network option ${option}: ${message}`);
    this.name = 'NetworkOptionError';
    this.option = option;
  }
}

/** A whole number in a range, or the default. @throws NetworkOptionError */
export function whole(
  option: string,
  value: number | undefined,
  standard: number,
  least: number,
  most: number,
): number {
  if (value === undefined) return standard;
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new NetworkOptionError(option, `${value} is not a whole number from ${least} to ${most}`);
  }
  return value;
}

/** A probability, or the default. @throws NetworkOptionError */
export function probability(option: string, value: number | undefined, standard: number): number {
  if (value === undefined) return standard;
  if (typeof value !== 'number' || !(value >= 0 && value <= 1)) {
    throw new NetworkOptionError(option, `${value} is not a probability from 0 to 1`);
  }
  return value;
}

/** One of some words, or the default. @throws NetworkOptionError */
export function choice<W extends string>(
  option: string,
  value: W | undefined,
  standard: W,
  words: readonly W[],
): W {
  if (value === undefined) return standard;
  if (!words.includes(value)) {
    throw new NetworkOptionError(option, `${String(value)} is none of ${words.join(', ')}`);
  }
  return value;
}
