// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The seam as the guest has it: objects of the guest's own realm that make calls of the tool. Only
 * numbers and bigints go out, whatever the guest gives; what the machine throws comes in as an
 * error of the guest's realm, and goes out again as what it was if the guest lets it.
 */

import type { CpuidRegisters, Machine, MemoryRange, X64Machine } from '../../../src/machine.ts';
import type { PageAllocator } from '../../../src/memory/allocator.ts';
import { describe } from './describe.ts';
import type { HostCalls } from './host-calls.ts';
import {
  NativeError,
  NativeTypeError,
  Longs,
  Words,
  asUintN,
  parse,
  put,
  textOf,
} from './intrinsics.ts';

/** What a machine is, besides its calls. Sent by the tool as JSON. */
export interface MachineFacts {
  readonly architecture: 'x64' | 'arm64';
  readonly memoryMap: readonly MemoryRange[];
  readonly pageSize: number;
  readonly rdtsc: boolean;
  readonly uuid: readonly number[] | undefined;
  readonly hypercallConvention: 'smccc' | 'immediate';
  readonly counterFrequency: number;
}

/** What the guest is told: choices as they are, and which calls it is given. */
export interface OptionFacts {
  readonly choices: Readonly<Record<string, unknown>>;
  readonly calls: readonly ('events' | 'pages' | 'allocator' | 'random' | 'cancel')[];
}

/** A seam that is in use: once the guest has ended it goes nowhere. */
export interface OpenSeam {
  readonly number: number;
  open: boolean;
}

export class Seams {
  readonly #host: HostCalls;
  readonly #memory: () => ArrayBuffer;
  readonly #words: Uint32Array;
  readonly #longs: BigUint64Array;
  /** The guest's own allocators that are under watch. */
  readonly allocators: PageAllocator[] = [];
  /** What a call of the guest's threw into the tool, to be thrown on. */
  pending: unknown;
  /** The last error that came from the tool. */
  #last: unknown;

  constructor(host: HostCalls, memory: () => ArrayBuffer, registers: ArrayBuffer) {
    this.#host = host;
    this.#memory = memory;
    this.#words = new Words(registers, 0, 4);
    this.#longs = new Longs(registers);
  }

  /** Whether an error is the one that the tool threw last. */
  isFromTool(error: unknown): boolean {
    return error !== undefined && error === this.#last;
  }

