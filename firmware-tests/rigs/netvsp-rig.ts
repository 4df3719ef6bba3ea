// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A rig for the tests of the simulated network device: a partition and a channel of a few lines, a
 * link that records, and a guest that writes its packets byte by byte.
 */

import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../src/machine.ts';
import { NvspVersion } from '../../src/netvsc/protocol.ts';
import { PacketType } from '../../src/vmbus/protocol.ts';
import { VirtualClock } from '../../tools/simulator/base/clock.ts';
import { HostEvents, type HostEvent } from '../../tools/simulator/ledger/events.ts';
import { GrantLedger, type Grant } from '../../tools/simulator/ledger/grants.ts';
import { Omissions } from '../../tools/simulator/ledger/omissions.ts';
import { GuestRam } from '../../tools/simulator/base/guest-ram.ts';
import type { Link, LinkHost } from '../../tools/simulator/network/link.ts';
import { NetVsp, type NetVspOptions } from '../../tools/simulator/netvsp/netvsp.ts';
import type { PartitionServices } from '../../tools/simulator/hypervisor/partition-interface.ts';
import type { HostKnobs, HostProfile } from '../../tools/simulator/profiles/profile.ts';
import { PROFILES } from '../../tools/simulator/profiles/profiles.ts';
import { Random } from '../../tools/simulator/base/random.ts';
import { hex, unhex, words } from './bytes.ts';
import { FakeChannel, RX_ADDRESS, type HostPacket } from './netvsp-channel.ts';

export { hex, unhex, words };
export { RX_ADDRESS, pattern, type HostPacket } from './netvsp-channel.ts';

/** Where the rig's guest keeps things. */
export const RX_GPADL = 0xe1e12;
export const TX_GPADL = 0xe1e13;
export const RX_SET = 0xcafe;
export const RX_LENGTH = 0x10000;
export const TX_ADDRESS = 0x40000;
export const PAGES_ADDRESS = 0x80000;
const RAM_SIZE = 0x200000;

export const ALL_NVSP: readonly number[] = Object.values(NvspVersion);

export interface RigOptions {
  readonly knobs?: Partial<HostKnobs>;
  readonly nvspVersions?: readonly number[];
  readonly nic?: Partial<NetVspOptions>;
  readonly rxLength?: number;
}

/** Knobs of a host without peculiarities. */
const PLAIN: Partial<HostKnobs> = {
  malformedStatus: false,
  vfAssociation: false,
  rangesPerPacket: 1,
  rxMessageLength: 'exact',
  ppiEvery: 0,
  emptyCompletion: 'tolerate',
  revoke: 'complete',
  cancelPacket: 'accept',
  rndisReset: 'answer',
  torndownWhileOpen: 'deferred',
  linkAnnouncement: 'never',
  controlSections: 16,
  failedBuffer: 'fatal',
  packetFilter: 'any',
  hashlessScaling: 'disable',
  shortInit: 'answer',
  queryBuffer: 'ignored',
  malformedControl: 'fail',
  objects: 'vmswitch',
  offloads: 'none',
  vlanTag: 'frame',
  hashInfo: false,
};

export class NetRig {
  readonly clock = new VirtualClock(1_000_000);
  readonly ram = new GuestRam(new ArrayBuffer(RAM_SIZE));
  readonly events: HostEvents = new HostEvents(() => this.clock.now);
  readonly grants: GrantLedger = new GrantLedger(this.ram, () => this.clock.now);
  readonly omissions = new Omissions(() => this.clock.now);
  readonly profile: HostProfile;
  readonly device: NetVsp;
  channel: FakeChannel;
  /** Frames of the guest. */
  readonly frames: string[] = [];
  readonly log: HostEvent[] = [];
  host!: LinkHost;
  #transaction = 0x18ae0000;
  #stopListening: () => void = () => {};

