// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A rig for the tests of the simulated VMBus server: a partition of a few lines, a device that
 * records, and a guest that writes its messages and rings byte by byte.
 */

import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../src/machine.ts';
import { HV_MESSAGE_PAYLOAD_MAX } from '../../src/hyperv/protocol.ts';
import {
  DeviceClass,
  GpadlHeader,
  InitiateContact,
  MessageType,
  OpenChannel,
  RingControl,
  VmbusVersion,
} from '../../src/vmbus/protocol.ts';
import type {
  ChannelDevice,
  DeviceChannel,
} from '../../tools/simulator/vmbus-server/channel-interface.ts';
import { TICKS_PER_MS, VirtualClock } from '../../tools/simulator/base/clock.ts';
import { HostEvents } from '../../tools/simulator/ledger/events.ts';
import type { HostEvent } from '../../tools/simulator/ledger/events.ts';
import { GrantLedger } from '../../tools/simulator/ledger/grants.ts';
import { Omissions } from '../../tools/simulator/ledger/omissions.ts';
import { GuestRam } from '../../tools/simulator/base/guest-ram.ts';
import type {
  EventPort,
  MessagePort,
  PartitionServices,
} from '../../tools/simulator/hypervisor/partition-interface.ts';
import { WINDOWS } from '../../tools/simulator/profiles/host-knobs.ts';
import type { HostKnobs, HostProfile } from '../../tools/simulator/profiles/profile.ts';
import { Random } from '../../tools/simulator/base/random.ts';
import { VmbusServer } from '../../tools/simulator/vmbus-server/server.ts';
import type { VmbusServerOptions } from '../../tools/simulator/vmbus-server/server.ts';
import { hex, unhex, words } from './bytes.ts';

export { hex, unhex, words };

/** Latencies of the rig's host: 1 ms for messages, 0.1 ms for rings. */
export const MESSAGE_LATENCY = TICKS_PER_MS;
export const RING_LATENCY = TICKS_PER_MS / 10;

const ALL_VERSIONS: readonly number[] = Object.values(VmbusVersion);

const KNOBS: HostKnobs = {
  ...WINDOWS,
  messageLatencyTicks: MESSAGE_LATENCY,
  ringLatencyTicks: RING_LATENCY,
  throttleStatus: 0,
  refusalVp: 'previous',
  malformedStatus: false,
  rangesPerPacket: 1,
  ppiEvery: 0,
};

function profile(knobs: Partial<HostKnobs>, changes: Partial<HostProfile>): HostProfile {
  return {
    name: 'rig',
    description: 'all versions',
    source: 'tests',
    hypervisorBuild: 0,
    hypervisorVersion: 0,
    features: 0,
    privileges: 0,
    recommendations: 0,
    miscFeatures: 0,
    vmbusVersions: ALL_VERSIONS,
    vmbusFeatures: 0x6f,
    multiClientPort: true,
    nvspVersions: [],
    sharedMemoryMax: 0,
    ...changes,
    knobs: { ...KNOBS, ...knobs },
  };
}

/** A message that a slot of the rig received. */
export interface Received {
  readonly vp: number;
  readonly sint: number;
  readonly payload: Uint8Array;
  readonly hex: string;
}

/** The hypervisor of a few lines: slots one deep, ports, event flags. */
export class RigPartition implements PartitionServices {
  readonly ram: GuestRam;
  readonly clock = new VirtualClock(1_000_000);
  readonly random = new Random(1);
  readonly events: HostEvents;
  readonly grants: GrantLedger;
  readonly omissions = new Omissions(() => this.clock.now);
  readonly profile: HostProfile;
  readonly processorCount = 8;
  onSlotEmptied: (() => void) | undefined;
  /** Whether the guest takes each message at once. */
  taking = true;
  readonly received: Received[] = [];
  readonly signalled: { vp: number; sint: number; flag: number }[] = [];
  readonly messagePorts = new Map<number, MessagePort>();
  readonly eventPorts = new Map<number, EventPort>();
  #slot: Received | undefined;
  readonly #queue: Received[] = [];

  constructor(profile: HostProfile, bytes: number) {
    this.ram = new GuestRam(new ArrayBuffer(bytes));
    this.events = new HostEvents(() => this.clock.now);
    this.grants = new GrantLedger(this.ram, () => this.clock.now);
    this.profile = profile;
  }

