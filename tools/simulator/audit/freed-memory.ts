// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Check 16: memory that was given back, or shared for something else, while the host still had it:
 * found at that moment, whatever ends the grant later. A guest that takes its memory from an
 * allocator of the tool's is watched there; of others only sharing the same page twice can be seen.
 */

import { PAGE_SIZE, type MemoryRange } from '../../../src/machine.ts';
import type { Grant } from '../ledger/grants.ts';
import type { SimulatedMachine } from '../machine.ts';
import { NO_BASELINE, type AuditBaseline } from './audit-baseline.ts';
import type { Finding } from './audit-findings.ts';
import { describeGrant } from './audit-pages.ts';

/** Findings kept of one guest. */
const FINDINGS_MAX = 64;

/** A source of memory as a guest calls it. */
export interface GuestAllocator {
  allocate(length: number, align: number, purpose: string): number | undefined;
  free(address: number, length: number, purpose: string): void;
}

/** Watches what a guest gives back to its allocator. */
export class FreedMemory {
  readonly #machine: SimulatedMachine;
  readonly #findings: Finding[] = [];
  #allocated = false;
  /** When the guest that is watched got the machine, in ticks. */
  #since = NO_BASELINE.at;
  /** Called with what a guest takes. */
  onAllocate: ((address: number, length: number) => void) | undefined;

  constructor(machine: SimulatedMachine) {
    this.#machine = machine;
  }

  /** Another guest gets the machine: what is shared already is none of its own. */
  begin({ at }: AuditBaseline): void {
    this.#since = at;
  }

  /** The same allocator, watched. */
  watch(allocator: GuestAllocator): GuestAllocator {
    return {
      allocate: (length, align, purpose) => {
        const address = allocator.allocate(length, align, purpose);
        this.#allocated = true;
        if (address !== undefined) this.onAllocate?.(address, length);
        return address;
      },
      free: (address, length, purpose) => {
        this.#freed(address, length, purpose);
        allocator.free(address, length, purpose);
      },
    };
  }

  /** Whether any guest has taken memory here: one that does not takes it unseen. */
  get allocated(): boolean {
    return this.#allocated;
  }

  /** What was found since the last call. */
  take(): Finding[] {
    return this.#findings.splice(0);
  }

  #freed(address: number, length: number, purpose: string): void {
    for (const grant of this.#machine.partition.grants.live()) {
      if (this.#findings.length >= FINDINGS_MAX) return;
      if (grant.grantedAt <= this.#since) continue;
      const hit = grant.pfns.some((pfn) => {
        const page = pfn * PAGE_SIZE;
        return address < page + PAGE_SIZE && page < address + length;
      });
      if (!hit) continue;
      const may = grant.access === 'write' ? 'write to' : 'read';
      const text = `${purpose} was freed while the host could ${may} the ${grant.purpose}`;
      this.#findings.push(early(text, grant));
    }
  }
}

/** Pages that were shared for a second purpose while the first was not over. */
export function auditSharedTwice(
  machine: SimulatedMachine,
  since: AuditBaseline,
  memoryMap: readonly MemoryRange[],
): Finding[] {
  const findings: Finding[] = [];
  const grants = machine.partition.grants.history(since.at);
  const byPage = new Map<number, Grant[]>();
  for (const grant of grants) {
    let seen: Set<Grant> | undefined;
    for (const pfn of grant.pfns) {
      const known = byPage.get(pfn);
      if (known === undefined) {
        byPage.set(pfn, [grant]);
        continue;
      }
      const alive = known.filter(
        ({ revokedAt }) => revokedAt === undefined || revokedAt > grant.grantedAt,
      );
      byPage.set(pfn, [...alive, grant]);
      for (const before of alive) {
        if (seen?.has(before) === true || areOne(before, grant) || !meet(before, grant, pfn))
          continue;
        (seen ??= new Set()).add(before);
        if (findings.length >= FINDINGS_MAX) continue;
        const what = `as the ${grant.purpose} while the host had it as the ${before.purpose}`;
        const page = `page 0x${(pfn * PAGE_SIZE).toString(16)}`;
        findings.push(early(`${page} was shared ${what}`, before, memoryMap));
      }
    }
  }
  return findings;
}

/** Ranges of one GPADL may lie in the same page: it is shared once. */
function areOne(one: Grant, other: Grant): boolean {
  if (one === other) return true;
  const { gpadl, channel, grantedAt } = one;
  return (
    gpadl !== undefined &&
    gpadl === other.gpadl &&
    channel === other.channel &&
    grantedAt === other.grantedAt
  );
}

/** Whether two grants have a byte of a page in common. */
function meet(one: Grant, other: Grant, pfn: number): boolean {
  return piecesIn(one, pfn).some((a) =>
    piecesIn(other, pfn).some((b) => a.start < b.end && b.start < a.end),
  );
}

/** The bytes of a page that a grant covers; it may name the page more than once. */
function piecesIn({ pfns, offset, length }: Grant, pfn: number): { start: number; end: number }[] {
  return pfns.flatMap((page, index) => {
    if (page !== pfn) return [];
    const start = index === 0 ? offset : 0;
    return [{ start, end: Math.min(PAGE_SIZE, offset + length - index * PAGE_SIZE) }];
  });
}

function early(text: string, grant: Grant, memoryMap: readonly MemoryRange[] = []): Finding {
  return { check: 'freed', severity: 'error', text, pages: describeGrant(grant, memoryMap, []) };
}
