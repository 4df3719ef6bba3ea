// SPDX-License-Identifier: GPL-2.0-or-later

/** Check 18: memory that is lost to everybody, though the host has nothing in it. */

import { PAGE_SIZE, type MemoryRange } from '../../../src/machine.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import { without, type Piece } from '../base/memory-pieces.ts';
import type { SimulatedMachine } from '../machine.ts';
import type { ClientInspection } from '../vmbus-server/inspection.ts';
import type { Finding } from './audit-findings.ts';

/** What tells a guest that the host has let go, or has never had anything. */
const SETTLING = [
  MessageType.VERSION_RESPONSE,
  MessageType.UNLOAD_RESPONSE,
  MessageType.GPADL_TORNDOWN,
  MessageType.GPADL_CREATED,
];

/** What is handed on. */
interface HandedOn {
  readonly memoryMap: readonly MemoryRange[];
  /** The map that the guest was given itself. */
  readonly given: readonly MemoryRange[];
  /** What the next owner uses: the image, and files beside it. */
  readonly inUse: readonly Piece[];
  /** When the guest got the machine, in ticks. */
  readonly since: number;
}

/** What of a connection says whether the guest was told that the host has let go. */
type Connection = Pick<
  ClientInspection,
  'phase' | 'unloadSeenAt' | 'unloadAnsweredAt' | 'unloadLostAt'
>;

/**
 * Pages that the guest was given as usable and hands on as reserved, or not at all, without an
 * image in them and without a grant of the host's. Where the host has not answered, or its answer
 * was lost, the guest cannot know.
 *
 * @param clients the connections of the guest
 */
export function auditReserved(
  machine: SimulatedMachine,
  clients: readonly Connection[],
  { memoryMap, given: whole, inUse, since }: HandedOn,
): Finding[] {
  if (machine.partition.omissions.host.hasLost(since, ...SETTLING)) return [];
  if (!clients.every(mayKnow)) return [];
  const pageSize = machine.bootSeam.pageSize ?? PAGE_SIZE;
  const given = whole.filter(({ type }) => type === 'usable');
  const kept = [
    ...inUse,
    ...machine.partition.grants
      .live()
      .flatMap(({ pfns }) => pfns.map((pfn) => ({ address: pfn * PAGE_SIZE, length: PAGE_SIZE }))),
  ];
  const reserved = memoryMap.filter(({ type }) => type === 'reserved');
  const leftOut = without(given, memoryMap).map((piece) => ({ ...piece, purpose: 'left out' }));
  return [...reserved, ...leftOut].flatMap((range) => {
    const pages = pagesOf(range, pageSize).filter(
      (page) => overlapsAny(given, page, pageSize) && !overlapsAny(kept, page, pageSize),
    );
    return pages.length === 0 ? [] : [lost(range, pages, pageSize)];
  });
}

/** The guest was told that the host has let go, or has never been connected. */
function mayKnow(client: Connection): boolean {
  const { phase, unloadSeenAt, unloadAnsweredAt, unloadLostAt } = client;
  const answered = unloadSeenAt === undefined || unloadAnsweredAt !== undefined;
  return phase === 'disconnected' && answered && unloadLostAt === undefined;
}

function pagesOf({ address, length }: Piece, pageSize: number): number[] {
  const first = Math.floor(address / pageSize);
  const count = Math.ceil((address + length) / pageSize) - first;
  return Array.from({ length: count }, (_, i) => (first + i) * pageSize);
}

function overlapsAny(pieces: readonly Piece[], page: number, pageSize: number): boolean {
  return pieces.some(({ address, length }) => address < page + pageSize && page < address + length);
}

function lost(
  { purpose }: Pick<MemoryRange, 'purpose'>,
  pages: readonly number[],
  pageSize: number,
): Finding {
  const what = purpose === undefined ? '' : ` (${purpose})`;
  const count = `${pages.length} page${pages.length === 1 ? '' : 's'}`;
  const first = `0x${pages[0]!.toString(16)}`;
  return {
    check: 'reserved',
    severity: 'warning',
    text: `${count} from ${first} on reserved for good, but the host has nothing there${what}`,
    pages: {
      purpose: purpose ?? 'reserved memory',
      pages,
      length: pages.length * pageSize,
      sharedBy: '',
      sharedAt: 0,
      revokedWith: '',
      reserved: true,
    },
  };
}