  postMessage(vp: number, sint: number, type: number, payload: Uint8Array): boolean {
    assert.ok(vp < this.processorCount && sint < 16);
    assert.is(type, 1);
    assert.ok(payload.length <= HV_MESSAGE_PAYLOAD_MAX);
    const message = { vp, sint, payload: payload.slice(), hex: hex(payload) };
    if (this.taking) this.received.push(message);
    else if (this.#slot === undefined) this.#slot = message;
    else this.#queue.push(message);
    return true;
  }

  queuedMessages(): number {
    return this.#queue.length;
  }

  isDrained(): boolean {
    return this.#slot === undefined && this.#queue.length === 0;
  }

  /** The guest takes the message in its slot and writes EOM. */
  take(): Received | undefined {
    const taken = this.#slot;
    this.#slot = this.#queue.shift();
    if (taken !== undefined) this.received.push(taken);
    this.onSlotEmptied?.();
    return taken;
  }

  signalEvent(vp: number, sint: number, flag: number): void {
    assert.ok(vp < this.processorCount && sint < 16 && flag < 2048);
    this.signalled.push({ vp, sint, flag });
  }

  registerMessagePort(connectionId: number, port: MessagePort): void {
    this.#free(connectionId);
    this.messagePorts.set(connectionId, port);
  }

  registerEventPort(connectionId: number, port: EventPort): void {
    this.#free(connectionId);
    this.eventPorts.set(connectionId, port);
  }

  unregisterPort(connectionId: number): void {
    assert.ok(this.messagePorts.delete(connectionId) || this.eventPorts.delete(connectionId));
  }

  #free(id: number): void {
    assert.not(this.messagePorts.has(id) || this.eventPorts.has(id), `port ${id} is taken`);
  }
}

/** A device that records what happens to it and can hold on to its GPADLs. */
export class RigDevice implements ChannelDevice {
  readonly interfaceId: string;
  readonly instanceId: string;
  offerFlags = 0;
  monitored = false;
  openStatus = 0;
  /** GPADLs that the device does not let go before it is closed. */
  readonly holds = new Set<number>();
  readonly calls: string[] = [];
  channel: DeviceChannel | undefined;
  /** What it does when it is signalled; by default it reads everything. */
  onSignal: (channel: DeviceChannel) => void;
  onOpen: ((channel: DeviceChannel) => void) | undefined;
  /** Packets that it read, as hexadecimal. */
  readonly packets: string[] = [];

  constructor(instance: number | string, interfaceId: string = DeviceClass.NETWORK) {
    this.interfaceId = interfaceId;
    this.instanceId =
      typeof instance === 'string'
        ? instance
        : `00000000-0000-0000-0000-${instance.toString(16).padStart(12, '0')}`;
    this.onSignal = (channel) => {
      for (let packet; (packet = channel.receive()) !== undefined;)
        this.packets.push(hex(packet.bytes.subarray(0, packet.length)));
    };
  }

  attach(): void {
    this.calls.push('attach');
  }

  open(channel: DeviceChannel): number {
    this.calls.push(`open ${channel.id}`);
    if (this.openStatus !== 0) return this.openStatus;
    this.channel = channel;
    this.onOpen?.(channel);
    return 0;
  }

  close(): void {
    this.calls.push('close');
    this.channel = undefined;
    this.holds.clear();
  }

  signalled(): void {
    this.calls.push('signalled');
    this.onSignal(this.channel!);
  }

  gpadlTeardown(gpadl: number): boolean {
    this.calls.push(`teardown ${gpadl}`);
    return !this.holds.has(gpadl);
  }
}

export interface RigOptions extends VmbusServerOptions {
  readonly devices?: readonly ChannelDevice[];
  readonly knobs?: Partial<HostKnobs>;
  readonly profile?: Partial<HostProfile>;
  /** Guest RAM in pages. */
  readonly pages?: number;
}

/** Where the rig's guest keeps its pages. */
export const INTERRUPT_PAGE = 0x1000;
export const MONITOR_IN = 0x2000;
export const MONITOR_OUT = 0x3000;
/** First page of the first ring; 8 pages for each channel. */
export const RING_PFN = 0x10;