  constructor(options: RigOptions = {}) {
    const base = PROFILES.find((profile) => profile.name === 'server2022') ?? PROFILES[0]!;
    this.profile = {
      ...base,
      nvspVersions: options.nvspVersions ?? ALL_NVSP,
      knobs: { ...base.knobs, ...PLAIN, ...options.knobs },
    };
    const link: Link = {
      connect: (host) => (this.host = host),
      transmit: (frame) => {
        if (this.channel.recording) this.frames.push(hex(frame));
      },
    };
    this.#stopListening = this.events.listen((event) => this.log.push(event));
    this.device = new NetVsp({ nic: 0, link, ...options.nic });
    this.device.attach(this.#services());
    this.channel = this.open(options.rxLength);
  }

  /** Nobody reads the events any more. */
  quiet(): void {
    this.#stopListening();
    this.channel.recording = false;
  }

  /** Open the channel (anew) with GPADLs for both buffers. */
  open(rxLength = RX_LENGTH): FakeChannel {
    this.channel = new FakeChannel(this.ram);
    this.#grant(RX_GPADL, RX_ADDRESS, rxLength);
    this.#grant(TX_GPADL, TX_ADDRESS, 0x4000);
    assert.is(this.device.open(this.channel), 0);
    return this.channel;
  }

  #grant(gpadl: number, address: number, length: number): void {
    const first = address / PAGE_SIZE;
    this.channel.gpadls.set(
      gpadl,
      this.grants.grant({
        kind: 'gpadl',
        purpose: `GPADL ${gpadl}`,
        access: 'write',
        pfns: Array.from({ length: Math.ceil(length / PAGE_SIZE) }, (_, i) => first + i),
        offset: 0,
        length,
        grantedBy: 'the rig',
        revokedWith: 'GPADL_TEARDOWN',
        gpadl,
      }),
    );
  }

