// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a guest's module imports, over a machine. Addresses that a guest hands in are checked
 * against RAM; whatever is thrown out of an import ends the guest, and is thrown again by every
 * later one, so that a guest that catches it cannot go on.
 */

import type { Arm64Machine, Machine, MemoryRange, X64Machine } from '../../src/machine.ts';
import type { FirmwareEvent, LogLevel } from '../../src/events.ts';
import { hex } from '../simulator/base/hex.ts';
import { waitOn } from '../simulator/base/passing-machine.ts';
import type { Keeper, Saved } from '../simulator/base/snapshot.ts';
import { ABI_IMPORTS } from './abi/abi.ts';
import { GuestFault } from './guest-error.ts';
import { Talk } from './guest-event.ts';
import type { GuestPages } from './guest-pages.ts';

/** Ticks of 100 ns in a microsecond. */
const TICKS_PER_US = 10;

/** Longest text that a guest may hand in, in bytes. */
const TEXT_MAX = 4096;

/** Registers of an HVC. */
const HVC_REGISTERS = 18;

/** Most interrupts that are handled at the end of one import: more is a storm. */
const INTERRUPTS_MAX = 1024;

const LEVELS: readonly LogLevel[] = ['error', 'warning', 'info', 'debug'];

/** Imports that are no call of the machine: they give time to nobody. */
const TALK: readonly string[] = ['log', 'barrier', 'memory_map', 'cancelled', 'random'];

/** Numbers of a module: addresses and lengths are bigint in one with 64-bit memory. */
type Value = number | bigint;

/** What the imports work on. */
export interface ImportContext {
  readonly machine: Machine;
  readonly memory: ArrayBuffer;
  readonly memory64: boolean;
  /** What the guest is told of memory: its own image is reserved. */
  readonly memoryMap: readonly MemoryRange[];
  readonly pages: GuestPages;
  log(level: LogLevel, text: string): void;
  cancelled(): boolean;
  /** Once it shall end it is cut off, in whatever import it is. */
  readonly cutAnywhere: boolean;
  /** Unsigned 32 bits. */
  random(): number;
  /** Of drivers. The frame is a view of guest memory. */
  received(device: number, frame: Uint8Array): void;
  transmitted(device: number, status: number): void;
  /** Calls the guest's `hypxe_interrupt`, if it has it. */
  readonly interrupt?: ((vector: number) => void) | undefined;
}

/** The guest was cut off in the middle: its memory is as it was at that moment. */
export class GuestCut extends Error {
  override readonly name = 'GuestCut';

  constructor(where: string) {
    super(`cut in ${where}`);
  }
}

export class WasmImports implements Saved {
  /** By name, as the engine wants them. */
  readonly functions: Readonly<Record<string, (...values: Value[]) => Value | undefined>>;
  readonly #context: ImportContext;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #ended: unknown;
  #inInterrupt = false;
  readonly #talk = new Talk();

  constructor(context: ImportContext) {
    this.#context = context;
    this.#bytes = new Uint8Array(context.memory);
    this.#view = new DataView(context.memory);
    const table = this.#table();
    const functions: Record<string, (...values: Value[]) => Value | undefined> = {};
    for (const { name } of ABI_IMPORTS) {
      const call = table[name]!;
      functions[name] = (...values) => this.#guarded(name, call, values);
    }
    this.functions = functions;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#ended, this.#inInterrupt], (v) => ([this.#ended, this.#inInterrupt] = v));
    keeper.keep(this.#talk);
  }

  /** Why the guest has ended, if something was thrown out of an import. */
  get ended(): unknown {
    return this.#ended;
  }

  /** The guest has ended: every import says so from now on. */
  end(reason: unknown): void {
    this.#ended ??= reason;
  }

  #guarded(name: string, call: (...values: Value[]) => Value | void, values: Value[]) {
    if (this.#ended !== undefined) {
      if (typeof this.#ended !== 'string') throw this.#ended;
      throw new GuestFault(`the guest calls ${name} after ${this.#ended}`);
    }
    try {
      if (!TALK.includes(name)) this.#talk.called();
      if (this.#context.cutAnywhere && this.#context.cancelled()) throw new GuestCut(name);
      const result = call(...values);
      if (this.#context.interrupt !== undefined) this.#interrupts();
      return result ?? undefined;
    } catch (error) {
      this.#ended ??= error;
      throw error;
    }
  }

  /** What has come during the import: not within a handler. */
  #interrupts(): void {
    const { machine, interrupt } = this.#context;
    if (this.#inInterrupt || machine.takeInterrupt === undefined) return;
    this.#inInterrupt = true;
    try {
      for (let count = 0; count < INTERRUPTS_MAX; count++) {
        const vector = machine.takeInterrupt();
        if (vector === undefined) return;
        interrupt!(vector);
      }
    } finally {
      this.#inInterrupt = false;
    }
  }

  // --- what is handed in ---

  #at(what: string, address: Value, length: number): number {
    const at = number(address);
    if (at + length <= this.#bytes.length) return at;
    throw new GuestFault(`${what}: ${length} bytes at ${hex(at)} are not in RAM`);
  }

  #text(what: string, address: Value, length: Value): string {
    const bytes = number(length);
    const at = this.#at(what, address, bytes);
    return new TextDecoder().decode(this.#bytes.slice(at, at + Math.min(bytes, TEXT_MAX)));
  }

  #x64(what: string): X64Machine {
    const { machine } = this.#context;
    if (machine.architecture === 'x64') return machine;
    throw new GuestFault(`${what} is of x64, and this machine is ${machine.architecture}`);
  }

  #arm64(what: string): Arm64Machine {
    const { machine } = this.#context;
    if (machine.architecture === 'arm64') return machine;
    throw new GuestFault(`${what} is of arm64, and this machine is ${machine.architecture}`);
  }

  #address(value: number): Value {
    return this.#context.memory64 ? BigInt(value) : value;
  }

