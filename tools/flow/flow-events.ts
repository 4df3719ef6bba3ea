// SPDX-License-Identifier: GPL-2.0-or-later

/** What a flow says on the stream of events: who has the machine, each handoff, what is found. */

import { PAGE_SIZE, type MemoryRange } from '../../src/machine.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import type { Grant } from '../simulator/ledger/grants.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { StageEnd } from './stage.ts';

/** From now on the machine is this owner's. */
export function tellStage({ events }: SimulatedMachine, stage: string): void {
  if (events.on) events.emit({ kind: 'stage', stage });
}

/** What the run comes to. `notRun`: checks that had no occasion. */
export function tellVerdict(
  { events }: SimulatedMachine,
  verdict: string,
  notRun: Iterable<string>,
): void {
  if (events.on) events.emit({ kind: 'verdict', verdict, notRun: [...notRun] });
}

/** An owner has handed over; whatever lives in the ledger now crosses the handoff. */
export function tellHandoff(
  { events }: SimulatedMachine,
  stage: string,
  end: StageEnd,
  memoryMap: readonly MemoryRange[],
): void {
  if (events.on) events.emit({ kind: 'handoff', stage, end, memoryMap });
}

/** What was found about an owner. */
export function tellFindings(
  machine: SimulatedMachine,
  stage: string,
  findings: readonly Finding[],
): void {
  if (!machine.events.on) return;
  const grants = findings.length === 0 ? [] : grantsOf(machine);
  for (const finding of findings) {
    const { check, severity, text, vp, known } = finding;
    const grant = grants.find((each) => isAbout(finding, each))?.id;
    machine.events.emit({
      ...{ kind: 'finding', stage, check, severity, text },
      ...(grant === undefined ? {} : { grant }),
      ...(vp === undefined ? {} : { vp }),
      ...(known === undefined ? {} : { known }),
    });
  }
}

/** All grants that the ledger knows, in order. */
function grantsOf({ partition }: SimulatedMachine): readonly Grant[] {
  const { grants } = partition;
  return [...grants.history(), ...grants.live().filter(({ kind }) => kind === 'packet')];
}

/** Whether the pages of a finding are those of a grant. */
function isAbout({ pages }: Finding, { purpose, grantedAt, pfns }: Grant): boolean {
  if (pages === undefined || pages.sharedAt !== grantedAt || pages.purpose !== purpose)
    return false;
  return pages.pages.every((page) => pfns.includes(page / PAGE_SIZE));
}
