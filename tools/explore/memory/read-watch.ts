// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the firmware reads of guest RAM: only what it has allocated, and what the host may write to
 * once only. A second read of the same bytes without an exit in between, whatever else is read
 * with them, is a place where a host on another processor may have changed them: the plan says with
 * what.
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../../../src/machine.ts';
import type { Grant, GrantListener } from '../../simulator/ledger/grants.ts';
import type { SimulatedMachine } from '../../simulator/machine.ts';
import type { PlaceCounter } from '../counter.ts';
import { isOperation, mutateWord } from '../mutation.ts';
import { stackFrames } from '../stack-frame.ts';
import type { AccessListener } from '../../guests/watch/watched-memory.ts';

/** What is kept from run to run: as large as RAM, and never cleared. */
export class ReadHistory {
  /** By byte: the epoch of the last read. */
  readonly read: Uint32Array;
  epoch = 1;

  constructor(size: number) {
    this.read = new Uint32Array(size);
  }
}

export class ReadWatch implements AccessListener {
  /** The first read outside of what is allocated. */
  outside: string | undefined;
  readonly #history: ReadHistory;
  readonly #machine: SimulatedMachine;
  readonly #counter: PlaceCounter;
  readonly #allocated: Uint8Array;
  /** By page: grants by which the host may write to it. */
  readonly #writable: Uint8Array;
  readonly #repeats: boolean;
  #on = true;

  /** `allocated`: one byte for each page, as {@link PageSource} keeps it. */
  constructor(
    history: ReadHistory,
    machine: SimulatedMachine,
    counter: PlaceCounter,
    allocated: Uint8Array,
  ) {
    this.#history = history;
    this.#machine = machine;
    this.#counter = counter;
    this.#allocated = allocated;
    this.#writable = new Uint8Array(allocated.length);
    this.#repeats = counter.has('read');
    if (this.#repeats) this.#follow();
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
    // Addresses that a guest believes may lie beyond 4 GiB
    const lastPage = Math.floor((address + length - 1) / PAGE_SIZE);
    for (let page = Math.floor(address / PAGE_SIZE); page <= lastPage; page++) {
      if (this.#allocated[page] === 1) continue;
      // The first two frames are this function and the watched view
      const at = this.outside ?? stackFrames(new Error(), 2, 4);
      this.outside ??= `${length} bytes read outside of any allocation, at ${at}`;
    }
    if (!this.#repeats) return;
    const again = this.#enter(address, length);
    if (again >= 0) this.#again(again, address + length - again);
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
    const faults = this.#counter.arrive('read', () => ({ what: 'read again', value }));
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
