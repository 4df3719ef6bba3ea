// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A guest in WebAssembly as a firmware: made of the bytes of a module, it has guest RAM made for
 * it, and then boots there as a bundle of JavaScript does.
 */

import type { HypervDriver, DriverOptions } from '../../src/driver.ts';
import { bootWith, type BootOptions, type BootResult } from '../../src/boot/boot.ts';
import { Log } from '../../src/events.ts';
import { PAGE_SIZE, type Machine, type MemoryRange } from '../../src/machine.ts';
import { MapAllocator, type PageAllocator } from '../../src/memory/allocator.ts';
import { carve } from '../../src/memory/shared-memory.ts';
import { fixedMemory, wasmEngine, type WasmMemory } from './engine.ts';
import { GuestFault, GuestRefused } from './guest-error.ts';
import { GuestPages } from './guest-pages.ts';
import { guestError } from './guest-status.ts';
import { checkGuest, type GuestKind } from './wasm-check.ts';
import { WasmDriver } from './wasm-driver.ts';
import { GuestInstance, imageEnd, mapWithImage, type CompiledModule } from './wasm-instance.ts';
import { importMemory } from './wasm-memory.ts';

/** Length of the structure that `hypxe_boot` fills in, and of the longest name in it. */
const RESULT_LENGTH = 24;
const NAME_MAX = 255;

/** What came of a guest that may load nothing: then `image` is null, and only its handoff counts. */
export type GuestBootResult = Omit<BootResult, 'image'> & { readonly image: BootResult['image'] | null };

/** A guest's module, compiled once and run any number of times. */
export class WasmGuest {
  readonly kind: GuestKind;
  /** Whether it asks if it shall end: else it is cut off in the middle. */
  readonly asksToEnd: boolean;
  /** Whether it can leave the machine for a while, as a SAN boot wants. */
  readonly hasSan: boolean;
  /** Makes the drivers, of a driver guest, for a machine in a memory of {@link createMemory}. */
  readonly createDriver: ((machine: Machine, options?: DriverOptions) => HypervDriver) | undefined;
  readonly #module: CompiledModule;
  readonly #memories = new WeakMap<ArrayBufferLike, WasmMemory>();

  /** @throws GuestRefused for bytes that are no guest */
  constructor(bytes: Uint8Array) {
    const checked = checkGuest(bytes);
    this.#module = { ...checked, compiled: compile(importMemory(checked.module), checked.memory64) };
    this.kind = checked.kind;
    const exports = checked.module.exports.map(({ name }) => name);
    this.hasSan = exports.includes('hypxe_quiesce') && exports.includes('hypxe_unquiesce');
    this.asksToEnd = checked.module.imports.some(({ name }) => name === 'cancelled');
    this.createDriver =
      checked.kind === 'driver'
        ? // A boot calls what a driver guest has, too
          (machine, options) => this.#driver(machine, options) as unknown as HypervDriver
        : undefined;
  }

  /**
   * Guest RAM for one machine: of fixed size, a whole number of 64 KiB.
   *
   * @throws RangeError without room; GuestRefused if the module needs more
   */
  createMemory(bytes: number): ArrayBuffer {
    const { least, memory64 } = this.#module;
    if (least > bytes) {
      const text = `it needs ${least} bytes of memory, and the guest has ${bytes}`;
      throw new GuestRefused(text, 'Give the guest more: --memory MIB.');
    }
    const memory = fixedMemory(bytes, memory64);
    this.#memories.set(memory.buffer, memory);
    return memory.buffer;
  }