  // --- the imports ---

  #table(): Readonly<Record<string, (...values: Value[]) => Value | void>> {
    const { machine, pages } = this.#context;
    return {
      cpuid: (leaf, subleaf, out) => {
        const at = this.#at('cpuid', out!, 16);
        const { eax, ebx, ecx, edx } = this.#x64('cpuid').cpuid(number(leaf!), number(subleaf!));
        [eax, ebx, ecx, edx].forEach((word, i) => this.#view.setUint32(at + 4 * i, word, true));
      },
      rdmsr: (msr) => this.#x64('rdmsr').rdmsr(number(msr!)),
      wrmsr: (msr, value) => this.#x64('wrmsr').wrmsr(number(msr!), unsigned(value!)),
      hypercall: (page, control, input, output) =>
        this.#x64('hypercall').callHypercallPage(
          number(page!),
          unsigned(control!),
          unsigned(input!),
          unsigned(output!),
        ),
      rdtsc: () => {
        const x64 = this.#x64('rdtsc');
        if (x64.rdtsc === undefined) throw new GuestFault('rdtsc: this machine has no counter');
        return x64.rdtsc();
      },
      hvc: (immediate, registers) => this.#hvc(number(immediate!), registers!),
      cntvct: () => this.#arm64('cntvct').readCounter(),
      cntfrq: () => BigInt(this.#arm64('cntfrq').counterFrequency),
      barrier: (kind) => {
        if (number(kind!) > 2) throw new GuestFault(`barrier ${number(kind!)}: there are 0, 1, 2`);
      },
      pause: () => machine.pause(),
      delay: (microseconds) => waitOn(machine, number(microseconds!) * TICKS_PER_US),
      memory_map: (index, out) => this.#range(number(index!), out!),
      page_alloc: (bytes, purpose, length) => {
        const text = this.#text('page_alloc', purpose!, length!);
        const size = number(bytes!);
        const address = pages.allocate(size, text);
        if (address !== undefined) this.#bytes.fill(0, address, address + size);
        return this.#address(address ?? 0);
      },
      page_free: (address, bytes) => pages.free(number(address!), number(bytes!)),
      reserve: (address, bytes, purpose, length) => {
        const size = number(bytes!);
        const at = this.#at('reserve', address!, size);
        pages.reserve(at, size, this.#text('reserve', purpose!, length!));
      },
      log: (level, text, length) => {
        const at = LEVELS[Math.min(number(level!), LEVELS.length - 1)]!;
        const said = this.#text('log', text!, length!);
        const line = { kind: 'log', level: at, layer: 'HV', object: '', text: said } as const;
        let told: FirmwareEvent | undefined;
        try {
          told = this.#talk.told(said.length, line, 'lines');
        } catch (error) {
          throw new GuestFault(`log: ${(error as Error).message}`);
        }
        if (told?.kind === 'log') this.#context.log(told.level, told.text);
      },
      cancelled: () => Number(this.#context.cancelled()),
      random: () => this.#context.random(),
      received: (device, frame, length) => {
        const size = number(length!);
        const at = this.#at('received', frame!, size);
        this.#context.received(number(device!), this.#bytes.subarray(at, at + size));
      },
      transmitted: (device, status) =>
        this.#context.transmitted(number(device!), Number(status!) | 0),
    };
  }

  #hvc(immediate: number, registers: Value): void {
    const at = this.#at('hvc', registers, HVC_REGISTERS * 8);
    const machine = this.#arm64('hvc');
    const x = new BigUint64Array(HVC_REGISTERS);
    for (let i = 0; i < HVC_REGISTERS; i++) x[i] = this.#view.getBigUint64(at + 8 * i, true);
    machine.hvc(immediate, x);
    for (let i = 0; i < HVC_REGISTERS; i++) this.#view.setBigUint64(at + 8 * i, x[i]!, true);
  }

  #range(index: number, out: Value): number {
    const map = this.#context.memoryMap;
    const range = map[index];
    if (range !== undefined) {
      const at = this.#at('memory_map', out, 24);
      this.#view.setBigUint64(at, BigInt(range.address), true);
      this.#view.setBigUint64(at + 8, BigInt(range.length), true);
      this.#view.setUint32(at + 16, range.type === 'usable' ? 0 : 1, true);
      this.#view.setUint32(at + 20, 0, true);
    }
    return map.length;
  }
}

/** An address, a length or 32 bits, unsigned. */
export function number(value: Value): number {
  return typeof value === 'bigint' ? Number(BigInt.asUintN(64, value)) : value >>> 0;
}

function unsigned(value: Value): bigint {
  return BigInt.asUintN(64, BigInt(value));
}
