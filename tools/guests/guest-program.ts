// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What every kind of guest implements that runs on the seam: a JavaScript bundle, a WebAssembly
 * module. (A program in a PC emulator is below the seam: it has registers and RAM of its own, and
 * `bootPc` of the library runs it.) A program is loaded once. An instance of it has guest RAM and
 * runs on the seam of a machine that was made for that RAM ({@link machineFor} in
 * guest-machine.ts). The tools know nothing else of a guest.
 *
 * Nothing that comes out of a guest is believed: what `boot` returns is unknown,
 * and plain data of the tool's own making, never an object that runs code of the guest's.
 */

import type { HypervDriver } from '../../src/any.ts';
import type { EventSink } from '../../src/events.ts';
import type { Machine, MemoryRange } from '../../src/machine.ts';
import type { PageAllocator } from '../../src/memory/allocator.ts';
import type { Keeper } from '../simulator/base/snapshot.ts';
import type { AccessListener } from './watch/watched-memory.ts';

/** The kinds of guests, for messages and for what only one kind can do. */
export type GuestKind = 'javascript' | 'wasm';

/**
 * What a guest may be told when it boots, besides choices that only some guests know (plain data:
 * `preset`, `services`, `bootFile`): of those it takes what it knows.
 */
export interface GuestOptions {
  /** Takes what the guest says, as plain data. */
  readonly events?: EventSink;
  /** Watches the guest's own allocator: gets it, and returns what the guest shall use instead. */
  readonly pages?: (allocator: PageAllocator) => PageAllocator;
  /** Random numbers, unsigned 32 bits. */
  readonly random?: () => number;
  /** Whether the guest shall end what it does, and undo it: how it is cut at a step. */
  readonly cancel?: () => boolean;
}

/** What is said besides to a driver guest. */
export interface GuestDriverOptions extends Omit<GuestOptions, 'pages'> {
  /** Where the guest's pages come from; not given: the guest has an allocator of its own. */
  readonly allocator?: PageAllocator;
}

/** A driver guest: its devices are driven from outside, call by call. */
export interface GuestDriver extends Pick<
  HypervDriver,
  | 'probe'
  | 'remove'
  | 'quiesce'
  | 'unquiesce'
  | 'poll'
  | 'devices'
  | 'clock'
  | 'random'
  | 'log'
  | 'memory'
  | 'memoryMap'
> {
  /**
   * Between two calls: what the guest has outside of RAM goes with a snapshot of its machine. Not
   * there for a JavaScript guest, which has its state where nobody can see it.
   *
   * @throws SnapshotError if this very guest cannot be copied, by name
   */
  saveTo?(keeper: Keeper): void;
}

/** Memory that tells what a guest does with it, for explorations. */
export interface MemoryWatch {
  /** Views that the guest makes from now on are watched. */
  install(): void;
  /** Views that are made from now on are not, if the tool makes its own in the same realm. */
  remove(): void;
  /** As `remove`, for a while. Returns whether there is something to install again. */
  suspend(): boolean;
  /** The guest is gone. */
  release(): void;
}

/** A guest in its RAM. */
export interface GuestInstance {
  /** Guest RAM: byte 0 is guest physical address 0. Machines are made for it. Never resized. */
  readonly memory: ArrayBufferLike;
  /**
   * What of it the guest itself lies in while it runs (the image of a WebAssembly guest): reserved
   * in the memory map that it gets. Empty for a guest that lies outside of RAM.
   */
  readonly image: readonly MemoryRange[];
  /**
   * Run a whole firmware to its end.
   *
   * @returns what it returned, as plain data
   * @throws GuestThrew for whatever it threw; what the machine threw passes through
   */
  boot?(machine: Machine, options: GuestOptions): unknown;
  /**
   * The drivers, to be called one by one.
   *
   * @throws GuestThrew, here and from each call of a driver
   */
  createDriver?(machine: Machine, options: GuestDriverOptions): GuestDriver;
  /** A register write that faults ends the guest: it has no handler that survives it. */
  readonly faultsEnd?: boolean;
  /** Watch what the guest does with its RAM; not there if that cannot be seen. */
  watch?(listener: AccessListener): MemoryWatch;
  /** Whether {@link watch} comes to anything for this very guest. Default: yes, if it is there. */
  readonly canWatch?: boolean;
  /** Whether its drivers can be copied between two calls: see {@link GuestDriver.saveTo}. */
  readonly canCopy?: boolean;
  /** RAM of zeros, and the guest as new as its kind can make it. */
  reset(): void;
}

/** A guest program: loaded and checked, not yet in any memory. */
export interface GuestProgram {
  readonly kind: GuestKind;
  /** For messages: the path of its file. */
  readonly name: string;
  /** Names of what it exports: `boot`, `createDriver`, `SERVICE_NAMES`; a module's own ones. */
  readonly exports: readonly string[];
  /** It is a whole firmware. */
  readonly boots: boolean;
  /** It has drivers that can be called one by one. */
  readonly drives: boolean;
  /**
   * Where an instance can be cut: where it asks `cancel`, or also at any call of the seam, by an
   * exception out of it that the guest cannot catch.
   */
  readonly cut: 'asked' | 'anywhere';
  /**
   * An instance with RAM of so many bytes.
   *
   * @throws RangeError if there is no room for that
   */
  instantiate(memoryBytes: number): GuestInstance | Promise<GuestInstance>;
}

/** How a guest is called: what it never ends is ended from outside. */
export type Guard = <T>(call: () => T) => T;

/** What a guest threw, in words: of the guest itself nothing is kept. */
export class GuestThrew extends Error {
  /** Where it was thrown, if the guest told. */
  readonly where: string | undefined;
  /** Number that belongs to an error with a name. */
  readonly status: number | undefined;

  constructor(name: string, message: string, where?: string, status?: number) {
    super(message);
    this.name = name;
    this.stack = where ?? '';
    this.where = where;
    this.status = status;
  }
}

/** A file is no guest program, or none that can be run here. */
export class BadGuest extends Error {
  readonly advice: string;

  constructor(message: string, advice: string) {
    super(message);
    this.name = 'BadGuest';
    this.advice = advice;
  }
}
