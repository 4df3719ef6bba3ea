// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A guest of the tool's own: a module that is already loaded, in the same realm as the tool. For
 * firmware of this tree (tests, benches) and for programs that bring theirs; nothing holds it back.
 * A bundle that somebody else brings is a {@link JavascriptGuest}.
 */

import type { HypervDriver } from '../../src/any.ts';
import type { Machine } from '../../src/machine.ts';
import { guestRam } from './guest-ram.ts';
import type {
  GuestDriver,
  GuestDriverOptions,
  GuestInstance,
  GuestOptions,
  MemoryWatch,
} from './guest-program.ts';
import { WatchedMemory, type AccessListener } from './watch/watched-memory.ts';

/** What a module may export. */
export interface TrustedModule {
  boot?(machine: Machine, options?: object): unknown;
  createDriver?(machine: Machine, options?: object): HypervDriver;
}

/** An instance of a module that is already loaded. */
export class TrustedGuest implements GuestInstance {
  readonly memory: ArrayBufferLike;
  readonly image = [];
  readonly boot?: (machine: Machine, options: GuestOptions) => unknown;
  readonly createDriver?: (machine: Machine, options: GuestDriverOptions) => GuestDriver;

  /** @throws RangeError if there is no room for so much RAM */
  constructor({ boot, createDriver }: TrustedModule, memoryBytes: number) {
    this.memory = guestRam(memoryBytes);
    if (boot !== undefined) this.boot = boot;
    if (createDriver !== undefined) this.createDriver = createDriver;
  }

  watch(listener: AccessListener): MemoryWatch {
    return new WatchedMemory(this.memory, listener);
  }

  reset(): void {
    new Uint8Array(this.memory).fill(0);
  }
}
