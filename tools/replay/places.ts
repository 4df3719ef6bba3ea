// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Memory by purpose: an address of the recording and one of the guest compare by what the page is
 * for and the offset in it.
 */

/** Purposes that are one and the same to the comparison: where RNDIS messages are sent from. */
const SAME_PURPOSE: Readonly<Record<string, string>> = {
  'rndis-message': 'tx-buffer',
  'tx-frame': 'tx-buffer',
};

/** The name under which a purpose compares. */
export function comparedPurpose(purpose: string): string {
  return Object.hasOwn(SAME_PURPOSE, purpose) ? SAME_PURPOSE[purpose]! : purpose;
}

/** A block of memory with a purpose. */
export interface Place {
  readonly purpose: string;
  readonly address: number;
  readonly length: number;
  /** Index of the recorded event that allocated it. */
  readonly event: number;
}

/** All blocks that are allocated at a time. */
export class Places {
  readonly #blocks = new Map<number, Place>();

  add(purpose: string, address: number, length: number, event: number): void {
    this.#blocks.set(address, { purpose: comparedPurpose(purpose), address, length, event });
  }

  /** Forget the block that begins at `address`. Returns it, or undefined if there is none. */
  remove(address: number): Place | undefined {
    const block = this.#blocks.get(address);
    this.#blocks.delete(address);
    return block;
  }

  /** The block that holds `address`. */
  find(address: number): Place | undefined {
    for (const block of this.#blocks.values()) {
      if (address >= block.address && address < block.address + block.length) return block;
    }
    return undefined;
  }

  /** Whether a block overlaps [address, address + length). */
  overlaps(address: number, length: number): boolean {
    for (const block of this.#blocks.values()) {
      if (address < block.address + block.length && block.address < address + length) return true;
    }
    return false;
  }

  /** `rx-buffer+0x1000`, or `unallocated`. */
  describe(address: number): string {
    const block = this.find(address);
    if (block === undefined) return 'unallocated';
    return `${block.purpose}+0x${(address - block.address).toString(16)}`;
  }

  /** A list of pages: `ring+0x0 4 pages`, runs joined with commas. */
  describePages(addresses: readonly number[]): string {
    const runs: string[] = [];
    for (let i = 0; i < addresses.length;) {
      const start = i;
      const block = this.find(addresses[i]!);
      do i++;
      while (
        i < addresses.length &&
        addresses[i] === addresses[i - 1]! + 4096 &&
        this.find(addresses[i]!) === block
      );
      runs.push(`${this.describe(addresses[start]!)} ${i - start} pages`);
    }
    return runs.join(', ');
  }

  /** Only what a list of pages is for. */
  describePurpose(addresses: readonly number[]): string {
    const purposes = new Set(addresses.map((a) => this.find(a)?.purpose ?? 'unallocated'));
    return [...purposes].join(', ');
  }
}
