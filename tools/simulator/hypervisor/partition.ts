// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The simulated partition: guest RAM, virtual processors, the hypervisor's registers, hypercalls
 * and SynIC, and the virtual clock. Guests run on its `processors`; the host's servers (VMBus) use
 * it as their {@link PartitionServices}; the audit reads its {@link PartitionInspection}.
 */

import { HV_MESSAGE_PAYLOAD_MAX, SINT_COUNT } from '../../../src/hyperv/protocol.ts';
import { PAGE_SIZE } from '../../../src/machine.ts';
import type { Machine, MemoryRange } from '../../../src/machine.ts';
import { COUNTERS, type Architecture, type CounterTraits } from './architecture.ts';
import { Arm64Processor } from './arm64-processor.ts';
import { VirtualClock, WallClock } from '../base/clock.ts';
import type { WallSource } from '../base/clock.ts';
import { CpuidLeaves } from './cpuid.ts';
import type { CpuidOverride } from './cpuid.ts';
import { HostEvents } from '../ledger/events.ts';
import { Omissions } from '../ledger/omissions.ts';
import { GrantLedger } from '../ledger/grants.ts';
import type { GuestCrash, GuestHang } from './guest-end.ts';
import { hex } from '../base/hex.ts';
import { GuestRam, type RamWindow } from '../base/guest-ram.ts';
import { Hypercalls } from './hypercalls.ts';
import { checkMemory, checkMemoryMap } from './memory-checks.ts';
import { OverlayPages } from './overlay.ts';
import { MESSAGE_COPIES_MAX } from './partition-faults.ts';
import type { MessageFault, PartitionFaults } from './partition-faults.ts';
import { PartitionInspection } from './partition-inspection.ts';
import type { EventPort, MessagePort, PartitionServices } from './partition-interface.ts';
import type { ProcessorContext } from './processor-exits.ts';
import type { HostProfile } from '../profiles/profile.ts';
import { Random } from '../base/random.ts';
import type { Migration } from './reference-tsc.ts';
import { RegisterFile } from './register-file.ts';
import { SimulatedProcessor } from './simulated-processor.ts';
import type { InterruptSink } from './interrupts.ts';
import { VirtualProcessor } from './virtual-processor.ts';
import { Watchdog } from './watchdog.ts';
import type { PartitionLimits } from './watchdog.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Most virtual processors: what leaf 0x40000005 says. */
export const PROCESSORS_MAX = 240;

/** The PC's first mebibyte: usable below the EBDA; then video memory and ROMs. */
const LOW_MEMORY = 0x1000;
const LOW_MEMORY_END = 0x9f000;
const HIGH_MEMORY = 0x100000;

/** What a partition is made of. */
export interface PartitionOptions {
  /** Guest RAM: a whole number of guest pages, at least 2 MiB. */
  readonly memory: ArrayBufferLike;
  /** Where in `memory` guest RAM lies. Default: it is all of it. */
  readonly window?: RamWindow | undefined;
  /** Default `x64`. */
  readonly architecture?: Architecture | undefined;
  /** How an arm64 guest makes hypercalls. Default `smccc`. */
  readonly hypercallConvention?: 'smccc' | 'immediate' | undefined;
  /** Size of the guest's pages: 4, 16 or 64 KiB. Default 4096. The host's are of 4 KiB. */
  readonly pageSize?: number | undefined;
  readonly profile: HostProfile;
  /** Decides all that is random in the machine. */
  readonly seed: number;
  /** Default: usable are [0x1000, 0x9f000) and what lies above 1 MiB. */
  readonly memoryMap?: readonly MemoryRange[];
  /** Virtual processors, 1 to {@link PROCESSORS_MAX}; default 1. */
  readonly processors?: number;
  readonly limits?: PartitionLimits;
  /** One word of shared memory that is counted up with each call of the seam. */
  readonly heartbeat?: Int32Array;
  /** The time that the machine goes by. Default: a virtual one. */
  readonly wall?: WallSource | undefined;
  /** CPUID leaves that differ from the profile's. */
  readonly cpuidOverride?: CpuidOverride;
  /** The counter of the processors (TSC). Default: that of the architecture. */
  readonly counter?: CounterTraits | undefined;
  /** Code of the hypercall page, at least 4 bytes. Default `vmcall; ret`. */
  readonly hypercallCode?: readonly number[] | undefined;
  /** Takes the interrupts of SINTs and of timers in direct mode. Default: they are counted. */
  readonly interrupts?: InterruptSink | undefined;
}

