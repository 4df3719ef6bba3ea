// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A driver guest in the place of hypxe's own drivers: whoever boots, loads, quiesces or replays
 * with those does it with a guest's, too.
 */

import type { DriverOptions } from '../../src/driver.ts';
import { Log, type LogLevel } from '../../src/events.ts';
import { PAGE_SIZE, type Machine, type MemoryRange } from '../../src/machine.ts';
import type { PageAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { NetDevice } from '../../src/net/device.ts';
import type { Clock } from '../../src/time.ts';
import { SnapshotError, type Keeper, type Saved } from '../simulator/base/snapshot.ts';
import type { WasmMemory } from './engine.ts';
import { GuestFault } from './guest-error.ts';
import { guestClock } from './guest-clock.ts';
import { GuestPages, SavedAllocator } from './guest-pages.ts';
import { GuestRandom } from './guest-random.ts';
import { guestError } from './guest-status.ts';
import {
  GuestInstance,
  mapWithImage,
  mapWithoutImage,
  type CompiledModule,
} from './wasm-instance.ts';
import { GuestNic } from './wasm-net-device.ts';

/** Most NICs that a guest may say it has. */
const NICS_MAX = 64;

/** Where a guest's address of 6 bytes is put: in a page of the tool's. */
const SCRATCH = 'scratch of the loader';

export class WasmDriver implements Saved {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: () => number;
  readonly memory: GuestMemory;
  /** As far as a boot asks what it runs on. */
  readonly hv: { readonly platform: { readonly machine: Machine } };
  readonly #module: CompiledModule;
  readonly #memory: WasmMemory;
  readonly #machine: Machine;
  readonly #map: readonly MemoryRange[];
  readonly #allocator: PageAllocator;
  readonly #pages: GuestPages;
  readonly #cancelled: () => boolean;
  /** Where {@link random} is from, if nobody has brought others. */
  readonly #numbers: GuestRandom | undefined;
  #instance: GuestInstance | undefined;
  #nics: GuestNic[] = [];

  constructor(
    module: CompiledModule,
    memory: WasmMemory,
    machine: Machine,
    options: DriverOptions = {},
  ) {
    this.#module = module;
    this.#memory = memory;
    this.#machine = machine;
    this.#map = mapWithImage(module, machine);
    this.#allocator = options.allocator ?? new SavedAllocator(this.#map, machine.pageSize);
    this.#pages = new GuestPages(this.#allocator, machine.pageSize ?? PAGE_SIZE);
    this.#cancelled = options.cancel ?? (() => false);
    this.log = new Log(options.events);
    this.memory = new GuestMemory(machine.memory);
    this.clock = guestClock(machine, this.#cancelled);
    this.#numbers = options.random === undefined ? new GuestRandom() : undefined;
    this.random = options.random ?? this.#numbers!.next;
    this.hv = { platform: { machine } };
  }

  /**
   * For a snapshot, between two calls: all that the guest has outside of RAM.
   *
   * @throws SnapshotError if some of it cannot be copied, by name
   */
  saveTo(keeper: Keeper): void {
    const { hidden } = this.#module;
    if (hidden !== undefined) throw new SnapshotError(`the module cannot be copied: ${hidden}`);
    keeper.put([this.#instance, this.#nics], (v) => ([this.#instance, this.#nics] = v));
    keeper.keep(this.#pages);
    keeper.demand('where its random numbers come from', this.#numbers);
  }

  get devices(): readonly NetDevice[] {
    return this.#nics;
  }

  /** @throws HypxeError what the guest says, with everything undone */
  probe(): void {
    if (this.#instance !== undefined) return;
    const instance = new GuestInstance(this.#module, {
      ...{ machine: this.#machine, memory: this.#memory, memoryMap: this.#map },
      ...{ pages: this.#pages, cancelled: this.#cancelled, random: this.random },
      log: (level, text) => this.#say(level, text),
      received: (device, frame) => this.#nic(device).received(frame),
      transmitted: (device, status) => this.#nic(device).transmitted(status),
    });
    this.log.step('connect', 'begin');
    const count = instance.call('hypxe_probe');
    if (count < 0) {
      instance.end('hypxe_probe has failed');
      throw guestError('hypxe_probe', count);
    }
    if (count > NICS_MAX) throw new GuestFault(`hypxe_probe: ${count} NICs`);
    this.#instance = instance;
    this.#makeNics(instance, count);
    this.log.step('connect', 'end');
  }

  #makeNics(instance: GuestInstance, count: number): void {
    const size = this.#machine.pageSize ?? PAGE_SIZE;
    if (count === 0) return;
    const scratch = this.#allocator.allocate(size, size, SCRATCH);
    if (scratch === undefined) return;
    const { buffer: memory } = this.#memory;
    const { log } = this;
    for (let index = 0; index < count; index++) {
      const nic = new GuestNic({ index, instance, memory, scratch, log });
      this.#nics.push(nic);
      log.emit({ kind: 'netdev', change: 'register', name: nic.name });
    }
    this.#allocator.free(scratch, size, SCRATCH);
  }

  /** A NIC that the guest speaks of. @throws GuestFault */
  #nic(device: number): GuestNic {
    const nic = this.#nics[device];
    if (nic === undefined) throw new GuestFault(`there is no device ${device}`);
    return nic;
  }

  remove(): void {
    const instance = this.#instance;
    if (instance === undefined) return;
    this.#instance = undefined;
    instance.call('hypxe_remove');
    instance.end('hypxe_remove');
    for (const { name } of this.#nics) {
      this.log.emit({ kind: 'netdev', change: 'unregister', name });
    }
    this.#nics = [];
  }

  /** A guest hears what the host says when it is polled. */
  poll(): void {}

  /** A guest that does not export it keeps the machine: it cannot be used for a SAN boot. */
  quiesce(): void {
    const instance = this.#instance;
    if (instance?.has('hypxe_quiesce') === true) instance.call('hypxe_quiesce');
  }

  unquiesce(): void {
    const instance = this.#instance;
    if (instance?.has('hypxe_unquiesce') !== true) return;
    const status = instance.call('hypxe_unquiesce');
    if (status < 0) throw guestError('hypxe_unquiesce', status);
  }

  /** What the guest has not given back. */
  outstanding(): readonly { readonly purpose: string; readonly sharedBy: string }[] {
    return this.#pages.kept.map(({ purpose }) => ({ purpose, sharedBy: 'page_alloc' }));
  }

  memoryMap(): MemoryRange[] {
    return this.#pages.memoryMap(mapWithoutImage(this.#machine));
  }

  #say(level: LogLevel, text: string): void {
    this.log[level]('GUEST', '', text);
  }
}
