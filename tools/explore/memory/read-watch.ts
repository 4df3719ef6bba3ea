// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the firmware does with guest RAM: it reads only what it has allocated, writes only to what
 * was given to it, and reads what the host may write to once only. A second read of the same bytes
 * without an exit in between, whatever else is read with them, is a place where a host on another
 * processor may have changed them: the plan says with what.
 */

import { PAGE_SHIFT, PAGE_SIZE, type MemoryRange } from '../../../src/machine.ts';
import type { Keeper, Saved } from '../../simulator/base/snapshot.ts';
import type { Grant, GrantListener } from '../../simulator/ledger/grants.ts';
import type { SimulatedMachine } from '../../simulator/machine.ts';
import type { PlaceCounter } from '../counter.ts';
import { isOperation, mutateWord } from '../mutation.ts';
import { callerFrames } from '../stack-frame.ts';
import type { AccessListener, StoreListener } from '../../guests/watch/watched-memory.ts';

/** What is kept from run to run: as large as RAM, and never cleared. */
export class ReadHistory implements Saved {
  /** By byte: the epoch of the last read. */
  readonly read: Uint32Array;
  epoch = 1;

  constructor(size: number) {
    this.read = new Uint32Array(size);
  }

  /** For a snapshot: what was read since the last exit. It is so again, in an epoch of its own. */
  saveTo(keeper: Keeper): void {
    const { read, epoch } = this;
    const bytes: number[] = [];
    for (let i = read.indexOf(epoch); i >= 0; i = read.indexOf(epoch, i + 1)) bytes.push(i);
    keeper.also(() => {
      this.epoch++;
      for (const at of bytes) read[at] = this.epoch;
    });
  }
}

export class ReadWatch implements AccessListener, Saved {
  /** The first read outside of what is allocated, and the first write to what was never given. */
  outside: string | undefined;
  strayStore: string | undefined;
  readonly stores: StoreListener = {
    storing: (address, length) => this.#store(address, length),
    stored: () => undefined,
    ordered: () => undefined,
    acquired: () => undefined,
  };
  readonly #history: ReadHistory;
  readonly #machine: SimulatedMachine;
  readonly #counter: PlaceCounter;
  readonly #allocated: Uint8Array;
  /** By page: whether it was given to the guest, which may load images there unasked. */
  readonly #given: Uint8Array;
  /** By page: grants by which the host may write to it. */
  readonly #writable: Uint8Array;
  #repeats: boolean;
  #on = true;

  /**
   * @param allocated one byte for each page, as {@link PageSource} keeps it
   * @param map what the guest was given
   */
  constructor(
    history: ReadHistory,
    machine: SimulatedMachine,
    counter: PlaceCounter,
    allocated: Uint8Array,
    map: readonly MemoryRange[],
  ) {
    this.#history = history;
    this.#machine = machine;
    this.#counter = counter;
    this.#allocated = allocated;
    this.#given = new Uint8Array(allocated.length);
    for (const { address, length, type } of map)
      if (type === 'usable')
        this.#given.fill(
          1,
          Math.floor(address / PAGE_SIZE),
          Math.ceil((address + length) / PAGE_SIZE),
        );
    this.#writable = new Uint8Array(allocated.length);
    this.#repeats = counter.has('read');
    if (this.#repeats) this.#follow();
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.outside, this.strayStore], (v) => ([this.outside, this.strayStore] = v));
    keeper.put([this.#repeats, this.#on], (v) => ([this.#repeats, this.#on] = v));
    keeper.keep(this.#history, this.#allocated, this.#writable);
  }

  /** The counter has another plan from now on. */
  reload(): void {
    this.#repeats = this.#counter.has('read');
  }

  /** The guest makes an exit: whatever it reads from now on it may read for the first time. */
  exit(): void {
    this.#history.epoch++;
  }

  /** Nothing is watched any more. */
  stop(): void {
    this.#on = false;
  }

  load(address: number, length: number): void {
    if (!this.#on) return;
    if (this.outside === undefined && !isIn(this.#allocated, address, length)) {
      // The first two frames are this function and the watched view
      const at = callerFrames(new Error(), 2, 4);
      this.outside = `${length} bytes read outside of any allocation, at ${at}`;
    }
    if (!this.#repeats) return;
    const again = this.#enter(address, length);
    if (again >= 0) this.#again(again, address + length - again);
  }

  /** Loads are judged by what is allocated, and twice only where the host may write meanwhile. */
  quietLoads(page: number): boolean {
    return this.#allocated[page] === 1 && this.#writable[page] === 0;
  }

  /** Stores are judged by what was given, which stays as it is. */
  quietStores(page: number): boolean {
    return this.#given[page] === 1;
  }

  #store(address: number, length: number): void {
    if (!this.#on || this.strayStore !== undefined || isIn(this.#given, address, length)) return;
    // The first three frames are this function, its caller and the watched view
    const at = callerFrames(new Error(), 3, 4);
    this.strayStore = `${length} bytes written to memory that it was not given, at ${at}`;
  }

  /** Enter what is read. Returns the first byte that was read before, and is shared; or -1. */
  #enter(address: number, length: number): number {
    const { read, epoch } = this.#history;
    const end = Math.min(address + length, read.length);
    let again = -1;
    for (let i = address; i < end; i++) {
      if (read[i] !== epoch) read[i] = epoch;
      else if (again < 0 && this.#writable[i >>> PAGE_SHIFT]! > 0) again = i;
    }
    return again;
  }

  /** Bytes that were read are read again: of more than a word the first word changes. */
  #again(address: number, length: number): void {
    const { partition, vmbus } = this.#machine;
    const { ram } = partition;
    const { reader } = ram;
    const value = length >= 4 ? reader.getUint32(address, true) : reader.getUint8(address);
    const faults = this.#counter.arrive('read', () => ({ what: this.#where(address), value }));
    for (const fault of faults) {
      if (!isOperation(fault.argument)) continue;
      this.#counter.fire(fault);
      const changed = mutateWord(value, fault.argument);
      if (length >= 4) ram.setU32(address, changed);
      else ram.setU8(address, changed & 0xff);
      // What a guest does not complete then, it may not have seen
      vmbus.garbled(address >>> PAGE_SHIFT);
    }
  }

  /** What lies at an address that the host may write to, and who reads it. */
  #where(address: number): string {
    const page = address >>> PAGE_SHIFT;
    const [grant] = this.#machine.partition.grants.liveAt(page, page + 1);
    // The first six frames are this function, those down to `load`, and the watched view
    const at = callerFrames(new Error(), 6, 2);
    return `0x${address.toString(16)} of ${grant?.purpose ?? 'what was shared'}, at ${at}`;
  }

  /** Keep up with what the host may write to. */
  #follow(): void {
    const { grants } = this.#machine.partition;
    const before: GrantListener | undefined = grants.listener;
    const count = (grant: Grant, step: number): void => {
      if (grant.access !== 'write') return;
      for (const pfn of grant.pfns) this.#writable[pfn]! += step;
    };
    grants.listener = (change, grant) => {
      before?.(change, grant);
      count(grant, change === 'grant' ? 1 : -1);
    };
  }
}

/** Whether all pages that an access touches are marked. */
function isIn(pages: Uint8Array, address: number, length: number): boolean {
  // Addresses that a guest believes may lie beyond 4 GiB
  const last = Math.floor((address + length - 1) / PAGE_SIZE);
  for (let page = Math.floor(address / PAGE_SIZE); page <= last; page++)
    if (pages[page] !== 1) return false;
  return true;
}
