// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A rig for the tests of the firmware's drivers: a simulated machine with network cards on links
 * that record, the drivers on it, and everything that crossed the seam, the bus and the rings.
 */

import * as assert from 'uvu/assert';
import {
  HypxeError,
  PAGE_SIZE,
  createDriver,
  type DriverOptions,
  type FirmwareEvent,
  type HypervDriver,
  type Machine,
  type NetDevice,
} from '../../src/index.ts';
import { HvCall, Msr } from '../../src/hyperv/protocol.ts';
import { GpaDirectHeader, GpaRange, PacketType } from '../../src/vmbus/protocol.ts';
import { auditHandoff } from '../../tools/simulator/audit/audit.ts';
import { TICKS_PER_MS } from '../../tools/simulator/base/clock.ts';
import type { HostEvent } from '../../tools/simulator/ledger/events.ts';
import type { Link, LinkHost } from '../../tools/simulator/network/link.ts';
import { SimulatedMachine, type SimulatedMachineOptions } from '../../tools/simulator/machine.ts';
import type { NetVsp } from '../../tools/simulator/netvsp/netvsp.ts';
import type { HostKnobs, HostProfile } from '../../tools/simulator/profiles/profile.ts';
import { profileNamed, withKnobs } from '../../tools/simulator/profiles/profiles.ts';
import type { SimulatedProcessor } from '../../tools/simulator/hypervisor/simulated-processor.ts';
import { hex } from './bytes.ts';

export { hex };

/** Guest RAM: room for two network cards with the sizes of the preset `default`. */
const MEMORY_SIZE = 4 << 20;

/** What no guest of these tests exceeds: beyond it the simulator ends it as hung. */
const LIMITS = { virtualTicks: 600_000 * TICKS_PER_MS, pauses: 2_000_000 };

/** A link that keeps what the guest sends. */
export class TestLink implements Link {
  host!: LinkHost;
  readonly frames: Uint8Array[] = [];

  connect(host: LinkHost): void {
    this.host = host;
  }

  transmit(frame: Uint8Array): void {
    this.frames.push(frame.slice());
  }
}

export interface RigOptions extends Partial<Omit<SimulatedMachineOptions, 'profile' | 'links'>> {
  /** Host generation by its name; by default Windows Server 2019. */
  readonly host?: string;
  readonly knobs?: Partial<HostKnobs>;
  /** Changes to the profile itself. */
  readonly profile?: Partial<HostProfile>;
  /** Network cards; by default one. */
  readonly cards?: number;
  readonly driver?: DriverOptions;
  /** Puts something between the drivers and the machine. */
  readonly wrap?: (processor: SimulatedProcessor) => Machine;
}

