// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Guests in WebAssembly: a module is checked and compiled once, and instantiated afresh in guest
 * RAM for each boot. A driver boots with the tool's loader on top.
 */

import type { HypervDriver, DriverOptions } from '../../src/driver.ts';
import { bootWith } from '../../src/boot/boot.ts';
import { withAll } from '../../src/boot/whole.ts';
import { PAGE_SIZE, type Machine, type MemoryRange } from '../../src/machine.ts';
import { MapAllocator } from '../../src/memory/allocator.ts';
import { defaultMemoryMap } from '../simulator/hypervisor/partition.ts';
import { GuestCrash, GuestHang } from '../simulator/hypervisor/guest-end.ts';
import { fixedMemory, wasmEngine, type WasmMemory } from './engine.ts';
import {
  BadGuest,
  GuestThrew,
  type Guard,
  type GuestDriver,
  type GuestDriverOptions,
  type GuestInstance,
  type GuestOptions,
  type GuestProgram,
  type MemoryWatch,
} from './guest-program.ts';
import { checkModule } from './wasm-check.ts';
import { WasmDriver } from './wasm-driver.ts';
import { bootModule, type GuestBootResult } from './wasm-firmware.ts';
import type { AccessListener } from './watch/access-listener.ts';
import { watchedModule } from './watch/wasm-watch.ts';
import { GUEST_IMAGE } from './guest-image.ts';
import { imageEnd, mapWithImage, type CompiledModule } from './wasm-instance.ts';
import { importMemory } from './wasm-memory.ts';

/** A module that is a guest, compiled. */
export class WasmProgram implements GuestProgram {
  readonly kind = 'wasm';
  readonly name: string;
  readonly exports: readonly string[];
  readonly boots = true;
  readonly drives: boolean;
  readonly cut: 'asked' | 'anywhere';
  readonly #module: CompiledModule;
  readonly #guard: Guard;

  /**
   * @param name for messages: the path of the file
   * @throws BadGuest for bytes that are no guest
   */
  constructor(name: string, bytes: Uint8Array, guard: Guard = (call) => call()) {
    this.#guard = guard;
    const checked = named(name, () => checkModule(bytes));
    const { module, kind, memory64 } = checked;
    const compiled = named(name, () => compile(importMemory(module), memory64));
    const hidden = 'it is not rewritten, so that its globals cannot be seen';
    this.#module = { ...checked, compiled, hidden };
    this.name = name;
    this.exports = module.exports.map((each) => each.name);
    this.drives = kind === 'driver';
    this.cut = module.imports.some((each) => each.name === 'cancelled') ? 'asked' : 'anywhere';
  }

