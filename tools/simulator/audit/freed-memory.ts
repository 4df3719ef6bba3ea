// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Check 16: memory that was given back, or shared for something else, while the host still had it:
 * found at that moment, whatever ends the grant later. A guest that takes its memory from an
 * allocator of the tool's is watched there; of others only sharing the same page twice can be seen.
 */

import { PAGE_SIZE, type MemoryRange } from '../../../src/machine.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import type { Grant } from '../ledger/grants.ts';
import type { SimulatedMachine } from '../machine.ts';
import { NO_BASELINE, type AuditBaseline } from './audit-baseline.ts';
import type { Finding } from './audit-findings.ts';
import { describeGrant } from './audit-pages.ts';
import type { Keeper } from '../base/snapshot.ts';

/** The answer that tells a guest that the host has its memory. */
const TOLD_BY: Partial<Record<Grant['kind'], keyof typeof MessageType>> = {
  'interrupt-page': 'VERSION_RESPONSE',
  'monitor-page': 'VERSION_RESPONSE',
  gpadl: 'GPADL_CREATED',
};

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

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#allocated, this.#since], (v) => ([this.#allocated, this.#since] = v));
    keeper.put([this.onAllocate], (v) => ([this.onAllocate] = v));
    keeper.keep(this.#machine, this.#findings);
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
    const first = Math.floor(address / PAGE_SIZE);
    const end = Math.ceil((address + length) / PAGE_SIZE);
    for (const grant of this.#machine.partition.grants.liveAt(first, end)) {
      if (this.#findings.length >= FINDINGS_MAX) return;
      if (grant.grantedAt <= this.#since) continue;
      const may = grant.access === 'write' ? 'write to' : 'read';
      const text = `${purpose} was freed while the host could ${may} the ${grant.purpose}`;
      const found = early(text, grant);
      const answer = TOLD_BY[grant.kind];
      const { host } = this.#machine.partition.omissions;
      const untold =
        answer !== undefined && host.hasChangedAnswer(grant.grantedAt, MessageType[answer]);
      // Whoever is told that the host has nothing gives it back: other checks tell if it stays so
      const why = `${text} (${answer} did not come as it was sent)`;
      this.#findings.push(untold ? { ...found, severity: 'info', text: why } : found);
    }
    // What has been sent and not been read is no grant yet, but the host will come to it
    const channel = this.#machine.vmbus.unreadAt(first, end, this.#since);
    if (channel === undefined || this.#findings.length >= FINDINGS_MAX) return;
    const text = `${purpose} was freed while a packet of channel ${channel} pointed to it, unread`;
    this.#findings.push({ check: 'freed', severity: 'error', text });
  }
}

/** Pages that were shared for a second purpose while the first was not over. */
export function auditSharedTwice(
  machine: SimulatedMachine,
  since: AuditBaseline,
  memoryMap: readonly MemoryRange[],
): Finding[] {
  const findings: Finding[] = [];
  if (!machine.partition.grants.mayShareTwice(since.at)) return findings;
  const byPage = new Map<number, Covering[]>();
  for (const grant of machine.partition.grants.history(since.at)) {
    const seen = new Set<Grant>();
    for (const [pfn, pieces] of piecesByPage(grant)) {
      const known = byPage.get(pfn);
      if (known === undefined) {
        byPage.set(pfn, [{ grant, pieces }]);
        continue;
      }
      const alive = known.filter(
        ({ grant: { revokedAt } }) => revokedAt === undefined || revokedAt > grant.grantedAt,
      );
      for (const before of alive) {
        if (seen.has(before.grant) || areOne(before.grant, grant)) continue;
        if (!before.pieces.some((one) => pieces.some((other) => meet(one, other)))) continue;
        seen.add(before.grant);
        const what = `as the ${grant.purpose} while the host had it as the ${before.grant.purpose}`;
        const page = `page 0x${(pfn * PAGE_SIZE).toString(16)}`;
        findings.push(early(`${page} was shared ${what}`, before.grant, memoryMap));
        if (findings.length >= FINDINGS_MAX) return findings;
      }
      byPage.set(pfn, [...alive.slice(1 - COVERING_MAX), { grant, pieces }]);
    }
  }
  return findings;
}

/** Grants that are remembered of one page, the latest. */
const COVERING_MAX = 16;

/** Bytes of a page. */
interface Piece {
  readonly start: number;
  readonly end: number;
}

/** A grant, and what it covers of one page. */
interface Covering {
  readonly grant: Grant;
  readonly pieces: readonly Piece[];
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

function meet(one: Piece, other: Piece): boolean {
  return one.start < other.end && other.start < one.end;
}

/** What a grant covers of each page: it may name one more than once. */
function piecesByPage({ pfns, offset, length }: Grant): Map<number, Piece[]> {
  const byPage = new Map<number, Piece[]>();
  pfns.forEach((pfn, index) => {
    const start = index === 0 ? offset : 0;
    const end = Math.min(PAGE_SIZE, offset + length - index * PAGE_SIZE);
    const pieces = byPage.get(pfn);
    if (pieces === undefined) byPage.set(pfn, [{ start, end }]);
    else if (!pieces.some((each) => each.start <= start && end <= each.end))
      pieces.push({ start, end });
  });
  return byPage;
}

function early(text: string, grant: Grant, memoryMap: readonly MemoryRange[] = []): Finding {
  return { check: 'freed', severity: 'error', text, pages: describeGrant(grant, memoryMap, []) };
}