  /** The error for a call that failed. */
  failed(): unknown {
    if (this.pending !== undefined) {
      const { pending } = this;
      this.pending = undefined;
      return pending;
    }
    let error: Error;
    try {
      error = new NativeError(this.#host.failureMessage());
      put(error, 'name', this.#host.failureName());
      const status = this.#host.failureStatus();
      if (status !== '') put(error, 'status', status === 'undefined' ? undefined : +status);
    } catch {
      error = new NativeError('no room on the stack');
    }
    this.#last = error;
    return error;
  }

  /** Make a call of the tool. */
  #call<T>(seam: OpenSeam, call: () => T | undefined): T {
    if (!seam.open) throw new NativeError('the guest has ended');
    let result: T | undefined;
    try {
      result = call();
    } catch {
      // The stack has ended in the tool: its error stays there
      throw new NativeError('no room on the stack');
    }
    if (result === undefined) throw this.failed();
    return result;
  }

  /** The machine. `seam` goes out with each call. */
  machine(seam: OpenSeam, facts: MachineFacts): Machine {
    const host = this.#host;
    const { number: id } = seam;
    const asked = (): ArrayBuffer => {
      try {
        host.memoryAsked(id);
      } catch {
        throw new NativeError('no room on the stack');
      }
      return this.#memory();
    };
    const { memoryMap, pageSize } = facts;
    const uuid = facts.uuid === undefined ? undefined : bytesOf(facts.uuid);
    const pause = (): void => {
      this.#call(seam, () => host.pause(id));
    };
    if (facts.architecture === 'arm64') {
      return {
        architecture: 'arm64',
        get memory(): ArrayBuffer {
          return asked();
        },
        memoryMap,
        pageSize,
        uuid,
        pause,
        hypercallConvention: facts.hypercallConvention,
        counterFrequency: facts.counterFrequency,
        hvc: (immediate, registers) => this.#hvc(seam, number(immediate), registers),
        readCounter: () => this.#call(seam, () => host.counter(id)),
      };
    }
    const machine: X64Machine = {
      architecture: 'x64',
      get memory(): ArrayBuffer {
        return asked();
      },
      memoryMap,
      pageSize,
      uuid,
      pause,
      cpuid: (leaf, subleaf) => this.#cpuid(seam, number(leaf), number(subleaf)),
      rdmsr: (msr) => {
        const register = number(msr);
        return this.#call(seam, () => host.rdmsr(id, register));
      },
      wrmsr: (msr, value) => {
        const register = number(msr);
        const written = long(value);
        this.#call(seam, () => host.wrmsr(id, register, written));
      },
      callHypercallPage: (page, control, input, output) => {
        const at = number(page);
        const word = long(control);
        const from = long(input);
        const to = long(output);
        return this.#call(seam, () => host.hypercall(id, at, word, from, to));
      },
    };
    if (facts.rdtsc) put(machine, 'rdtsc', () => this.#call(seam, () => host.rdtsc(id)));
    return machine;
  }

  #cpuid(seam: OpenSeam, leaf: number, subleaf: number): CpuidRegisters {
    this.#call(seam, () => this.#host.cpuid(seam.number, leaf, subleaf));
    const words = this.#words;
    return { eax: words[0]!, ebx: words[1]!, ecx: words[2]!, edx: words[3]! };
  }

  #hvc(seam: OpenSeam, immediate: number, registers: BigUint64Array): void {
    const longs = this.#longs;
    for (let i = 0; i < longs.length; i++) longs[i] = long(registers[i]);
    this.#call(seam, () => this.#host.hvc(seam.number, immediate));
    for (let i = 0; i < longs.length; i++) registers[i] = longs[i]!;
  }

  /** The options of a boot or of a driver. */
  options(seam: OpenSeam, text: string): object {
    const host = this.#host;
    const { number: id } = seam;
    const { choices, calls } = parse(text) as OptionFacts;
    const options = choices as Record<string, unknown>;
    for (let i = 0; i < calls.length; i++) {
      switch (calls[i]) {
        case 'events':
          put(options, 'events', (event: unknown) => {
            const told = describe(event);
            this.#call(seam, () => host.event(id, told));
          });
          break;
        case 'random':
          put(options, 'random', () => this.#call(seam, () => host.random(id)));
          break;
        case 'cancel':
          put(options, 'cancel', () => this.#call(seam, () => host.cancel(id)));
          break;
        case 'allocator':
          // The first one of a seam is the tool's
          put(options, 'allocator', this.#allocator(seam, id));
          break;
        default:
          put(options, 'pages', (inner: PageAllocator) => {
            const own = this.allocators.length;
            this.allocators[own] = inner;
            return this.#allocator(
              seam,
              this.#call(seam, () => host.watchAllocator(id, own)),
            );
          });
      }
    }
    return options;
  }

  /** An allocator of the tool's. */
  #allocator(seam: OpenSeam, allocator: number): PageAllocator {
    const host = this.#host;
    return {
      allocate: (length, align, purpose) => {
        const bytes = number(length);
        const by = number(align);
        const why = word(purpose);
        const at = this.#call(seam, () => host.allocate(allocator, bytes, by, why));
        return at < 0 ? undefined : at;
      },
      free: (address, length, purpose) => {
        const at = number(address);
        const bytes = number(length);
        const why = word(purpose);
        this.#call(seam, () => host.free(allocator, at, bytes, why));
      },
    };
  }
}

/** A number of the guest's. */
function number(value: unknown): number {
  if (typeof value === 'number') return value;
  throw new NativeTypeError('the machine takes a number here');
}

/** A 64-bit number of the guest's. */
function long(value: unknown): bigint {
  if (typeof value === 'bigint') return asUintN(64, value);
  throw new NativeTypeError('the machine takes a bigint here');
}

function word(value: unknown): string {
  return typeof value === 'string' ? value : textOf(typeof value);
}

function bytesOf(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) bytes[i] = values[i]!;
  return bytes;
}