  /** @throws RangeError without room; BadGuest if the module needs more */
  instantiate(memoryBytes: number): GuestInstance {
    const { least, memory64 } = this.#module;
    const end = imageEnd(this.#module);
    if (Math.max(least, end) > memoryBytes) {
      const needs = `${this.name} needs ${Math.max(least, end)} bytes of memory`;
      const text = `${needs}, and has ${memoryBytes}`;
      throw new BadGuest(text, 'Give the guest more: --memory MIB.');
    }
    return new WasmGuest(this.#module, fixedMemory(memoryBytes, memory64), this.cut, this.#guard);
  }
}

class WasmGuest implements GuestInstance {
  readonly memory: ArrayBuffer;
  readonly image: readonly MemoryRange[];
  readonly faultsEnd = true;
  readonly createDriver?: (machine: Machine, options: GuestDriverOptions) => GuestDriver;
  readonly #plain: CompiledModule;
  /** The same, telling of its accesses; made when somebody wants to know. */
  #watched: CompiledModule | undefined;
  #module: CompiledModule;
  #listener: AccessListener | undefined;
  readonly #memory: WasmMemory;
  readonly #cut: 'asked' | 'anywhere';
  readonly #guard: Guard;

  constructor(module: CompiledModule, memory: WasmMemory, cut: 'asked' | 'anywhere', guard: Guard) {
    this.#guard = guard;
    this.#plain = module;
    this.#module = module;
    this.#memory = memory;
    this.#cut = cut;
    this.memory = memory.buffer;
    this.image = imageRanges(module, memory.buffer.byteLength);
    if (module.kind === 'driver') {
      this.createDriver = (machine, options) =>
        thrown(
          () => new WasmDriver(this.#module, memory, machine, options),
        ) as unknown as GuestDriver;
    }
  }

  boot(machine: Machine, options: GuestOptions): GuestBootResult {
    const [module, memory] = [this.#module, this.#memory];
    const run = (): GuestBootResult => {
      if (module.kind === 'firmware')
        return bootModule(module, memory, machine, options, this.#cut);
      const allocator = new MapAllocator(mapWithImage(module, machine), machine.pageSize);
      // A boot calls of the drivers what a driver guest has, too
      const make = (on: Machine, more: DriverOptions): HypervDriver =>
        new WasmDriver(module, memory, on, more) as unknown as HypervDriver;
      return bootWith(make, machine, withAll(machine, { allocator, ...options }));
    };
    return thrown(() => this.#guard(run));
  }

  /** Whether the module can be rewritten to tell of its accesses. */
  get canWatch(): boolean {
    this.#watched ??= this.#makeWatched();
    return this.#watched !== this.#plain;
  }

  /** What is not rewritten keeps its globals to itself. */
  get canCopy(): boolean {
    this.#watched ??= this.#makeWatched();
    return this.#watched.hidden === undefined;
  }

  /** A module that cannot be rewritten is not watched: nobody is told of anything then. */
  watch(listener: AccessListener): MemoryWatch {
    const watched = (this.#watched ??= this.#makeWatched());
    const install = (): void => {
      this.#module = watched;
      this.#listener = listener;
    };
    install();
    // The tool's own accesses are none of the module's
    return {
      install,
      remove: () => {},
      suspend: () => false,
      release: () => {
        this.#listener = undefined;
        this.#module = this.#plain;
      },
    };
  }

  #makeWatched(): CompiledModule {
    const { module, memory64 } = this.#plain;
    const watched = memory64 ? undefined : watchedModule(importMemory(module));
    const compiled = watched && compiledIfAny(watched.bytes);
    if (compiled === undefined) return this.#plain;
    const { hidden } = watched!;
    return { ...this.#plain, compiled, hidden, listener: () => this.#listener };
  }

  reset(): void {
    new Uint8Array(this.memory).fill(0);
  }
}

/** What of usual RAM the guest's code, data and stack lie in. */
function imageRanges(module: CompiledModule, memoryBytes: number): MemoryRange[] {
  const end = imageEnd(module);
  return defaultMemoryMap(memoryBytes, PAGE_SIZE)
    .filter(({ address, type }) => type === 'usable' && address < end)
    .map(({ address, length }) => ({
      address,
      length: Math.min(length, end - address),
      type: 'reserved',
      purpose: GUEST_IMAGE,
    }));
}

/** What is wrong with a file is said with its name. */
function named<T>(name: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof BadGuest)) throw error;
    throw new BadGuest(`${name}: ${error.message}`, error.advice);
  }
}

/** @throws BadGuest with what the engine says */
function compile(bytes: Uint8Array, memory64: boolean): object {
  const { Module } = wasmEngine();
  try {
    return new Module(bytes);
  } catch (error) {
    const what = (error as Error).message.replace(/^WebAssembly\.Module\(\): /, '');
    const wide = memory64 ? 'This engine may lack 64-bit memory: Node 24 has it. ' : '';
    throw new BadGuest(`it does not compile: ${what}`, `${wide}Build the module again.`);
  }
}

/** Undefined for what is too long for the engine, or has too much in it, now that it tells. */
function compiledIfAny(bytes: Uint8Array): object | undefined {
  try {
    return compile(bytes, false);
  } catch (error) {
    if (error instanceof BadGuest) return undefined;
    throw error;
  }
}

/** What a module throws (a trap), in words, with the functions of its stack. */
function thrown<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    const passes = [GuestCrash, GuestHang, GuestThrew, BadGuest];
    if (!(error instanceof Error) || passes.some((kind) => error instanceof kind)) throw error;
    if (Object.hasOwn(error, 'status') || !isTrap(error)) throw error;
    const frames = (error.stack ?? '').split('\n').filter((line) => line.includes('wasm'));
    const where = frames.length === 0 ? undefined : frames.join('\n');
    const threw = new GuestThrew(error.name, error.message, where);
    if (where !== undefined) threw.stack = `${error.name}: ${error.message}\n${where}`;
    throw threw;
  }
}

/** Of what is thrown through a guest's calls: its own traps, and what it was told it did wrong. */
function isTrap({ name }: Error): boolean {
  return ['RuntimeError', 'RangeError', 'GuestFault', 'Exception'].includes(name);
}
