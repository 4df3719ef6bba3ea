// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A kernel of the loaded OS, as Linux is one: it starts on one processor, brings the others up, has
 * the clock pages and timers that Linux has, connects with the newest VMBus version, and drives its
 * NICs. How it ends stands in `os-end.ts`.
 */

import { anyPlatform } from '../../src/any.ts';
import { HypxeError } from '../../src/error.ts';
import { Log, type EventSink } from '../../src/events.ts';
import type { Platform } from '../../src/hyperv/platform.ts';
import { HV_ENABLE, Msr } from '../../src/hyperv/protocol.ts';
import { PAGE_SIZE, type Machine, type MemoryRange } from '../../src/machine.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { SharedMemory } from '../../src/memory/shared-memory.ts';
import { dhcp } from '../../src/net/dhcp.ts';
import type { NetDevice } from '../../src/net/device.ts';
import { NetworkInterface } from '../../src/net/network-interface.ts';
import { contactNewestOf, type OsConnectionOptions } from '../../src/os/contact.ts';
import { OS_BUS } from '../../src/os/presets.ts';
import { serviceDrivers } from '../../src/services/driver.ts';
import { HeartbeatService } from '../../src/services/heartbeat.ts';
import { ShutdownService } from '../../src/services/shutdown.ts';
import { TimeSyncService } from '../../src/services/time-sync.ts';
import type { VmbusDriver } from '../../src/vmbus/bus-driver.ts';
import { MessageType } from '../../src/vmbus/protocol.ts';
import type { OsBug } from './os-bugs.ts';
import { OsVmbus } from './os-bus.ts';
import { OsHyperV, interruptedMachine } from './os-hyperv.ts';
import { OsMemory } from './os-memory.ts';
import { OsNetDriver } from './os-netdev.ts';
import { SMALL_BUFFERS, type NetvscBuffers } from './os-netvsc-buffers.ts';
import { OsOops } from './os-oops.ts';
import { PanicGate, type PanicPoint } from './os-panic.ts';
import { OsProcessor } from './os-processor.ts';
import { detect, startClock, startHypervisor, startSynic } from './os-start.ts';
import { TargetCpus } from './os-target-cpu.ts';
import { DEFAULT_LINUX, LINUX_VERSIONS, type LinuxName, type LinuxVersion } from './os-versions.ts';
import { ReferenceTsc } from './reference-tsc.ts';

/** How long the OS asks for a lease, in ms: hosts and networks of the simulator are quick. */
const LEASE_TIMEOUT_MS = 20_000;

/** How long a kernel that shuts down cleanly waits for the host (Linux 77db0ec8b776). */
export const UNLOAD_TIMEOUT_MS = 100_000;

/** How long an answer to a contact is waited for, in ms. */
const CONTACT_TIMEOUT_MS = 1000;

/** How long the next service takes to be loaded, in ms: the host has its answer by then. */
const MODULE_MS = 1;

/** What a kernel is started with. */
export interface KernelOptions {
  /** All processors of the VM. */
  readonly processors: readonly Machine[];
  /** What it was handed. */
  readonly memoryMap: readonly MemoryRange[];
  /** Which Linux it is. */
  readonly linux?: LinuxName;
  /** How large its buffers are; by default scaled down. */
  readonly buffers?: NetvscBuffers;
  /** Processor that it starts on, and contacts the host from. Default 0. */
  readonly vp?: number;
  /** Processors that it uses; by default all. A crash kernel uses the one that it starts on. */
  readonly online?: readonly number[];
  /** Set memory aside for a crash kernel. */
  readonly crashKernel?: boolean;
  /** Where it panics while it comes up. */
  readonly panicAt?: PanicPoint;
  /** What it gets wrong. */
  readonly bugs?: readonly OsBug[];
  readonly events?: EventSink;
  /** Called for each piece of memory that the OS takes for itself. */
  readonly onAllocate?: (address: number, length: number) => void;
}

/**
 * State of the connection (`vmbus_connection.conn_state`): whoever leaves it for `disconnected`
 * unloads, once.
 */