export class Partition implements PartitionServices {
  readonly ram: GuestRam;
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly events: HostEvents;
  readonly grants: GrantLedger;
  readonly omissions: Omissions;
  readonly profile: HostProfile;
  /** The partition as the host's servers see it. */
  readonly services: PartitionServices = this;
  readonly architecture: Architecture;
  /** The guest's side: a seam for each virtual processor. */
  readonly seams: readonly Machine[];
  /** Hooks that fail hypercalls and tamper with messages; none are set at first. */
  readonly faults: PartitionFaults = {};
  readonly inspection: PartitionInspection;
  onSlotEmptied: (() => void) | undefined;
  readonly #overlays: OverlayPages;
  readonly #registers: RegisterFile;
  readonly #vps: VirtualProcessor[] = [];
  readonly #hypercalls: Hypercalls;
  readonly #watchdog: Watchdog;
  #resets = 0;

  /** @throws RangeError if memory, memory map or number of processors do not make a machine. */
  constructor(options: PartitionOptions) {
    const { memory, profile, seed } = options;
    const { knobs } = profile;
    const pageSize = options.pageSize ?? PAGE_SIZE;
    const ram = (this.ram = new GuestRam(memory, options.window));
    checkMemory(ram.size, pageSize);
    const memoryMap = options.memoryMap ?? defaultMemoryMap(ram.size, pageSize);
    const architecture = (this.architecture = options.architecture ?? 'x64');
    checkMemoryMap(memoryMap, ram.size);
    const count = checkCount(options.processors ?? 1);

    // The machine
    const { wall } = options;
    const clock = (this.clock = wall === undefined ? new VirtualClock() : new WallClock(wall));
    const events = (this.events = new HostEvents(() => clock.now));
    const grants = (this.grants = new GrantLedger(ram, () => clock.now));
    tellGrants(grants, events);
    this.omissions = new Omissions(() => clock.now);
    this.random = new Random(seed);
    this.profile = profile;

    // The hypervisor
    const cpuid = new CpuidLeaves(profile, architecture, options.cpuidOverride);
    const preserve = knobs.overlay === 'preserve';
    const overlays = (this.#overlays = new OverlayPages(ram, grants, events, preserve));
    const processors = this.#vps;
    const registers = (this.#registers = new RegisterFile({
      architecture,
      ram,
      clock,
      events,
      overlays,
      knobs,
      cpuid,
      processors,
      counter: options.counter ?? COUNTERS[architecture],
      hypercallCode: options.hypercallCode,
    }));
    const { interrupts } = options;
    const emptied = (): void => this.onSlotEmptied?.();
    for (let i = 0; i < count; i++)
      processors.push(new VirtualProcessor(i, overlays, clock, events, knobs, emptied, interrupts));
    const watchdog = (this.#watchdog = new Watchdog(clock, events, options.limits));
    watchdog.heartbeat = options.heartbeat;
    const hypercalls = (this.#hypercalls = new Hypercalls({
      architecture,
      ram,
      clock,
      events,
      knobs,
      ...{ faults: this.faults, hostFaults: this.omissions.host },
      registers,
      processors,
      cpuid,
    }));

    // The guest's side and the audit's
    const shared = { ram, memoryMap, pageSize, clock, events, cpuid, registers, hypercalls };
    // No spread: of one the engine makes a new shape for each machine
    const context = Object.assign(shared, { watchdog, processors });
    this.seams = makeSeams(context, options);
    this.inspection = new PartitionInspection({
      registers,
      overlays,
      processors,
      hypercalls,
      watchdog,
    });
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.onSlotEmptied, this.#resets], (v) => ([this.onSlotEmptied, this.#resets] = v));
    keeper.keep(this.ram, this.clock, this.random, this.events, this.grants, this.omissions);
    keeper.keep(this.services, this.faults, this.inspection, this.#overlays, this.#registers);
    keeper.keep(this.#vps, this.#hypercalls, this.#watchdog);
  }

  /** The seams of a machine with x64 processors. @throws RangeError on arm64 */
  get processors(): readonly SimulatedProcessor[] {
    return this.seams.map((seam) => {
      if (seam instanceof SimulatedProcessor) return seam;
      throw new RangeError('the processors of this machine are arm64: use its seams');
    });
  }

  /**
   * Move to another host in the middle of a run: the counter is another one, the reference TSC page
   * says so, and reference time goes on.
   *
   * @throws RangeError on arm64 for another counter: that one goes on, at a fixed rate
   */
  migrate(migration: Migration = {}): void {
    const { frequency, counter } = migration;
    if (this.architecture === 'arm64' && (frequency ?? counter) !== undefined) {
      throw new RangeError('the virtual counter of arm64 stays as it is');
    }
    this.#registers.migrate(migration);
  }

  /** Guest RAM lies in another buffer now, at the same offset: see {@link GuestRam.retake}. */
  retakeMemory(buffer: ArrayBufferLike): void {
    this.ram.retake(buffer);
    this.#overlays.retake();
  }

  /** Why the guest ended, if it crashed or hung. */
  get ended(): GuestCrash | GuestHang | undefined {
    return this.#watchdog.ended;
  }

  /** What went wrong in the tool itself while a guest ran: for good, and nothing else counts. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#watchdog.failure;
  }

  /** The guest has come back, or was ended: see {@link Watchdog.settle}. */
  readonly settle = (): void => this.#watchdog.settle();

  /** Do something of the tool's own while a guest runs: what it throws is not the guest's. */
  readonly guard = <T>(action: () => T): T => this.#watchdog.guard(action);

  /** The last call of the seam, in words. */
  get lastAccess(): string {
    return this.#watchdog.lastAccess;
  }

  /**
   * Let calls of the seam through again after a crash or hang: another guest takes over. Limits
   * count from now; none but those given hold.
   */
  recover(limits: PartitionLimits = {}): void {
    this.#watchdog.recover();
    this.#watchdog.limit(limits);
  }

  /**
   * Reset the partition: registers, SynIC, timers; overlay pages are unmapped, messages lost.
   * Memory, clock and ports stay; the host's servers are to be reset by who owns them.
   */
  reset(limits: PartitionLimits = {}): void {
    this.#resets++;
    this.#overlays.reset('reset of the partition');
    this.#registers.reset();
    for (const vp of this.#vps) vp.reset();
    this.recover(limits);
  }

  postMessage(vp: number, sint: number, type: number, payload: Uint8Array): boolean {
    const synic = this.#synic(vp, sint);
    if (payload.length > HV_MESSAGE_PAYLOAD_MAX) {
      throw new RangeError(`a message of ${payload.length} bytes`);
    }
    const fault = this.faults.message?.(vp, sint, type, payload);
    if (fault === undefined) return synic.post(sint, type, payload);
    // Nobody is to blame for what a fault does
    this.#tamper(vp, sint, { type, payload }, fault);
    return true;
  }

  /** Deliver what a {@link MessageFault} makes of a message. */
  #tamper(
    vp: number,
    sint: number,
    sent: { type: number; payload: Uint8Array },
    fault: MessageFault,
  ): void {
    const copies = fault.drop === true ? 0 : Math.min(fault.copies ?? 1, MESSAGE_COPIES_MAX);
    const delay = fault.delayTicks ?? 0;
    const { host } = this.omissions;
    const first = firstWord(sent.payload);
    if (copies === 0) host.lost(first);
    else if (fault.type !== undefined || fault.payload !== undefined) host.changed(first);
    else if (copies > 1) host.repeated(first);
    else if (delay > 0) host.late(first);
    const type = fault.type ?? sent.type;
    const payload = (fault.payload ?? sent.payload).slice();
    if (this.events.on) {
      const change = fault.payload || fault.type !== undefined ? ', replaced' : '';
      const text =
        `message of type ${hex(sent.type)} to SINT${sint} of VP ${vp}: ` +
        (copies === 0 ? 'lost' : `${copies} delivered ${delay} ticks late${change}`);
      this.events.emit({ kind: 'fault', text });
    }
    const { synic } = this.#vps[vp]!;
    const resets = this.#resets;
    const deliver = (): void => {
      // What was on its way at a reset is gone
      if (this.#resets !== resets) return;
      for (let i = 0; i < copies; i++) synic.post(sint, type, payload);
    };
    if (delay > 0) this.clock.schedule(delay, deliver);
    else deliver();
  }

  get processorCount(): number {
    return this.#vps.length;
  }

  routeMessages(vp: number, sint: number): void {
    this.#vps[vp]?.synic.route(sint);
  }

  queuedMessages(vp: number, sint: number): number {
    return this.#synic(vp, sint).queued(sint);
  }

  isDrained(vp: number, sint: number): boolean {
    return this.#synic(vp, sint).isDrained(sint);
  }

  signalEvent(vp: number, sint: number, flag: number): void {
    this.#synic(vp, sint).signal(sint, flag);
  }

  registerMessagePort(connectionId: number, port: MessagePort): void {
    this.#hypercalls.registerMessagePort(connectionId, port);
  }

  registerEventPort(connectionId: number, port: EventPort): void {
    this.#hypercalls.registerEventPort(connectionId, port);
  }

  unregisterPort(connectionId: number): void {
    this.#hypercalls.unregisterPort(connectionId);
  }

  #synic(vp: number, sint: number): VirtualProcessor['synic'] {
    const processor = this.#vps[vp];
    if (processor === undefined || !Number.isInteger(sint) || sint < 0 || sint >= SINT_COUNT) {
      throw new RangeError(`SINT${sint} of VP ${vp}`);
    }
    return processor.synic;
  }
}