  #services(): PartitionServices {
    const no = () => assert.unreachable('the device uses channels only');
    return {
      ram: this.ram,
      clock: this.clock,
      random: new Random(1),
      events: this.events,
      grants: this.grants,
      omissions: this.omissions,
      profile: this.profile,
      processorCount: 1,
      postMessage: (): boolean => {
        no();
        return false;
      },
      queuedMessages: () => 0,
      isDrained: () => true,
      onSlotEmptied: undefined,
      signalEvent: no,
      registerMessagePort: no,
      registerEventPort: no,
      unregisterPort: no,
    };
  }

  /** The packets of the device since the last call. */
  taken(): HostPacket[] {
    return this.channel.toGuest.splice(0);
  }

  /** Give the device time. */
  run(ticks = 0): HostPacket[] {
    this.clock.advanceTo(this.clock.now + ticks);
    return this.taken();
  }

  /** Put a packet into the ring; payload and extra are hexadecimal and padded to 8. */
  put(type: number, flags: number, low: number, extra: string, payload: string, high = 0): void {
    const padded = payload.padEnd(Math.ceil(payload.length / 16) * 16, '0');
    assert.is(extra.length % 16, 0);
    const header = 2 + extra.length / 16;
    const view = new DataView(new ArrayBuffer(16));
    view.setUint16(0, type, true);
    view.setUint16(2, header, true);
    view.setUint16(4, header + padded.length / 16, true);
    view.setUint16(6, flags, true);
    view.setUint32(8, low, true);
    view.setUint32(12, high, true);
    this.channel.toHost.push(unhex(hex(new Uint8Array(view.buffer)) + extra + padded));
  }

  /** Signal, and return what the device sent at once. */
  signal(): HostPacket[] {
    this.device.signalled();
    return this.taken();
  }

  /** Send an in-band packet, and return what the device sent at once. */
  inband(payload: string, flags = 1, low = ++this.#transaction): HostPacket[] {
    this.put(PacketType.DATA_INBAND, flags, low, '', payload);
    return this.signal();
  }

  /** Complete a packet of the device. */
  complete(packet: HostPacket, payload = words(108, 1)): HostPacket[] {
    this.put(PacketType.COMPLETION, 0, packet.low, '', payload, packet.high);
    return this.signal();
  }

  /** Send bytes in GPA-direct ranges, each at its own page, and return what the device sent. */
  gpaDirect(pieces: readonly string[], channelType = 0, flags = 1): HostPacket[] {
    let extra = words(0, pieces.length);
    pieces.forEach((piece, i) => {
      const bytes = unhex(piece);
      const address = PAGES_ADDRESS + i * 0x4000 + 0x20;
      this.ram.bytes.set(bytes, address);
      extra += gpaRange(address, bytes.length);
    });
    this.put(PacketType.DATA_GPA_DIRECT, flags, ++this.#transaction, extra, rndis(channelType));
    return this.signal();
  }

  /** Send a control message; returns the status of its completion and the messages in answer. */
  control(message: string): { status: number; answers: readonly string[]; packets: HostPacket[] } {
    const packets = this.gpaDirect([message], 1);
    const completion = packets.shift();
    if (completion?.type !== PacketType.COMPLETION) throw new Error('the completion comes first');
    assert.is(completion.payload.slice(0, 8), words(108));
    const answers = packets.flatMap((packet) => packet.messages);
    for (const packet of packets)
      if (packet.type === PacketType.DATA_XFER_PAGES) this.complete(packet);
    return { status: parseInt(completion.payload.slice(8, 10), 16), answers, packets };
  }

  /** QUERY; returns status and data of the answer. */
  query(oid: number): { status: number; data: string } {
    const { answers } = this.control(words(4, 28, 0x77, oid, 0, 20, 0));
    assert.is(answers.length, 1);
    const answer = answers[0]!;
    const view = new DataView(unhex(answer).buffer);
    assert.is(view.getUint32(0, true), 0x80000004);
    assert.is(view.getUint32(4, true), answer.length / 2, 'length');
    assert.is(view.getUint32(8, true), 0x77, 'request ID');
    assert.is(view.getUint32(20, true), 16, 'offset of the data');
    assert.is(view.getUint32(16, true), answer.length / 2 - 24, 'length of the data');
    return { status: view.getUint32(12, true), data: answer.slice(48) };
  }

  /** SET; returns the status of the answer. */
  set(oid: number, data: string): number {
    const { answers } = this.control(
      words(5, 28 + data.length / 2, 0x78, oid, data.length / 2, 20, 0) + data,
    );
    assert.is(answers.length, 1);
    assert.is(answers[0]!.slice(0, 24), words(0x80000005, 16, 0x78));
    return new DataView(unhex(answers[0]!).buffer).getUint32(12, true);
  }

  /** NVSP up to RNDIS. */
  negotiate(version: number = NvspVersion.V1): void {
    const [answer] = this.inband(init(version));
    assert.is(answer?.payload.slice(24, 32), words(1), 'INIT succeeds');
    if (version >= NvspVersion.V2) this.inband(words(125, 1514, 0, 4, 0));
    this.inband(words(100, 6, 30));
    const [buffer] = this.inband(words(101, RX_GPADL, RX_SET));
    assert.is(buffer?.payload.slice(0, 16), words(102, 1), 'receive buffer accepted');
  }

  /** All the way: negotiated, RNDIS initialised, filter set. */
  start(version: number = NvspVersion.V1): void {
    this.negotiate(version);
    const { answers } = this.control(INITIALISE);
    assert.is(answers.length, 1);
    assert.is(this.set(0x0001010e, words(0x2f)), 0);
  }

  /** Texts of the violations so far. */
  get violations(): string[] {
    return this.log.flatMap((event) => (event.kind === 'violation' ? [event.text] : []));
  }

  /** Reasons of dropped frames so far. */
  get drops(): string[] {
    return this.log.flatMap((event) => (event.kind === 'frame-dropped' ? [event.reason] : []));
  }

  /** Packets in flight in the ledger. */
  get inFlight(): Grant[] {
    return this.grants.live().filter((grant) => grant.kind === 'packet');
  }
}

/** RNDIS INITIALISE as iPXE sends it. */
export const INITIALISE = '020000001800000010e110e1010000000000000000080000';

/** NVSP INIT. */
export function init(version: number): string {
  return words(1, version, version, 0, 0, 0, 0);
}

/** NVSP header of an RNDIS packet. */
export function rndis(channelType: number, index = 0xffffffff, size = 0): string {
  return words(107, channelType, index, size, 0, 0, 0);
}

/** A range of contiguous pages. */
export function gpaRange(address: number, length: number): string {
  const first = Math.floor(address / PAGE_SIZE);
  const offset = address % PAGE_SIZE;
  let text = words(length, offset);
  for (let i = 0; i < Math.ceil((offset + length) / PAGE_SIZE); i++) text += words(first + i, 0);
  return text;
}

/** RNDIS_PACKET_MSG with a frame right behind its header. */
export function dataMessage(frame: Uint8Array): string {
  const length = 44 + frame.length;
  return words(1, length, 36, frame.length, 0, 0, 0, 0, 0, 0, 0) + hex(frame);
}
