// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A kernel of the loaded OS, as Linux is one: it starts on one processor, brings the others up, has
 * the clock pages and timers that Linux has, connects with the newest VMBus version, and drives its
 * NICs. How it ends stands in `os-end.ts`.
 */

import { anyPlatform } from '../../src/any.ts';
import { HypxeError } from '../../src/error.ts';
import { Log, type EventSink } from '../../src/events.ts';
import { PAGE_SIZE, type Machine, type MemoryRange } from '../../src/machine.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { SharedMemory } from '../../src/memory/shared-memory.ts';
import { dhcp } from '../../src/net/dhcp.ts';
import type { NetDevice } from '../../src/net/device.ts';
import { NetworkInterface } from '../../src/net/network-interface.ts';
import { NetvscDriver } from '../../src/netvsc/driver.ts';
import { osNetvsc } from '../../src/os/netvsc-part.ts';
import { OS_NETVSC, type OsNetvscPolicy } from '../../src/os/netvsc-policy.ts';
import type { OsConnectionOptions } from '../../src/os/contact.ts';
import { OS_BUS } from '../../src/os/presets.ts';
import { osSint } from '../../src/os/sint.ts';
import { VmbusBus } from '../../src/vmbus/bus.ts';
import type { OsBug } from './os-bugs.ts';
import { OsHyperV, interruptedMachine } from './os-hyperv.ts';
import { OsMemory } from './os-memory.ts';
import { OsOops } from './os-oops.ts';
import { OsProcessor, callbackVector } from './os-processor.ts';
import { ReferenceTsc } from './reference-tsc.ts';

/** Guest OS identity of Linux 6.12: open source, type 1, version in bits 47:16. */
const LINUX_GUEST_OS_ID = 0x8100_0006_0c00_0000n;

/** GPADL handles of Linux count up from 0xe1e10. */
const LINUX_FIRST_GPADL = 0xe1e0f;

/** How long the OS asks for a lease, in ms: hosts and networks of the simulator are quick. */
const LEASE_TIMEOUT_MS = 20_000;

/** How long a kernel that shuts down cleanly waits for the host (Linux 77db0ec8b776). */
const UNLOAD_TIMEOUT_MS = 100_000;

/** How long an answer to a contact is waited for, in ms. */
const CONTACT_TIMEOUT_MS = 1000;

/** Linux's buffers are 16 MiB and 1 MiB a NIC; simulated guests are small, and have several. */
const NETWORK: OsNetvscPolicy = {
  ...OS_NETVSC,
  receiveBufferLength: 0x20000,
  sendBufferLength: 0xc000,
};

/** What a kernel is started with. */
export interface KernelOptions {
  /** All processors of the VM. */
  readonly processors: readonly Machine[];
  /** What it was handed. */
  readonly memoryMap: readonly MemoryRange[];
  /** Processor that it starts on, and contacts the host from. Default 0. */
  readonly vp?: number;
  /** Processors that it uses; by default all. A crash kernel uses the one that it starts on. */
  readonly online?: readonly number[];
  /** Set memory aside for a crash kernel. */
  readonly crashKernel?: boolean;
  /** What it gets wrong. */
  readonly bugs?: readonly OsBug[];
  readonly events?: EventSink;
  /** Called for each piece of memory that the OS takes for itself. */
  readonly onAllocate?: (address: number, length: number) => void;
}

/** A NIC as the OS found it. */
export interface OsNic {
  readonly name: string;
  readonly instance: string;
  /** Frames sent and received. */
  readonly sent: number;
  readonly received: number;
  /** Why it could not be used, or undefined. */
  readonly error: string | undefined;
}

export class OsKernel {
  readonly options: KernelOptions;
  readonly vp: number;
  readonly memory: GuestMemory;
  readonly ram: OsMemory;
  readonly log: Log;
  readonly hv: OsHyperV;
  readonly bus: VmbusBus;
  readonly processors: readonly OsProcessor[];
  readonly tsc: ReferenceTsc;
  /** Input of the hypercalls of a crashing processor: there is no allocating then. */
  crashInput = 0;
  readonly nics: OsNic[] = [];
  /** Events of somebody else that came before this kernel had contacted the host. */
  readonly staleEvents: string[] = [];
  /** Negotiated VMBus version, also when the connection is over; 0 if there was none. */
  vmbusVersion = 0;
  readonly #pages: SharedMemory;
  readonly #net: NetvscDriver;
  #random = LINUX_FIRST_GPADL;

