// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Memory for the guest: the addresses that the recorded driver had where the guest asks for the
 * same, other memory where it asks for more, and none where the recorded allocation failed.
 */

import { Places } from './places.ts';
import type { TraceEvent } from './trace-events.ts';

/** New memory holds this, as in the recording: whoever needs zeroes must write them. */
const NEW_MEMORY = 0x5a;

/** Freed memory holds this. */
const FREED_MEMORY = 0xdd;

/** What the allocator asks and tells. */
export interface AllocationHooks {
  /** Indices of the recorded events that begin and end the current step. */
  stepBegin(): number;
  stepEnd(): number;
  /** Memory changes hands: look at what the guest has written so far. */
  changed(): void;
  /** The guest gave memory up. */
  freed(address: number, length: number, purpose: string): void;
}

/** Allocates from the recording. The driver's page allocator. */
export class ReplayAllocator {
  readonly places = new Places();
  readonly #memory: Uint8Array;
  readonly #events: readonly TraceEvent[];
  readonly #hooks: AllocationHooks;
  /** Index of the last recorded allocation that was used, by purpose. */
  readonly #used = new Map<string, number>();
  /** Where memory that the recording does not know comes from: above that of the recorded guest. */
  readonly #first: number;
  #fresh: number;

  /** @param first where the memory of the recorded guest ends */
  constructor(
    memory: Uint8Array,
    events: readonly TraceEvent[],
    first: number,
    hooks: AllocationHooks,
  ) {
    this.#first = this.#fresh = first;
    this.#memory = memory;
    this.#events = events;
    this.#hooks = hooks;
  }

  /** Allocate `length` bytes aligned to `align`. */
  allocate(length: number, align: number, purpose: string): number | undefined {
    this.#hooks.changed();
    const index = this.#nextRecorded(purpose);
    const event = index === undefined ? undefined : this.#events[index]!;
    if (index !== undefined) this.#used.set(purpose, index);
    if (event?.op === 'alloc-fail') return undefined;
    // The recorded address if it fits and the guest does not use it otherwise
    let address: number | undefined;
    if (event?.op === 'page') {
      const recorded = Number(event.gpa);
      if (event.len >= length && recorded % align === 0 && !this.places.overlaps(recorded, length))
        address = recorded;
    }
    address ??= this.#freshMemory(length, align);
    if (address === undefined) return undefined;
    this.places.add(purpose, address, length, index ?? -1);
    this.#memory.fill(NEW_MEMORY, address, address + length);
    return address;
  }

  /** Give memory back. */
  free(address: number, length: number, purpose: string): void {
    this.#hooks.changed();
    this.#hooks.freed(address, length, purpose);
    this.places.remove(address);
    this.#memory.fill(FREED_MEMORY, address, address + length);
  }

  /** The next recorded allocation of this purpose within the current step. */
  #nextRecorded(purpose: string): number | undefined {
    const end = Math.min(this.#hooks.stepEnd(), this.#events.length);
    const from = Math.max(this.#hooks.stepBegin(), (this.#used.get(purpose) ?? -1) + 1);
    for (let index = from; index < end; index++) {
      const event = this.#events[index]!;
      if ((event.op === 'page' || event.op === 'alloc-fail') && event.purpose === purpose)
        return index;
    }
    return undefined;
  }

  #freshMemory(length: number, align: number): number | undefined {
    // From the start again if the end is reached: whatever is still in use is stepped over
    for (let turn = 0; turn < 2; turn++) {
      let address = Math.ceil(this.#fresh / align) * align;
      for (; address + length <= this.#memory.length; address += Math.max(align, 4096)) {
        if (this.places.overlaps(address, length)) continue;
        this.#fresh = address + length;
        return address;
      }
      this.#fresh = this.#first;
    }
    return undefined;
  }
}
