// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What goes between the tool and the realm of a guest: calls in both directions whose arguments and
 * results are primitives. No object of one realm is ever in the hands of the other, but for the
 * calls themselves, which only code of the tool's has: on both sides.
 */

/** What a call gives if it could not be done: why is told by another call. */
export type Failed = undefined;

/** Calls from the realm into the tool. None throws; a result of undefined is a failure. */
export interface HostCalls {
  /** Name, text and whether there is a `status` (text: '' none, 'undefined', or a number). */
  failureName(): string;
  failureMessage(): string;
  failureStatus(): string;

  // --- the seam; `seam` is the number of a machine ---
  memoryAsked(seam: number): void;
  cpuid(seam: number, leaf: number, subleaf: number): true | Failed;
  rdmsr(seam: number, msr: number): bigint | Failed;
  wrmsr(seam: number, msr: number, value: bigint): true | Failed;
  hypercall(
    seam: number,
    page: number,
    control: bigint,
    input: bigint,
    output: bigint,
  ): bigint | Failed;
  rdtsc(seam: number): bigint | Failed;
  hvc(seam: number, immediate: number): true | Failed;
  counter(seam: number): bigint | Failed;
  pause(seam: number): true | Failed;

  // --- what a guest is given besides ---
  event(seam: number, text: string): true | Failed;
  cancel(seam: number): boolean | Failed;
  random(seam: number): number | Failed;
  /** Put an allocator of the guest's under watch. Returns the number of the watched one. */
  watchAllocator(seam: number, allocator: number): number | Failed;
  /** -1 if there is no room. */
  allocate(allocator: number, length: number, align: number, purpose: string): number | Failed;
  free(allocator: number, address: number, length: number, purpose: string): true | Failed;

  // --- what a driver tells; frames lie in the exchange area ---
  received(device: number, length: number, vlan: number): true | Failed;
  transmitted(device: number, sequence: number, error: string): true | Failed;
  receiveError(device: number, error: string, length: number): true | Failed;
  linkChanged(device: number, up: boolean): true | Failed;

  // --- what the guest does with its memory ---
  load(address: number, length: number): void;
  storing(address: number, length: number): void;
  stored(address: number, length: number): void;
  ordered(): void;
  acquired(): void;
}

/** What a call of a guest came to. */
export type Outcome =
  /** It returned; what it returned, as JSON, or '' for undefined. */
  | `returned:${string}`
  /** It threw what the machine or the tool had thrown into it. */
  | 'passed'
  /** It threw something of its own: name, message, stack, status, as JSON. */
  | `threw:${string}`;

/** Calls from the tool into the realm. What they return is checked for its type. */
export interface RealmCalls {
  /** RAM of the guest: the buffer is only handed to constructors of views. */
  makeMemory(bytes: number): ArrayBuffer;
  /** Registers of CPUID (four of 32 bits) and of HVC (18 of 64 bits), and the exchange area. */
  readonly registers: ArrayBuffer;
  readonly exchange: ArrayBuffer;
  /** Take the module of the guest. Returns the names that it exports, as JSON. */
  adopt(namespace: object): Outcome;
  /** The errors with which a module could not be loaded. */
  describeThrown(error: unknown): Outcome;
  boot(seam: number, facts: string, options: string): Outcome;
  /** Returns the number of the driver, as JSON. */
  createDriver(seam: number, facts: string, options: string): Outcome;
  /** `probe`, `remove`, `memoryMap`, `devices`, ... of a driver. */
  driver(driver: number, call: string): Outcome;
  /** Of a device: `facts`, `open`, `close`, `poll`, `listen`. */
  device(device: number, call: string): Outcome;
  transmit(device: number, length: number): Outcome;
  /** The guest's own allocator. -1: there is no room; undefined: it threw. */
  innerAllocate(
    allocator: number,
    length: number,
    align: number,
    purpose: string,
  ): number | undefined;
  innerFree(allocator: number, address: number, length: number, purpose: string): boolean;
  /** Forget the drivers of a former run. */
  reset(): void;
  /** Memory that is watched: see MemoryWatch. */
  watch(stores: boolean): void;
  install(): void;
  release(): void;
}

/** Bytes of the exchange area: the longest frame with room. */
export const EXCHANGE_BYTES = 1 << 17;

/** Bytes of the registers: 18 of 64 bits. */
export const REGISTER_BYTES = 18 * 8;
