// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A rig for the tests of VMBus as an OS speaks it: a simulated machine, the hypervisor layer on one
 * of its processors, a bus with an OS's habits, and devices that record what they are sent.
 */

import { isNamed, type HypxeError } from '../../src/error.ts';
import type { NetDevice } from '../../src/net/device.ts';
import { Log, type FirmwareEvent } from '../../src/events.ts';
import type { HyperVOptions } from '../../src/hyperv/hyperv-options.ts';
import { HyperV } from '../../src/hyperv/hyperv.ts';
import { HvCall } from '../../src/hyperv/protocol.ts';
import { anyPlatform } from '../../src/any.ts';
import { MapAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { SharedMemory } from '../../src/memory/shared-memory.ts';
import { OS_BUS, type BusPreset } from '../../src/os/presets.ts';
import { ReferenceTsc } from '../../src/os/reference-tsc.ts';
import type { OsChannelSizes } from '../../src/os/channel.ts';
import { NetvscDriver } from '../../src/netvsc/driver.ts';
import { osNetvsc } from '../../src/os/netvsc-part.ts';
import { OS_NETVSC, type OsNetvscPolicy } from '../../src/os/netvsc-policy.ts';
import { VmbusBus, type BusOptions, type VmbusDriver } from '../../src/vmbus/bus.ts';
import type { ChannelHandler, VmbusChannel } from '../../src/vmbus/channel.ts';
import type { VmbusDevice } from '../../src/vmbus/device.ts';
import type { Packet } from '../../src/vmbus/packet.ts';
import type {
  ChannelDevice,
  DeviceChannel,
  GuestPacket,
} from '../../tools/simulator/vmbus-server/channel-interface.ts';
import { TICKS_PER_MS } from '../../tools/simulator/base/clock.ts';
import type { HostEvent } from '../../tools/simulator/ledger/events.ts';
import { SimulatedMachine, type SimulatedMachineOptions } from '../../tools/simulator/machine.ts';
import type { HostKnobs, HostProfile } from '../../tools/simulator/profiles/profile.ts';
import { profileNamed, withKnobs } from '../../tools/simulator/profiles/profiles.ts';
import { TestLink, hex, viewOf } from './driver-rig.ts';

const MEMORY_SIZE = 8 << 20;
const LIMITS = { virtualTicks: 600_000 * TICKS_PER_MS, pauses: 2_000_000 };

/** Interface of the devices of {@link ProbeDevice}. */
export const PROBE_INTERFACE = '11111111-2222-3333-4444-555555555555';

export interface GuestRigOptions extends Partial<
  Omit<SimulatedMachineOptions, 'profile' | 'links'>
> {
  readonly host?: string;
  readonly knobs?: Partial<HostKnobs>;
  readonly profile?: Partial<HostProfile>;
  readonly cards?: number;
  /** Processor that the guest runs on. */
  readonly vp?: number;
  /** What differs from OS_BUS; its connection is merged. */
  readonly bus?: Partial<BusPreset>;
  readonly drivers?: readonly VmbusDriver[];
  readonly policy?: Partial<OsNetvscPolicy>;
  readonly hyperv?: HyperVOptions;
}

export class GuestRig {
  readonly machine: SimulatedMachine;
  readonly links: readonly TestLink[];
  readonly memory: GuestMemory;
  readonly pages: SharedMemory;
  readonly hv: HyperV;
  readonly net: NetvscDriver;
  readonly bus: VmbusBus;
  readonly events: FirmwareEvent[] = [];
  readonly log: Log;
  #seen: HostEvent[] = [];

  constructor(options: GuestRigOptions = {}) {
    const { host = 'server2022', knobs = {}, profile, cards = 1, vp = 0, ...rest } = options;
    const { bus, drivers = [], policy, hyperv, ...machine } = rest;
    this.links = Array.from({ length: cards }, () => new TestLink());
    this.machine = new SimulatedMachine({
      memory: new ArrayBuffer(MEMORY_SIZE),
      seed: 1,
      limits: LIMITS,
      ...machine,
      profile: withKnobs({ ...profileNamed(host)!, ...profile }, knobs),
      links: this.links,
    });
    this.machine.events.listen((event) => this.#seen.push(event));
    this.log = new Log((event) => this.events.push(event));
    const processor = this.machine.processors[vp]!;
    this.memory = new GuestMemory(processor.memory);
    this.pages = new SharedMemory(this.memory, new MapAllocator(processor.memoryMap), this.log);
    this.hv = new HyperV(anyPlatform(processor), this.pages, this.log, hyperv);
    new ReferenceTsc(this.hv);
    const network = { ...OS_NETVSC, ...policy };
    this.net = new NetvscDriver(network, this.log, osNetvsc(network));
    this.bus = this.createBus(
      { ...OS_BUS, ...bus, connection: { ...OS_BUS.connection, ...bus?.connection } },
      [this.net, ...drivers],
    );
  }

  /** Another bus on the same hypervisor layer. */
  createBus(preset: BusPreset, drivers: readonly VmbusDriver[]): VmbusBus {
    let random = 0x1000;
    const options: BusOptions = { ...preset, drivers, random: () => random++ };
    return new VmbusBus(this.hv, options);
  }

  get device(): NetDevice {
    return this.net.devices[0]!;
  }

  start(): this {
    this.hv.probe();
    this.bus.probe();
    return this;
  }

  /** As at the end of an OS that shuts its drivers down. */
  stop(): void {
    this.bus.remove();
    this.hv.remove();
  }

  /** Let the guest poll for some virtual time. */
  poll(ms = 2, bus = this.bus): void {
    const end = this.machine.clock.now + ms * TICKS_PER_MS;
    while (this.machine.clock.now < end) {
      this.hv.clock.pause();
      bus.poll();
      for (const device of this.net.devices) device.poll();
    }
  }

  // --- what was seen since the last mark ---

  mark(): void {
    this.#seen = [];
    this.events.length = 0;
  }

  seen<K extends HostEvent['kind']>(kind: K): Extract<HostEvent, { kind: K }>[] {
    return this.#seen.filter(
      (event): event is Extract<HostEvent, { kind: K }> => event.kind === kind,
    );
  }

  /** All HvPostMessage of a type: connection, message, status. */
  posts(type?: number): { connection: number; bytes: string; view: DataView; status: number }[] {
    return this.seen('hypercall')
      .filter(({ code }) => code === HvCall.POST_MESSAGE)
      .map(({ input, status }) => ({
        connection: viewOf(input).getUint32(0, true),
        bytes: hex(input.subarray(16)),
        view: viewOf(input.subarray(16)),
        status,
      }))
      .filter(({ view }) => type === undefined || view.getUint32(0, true) === type);
  }

  /** Types of the messages that the host took, in order. */
  types(): number[] {
    return this.posts()
      .filter(({ status }) => status === 0)
      .map(({ view }) => view.getUint32(0, true));
  }

  /** Connection IDs of HvSignalEvent. */
  signals(): number[] {
    return this.seen('hypercall')
      .filter(({ code }) => code === HvCall.SIGNAL_EVENT)
      .map(({ input }) => viewOf(input).getUint32(0, true));
  }

  violations(): string[] {
    return this.seen('violation').map(({ text }) => text);
  }

  logged(): string[] {
    return this.events.flatMap((event) => (event.kind === 'log' ? [event.text] : []));
  }

  outstanding(): string[] {
    return this.pages.outstanding().map(({ purpose }) => purpose);
  }

  /** What the host still has of the guest's memory, by its own ledger. */
  granted(): string[] {
    return this.machine.partition.grants.live().map(({ kind }) => kind);
  }
}

/** A device of the host that keeps what it is sent, and sends what it is told to. */
export class ProbeDevice implements ChannelDevice {
  readonly interfaceId = PROBE_INTERFACE;
  readonly instanceId: string;
  readonly offerFlags = 0;
  readonly monitored: boolean;
  channel: DeviceChannel | undefined;
  readonly packets: { type: number; flags: number; id: number; bytes: string }[] = [];
  /** Whether it reads its ring: if not, the ring fills up. */
  reads = true;
  signals = 0;

  constructor(number: number, monitored = false) {
    this.instanceId = `aaaaaaaa-0000-0000-0000-${String(number).padStart(12, '0')}`;
    this.monitored = monitored;
  }

  attach(): void {}

  open(channel: DeviceChannel): number {
    this.channel = channel;
    return 0;
  }

  close(): void {
    this.channel = undefined;
  }

  signalled(): void {
    this.signals++;
    if (this.reads) this.read();
  }

  read(): void {
    for (let packet = this.#next(); packet !== undefined; packet = this.#next()) {
      const { type, flags, transactionIdLow: id, bytes, length } = packet;
      this.packets.push({ type, flags, id, bytes: hex(bytes.subarray(0, length)) });
    }
  }

  #next(): GuestPacket | undefined {
    return this.channel?.receive();
  }

  /** Send an in-band packet. */
  send(payload: Uint8Array, id = 0): boolean {
    return this.channel!.send(6, 0, id, 0, new Uint8Array(0), 0, payload, payload.length);
  }

  gpadlTeardown(): boolean {
    return true;
  }
}

