// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Check 16: memory that was given back, or shared for something else, while the host still had it:
 * found at that moment, whatever ends the grant later. A guest that takes its memory from an
 * allocator of the tool's is watched there; of others only sharing the same page twice can be seen.
 */

import { PAGE_SIZE, type MemoryRange } from '../../../src/machine.ts';
import type { Grant } from '../ledger/grants.ts';
import type { SimulatedMachine } from '../machine.ts';
import type { AuditBaseline } from './audit-baseline.ts';
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
  /** Called with what a guest takes. */
  onAllocate: ((address: number, length: number) => void) | undefined;

  constructor(machine: SimulatedMachine) {
    this.#machine = machine;
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
  const byPage = new Map<number, Grant>();
  for (const grant of grants) {
    let seen: Set<Grant> | undefined;
    for (const pfn of grant.pfns) {
      const before = byPage.get(pfn);
      byPage.set(pfn, grant);
      if (before === undefined || before === grant || seen?.has(before)) continue;
      (seen ??= new Set()).add(before);
      const over = before.revokedAt !== undefined && before.revokedAt <= grant.grantedAt;
      if (over || findings.length >= FINDINGS_MAX) continue;
      const what = `shared as the ${grant.purpose} while the host had it as the ${before.purpose}`;
      findings.push(
        early(`page 0x${(pfn * PAGE_SIZE).toString(16)} was ${what}`, before, memoryMap),
      );
    }
  }
  return findings;
}

function early(text: string, grant: Grant, memoryMap: readonly MemoryRange[] = []): Finding {
  return { check: 'freed', severity: 'error', text, pages: describeGrant(grant, memoryMap, []) };
}
