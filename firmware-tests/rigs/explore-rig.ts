// SPDX-License-Identifier: GPL-2.0-or-later

/** What the tests of the exploration share. */

import * as firmware from '../../src/os.ts';
import type { Exploration } from '../../tools/explore/exploration.ts';
import { planText, type Plan } from '../../tools/explore/plan.ts';
import { trustedGuests, type ExploredFirmware } from '../../tools/explore/explored-guest.ts';
import { Runner } from '../../tools/explore/run.ts';
import { DEFAULT_PROFILE, profileNamed } from '../../tools/simulator/profiles/profiles.ts';

/** All flows of a firmware that has its services in it. */
export function allFlows(firmware: ExploredFirmware): ExploredFirmware {
  return { ...firmware, bootPushed: firmware.boot };
}

/** A runner on the default host; by default of the firmware as it is. */
export function newRunner(
  explored: ExploredFirmware = firmware,
  architecture?: 'x64' | 'arm64',
): Runner {
  const profile = profileNamed(DEFAULT_PROFILE)!;
  return new Runner(trustedGuests(allFlows(explored)), profile, undefined, architecture);
}

/** The text of every run of an exploration. */
export function allRuns(exploration: Exploration): string[] {
  return Array.from({ length: exploration.total }, (_, run) => planText(exploration.plan(run)));
}

/** Some items in an order that visits all regions early: every nth, and then the next offset. */
export function scattered<T>(items: readonly T[], step: number): T[] {
  return Array.from({ length: step }, (_, offset) => offset).flatMap((offset) =>
    items.filter((_, i) => i % step === offset),
  );
}

/** What kind of run it is: `boot message/drop`. */
export function kindOf({ flow, faults }: Plan): string {
  return `${flow} ${faults.map(({ place, kind }) => `${place}/${kind}`).join('+')}`;
}

export { FLOWS } from '../../tools/explore/plan.ts';