export type ConnectionState = 'disconnected' | 'connecting' | 'connected';

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
  readonly linux: LinuxVersion;
  readonly vp: number;
  readonly memory: GuestMemory;
  readonly ram: OsMemory;
  readonly log: Log;
  readonly hv: OsHyperV;
  readonly bus: OsVmbus;
  readonly processors: readonly OsProcessor[];
  readonly tsc: ReferenceTsc;
  readonly nics: OsNic[] = [];
  /** Channels of each NIC that was in use. */
  readonly nicChannels: number[] = [];
  /** Events of somebody else that came before this kernel had contacted the host. */
  readonly staleEvents: string[] = [];
  /** Negotiated VMBus version, also when the connection is over; 0 if there was none. */
  vmbusVersion = 0;
  connectionState: ConnectionState = 'disconnected';
  /** The handlers of kexec and crash are registered: from the first REQUEST_OFFERS on. */
  handlers = false;
  /** The hypercall page, where there is one; 0 before. */
  hypercallPage = 0;
  /** Where the host reads why the kernel crashed; 0 if it takes no message. */
  panicPage = 0;
  /** What the host takes of reports of crashes. */
  crashControl = 0n;
  /** Whether anything was written to a register. */
  started = false;
  /** Where it panics while it comes up. */
  readonly gate: PanicGate | undefined;
  readonly #pages: SharedMemory;
  readonly #net: OsNetDriver;
  readonly #services: readonly VmbusDriver[];
  readonly #drivers: VmbusDriver[];
  #serviceEvent = false;
  #random = 0;

  constructor(options: KernelOptions) {
    const { vp = 0, processors, memoryMap, events, onAllocate, crashKernel = false } = options;
    const machine = processors[vp]!;
    this.options = options;
    this.linux = LINUX_VERSIONS[options.linux ?? DEFAULT_LINUX];
    this.vp = vp;
    this.log = new Log(events);
    this.memory = new GuestMemory(machine.memory);
    const { pageSize } = machine;
    this.ram = new OsMemory(memoryMap, onAllocate, crashKernel, pageSize);
    this.#pages = new SharedMemory(this.memory, this.ram, this.log, pageSize);

    // Its processors, behind the gate if it is to panic
    const { panicAt } = options;
    const gate = (this.gate = panicAt && new PanicGate(panicAt));
    const behind = (each: Machine): Machine => (gate ? gate.guard(each) : each);
    const online = options.online ?? processors.map((_, index) => index);
    const now = (): number => this.hv.clock.now();
    this.processors = online.map(
      (i) => new OsProcessor(i, behind(processors[i]!), this.memory, now),
    );
    this.tsc = new ReferenceTsc(machine, this.boot.platform, this.memory);
    const interrupted = interruptedMachine(this.boot.machine, () => this.#interrupt());
    this.hv = new OsHyperV(anyPlatform(interrupted), this.#pages, this.log, {
      retries: !this.has('no-post-retries'),
      posted: (type) => {
        if (type === MessageType.REQUEST_OFFERS) this.handlers = true;
      },
    });
    this.hv.timerExpired = () => this.boot.timerExpired();

    // The drivers
    const { channels } = this.linux;
    const buffers = options.buffers ?? SMALL_BUFFERS;
    this.#net = new OsNetDriver({ processors: online.length, channels, buffers }, this.log);
    const services = [new HeartbeatService(), new ShutdownService(), new TimeSyncService()];
    this.#services = serviceDrivers(services);
    this.#drivers = [this.#net];
    this.bus = this.#makeBus(new TargetCpus(online, vp));
  }

  #makeBus(targets: TargetCpus): OsVmbus {
    const connection: OsConnectionOptions = {
      // Simulated hosts answer at once or never
      contactTimeoutMs: CONTACT_TIMEOUT_MS,
      targetVp: this.has('answers-to-vp0') ? 0 : this.vp,
      unloadTimeoutMs: UNLOAD_TIMEOUT_MS,
    };
    const contact = contactNewestOf(this.linux.vmbusVersions);
    return new OsVmbus(
      this.hv,
      {
        ...OS_BUS,
        drivers: this.#drivers,
        random: () => this.random(),
        connection,
        contact: (to) => {
          this.connectionState = 'connecting';
          contact(to);
          this.connectionState = 'connected';
          this.vmbusVersion = to.version;
        },
      },
      targets,
    );
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
    detect(this);
    try {
      this.started = true;
      startClock(this);
      startHypervisor(this);
      startSynic(this);
      this.#takeStaleEvents();
      this.bus.probe();
    } catch (error) {
      if (!(error instanceof HypxeError)) throw error;
      this.connectionState = 'disconnected';
      this.#release();
      throw error;
    }
    // Modules: NICs first, then the services, with interrupts in between
    this.#drivers.push(...this.#services);
    for (const device of this.bus.devices) {
      const { interfaceId } = device;
      if (!this.#services.some((service) => service.interfaceId === interfaceId)) continue;
      this.bus.bind(device);
      // What came while it was opened
      this.#serviceEvent = true;
      this.hv.delay(MODULE_MS);
    }
  }

  /** Use every NIC: ask the network for an address. */
  useNetwork(): void {
    for (const device of this.#net.devices) {
      const error = this.#lease(device);
      this.nicChannels.push(device.channels);
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

  /** A page of the kernel's own, zeroed. @throws HypxeError OutOfMemory */
  readonly takePage = (purpose: string): number => {
    const address = this.ram.allocate(PAGE_SIZE, this.#pages.pageSize);
    if (address === undefined) {
      throw new HypxeError('OutOfMemory', `no room for a ${purpose}`);
    }
    this.memory.zero(address, PAGE_SIZE);
    return address;
  };

  // --- run ---

  /** Interrupts of all processors: timers, and which channels have something to say. */
  #interrupt(): void {
    for (const processor of this.processors) {
      for (const flag of processor.interrupt()) {
        const device = this.bus.channelById(flag);
        if (device === undefined) continue;
        device.event = true;
        if (device.interfaceId !== this.#net.interfaceId) this.#serviceEvent = true;
      }
    }
    if (!this.#serviceEvent) return;
    this.#serviceEvent = false;
    for (const driver of this.#services) driver.poll?.();
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
    if (this.connectionState === 'connected') this.bus.remove();
    this.connectionState = 'disconnected';
    this.#release();
  }

  /** Everything that is not the bus's: registers, pages. */
  #release(): void {
    if (!this.started) return;
    const { platform } = this.boot;
    for (const processor of this.processors) processor.stopTimer();
    this.hv.stop();
    for (const processor of this.processors) {
      processor.disableSynic();
      processor.disableAssistPage();
    }
    platform.write(Msr.GUEST_OS_ID, 0n);
    this.disableHypercallPage(platform);
    this.tsc.unmap(platform);
    this.started = false;
  }

  /** Clear its enable bit and no more (`hyperv_cleanup`). arm64 has none. */
  disableHypercallPage(platform: Platform): void {
    if (this.hypercallPage === 0) return;
    platform.write(Msr.HYPERCALL, platform.read(Msr.HYPERCALL) & ~HV_ENABLE);
  }
}

/** An error of the drivers as a text. @throws what is none */
export function errorText(error: unknown): string {
  if (error instanceof HypxeError) return `${error.name}: ${error.message}`;
  throw error;
}
