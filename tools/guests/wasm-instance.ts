// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A guest's module in guest RAM: instantiated afresh for each run, its code, data and stack at the
 * start of memory, which is reserved for as long as it runs.
 */

import type { Machine, MemoryRange } from '../../src/machine.ts';
import type { LogLevel } from '../../src/events.ts';
import { carve } from '../../src/memory/shared-memory.ts';
import type { Keeper, Saved } from '../simulator/base/snapshot.ts';
import { ABI_VERSION } from './abi/abi.ts';
import { WASM_PAGE, wasmEngine, type WasmMemory } from './engine.ts';
import { GuestFault } from './guest-error.ts';
import { GUEST_IMAGE } from './guest-image.ts';
import { BadGuest } from './guest-program.ts';
import type { GuestPages } from './guest-pages.ts';
import type { CheckedModule } from './wasm-check.ts';
import type { AccessListener } from './watch/access-listener.ts';
import { QuietPages, globalsOf, watchImports } from './watch/watch-imports.ts';
import { WasmImports, number } from './wasm-imports.ts';

type GuestCall = (...values: (number | bigint)[]) => number | bigint | undefined;

/** A checked module, compiled. */
export interface CompiledModule extends CheckedModule {
  readonly compiled: object;
  /** It tells of its accesses: to whom, as long as there is somebody. */
  readonly listener?: () => AccessListener | undefined;
  /**
   * What an instance has besides memory and the globals that are exported, in words: it cannot be
   * copied. Undefined: nothing.
   */
  readonly hidden: string | undefined;
}

/** What an instance is plugged into. */
export interface InstanceSurroundings {
  readonly machine: Machine;
  readonly memory: WasmMemory;
  readonly pages: GuestPages;
  readonly memoryMap: readonly MemoryRange[];
  log(level: LogLevel, text: string): void;
  cancelled(): boolean;
  random(): number;
  /** It is cut off in the middle, in whatever import it is: it never asks. */
  readonly cutAnywhere?: boolean;
  received?(device: number, frame: Uint8Array): void;
  transmitted?(device: number, status: number): void;
}

/** The end of the guest's image: of whole pages, whatever size a machine's pages have. */
export function imageEnd({ imageEnd: end }: CheckedModule): number {
  return Math.ceil(end / WASM_PAGE) * WASM_PAGE;
}

/** The memory map while a guest runs: its image is its own. */
export function mapWithImage(module: CheckedModule, machine: Machine): MemoryRange[] {
  const end = imageEnd(module);
  return machine.memoryMap.flatMap((range) => carve(range, 0, end, GUEST_IMAGE));
}

/** The memory map once a guest has handed over: its image is anybody's. */
export function mapWithoutImage({ memoryMap }: Machine): MemoryRange[] {
  const map: MemoryRange[] = [];
  for (const range of memoryMap) {
    const { address, length } = range;
    const usable = range.purpose === GUEST_IMAGE || range.type === 'usable';
    const last = map.at(-1);
    const follows = last?.type === 'usable' && last.address + last.length === address;
    if (usable && follows) map[map.length - 1] = { ...last, length: last.length + length };
    else map.push(usable ? { address, length, type: 'usable' } : range);
  }
  return map;
}

export class GuestInstance implements Saved {
  readonly #quiet = new QuietPages();
  readonly #exports: Readonly<Record<string, unknown>>;
  readonly #imports: WasmImports;
  readonly #memory64: boolean;

  /** @throws BadGuest, GuestFault, and what its start function does */
  constructor(module: CompiledModule, surroundings: InstanceSurroundings) {
    const { memory, machine } = surroundings;
    this.#memory64 = module.memory64;
    const interrupts = module.module.exports.some(({ name }) => name === 'hypxe_interrupt');
    const { received = noDriver, transmitted = noDriver } = surroundings;
    this.#imports = new WasmImports({
      ...{ machine, received, transmitted, memory: memory.buffer, memory64: module.memory64 },
      ...{ pages: surroundings.pages, memoryMap: surroundings.memoryMap },
      log: (level, text) => surroundings.log(level, text),
      cancelled: () => surroundings.cancelled(),
      random: () => surroundings.random(),
      cutAnywhere: surroundings.cutAnywhere === true,
      interrupt: interrupts ? (vector) => void this.call('hypxe_interrupt', vector) : undefined,
    });
    // As a loader does: what nothing is loaded to is zero
    new Uint8Array(memory.buffer).fill(0, 0, module.imageEnd);
    const hypxe = { ...this.#imports.functions, memory };
    const env = { memory };
    const { Instance } = wasmEngine();
    const { listener } = module;
    const size = memory.buffer.byteLength;
    const imports =
      listener === undefined
        ? { hypxe, env }
        : { ...watchImports(hypxe, size, listener, this.#quiet), env };
    this.#exports = new Instance(module.compiled, imports).exports;
    if (listener !== undefined) this.#quiet.begin(this.#exports);
    const version = this.call('hypxe_abi');
    if (version !== ABI_VERSION) {
      const text = `hypxe_abi returns ${version}, and this is version ${ABI_VERSION}`;
      throw new BadGuest(text, 'Take the header of this version: hypxe guest header c.');
    }
  }

  /** For a snapshot, between two calls: all that it has outside of RAM. */
  saveTo(keeper: Keeper): void {
    const globals = globalsOf(this.#exports);
    const was = globals.map(({ value }) => value);
    keeper.also(() => globals.forEach((each, i) => (each.value = was[i]!)));
    keeper.keep(this.#imports);
  }

  /** Whether the guest exports a function. */
  has(name: string): boolean {
    return typeof this.#exports[name] === 'function';
  }

  /** Call an export: its result as a number, signed; addresses are unsigned. */
  call(name: string, ...values: number[]): number {
    this.#quiet.end();
    const result = (this.#exports[name] as GuestCall)(...values);
    // A guest that catches its own end has ended all the same
    if (this.#imports.ended instanceof Error) throw this.#imports.ended;
    return Number(result ?? 0);
  }

  /** Call an export whose values are addresses and lengths, from the index `wide` on. */
  callWide(name: string, wide: number, ...values: number[]): number {
    const converted = values.map((v, i) => (i >= wide && this.#memory64 ? BigInt(v) : v));
    this.#quiet.end();
    const result = (this.#exports[name] as GuestCall)(...converted);
    if (this.#imports.ended instanceof Error) throw this.#imports.ended;
    return typeof result === 'bigint' ? number(result) : Number(result ?? 0);
  }

  /** The guest is done: it may call nothing any more. */
  end(how: string): void {
    this.#imports.end(how);
  }
}

function noDriver(): never {
  throw new GuestFault('received and transmitted are for drivers, and this is a whole firmware');
}