  constructor(options: KernelOptions) {
    const { vp = 0, processors, memoryMap, events } = options;
    const machine = processors[vp]!;
    this.options = options;
    this.vp = vp;
    this.log = new Log(events);
    this.memory = new GuestMemory(machine.memory);
    const { pageSize } = machine;
    const { onAllocate, crashKernel = false } = options;
    this.ram = new OsMemory(memoryMap, onAllocate, crashKernel, pageSize);
    this.#pages = new SharedMemory(this.memory, this.ram, this.log, pageSize);
    const online = options.online ?? processors.map((_, index) => index);
    this.processors = online.map((i) => new OsProcessor(i, processors[i]!, this.memory));
    this.tsc = new ReferenceTsc(machine, this.boot.platform, this.memory);

    // The drivers, with an OS's habits
    const habits = { eventVps: online, retries: !this.has('no-post-retries') };
    const interrupted = interruptedMachine(machine, () => this.#interrupt());
    this.hv = new OsHyperV(anyPlatform(interrupted), this.#pages, this.log, habits, {
      guestOsId: LINUX_GUEST_OS_ID,
      sint: osSint(callbackVector(machine)),
    });
    this.#net = new NetvscDriver(NETWORK, this.log, osNetvsc(NETWORK));
    const connection: OsConnectionOptions = {
      ...OS_BUS.connection,
      // Simulated hosts answer at once or never
      contactTimeoutMs: CONTACT_TIMEOUT_MS,
      targetVp: this.has('answers-to-vp0') ? 0 : vp,
      unloadTimeoutMs: UNLOAD_TIMEOUT_MS,
    };
    const drivers = [this.#net];
    const random = (): number => this.random();
    this.bus = new VmbusBus(this.hv, { ...OS_BUS, drivers, random, connection });
  }

  /** Whether this kernel gets something wrong. */
  has(bug: OsBug): boolean {
    return this.options.bugs?.includes(bug) ?? false;
  }

  /** What the host may still touch, from the ledger of the drivers. */
  get outstanding(): number {
    return this.#pages.outstanding().length;
  }

  /** The processor that the kernel has started on. */
  get boot(): OsProcessor {
    return this.processors.find(({ index }) => index === this.vp)!;
  }

  // --- start ---

  /** Come up as far as the bus, devices probed. @throws HypxeError with the drivers undone */
  start(): void {
    this.hv.probe();
    try {
      this.#startProcessors();
      this.bus.probe();
    } catch (error) {
      this.#release();
      throw error;
    }
    this.vmbusVersion = this.bus.connection.version;
  }

  #startProcessors(): void {
    const takePage = (purpose: string): number => this.#takePage(purpose);
    this.crashInput = takePage('crash message');
    this.tsc.map(takePage);
    for (const processor of this.processors) {
      if (processor === this.boot) processor.adoptSynic();
      else processor.mapSynic(takePage);
      processor.start(takePage);
    }

    // From here on interrupts come: what is there already is not for this kernel
    this.boot.enableSint();
    this.#takeStaleEvents();
    const wrong = this.tsc.check();
    if (wrong !== undefined) this.log.error('HV', '', wrong);
  }

  /** Use every NIC: ask the network for an address. */
  useNetwork(): void {
    for (const device of this.#net.devices) {
      const error = this.#lease(device);
      const { txGood: sent, rxGood: received } = device.statistics;
      const { name, instance } = device;
      this.nics.push({ name, instance, sent, received, error });
    }
  }

  /** Why it has no address, or undefined. */
  #lease(device: NetDevice): string | undefined {
    try {
      device.open();
      const net = new NetworkInterface(device, this.hv.clock, this.log);
      try {
        dhcp(net, () => this.random(), { preferBootFile: false, totalMs: LEASE_TIMEOUT_MS });
      } finally {
        net.detach();
      }
      return undefined;
    } catch (error) {
      return errorText(error);
    }
  }

  /**
   * An event that is there before the host was contacted belonged to somebody else. Kernels once
   * looked up its channel all the same, in a table that they did not have yet.
   */
  #takeStaleEvents(): void {
    for (const processor of this.processors) {
      const flags = processor.takeEvents();
      if (flags.length === 0) continue;
      const more = flags.length === 1 ? '' : ` and ${flags.length - 1} more`;
      const text = `event flag ${flags[0]!}${more} of VP ${processor.index}`;
      if (this.has('relid-unchecked')) throw new OsOops(`relid2channel for ${text}`);
      this.staleEvents.push(text);
    }
  }

  #takePage(purpose: string): number {
    const address = this.ram.allocate(PAGE_SIZE, PAGE_SIZE);
    if (address === undefined) {
      throw new HypxeError('OutOfMemory', `no room for a ${purpose}`);
    }
    this.memory.zero(address, PAGE_SIZE);
    return address;
  }

  // --- run ---

  #interrupt(): void {
    for (const processor of this.processors) processor.interrupt();
  }

  /** Unsigned 32 bits: Knuth's linear congruence over the time. */
  random(): number {
    const mixed = Math.imul(this.#random ^ (this.hv.clock.now() | 0), 1664525) + 1013904223;
    this.#random = mixed >>> 0;
    return this.#random;
  }

  // --- end, by the drivers ---

  /** End as if every driver was removed: what a clean power-off could do at best. Never throws. */
  shutdown(): void {
    if (this.vmbusVersion !== 0) this.bus.remove();
    this.#release();
  }

  /** Everything that is not the bus's: registers, pages. */
  #release(): void {
    for (const processor of this.processors) processor.stopTimer();
    for (const processor of this.processors) {
      if (processor !== this.boot && processor.messagePage !== 0) processor.disableSynic();
      processor.disableAssistPage();
    }
    this.tsc.unmap();
    this.hv.remove();
  }
}

/** An error of the drivers as a text. @throws what is none */
export function errorText(error: unknown): string {
  if (error instanceof HypxeError) return `${error.name}: ${error.message}`;
  throw error;
}