/** Server, partition and guest. */
export class Rig {
  readonly partition: RigPartition;
  readonly server: VmbusServer;
  readonly log: HostEvent[] = [];
  readonly #read = new Map<string, number>();

  constructor(options: RigOptions = {}) {
    this.partition = new RigPartition(
      profile(options.knobs ?? {}, options.profile ?? {}),
      (options.pages ?? 256) * PAGE_SIZE,
    );
    this.partition.events.listen((event) => this.log.push(event));
    this.server = new VmbusServer(this.partition, options.devices ?? [], options);
  }

  /** Texts of the violations so far. */
  get violations(): string[] {
    return this.log.flatMap((event) => (event.kind === 'violation' ? [event.text] : []));
  }

  run(ticks: number): void {
    const { clock } = this.partition;
    clock.advanceTo(clock.now + ticks);
  }

  /** Post without giving the host time. Returns the status. */
  postOnly(message: Uint8Array | string, port = 1): number {
    const bytes = typeof message === 'string' ? unhex(message) : message;
    const target = this.partition.messagePorts.get(port);
    return target === undefined ? 0x12 : target(1, bytes, 0);
  }

  /** Post, let the host work, and return the answers that came meanwhile. */
  post(message: Uint8Array | string, port = 1): string[] {
    const before = this.partition.received.length;
    assert.is(this.postOnly(message, port), 0);
    this.run(MESSAGE_LATENCY);
    return this.partition.received.slice(before).map((received) => received.hex);
  }

  /** Connect with the rig's pages. */
  connect(version: number, pages = true, port = 1): void {
    const [answer] = this.post(initiate(version, { pages }), port);
    assert.is(answer?.slice(0, 20), '0f000000000000000100', 'connected');
  }

  /** Connect and request offers; returns the offers. */
  boot(version: number = VmbusVersion.V0_13): string[] {
    this.connect(version);
    return this.post(plain(MessageType.REQUEST_OFFERS));
  }

  /**
   * Establish the rings of a channel and open it: 2 + 2 pages at RING_PFN + 8·(id − 1). The answer
   * to OPEN_CHANNEL is returned.
   */
  open(id: number, options: { gpadl?: number; targetVp?: number } = {}): string {
    const gpadl = options.gpadl ?? 0x100 + id;
    const pfn = RING_PFN + 8 * (id - 1);
    this.partition.ram.bytes.fill(0, pfn * PAGE_SIZE, (pfn + 4) * PAGE_SIZE);
    assert.equal(this.post(gpadlHeader(id, gpadl, [pfn, pfn + 1, pfn + 2, pfn + 3])), [
      created(id, gpadl, 0),
    ]);
    return this.post(openChannel(id, gpadl, 2, options.targetVp ?? 0))[0]!;
  }

  /** The guest's view of the rings that {@link open} made. */
  rings(id: number): RigRings {
    return new RigRings(this.partition.ram, (RING_PFN + 8 * (id - 1)) * PAGE_SIZE);
  }

  /** Signal a connection; returns the status. */
  signal(connection: number, flag = 0): number {
    const port = this.partition.eventPorts.get(connection);
    return port === undefined ? 0x12 : port(flag);
  }

  /** Event flags raised since the last call. */
  raised(): { vp: number; sint: number; flag: number }[] {
    const from = this.#read.get('raised') ?? 0;
    this.#read.set('raised', this.partition.signalled.length);
    return this.partition.signalled.slice(from);
  }

  /** The grants that live, as `kind:first page`. */
  grants(): string[] {
    return this.partition.grants.live().map((grant) => `${grant.kind}:${grant.pfns[0]}`);
  }
}

/** The rings of a channel with 2 + 2 pages, from the guest's side. */
export class RigRings {
  readonly ram: GuestRam;
  readonly out: number;
  readonly in: number;
  /** Bytes of data of each. */
  readonly size = PAGE_SIZE;

  constructor(ram: GuestRam, address: number) {
    this.ram = ram;
    this.out = address;
    this.in = address + 2 * PAGE_SIZE;
  }

  control(ring: number, field: keyof typeof RingControl.at): number {
    return this.ram.view.getUint32(ring + RingControl.at[field], true);
  }

  setControl(ring: number, field: keyof typeof RingControl.at, value: number): void {
    this.ram.view.setUint32(ring + RingControl.at[field], value, true);
  }

