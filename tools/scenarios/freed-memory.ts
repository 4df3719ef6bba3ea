// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Whether the host writes to memory that a guest has freed: the trial of late writes, on a part.
 */

import type { EventSink } from '../../src/events.ts';
import type { MemoryRange } from '../../src/machine.ts';
import type { Purpose } from '../../src/memory/shared-memory.ts';
import { tellHandoff } from '../flow/flow-events.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { describeGrant } from '../simulator/audit/audit-pages.ts';
import { MemoryPattern, auditPattern, writeLate } from '../simulator/audit/late-writes.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { guestsOf } from './rig.ts';
import type { HalfResult } from './scenario.ts';

/**
 * Run a guest that frees what it has shared, and try the last regions of these purposes: they are
 * anybody's now.
 */
export function lateWrites(
  machine: SimulatedMachine,
  purposes: readonly Purpose[],
  guest: (events: EventSink) => void,
): HalfResult {
  const freed = new Map<string, MemoryRange>();
  const guests = guestsOf(machine);
  guests.run('firmware', () =>
    guest((event) => {
      if (event.kind !== 'ledger' || event.change !== 'share') return;
      const { purpose, address, length } = event;
      if (!(purposes as readonly string[]).includes(purpose)) return;
      freed.set(purpose, { address, length, type: 'usable' });
    }),
  );
  const map = [...freed.values()].sort((a, b) => a.address - b.address);
  return { findings: untilLateWrites(machine, map), ended: guests.ended };
}

/** The firmware is done: fill memory, let the host write to all that it holds, and look. */
export function untilLateWrites(
  machine: SimulatedMachine,
  map: readonly MemoryRange[],
  meanwhile?: () => void,
): Finding[] {
  tellHandoff(machine, 'firmware', 'handoff', map);
  const pattern = new MemoryPattern(machine.partition.ram, map);
  const grants = machine.partition.grants.live();
  if (meanwhile === undefined) writeLate(machine);
  else meanwhile();
  machine.run(1_000_000);
  const when = 'by the host after they were freed';
  return auditPattern(pattern, when, grants, (grant) => describeGrant(grant, map, []));
}
