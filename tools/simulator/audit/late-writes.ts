// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The late-write trial: the next owner fills all memory that it was told is usable with a pattern,
 * and remembers what it uses already (the loaded image); then the host writes to everything that it
 * still holds. Both must stand.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import type { Finding, FindingPages } from './audit-findings.ts';
import type { Grant } from '../ledger/grants.ts';
import { hex } from '../base/hex.ts';
import type { DamagedPage, MemoryPattern } from './memory-pattern.ts';
import type { SimulatedMachine } from '../machine.ts';

export { MemoryPattern, type DamagedPage } from './memory-pattern.ts';

/** What the host writes late. */
const LATE_BYTE = 0xa5;

/** Pages listed in a finding without a grant; there may be more. */
const LISTED_PAGES_MAX = 8;

/**
 * The host writes to the whole of everything that it may still write to.
 *
 * @returns the grants that it wrote to
 */
export function writeLate(machine: SimulatedMachine): Grant[] {
  const written: Grant[] = [];
  const page = new Uint8Array(PAGE_SIZE).fill(LATE_BYTE);
  for (const grant of machine.partition.grants.live()) {
    if (grant.access !== 'write') continue;
    for (let at = 0; at < grant.length; at += PAGE_SIZE) {
      const length = Math.min(PAGE_SIZE, grant.length - at);
      machine.partition.grants.write(grant, at, page, 0, length);
    }
    written.push(grant);
    const { id, length } = grant;
    if (machine.events.on) machine.events.emit({ kind: 'late-write', grant: id, length });
  }
  return written;
}

/**
 * What the damage comes to: one finding for each grant that covers damaged pages, and one for all
 * pages that no grant covers. What has been found is not looked at again.
 *
 * @param when what happened meanwhile: `by late writes of the host`
 * @param grants what the host could write to
 */
export function auditPattern(
  pattern: MemoryPattern,
  when: string,
  grants: readonly Grant[],
  describe: (grant: Grant) => FindingPages,
): Finding[] {
  const findings: Finding[] = [];
  let left = pattern.damaged();
  for (const { address } of left) pattern.exclude(address, 1);
  for (const grant of grants) {
    const mine = left.filter(({ address }) => grant.pfns.includes(address / PAGE_SIZE));
    if (mine.length === 0) continue;
    left = left.filter((page) => !mine.includes(page));
    const pages = { ...describe(grant), pages: mine.map(({ address }) => address) };
    const text = `${extent(mine)} changed ${when}: ${grant.purpose}`;
    findings.push({ check: 'late-writes', severity: 'error', text, pages });
  }
  if (left.length > 0) {
    const listed = left.slice(0, LISTED_PAGES_MAX).map(({ address }) => hex(address));
    const more = left.length > LISTED_PAGES_MAX ? ', …' : '';
    const text = `${extent(left)} changed ${when}, and no grant covers ${listed.join(', ')}${more}`;
    findings.push({ check: 'late-writes', severity: 'error', text });
  }
  return findings;
}

/** `5 bytes of 1 page`. */
function extent(pages: readonly DamagedPage[]): string {
  const bytes = pages.reduce((sum, page) => sum + page.bytes, 0);
  return `${bytes} bytes of ${pages.length} page${pages.length === 1 ? '' : 's'}`;
}
