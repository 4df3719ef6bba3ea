// SPDX-License-Identifier: GPL-2.0-or-later

/** Grants of the host's ledger as findings tell of them. */

import { PAGE_SIZE, type MemoryRange } from '../../../src/machine.ts';
import type { FindingPages } from './audit-findings.ts';
import type { Grant } from '../ledger/grants.ts';

/** A piece of memory. */
type Piece = Pick<MemoryRange, 'address' | 'length'>;

/**
 * Describe the pages of a grant.
 *
 * @param memoryMap what is handed on
 * @param inUse reserved memory that the next owner uses all the same
 */
export function describeGrant(
  grant: Grant,
  memoryMap: readonly MemoryRange[],
  inUse: readonly Piece[],
): FindingPages {
  const taken = [...memoryMap.filter(({ type }) => type === 'usable'), ...inUse];
  const pages = grant.pfns.map((pfn) => pfn * PAGE_SIZE);
  return {
    purpose: grant.purpose,
    pages,
    length: grant.length,
    sharedBy: grant.grantedBy,
    sharedAt: grant.grantedAt,
    revokedWith: grant.revokedWith,
    reserved: pages.every((page) => !taken.some((piece) => overlaps(piece, page))),
  };
}

/** Whether a piece of memory has a byte of a page. */
function overlaps({ address, length }: Piece, page: number): boolean {
  return address < page + PAGE_SIZE && page < address + length;
}