/** A driver of {@link ProbeDevice}: opens the channel, and keeps what it receives. */
export class ProbeDriver implements VmbusDriver {
  readonly interfaceId: string;
  readonly devices: VmbusDevice[] = [];
  readonly channels: VmbusChannel[] = [];
  /** What happened to the devices: `rescinded`, `abandoned`. */
  readonly fate: string[] = [];
  readonly received: string[] = [];
  readonly errors: string[] = [];
  /** Called for each packet. */
  onPacket: (packet: Packet) => void = () => {};
  onWritable: () => void = () => {};
  readonly #targetVp: number;
  readonly #flowControl: boolean;

  constructor(options: { targetVp?: number; flowControl?: boolean; interfaceId?: string } = {}) {
    this.interfaceId = options.interfaceId ?? PROBE_INTERFACE;
    this.#targetVp = options.targetVp ?? 0;
    this.#flowControl = options.flowControl ?? true;
  }

  get channel(): VmbusChannel {
    return this.channels[0]!;
  }

  probe(device: VmbusDevice) {
    const handler: ChannelHandler = {
      completed: () => {},
      receivedInband: (packet) => {
        const { payload, payloadLength, bytes } = packet;
        this.received.push(hex(bytes.subarray(payload, payload + payloadLength)));
        this.onPacket(packet);
      },
      receivedPages: () => {},
      cancelled: () => {},
      writable: () => this.onWritable(),
      malformed: (error) => void this.errors.push(error),
    };
    const sizes: OsChannelSizes = {
      outPages: 1,
      inPages: 1,
      packetLength: 4096,
      targetVp: this.#targetVp,
      flowControl: this.#flowControl,
    };
    const channel = device.open(handler, sizes);
    this.devices.push(device);
    this.channels.push(channel);
    return {
      reset: () => {},
      remove: () => void device.close(),
      rescinded: () => {
        this.fate.push('rescinded');
        device.close();
      },
      abandoned: (letGo: boolean) => void this.fate.push(`abandoned ${letGo}`),
    };
  }
}

/** Run an action that must fail with a named error, and return it. */
export function failure(action: () => void): HypxeError {
  try {
    action();
  } catch (error) {
    if (isNamed(error)) return error;
    throw error;
  }
  throw new Error('expected a HypxeError');
}

/** A 32-bit word as it lies on the wire, in hexadecimal. */
export function word(value: number): string {
  return hex(new Uint8Array(new Uint32Array([value]).buffer));
}

/** A machine with one {@link ProbeDevice}, its channel open. */
export interface ProbeSetup {
  readonly rig: GuestRig;
  readonly device: ProbeDevice;
  readonly driver: ProbeDriver;
}

export function probeSetup(
  options: GuestRigOptions = {},
  driverOptions: ConstructorParameters<typeof ProbeDriver>[0] = {},
): ProbeSetup {
  const device = new ProbeDevice(1);
  const driver = new ProbeDriver(driverOptions);
  const { devices = [device] } = options;
  const rig = new GuestRig({ cards: 0, ...options, devices, drivers: [driver] }).start();
  return { rig, device, driver };
}