/** The guest's side of all virtual processors. */
function makeSeams(context: ProcessorContext, options: PartitionOptions): Machine[] {
  const { architecture, hypercallConvention } = options;
  return context.processors.map((vp) =>
    architecture === 'arm64'
      ? new Arm64Processor(context, vp, hypercallConvention)
      : new SimulatedProcessor(context, vp),
  );
}

/** The memory map of a machine that is given none. */
export function defaultMemoryMap(size: number, pageSize: number): MemoryRange[] {
  // Whole guest pages
  const low = Math.ceil(LOW_MEMORY / pageSize) * pageSize;
  const lowEnd = Math.floor(LOW_MEMORY_END / pageSize) * pageSize;
  return [
    { address: low, length: lowEnd - low, type: 'usable' },
    { address: HIGH_MEMORY, length: size - HIGH_MEMORY, type: 'usable' },
  ];
}

function checkCount(count: number): number {
  if (Number.isInteger(count) && count >= 1 && count <= PROCESSORS_MAX) return count;
  throw new RangeError(`${count} virtual processors`);
}

/** Changes of the ledger are events; packets in flight only while somebody reads. */
function tellGrants(grants: GrantLedger, events: HostEvents): void {
  grants.packetsWanted = () => events.on;
  grants.listener = (kind, grant) => {
    if (events.on) events.emit({ kind, grant, ...events.caused });
  };
  grants.entitled = ({ id: grant, purpose }) => {
    if (events.on) events.emit({ kind: 'purpose', grant, purpose, ...events.caused });
  };
}

/** What VMBus has its message type in; 0 if there is less. */
function firstWord({ buffer, byteOffset, length }: Uint8Array): number {
  return length >= 4 ? new DataView(buffer, byteOffset).getUint32(0, true) : 0;
}