/** A packet that the guest wrote into its ring, as the host read it. */
export interface GuestPacket {
  readonly channel: number;
  readonly type: number;
  readonly transactionId: bigint;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** An RNDIS message of the guest, as it lay in its memory when the host read the packet. */
export interface GuestMessage {
  readonly transactionId: bigint;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export class Rig {
  readonly machine: SimulatedMachine;
  readonly links: readonly TestLink[];
  readonly driver: HypervDriver;
  /** What the firmware says. */
  readonly events: FirmwareEvent[] = [];
  /** What {@link watch} has seen of a device: frames as hexadecimal, names of errors. */
  readonly received: string[] = [];
  readonly errors: string[] = [];
  readonly transmitted: string[] = [];
  #log: HostEvent[] = [];
  #messages: GuestMessage[] = [];

  constructor(options: RigOptions = {}) {
    const { host = 'server2019', knobs = {}, profile, cards = 1, driver, wrap, ...rest } = options;
    this.links = Array.from({ length: cards }, () => new TestLink());
    this.machine = new SimulatedMachine({
      seed: 1,
      limits: LIMITS,
      ...rest,
      memory: rest.memory ?? new ArrayBuffer(MEMORY_SIZE),
      // Without a monitor each signal is a hypercall, which tests can see
      profile: withKnobs({ ...profileNamed(host)!, ...profile }, { monitors: 'none', ...knobs }),
      links: this.links,
    });
    this.machine.events.listen((event) => this.#record(event));
    const seam = wrap?.(this.machine.bootProcessor) ?? this.machine.bootSeam;
    this.driver = createDriver(seam, {
      events: (event) => this.events.push(event),
      ...driver,
    });
  }

  get nic(): NetVsp {
    return this.machine.nics[0]!;
  }

  get link(): TestLink {
    return this.links[0]!;
  }

  get device(): NetDevice {
    return this.driver.devices[0]!;
  }

  // --- running ---

  probe(): NetDevice {
    this.driver.probe();
    return this.device;
  }

  /** Probe, and open the first device, watched. */
  open(): NetDevice {
    this.probe();
    this.device.open();
    return this.watch();
  }

  /** Record what a device receives and reports. */
  watch(device = this.device): NetDevice {
    device.receiver = {
      receive: (buffer, offset, length) =>
        void this.received.push(hex(buffer.subarray(offset, offset + length))),
    };
    device.observer = {
      transmitted: (sequence, error) =>
        void this.transmitted.push(`${sequence}${error === undefined ? '' : ` ${error}`}`),
      receiveError: (error) => void this.errors.push(error),
      linkChanged: () => {},
    };
    return device;
  }

  /** Let the guest poll for some virtual time. */
  poll(ms = 2, device = this.device): void {
    const end = this.machine.clock.now + ms * TICKS_PER_MS;
    while (this.machine.clock.now < end) {
      this.machine.bootSeam.pause();
      device.poll();
    }
  }

  /** Virtual time that an action takes, in ms. */
  elapsed(action: () => void): number {
    const begin = this.machine.clock.now;
    action();
    return (this.machine.clock.now - begin) / TICKS_PER_MS;
  }

  /** Let something happen at the next moment at which the host does anything. */
  soon(action: () => void, ms = 0): void {
    this.machine.clock.schedule(ms * TICKS_PER_MS, action);
  }

  // --- what was seen since the last mark ---

  mark(): void {
    this.#log = [];
    this.#messages = [];
    this.events.length = 0;
  }

  #record(event: HostEvent): void {
    // Waiting is nothing but looking at the clock
    if (event.kind === 'rdmsr' && event.msr === Msr.TIME_REF_COUNT) return;
    this.#log.push(event);
    if (event.kind !== 'ring-packet' || event.from !== 'guest') return;
    if (event.type !== PacketType.DATA_GPA_DIRECT) return;
    const view = viewOf(event.bytes);
    const range = GpaDirectHeader.size;
    const address =
      view.getUint32(range + GpaRange.at.pfn, true) * PAGE_SIZE +
      view.getUint32(range + GpaRange.at.byteOffset, true);
    const length = view.getUint32(range + GpaRange.at.byteCount, true);
    const bytes = this.machine.partition.ram.bytes.slice(address, address + length);
    this.#messages.push({ transactionId: event.transactionId, bytes, view: viewOf(bytes) });
  }

  /** Host events of one kind. */
  seen<K extends HostEvent['kind']>(kind: K): Extract<HostEvent, { kind: K }>[] {
    return this.#log.filter(
      (event): event is Extract<HostEvent, { kind: K }> => event.kind === kind,
    );
  }

  /** Register writes as `NAME=value`. */
  writes(): string[] {
    return this.seen('wrmsr').map(({ msr, value }) => `${registerName(msr)}=${hexNumber(value)}`);
  }

  /** Payloads of the messages that the host took, of one type or all. */
  posted(type?: number): DataView[] {
    return this.attempted(type)
      .filter(({ status }) => status === 0)
      .map(({ message }) => message);
  }

  /** Payloads and statuses of all HvPostMessage. */
  attempted(type?: number): { readonly message: DataView; readonly status: number }[] {
    return this.seen('hypercall')
      .filter(({ code }) => code === HvCall.POST_MESSAGE)
      .map(({ input, status }) => ({ message: viewOf(input.subarray(16)), status }))
      .filter(({ message }) => type === undefined || message.getUint32(0, true) === type);
  }

  /** HvSignalEvent calls, as hexadecimal. */
  signalled(): string[] {
    return this.seen('hypercall')
      .filter(({ code }) => code === HvCall.SIGNAL_EVENT)
      .map(({ input }) => hex(input));
  }

