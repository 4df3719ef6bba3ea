// SPDX-License-Identifier: GPL-2.0-or-later

/** A run of a PC as it is asked for: the host, the network, who types what. Plain data. */

import { PC_LIMITS, PC_WALL_SECONDS } from '../flow/pc-limits.ts';
import type { ScriptStep } from '../flow/pc-script.ts';
import { bootPlan, type BootChoices, type BootPlan } from './boot-plan.ts';

/** What a PC's host and network have in common with those of a boot. */
type HostPlan = Pick<
  BootPlan,
  | 'host'
  | 'profile'
  | 'knobs'
  | 'seed'
  | 'nics'
  | 'memoryMiB'
  | 'devices'
  | 'faults'
  | 'network'
  | 'strict'
>;

/** A run of a PC, with everything decided. */
export interface PcPlan extends HostPlan {
  /** Typed once the PC waits. */
  readonly keys: string;
  /** What is expected of the console, and what is answered. Its end is the end of the run. */
  readonly script: readonly ScriptStep[];
  /** Most time of the PC, in seconds. */
  readonly seconds: number;
  /**
   * Most time that it may take, in seconds of the wall's clock: an end by it is the one thing of a
   * run that its seed does not decide.
   */
  readonly wallSeconds: number;
  /** Resets after which it goes on. */
  readonly resets: number;
}

/** What may be chosen of a {@link PcPlan}; the rest is as `hypxe pc` has it. */
export interface PcChoices
  extends
    Pick<BootChoices, Extract<keyof HostPlan, keyof BootChoices>>,
    Partial<Omit<PcPlan, keyof HostPlan>> {}

/** Decide what was not chosen. @throws RangeError for a host that is not there */
export function pcPlan(choices: PcChoices = {}): PcPlan {
  const { keys = '', script = [], seconds = PC_LIMITS.seconds, resets = 0, ...others } = choices;
  const { wallSeconds = PC_WALL_SECONDS, ...rest } = others;
  const { host, profile, knobs, seed, nics, memoryMiB, devices, faults, network, strict } =
    bootPlan(rest);
  return {
    ...{ host, profile, knobs, seed, nics, memoryMiB, devices, faults, network, strict },
    ...{ keys, script, seconds, wallSeconds, resets },
  };
}
