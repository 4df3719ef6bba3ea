// SPDX-License-Identifier: GPL-2.0-or-later

/** How long a PC may run, and what counts as too long. */

/** When a run is ended. */
export interface PcLimits {
  /** Time of the PC in all, in seconds. */
  readonly seconds: number;
  /** With nothing new on its console and no access to the hypervisor: time of it, instructions. */
  readonly silentSeconds: number;
  readonly silentInstructions: number;
  /** Instructions in all; accesses to registers and hypercalls in all. */
  readonly instructions: number;
  readonly touches: number;
  /** Resets after which it goes on. */
  readonly resets: number;
}

/** Instructions: Debian's kernel for i386 takes 2.3 thousand million until it shows itself. */
export const PC_LIMITS: PcLimits = {
  seconds: 3600,
  silentSeconds: 90,
  silentInstructions: 6_000_000_000,
  instructions: Infinity,
  touches: Infinity,
  resets: 0,
};

/** Most time of a run on the wall's clock, in seconds: what is slow here may be quick elsewhere. */
export const PC_WALL_SECONDS = 600;