  /** Packets that the guest wrote, as the host read them. */
  packets(type?: number): GuestPacket[] {
    return this.seen('ring-packet')
      .filter((event) => event.from === 'guest' && (type === undefined || event.type === type))
      .map(({ channel, type, transactionId, bytes }) => ({
        channel,
        type,
        transactionId,
        bytes,
        view: viewOf(bytes),
      }));
  }

  /** RNDIS messages of the guest, of one type or all. */
  messages(type?: number): GuestMessage[] {
    return this.#messages.filter(
      ({ view }) => type === undefined || view.getUint32(0, true) === type,
    );
  }

  /** Transaction IDs of the host's packets of a type. */
  sent(type: number): bigint[] {
    return this.seen('ring-packet')
      .filter((event) => event.from === 'host' && event.type === type)
      .map(({ transactionId }) => transactionId);
  }

  /** Transaction IDs that the guest has completed. */
  completed(): bigint[] {
    return this.packets(PacketType.COMPLETION).map(({ transactionId }) => transactionId);
  }

  /** What the host has to say against the guest. */
  violations(): string[] {
    return this.seen('violation').map(({ text }) => text);
  }

  /** Texts that the firmware has logged. */
  logged(): string[] {
    return this.events.flatMap((event) => (event.kind === 'log' ? [event.text] : []));
  }

  // --- memory ---

  get view(): DataView {
    return this.machine.partition.ram.view;
  }

  /** Address of the control page of a card's ring, as the host knows it. */
  ring(side: 'out' | 'in', card = 0): number {
    const { instanceId } = this.machine.nics[card]!;
    const vmbus = this.machine.vmbus.inspect();
    const channel = vmbus.channels.find((other) => other.instanceId === instanceId)!;
    const gpadl = vmbus.gpadls.find(({ id }) => id === channel.ringGpadl)!;
    const pages = gpadl.pfns.length / 2;
    return gpadl.pfns[side === 'out' ? 0 : pages]! * 4096;
  }

  /** Purposes of what the firmware's ledger still holds. */
  outstanding(): string[] {
    return this.driver.outstanding().map(({ purpose }) => purpose);
  }

  // --- verdicts ---

  /** What the host still holds and the memory map does not reserve, and other errors. */
  auditErrors(): string[] {
    return auditHandoff(this.machine, this.driver.memoryMap())
      .filter(({ severity }) => severity === 'error')
      .map(({ check, text }) => `${check}: ${text}`);
  }

  /** Nothing is shared, whoever is asked. */
  assertClean(): void {
    assert.equal(this.auditErrors(), []);
    assert.equal(this.outstanding(), []);
  }

  /** All that the host still holds is reserved: only the connection may be left. */
  assertContained(): void {
    const errors = this.auditErrors().filter(
      (text) => !text.startsWith('unload:') && !/^channels: channel \d+ \{/.test(text),
    );
    assert.equal(errors, []);
  }

  /** The drivers find everything again, and leave nothing behind. */
  assertRecovers(): void {
    this.driver.probe();
    assert.is(this.driver.devices.length, this.machine.nics.length);
    this.device.open();
    this.device.close();
    this.driver.remove();
  }
}

/** Run an action that must fail with a named error, and return it. */
export function fails(name: string | readonly string[], action: () => void): HypxeError {
  const names = typeof name === 'string' ? [name] : name;
  try {
    action();
  } catch (error) {
    if (!(error instanceof HypxeError)) throw error;
    assert.ok(names.includes(error.name), `${error.name}: ${error.message}`);
    return error;
  }
  throw new Error(`nothing failed, expected ${names.join(' or ')}`);
}

/** A frame of a length whose bytes are all told apart by `seed`. */
export function frame(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed * 31) & 0xff);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A copy of a message with one 32-bit word changed. */
export function patched(payload: Uint8Array, offset: number, value: number): Uint8Array {
  const copy = payload.slice();
  viewOf(copy).setUint32(offset, value, true);
  return copy;
}

function registerName(msr: number): string {
  if (msr >= Msr.SINT0 && msr < Msr.SINT0 + 16) return `SINT${msr - Msr.SINT0}`;
  for (const [name, value] of Object.entries(Msr)) if (value === msr) return name;
  return hexNumber(BigInt(msr));
}

function hexNumber(value: bigint): string {
  return `0x${value.toString(16)}`;
}
