// SPDX-License-Identifier: GPL-2.0-or-later

/** What the layers of the reference guest have in common: errors, memory, what they are given. */

import type { X64Machine } from '../../src/machine.ts';
import type { Has } from './defects.ts';

/** Turns of a wait, of 1 ms each (iPXE HV_MESSAGE_MAX_WAIT_MS and its like). */
export const WAIT_TURNS = 1000;

/** An error of the reference guest, by its POSIX class as iPXE reports it. */
export class GuestError extends Error {
  /** `EPROTO`, or `EPLATFORM(0x33)` with the status of a hypercall. */
  readonly errno: string;

  constructor(errno: string, message: string) {
    super(message);
    this.name = 'GuestError';
    this.errno = errno;
  }
}

/** Allocates what is shared with the host. */
export interface GuestAllocator {
  allocate(length: number, align: number, purpose: string): number | undefined;
  free(address: number, length: number, purpose: string): void;
}

/** What a guest tells of itself. */
export type GuestEvent =
  | { readonly kind: 'netdev'; readonly change: 'register' | 'unregister'; readonly name: string }
  | { readonly kind: 'link'; readonly name: string; readonly up: boolean };

/** What the reference guest is made with. */
export interface GuestOptions {
  readonly allocator: GuestAllocator;
  readonly random: () => number;
  readonly events?: (event: never) => void;
  /** The guest polls one packet again and again: it would never end. Takes the packet away. */
  readonly livelock?: () => void;
}

/** Block of memory of the guest. */
export interface Block {
  readonly address: number;
  readonly length: number;
  readonly purpose: string;
}

/** What every layer knows. */
export class GuestContext {
  readonly machine: X64Machine;
  readonly has: Has;
  readonly options: GuestOptions;
  readonly view: DataView;
  readonly bytes: Uint8Array;

  constructor(machine: X64Machine, has: Has, options: GuestOptions) {
    this.machine = machine;
    this.has = has;
    this.options = options;
    this.view = new DataView(machine.memory);
    this.bytes = new Uint8Array(machine.memory);
  }

  /** Zeroed memory. @throws GuestError ENOMEM */
  allocate(purpose: string, length: number, align = 4096): Block {
    const address = this.options.allocator.allocate(length, align, purpose);
    if (address === undefined) throw new GuestError('ENOMEM', `no memory for ${purpose}`);
    this.bytes.fill(0, address, address + length);
    return { address, length, purpose };
  }

  free({ address, length, purpose }: Block): void {
    this.options.allocator.free(address, length, purpose);
  }

  emit(event: GuestEvent): void {
    (this.options.events as ((event: GuestEvent) => void) | undefined)?.(event);
  }

  /** A millisecond passes. */
  delay(): void {
    this.machine.pause();
  }
}
