// SPDX-License-Identifier: GPL-2.0-or-later

/** Memory of a recorded guest: first fit, lowest address, each block written down. */

import { hexNumber } from '../replay/hex.ts';
import type { TraceEvent } from '../replay/trace-events.ts';

/** What new and freed memory holds: whoever needs zeros must write them. */
const NEW_MEMORY = 0x5a;
const FREED_MEMORY = 0xdd;

/** Where events go, and who looks at memory before it changes hands. */
interface Tap {
  emit(event: TraceEvent): void;
  guestActed(): void;
  freed(address: number, length: number, purpose: string): void;
}

/** The guest's page allocator. */
export class RecordingAllocator {
  readonly #bytes: Uint8Array;
  readonly #base: number;
  readonly #tap: Tap;
  readonly #blocks = new Map<number, number>();
  readonly #refuses: (purpose: string) => boolean;

  /** @param refuses whether an allocation fails though there is room */
  constructor(
    memory: ArrayBufferLike,
    base: number,
    tap: Tap,
    refuses: (purpose: string) => boolean = () => false,
  ) {
    this.#refuses = refuses;
    this.#bytes = new Uint8Array(memory);
    this.#base = base;
    this.#tap = tap;
  }

  allocate(length: number, align: number, purpose: string): number | undefined {
    this.#tap.guestActed();
    let address = Math.ceil(this.#base / align) * align;
    for (let moved = true; moved;) {
      moved = false;
      for (const [start, size] of this.#blocks) {
        if (address >= start + size || start >= address + length) continue;
        address = Math.ceil((start + size) / align) * align;
        moved = true;
      }
    }
    if (this.#refuses(purpose) || address + length > this.#bytes.length) {
      this.#tap.emit({ op: 'alloc-fail', purpose, len: length });
      return undefined;
    }
    this.#blocks.set(address, length);
    this.#bytes.fill(NEW_MEMORY, address, address + length);
    this.#tap.emit({ op: 'page', purpose, gpa: hexNumber(address), len: length, align });
    return address;
  }

  free(address: number, length: number, purpose: string): void {
    this.#tap.guestActed();
    this.#tap.freed(address, length, purpose);
    this.#blocks.delete(address);
    this.#bytes.fill(FREED_MEMORY, address, address + length);
    this.#tap.emit({ op: 'page-free', purpose, gpa: hexNumber(address), len: length });
  }
}
