// SPDX-License-Identifier: GPL-2.0-or-later

/** What the architectures of simulated machines differ in, as data. */

/** The architectures. */
export type Architecture = 'x64' | 'arm64';

/** A free-running counter: TSC, or CNTVCT. */
export interface CounterTraits {
  /** Rate in Hz. */
  readonly frequency: bigint;
  /** The counter when the reference time was 0: it ran before the partition was made. */
  readonly atZero: bigint;
  /** Rate of the timer of the local APIC that is beside it, in Hz, if it is another one. */
  readonly apicHz?: bigint;
}

/** The counters. x64: 256 counts in a tick, so that nothing rounds; arm64: 1 GHz, and it rounds. */
export const COUNTERS: Readonly<Record<Architecture, CounterTraits>> = {
  x64: { frequency: 2_560_000_000n, atZero: 25_600_000_000n },
  arm64: { frequency: 1_000_000_000n, atZero: 7_000_000_000n },
};
