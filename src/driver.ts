// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The drivers of a Hyper-V guest as one: what iPXE calls its Hyper-V root device. Found or not,
 * opened, quiesced, removed as a whole; the network devices in between.
 */

import { Log, type BootStep, type EventSink } from './events.ts';
import { HyperV } from './hyperv/hyperv.ts';
import type { Platform } from './hyperv/platform.ts';
import type { MachineCommon, MemoryRange } from './machine.ts';
import { TopAllocator, type PageAllocator } from './memory/allocator.ts';
import { GuestMemory } from './memory/guest-memory.ts';
import { SharedMemory, type Region } from './memory/shared-memory.ts';
import type { NetDevice } from './net/device.ts';
import { NetvscDriver } from './netvsc/driver.ts';
import type { NetvscPlug } from './netvsc/part.ts';
import { NETVSC_PRESETS, type NetvscPolicy, type PresetName } from './netvsc/policy.ts';
import type { Clock } from './time.ts';
import { VmbusBus, type VmbusDriver } from './vmbus/bus.ts';
import { contactAsFirmware, type ContactPolicy } from './vmbus/contact.ts';

/**
 * How long the host may take to let go at the end, in ms. A host may first have to write its disk
 * caches: up to 50 s were seen on Azure (Linux 77db0ec8b776). iPXE gives up after one second.
 */
const UNLOAD_TIMEOUT_MS = 100_000;
const UNLOAD_TIMEOUT_IPXE_MS = 1000;

/** Seed of the default random numbers: the state of a xorshift must not be 0. */
const RANDOM_SEED = 0x18ae;

export interface DriverOptions {
  /** Sizes and habits: `default`, robust on strict hosts, or `ipxe`, iPXE's own choices. */
  readonly preset?: PresetName;
  /** Single choices that differ from the preset. */
  readonly policy?: Partial<NetvscPolicy>;
  /** What each network device shall do beyond the firmware: a part of `src/os/`. */
  readonly netvsc?: NetvscPlug;
  /** Reader of the event stream. */
  readonly events?: EventSink;
  /** Source of guest memory; by default the top of the usable ranges of the memory map. */
  readonly allocator?: PageAllocator;
  /** Source of random numbers (unsigned 32 bits); by default derived from the reference time. */
  readonly random?: () => number;
  /** Versions to ask the host for; by default iPXE's 3.0, then 0.13. */
  readonly contact?: ContactPolicy;
  /**
   * Where the time comes from, for entries that have more than the reference counter; by default
   * the best there is, for preset `ipxe` the counter.
   */
  readonly clock?: 'best' | 'counter';
  /** Identity of the guest; by default iPXE's. */
  readonly guestOsId?: bigint;
  /** First GPADL ID less one; by default iPXE's. */
  readonly firstGpadl?: number;
  /**
   * Drivers of other devices than NICs, or for NICs in place of our own: those of services are in
   * `services/driver.ts`. Polled by {@link HypervDriver.poll}. Default none.
   */
  readonly drivers?: readonly VmbusDriver[];
  /**
   * Whether whatever is being done shall end: asked in every turn of a wait and before every
   * message. Once it says so, what is being done fails with Cancelled and is undone.
   */
  readonly cancel?: () => boolean;
}

/** What the drivers must know of a machine's memory. */
export type MachineMemory = Pick<MachineCommon, 'memory' | 'memoryMap' | 'pageSize'>;

/** The drivers. Made once for a machine; may be probed and removed any number of times. */
export class HypervDriver {
  readonly log: Log;
  readonly random: () => number;
  /** The preset, with what was chosen otherwise. */
  readonly policy: NetvscPolicy;
  /** The layers, for whoever has parts to plug into them. */
  readonly hv: HyperV;
  readonly bus: VmbusBus;
  readonly #net: NetvscDriver;
  readonly #drivers: readonly VmbusDriver[];
  readonly #map: readonly MemoryRange[];
  #probed = false;
  /** A reset has failed: the next unquiesce must try again, whatever SIMP says. */
  #resetFailed = false;