  /** Put bytes (header, payload, footer) into the outbound ring and publish them. */
  write(bytes: Uint8Array | string): void {
    const data = typeof bytes === 'string' ? unhex(bytes) : bytes;
    let prod = this.control(this.out, 'prod');
    for (const byte of data) {
      this.ram.bytes[this.out + PAGE_SIZE + prod] = byte;
      prod = (prod + 1) % this.size;
    }
    this.setControl(this.out, 'prod', prod);
  }

  /** Take `length` bytes out of the inbound ring, as hexadecimal. */
  read(length: number): string {
    let cons = this.control(this.in, 'cons');
    const data = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      data[i] = this.ram.bytes[this.in + PAGE_SIZE + cons]!;
      cons = (cons + 1) % this.size;
    }
    this.setControl(this.in, 'cons', cons);
    return hex(data);
  }
}

/** A message of its header alone. */
export function plain(type: number): string {
  return words(type, 0);
}

export interface ContactOptions {
  readonly pages?: boolean;
  readonly targetVp?: number;
  /** The eight bytes of the interrupt page's field, instead of the page. */
  readonly info?: string;
  readonly monitorIn?: number;
  readonly monitorOut?: number;
  readonly length?: number;
}

export function initiate(version: number, options: ContactOptions = {}): Uint8Array {
  const bytes = new Uint8Array(options.length ?? InitiateContact.size);
  const view = new DataView(bytes.buffer);
  const { at } = InitiateContact;
  const pages = options.pages ?? true;
  view.setUint32(at.type, MessageType.INITIATE_CONTACT, true);
  view.setUint32(at.version, version, true);
  view.setUint32(at.targetVp, options.targetVp ?? 0, true);
  if (options.info !== undefined) bytes.set(unhex(options.info), at.interruptPage);
  else if (version >= VmbusVersion.V5_0) view.setUint8(at.interruptPage, 2);
  else if (pages) view.setUint32(at.interruptPage, INTERRUPT_PAGE, true);
  view.setUint32(at.monitorIn, options.monitorIn ?? (pages ? MONITOR_IN : 0), true);
  view.setUint32(at.monitorOut, options.monitorOut ?? (pages ? MONITOR_OUT : 0), true);
  return bytes;
}

/** GPADL_HEADER with one range of whole pages. */
export function gpadlHeader(channel: number, gpadl: number, pfns: readonly number[]): string {
  const length = 8 + 8 * pfns.length;
  const header = words(MessageType.GPADL_HEADER, 0, channel, gpadl, length + 0x10000);
  assert.is(header.length, GpadlHeader.size * 2);
  return header + words(pfns.length * PAGE_SIZE, 0) + pfns.map((pfn) => words(pfn, 0)).join('');
}

export function created(channel: number, gpadl: number, status: number): string {
  return words(MessageType.GPADL_CREATED, 0, channel, gpadl, status);
}

export function teardown(channel: number, gpadl: number): string {
  return words(MessageType.GPADL_TEARDOWN, 0, channel, gpadl);
}

export function torndown(gpadl: number): string {
  return words(MessageType.GPADL_TORNDOWN, 0, gpadl);
}

/** OPEN_CHANNEL; the open ID is 0x1000 + channel. */
export function openChannel(
  channel: number,
  gpadl: number,
  outPages: number,
  targetVp = 0,
): string {
  const head = words(MessageType.OPEN_CHANNEL, 0, channel, 0x1000 + channel, gpadl, targetVp);
  return head + words(outPages) + '00'.repeat(OpenChannel.sizes.userData);
}

export function opened(channel: number, status = 0): string {
  return words(MessageType.OPEN_CHANNEL_RESULT, 0, channel, 0x1000 + channel, status);
}

/** An in-band packet with its footer: payload is hexadecimal, padded to 8. */
export function inband(payload: string, ringOffset: number, transactionId = 0, flags = 0): string {
  const padded = payload + '00'.repeat((-(payload.length / 2) & 7) % 8);
  const qlen = 2 + padded.length / 16;
  const descriptor = words(6 + (2 << 16), qlen + (flags << 16), transactionId, 0);
  return descriptor + padded + words(0, ringOffset);
}

/** The relid of an offer. */
export function offeredId(offer: string): number {
  return new DataView(unhex(offer).buffer).getUint32(184, true);
}