  /** What of memory is the guest's own while it runs. */
  image(machine: Machine): Pick<MemoryRange, 'address' | 'length'> {
    return { address: 0, length: imageEnd(this.#module, machine) };
  }

  /**
   * Boot: a whole firmware by itself, a driver with the tool's loader on top.
   *
   * @throws what the guest throws, and a GuestFault
   */
  boot(machine: Machine, options: BootOptions = {}): GuestBootResult {
    if (this.kind === 'firmware') return this.#bootFirmware(machine, options);
    const allocator = new MapAllocator(mapWithImage(this.#module, machine), machine.pageSize);
    const make = (on: Machine, more: DriverOptions): HypervDriver =>
      this.#driver(on, more) as unknown as HypervDriver;
    return bootWith(make, machine, { allocator, ...options });
  }

  #driver(machine: Machine, options?: DriverOptions): WasmDriver {
    return new WasmDriver(this.#module, this.#memoryOf(machine), machine, options);
  }

  #memoryOf(machine: Machine): WasmMemory {
    const memory = this.#memories.get(machine.memory);
    if (memory === undefined) throw new Error('the memory of the machine was not made for the guest');
    return memory;
  }

  #bootFirmware(machine: Machine, options: BootOptions): GuestBootResult {
    const log = new Log(options.events);
    const pageSize = machine.pageSize ?? PAGE_SIZE;
    const map = mapWithImage(this.#module, machine);
    const allocator: PageAllocator = options.allocator ?? new MapAllocator(map, pageSize);
    // The result is the tool's: its page is nobody else's meanwhile
    const result = allocator.allocate(pageSize, pageSize, 'result');
    if (result === undefined) throw new GuestFault('there is no memory for the result');
    const pages = new GuestPages(options.pages?.(allocator) ?? allocator, pageSize);
    const memory = this.#memoryOf(machine);
    new Uint8Array(memory.buffer).fill(0, result, result + RESULT_LENGTH);
    const instance = new GuestInstance(this.#module, {
      ...{ machine, memory, pages, cancelled: options.cancel ?? (() => false) },
      memoryMap: map.flatMap((r) => carve(r, result, result + pageSize, 'result')),
      log: (level, text) => log[level]('GUEST', '', text),
    });
    const status = instance.callWide('hypxe_boot', 0, result) | 0;
    instance.end('hypxe_boot has returned');
    const found = readResult(memory.buffer, result);
    allocator.free(result, pageSize, 'result');
    let memoryMap = machine.memoryMap;
    const failed = status < 0;
    if (!failed && found !== undefined) {
      const { address, length, name } = found;
      const end = Math.ceil((address + length) / pageSize) * pageSize;
      const start = Math.floor(address / pageSize) * pageSize;
      memoryMap = memoryMap.flatMap((range) => carve(range, start, end, `boot image ${name}`));
    }
    return {
      status: failed ? 'failed' : 'booted',
      image: failed ? undefined : (found ?? null),
      error: failed ? guestError('hypxe_boot', status) : undefined,
      attempts: [],
      memoryMap: pages.memoryMap(memoryMap),
    };
  }
}

/** @throws GuestRefused with what the engine says */
function compile(bytes: Uint8Array, memory64: boolean): object {
  const { Module } = wasmEngine();
  try {
    return new Module(bytes);
  } catch (error) {
    const what = (error as Error).message.replace(/^WebAssembly\.Module\(\): /, '');
    const wide = memory64 ? 'This engine may lack 64-bit memory: Node 24 has it. ' : '';
    throw new GuestRefused(`it does not compile: ${what}`, `${wide}Build the module again.`);
  }
}

/** What a whole firmware has loaded. @throws GuestFault for what is not in RAM */
function readResult(memory: ArrayBuffer, at: number): NonNullable<BootResult['image']> | undefined {
  const view = new DataView(memory);
  const [address, length] = [0, 8].map((o) => Number(view.getBigUint64(at + o, true))) as [number, number];
  const [name, nameLength] = [16, 20].map((o) => view.getUint32(at + o, true)) as [number, number];
  if (length === 0) return undefined;
  if (address + length > memory.byteLength || name + nameLength > memory.byteLength) {
    throw new GuestFault('hypxe_boot: what it has loaded, or its name, is not in RAM');
  }
  const bytes = new Uint8Array(memory).slice(name, name + Math.min(nameLength, NAME_MAX));
  const text = new TextDecoder().decode(bytes);
  return { name: text === '' ? 'image' : text, address, length, device: 'guest' };
}