  /**
   * @param platform of the machine's architecture; the entry knows which there are
   * @param machine its memory; the map is taken as it is
   */
  constructor(platform: Platform, machine: MachineMemory, options: DriverOptions) {
    const preset = options.preset ?? 'default';
    const policy = (this.policy = { ...NETVSC_PRESETS[preset], ...options.policy });
    const memory = new GuestMemory(machine.memory);
    this.log = new Log(options.events);
    this.#map = machine.memoryMap;
    const allocator = options.allocator ?? new TopAllocator(this.#map);
    const pages = new SharedMemory(memory, allocator, this.log, machine.pageSize);
    const ipxe = preset === 'ipxe';
    this.hv = new HyperV(platform, pages, this.log, options);
    this.random = options.random ?? xorshift(this.hv.clock);
    this.#net = new NetvscDriver(policy, this.log, options.netvsc);
    this.#drivers = [...(options.drivers ?? []), this.#net];
    this.bus = new VmbusBus(this.hv, {
      firstGpadl: options.firstGpadl,
      contact: options.contact ?? contactAsFirmware,
      drivers: this.#drivers,
      random: this.random,
      connection: {
        answerTimeoutMs: policy.answerMs,
        contactTimeoutMs: (ipxe ? 1 : 3) * policy.answerMs,
        contactTries: policy.tries,
        unloadTimeoutMs: ipxe ? UNLOAD_TIMEOUT_IPXE_MS : UNLOAD_TIMEOUT_MS,
      },
    });
  }

  /** Network devices, in order of their offers. Empty before {@link probe}. */
  get devices(): readonly NetDevice[] {
    return this.#net.devices;
  }

  get clock(): Clock {
    return this.hv.clock;
  }

  /** Negotiated VMBus version, or 0. */
  get vmbusVersion(): number {
    return this.bus.connection.version;
  }

  /**
   * Find Hyper-V, connect to VMBus, probe the devices.
   *
   * @throws HypxeError with everything undone; what the host did not give back is reserved
   */
  probe(): void {
    if (this.#probed) return;
    this.#step('detect', () => this.hv.probe());
    this.#step('connect', () => {
      try {
        this.bus.probe();
      } catch (error) {
        this.hv.remove();
        throw error;
      }
    });
    this.#probed = true;
  }

  #step(step: BootStep, action: () => void): void {
    this.log.step(step, 'begin');
    action();
    this.log.step(step, 'end');
  }

  /**
   * Undo {@link probe}: close, disconnect, unmap. Never throws. After {@link quiesce} the machine
   * is taken back first, if nobody else has it: else the host would keep everything.
   */
  remove(): void {
    this.hv.clock.finish();
    if (!this.#probed) return;
    if (!this.hv.isRunning) {
      this.log.attempt('error', 'HV', '', 'not taken back', () => this.unquiesce());
    }
    this.#probed = this.#resetFailed = false;
    this.bus.remove();
    this.hv.remove();
  }

  /**
   * Handle what the host says outside of any wait: rescinds and late offers, and requests to the
   * utility services, one service after the other. Not from within a receive path.
   *
   * @param busy devices that have come are probed by a later poll: one that does not answer would
   * keep the caller waiting for as long as {@link NetvscPolicy} allows
   */
  poll(busy?: boolean): void {
    if (!this.#probed || !this.hv.isRunning) return;
    this.bus.poll(busy);
    for (const driver of this.#drivers) driver.poll?.();
  }

  /**
   * Leave the machine for somebody who takes over while we are still needed (SAN boot): pages and
   * interrupts are off, channels stay open. Nothing may be sent until {@link unquiesce}.
   */
  quiesce(): void {
    // Whoever has SIMP on afterwards is somebody else
    this.#resetFailed = false;
    if (this.#probed) this.hv.quiesce();
  }

  /**
   * Take the machine back after {@link quiesce}, if nobody else has it: connect anew and reset the
   * devices.
   *
   * @throws HypxeError if the host does not connect; the next call tries again
   */
  unquiesce(): void {
    if (!this.#probed) return;
    if (!this.hv.unquiesce() && !this.#resetFailed) return;
    this.#resetFailed = true;
    this.bus.reset();
    this.#resetFailed = false;
  }

  /**
   * The memory map for who comes next. Whatever the host may still write to is reserved in it, with
   * its purpose.
   */
  memoryMap(): MemoryRange[] {
    return this.hv.pages.memoryMap(this.#map);
  }

  /** What the host may still touch, from the firmware's ledger. */
  outstanding(): readonly Region[] {
    return this.hv.pages.outstanding();
  }

  /** Guest memory that is nobody's: for the image. */
  get memory(): GuestMemory {
    return this.hv.pages.memory;
  }
}

/**
 * Marsaglia's xorshift32 over the reference time: enough for transaction IDs, which need only be
 * unlikely to repeat, not secret.
 */
function xorshift(clock: Clock): () => number {
  let state = RANDOM_SEED;
  return () => {
    state ^= clock.now() | 0;
    if (state === 0) state = RANDOM_SEED;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
