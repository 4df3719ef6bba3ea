// SPDX-License-Identifier: GPL-2.0-or-later

/** What a boot flow is asked for, and what it comes to. */

import type { ServedBootResult as BootResult } from '../../src/services/boot-services.ts';
import type { FirmwareEvent } from '../../src/events.ts';
import type { OsReport } from '../os/loaded-os.ts';
import type { LinuxName } from '../os/os-versions.ts';
import type { Leftover } from '../os/previous-owner.ts';
import type { AuditCheck, Finding } from '../simulator/audit/audit-findings.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { Firmware } from './boot-result.ts';
import type { MachineCounts } from './counts.ts';
import type { FlowStep } from './flow-steps.ts';
import type { GuestEnd } from './guest-run.ts';
import type { NicTimes } from './nic-schedule.ts';
import type { FlowStage } from './stage.ts';

export interface FlowOptions {
  readonly machine: SimulatedMachine;
  readonly firmware: Firmware;
  /** Passed to the firmware: `events` and whatever it knows besides. */
  readonly bootOptions?: Readonly<Record<string, unknown>>;
  /** Reader of the firmware's events, and of the OS's; gets the name of the stage, too. */
  readonly events?: StageEvents;
  readonly osEvents?: StageEvents;
  /** What an earlier owner of the machine has left; by default there was none. */
  readonly previousOwner?: readonly Leftover[];
  /** When the first NIC comes and goes; by default it is there. */
  readonly nicTimes?: NicTimes;
  /**
   * What happens besides, in an order that {@link checkSteps} accepts. A SAN boot needs a firmware
   * that exports `createDriver`.
   */
  readonly steps?: readonly FlowStep[];
  /** Which Linux the kernels are. */
  readonly linux?: LinuxName | undefined;
  /** Let the OS take over, and the firmware boot again afterwards. Default both. */
  readonly os?: boolean;
  readonly secondBoot?: boolean;
  /** Warnings are findings as well. Default false. */
  readonly strict?: boolean;
  /**
   * Search all of memory for damage, whatever is known of who writes where. It is slow, and finds
   * the same. Default false.
   */
  readonly searchesAll?: boolean;
  /** Called right after each handoff of firmware, before anything touches memory. */
  readonly onHandoff?: (result: BootResult) => void;
}

/** A reader of what guests say: the event, and which guest it was. */
export type StageEvents = (event: FirmwareEvent, stage: string) => void;

export type Verdict =
  /** Nothing is left behind. */
  | 'clean'
  /** The audit has errors, or the boot has failed. */
  | 'findings'
  /** The firmware refuses this host, and left it alone. */
  | 'refused'
  | 'crash'
  | 'hang'
  | 'out-of-memory';

export interface FlowReport {
  readonly verdict: Verdict;
  /** What the firmware returned; undefined if it did not. */
  readonly boot: BootResult | undefined;
  readonly ended: GuestEnd | undefined;
  /** The findings of all stages, and of the second boot. */
  readonly findings: readonly Finding[];
  /** The owners of the machine, in order, without the second boot. */
  readonly stages: readonly FlowStage[];
  /** Checks that had no occasion. */
  readonly notRun: readonly AuditCheck[];
  /** The first OS. */
  readonly os: OsReport | undefined;
  readonly secondBoot: BootResult | undefined;
  /** VMBus versions that the firmware agreed on with the host, in order. */
  readonly vmbusVersions: readonly number[];
  /** What the machine had done when the firmware handed over. */
  readonly counts: MachineCounts;
  /** Virtual time at the handoff and at the end, in ticks. */
  readonly handoffAt: number;
  readonly endedAt: number;
}
