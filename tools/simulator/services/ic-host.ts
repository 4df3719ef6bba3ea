// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The host's end of a utility service (integration component): a channel in message pipe mode,
 * the negotiation, and one request at a time. Behaviour is OpenVMM's `hyperv_ic` (`common`), which
 * drops what it does not wait for and ends the service in silence if the negotiation fails.
 */

import {
  IC_MESSAGE_MAX,
  IcFlag,
  IcHeader,
  IcNegotiate,
  IcType,
  IcVersion,
} from '../../../src/services/protocol.ts';
import { OfferFlag, PIPE_TYPE_DATA, PacketType, PipeHeader } from '../../../src/vmbus/protocol.ts';
import type {
  ChannelDevice,
  DeviceChannel,
  GuestPacket,
} from '../vmbus-server/channel-interface.ts';
import type { Alarm } from '../base/clock.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import { FRAMEWORK_VERSIONS, versionsOf, type IcVersionSince } from './ic-versions.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Where the IC header and the body lie in a message. */
export const IC_HEADER_AT = PipeHeader.size;
export const IC_BODY_AT = IC_HEADER_AT + IcHeader.size;

/** Pipe type in the user data of the offer: messages, not bytes. */
const PIPE_TYPE_MESSAGE = 4;

/** Bytes of the user data of an offer. */
const USER_DATA_SIZE = 120;

/** Packets of the guest read in one look. */
const PACKETS_PER_LOOK_MAX = 64;

/** What a service is. */
export interface IcHostOptions {
  /** For the events. */
  readonly name: string;
  readonly interfaceId: string;
  readonly instanceId: string;
  /** IcHeader.type of its messages. */
  readonly type: number;
  /** Message versions, ascending: major in the high, minor in the low 16 bits; see `versionsOf`. */
  readonly messageVersions: readonly (number | IcVersionSince)[];
  readonly frameworkVersions?: readonly number[] | undefined;
}

/** Hooks of tests: what a host does that no host should. */
export interface IcHostFaults {
  /** Each message before it is sent, from the pipe header on: another one, or none to lose it. */
  alter?: (message: Uint8Array) => Uint8Array | undefined;
  /** Send no negotiation. */
  silent?: boolean;
}

/** `failed`: the guest broke the rules or wanted no version, and nothing more is sent. */
export type IcHostState = 'closed' | 'opening' | 'negotiating' | 'ready' | 'failed';

export abstract class IcHost implements ChannelDevice {
  readonly interfaceId: string;
  readonly instanceId: string;
  readonly offerFlags: number = OfferFlag.ENUMERATE_DEVICE_INTERFACE | OfferFlag.NAMED_PIPE_MODE;
  readonly userDefined: Uint8Array;
  readonly monitored = false;
  readonly name: string;
  faults: IcHostFaults = {};
  state: IcHostState = 'closed';
  /** Versions that were agreed on, or 0. */
  frameworkVersion = 0;
  messageVersion = 0;
  /** Requests and answers of all sessions; things that the guest did wrong. */
  requests = 0;
  answers = 0;
  violations = 0;

  protected services!: PartitionServices;
  readonly #options: IcHostOptions;
  /** Versions that this host offers. */
  #frameworks: readonly number[] = [];
  #messages: readonly number[] = [];
  readonly #message = new Uint8Array(IC_BODY_AT + IC_MESSAGE_MAX);
  /** Body of the next request: write here, then {@link request}. */
  protected readonly body: DataView = new DataView(this.#message.buffer, IC_BODY_AT);
  protected readonly bodyBytes: Uint8Array = this.#message.subarray(IC_BODY_AT);
  readonly #view = new DataView(this.#message.buffer);
  readonly #none = new Uint8Array(0);
  readonly #packetBuffer = new Uint8Array(IC_BODY_AT + IC_MESSAGE_MAX);
  #channel: DeviceChannel | undefined;
  #start: Alarm | undefined;
  /** A message that found no room in the ring. */
  #waiting: Uint8Array | undefined;
  #transaction = 0;
  /** Length of the outstanding request as the guest received it, or 0. */
  #outstanding = 0;

  protected constructor(options: IcHostOptions) {
    this.#options = options;
    this.name = options.name;
    this.interfaceId = options.interfaceId;
    this.instanceId = options.instanceId;
    this.userDefined = new Uint8Array(USER_DATA_SIZE);
    this.userDefined[0] = PIPE_TYPE_MESSAGE;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.faults, this.state], (v) => ([this.faults, this.state] = v));
    keeper.put([this.frameworkVersion], (v) => ([this.frameworkVersion] = v));
    keeper.put([this.messageVersion], (v) => ([this.messageVersion] = v));
    keeper.put([this.requests, this.answers], (v) => ([this.requests, this.answers] = v));
    keeper.put([this.violations, this.services], (v) => ([this.violations, this.services] = v));
    keeper.put([this.#frameworks, this.#messages], (v) => ([this.#frameworks, this.#messages] = v));
    keeper.put([this.#channel, this.#start], (v) => ([this.#channel, this.#start] = v));
    keeper.put([this.#waiting, this.#transaction], (v) => ([this.#waiting, this.#transaction] = v));
    keeper.put([this.#outstanding], (v) => ([this.#outstanding] = v));
    keeper.keep(this.userDefined, this.#message, this.body, this.bodyBytes, this.#view, this.#none);
    keeper.keep(this.#packetBuffer, this.#packetView);
  }

  /** A version was agreed on: requests may be sent. */
  protected abstract ready(): void;

  /** The guest has answered; the body lies at `at` of `view`, with `length` bytes. */
  protected abstract answered(status: number, view: DataView, at: number, length: number): void;

  /** The channel is closed, or the guest has failed. */
  protected abstract ended(reason: string): void;

  // --- as a channel device ---

  attach(services: PartitionServices): void {
    const { frameworkVersions = FRAMEWORK_VERSIONS, messageVersions } = this.#options;
    this.services = services;
    this.#frameworks = versionsOf(frameworkVersions, services.profile);
    this.#messages = versionsOf(messageVersions, services.profile);
  }

  open(channel: DeviceChannel): number {
    this.#channel = channel;
    this.state = 'opening';
    this.messageVersion = this.frameworkVersion = 0;
    this.#outstanding = this.#transaction = 0;
    this.#waiting = undefined;
    const { clock, profile } = this.services;
    const latency = profile.knobs.ringLatencyTicks;
    this.#start = clock.schedule(latency, () => this.#negotiate());
    return 0;
  }

  close(): void {
    if (this.#start !== undefined) this.services.clock.cancel(this.#start);
    this.#channel = undefined;
    this.#outstanding = 0;
    this.state = 'closed';
    this.ended('the channel was closed');
  }

  signalled(): void {
    if (this.#waiting !== undefined) this.#flush();
    for (let i = 0; i < PACKETS_PER_LOOK_MAX; i++) {
      const packet = this.#channel?.receive();
      if (packet === undefined) return;
      this.#received(packet);
    }
  }

  gpadlTeardown(): boolean {
    return true;
  }

  // --- requests ---

  /** Whether a request can be sent at this moment. */
  protected get idle(): boolean {
    return this.state === 'ready' && this.#outstanding === 0;
  }

  /** Send `length` bytes of {@link body} as a request. Only while {@link idle}. */
  protected request(length: number): void {
    this.#transaction = (this.#transaction + 1) & 0xff;
    this.#send(this.#options.type, this.#transaction, length);
    this.requests++;
  }

  /** No answer will come that anybody waits for: the service has ended for this session. */
  protected fail(reason: string): void {
    if (this.state === 'closed' || this.state === 'failed') return;
    this.state = 'failed';
    this.violate(reason);
    this.ended(reason);
  }

  /** Put any message (from the pipe header on) into the ring. False if there is no room. */
  sendRaw(message: Uint8Array): boolean {
    return this.#put(message);
  }

  /** Number of the open channel, or 0. */
  get channelId(): number {
    return this.#channel?.id ?? 0;
  }

  /** Put any packet into the ring, past the service; the transaction ID is the low 64 bits. */
  injectPacket(
    type: number,
    flags: number,
    transactionId: bigint,
    extra: Uint8Array,
    payload: Uint8Array,
  ): boolean {
    const low = Number(transactionId & 0xffffffffn);
    const high = Number(transactionId >> 32n);
    const packet = [low, high, extra, extra.length, payload, payload.length] as const;
    return this.#channel?.send(type, flags, ...packet) ?? false;
  }

  protected violate(text: string): void {
    this.violations++;
    const { events } = this.services;
    if (events.on) {
      events.emit({ kind: 'violation', layer: 'utility', text: `${this.name}: ${text}` });
    }
  }

  #negotiate(): void {
    if (this.state !== 'opening') return;
    this.state = 'negotiating';
    if (this.faults.silent === true) return;
    const frameworks = this.#frameworks;
    const messages = this.#messages;
    const { body } = this;
    body.setUint16(IcNegotiate.at.frameworkCount, frameworks.length, true);
    body.setUint16(IcNegotiate.at.messageCount, messages.length, true);
    body.setUint32(IcNegotiate.at.reserved, 0, true);
    let at = IcNegotiate.at.versions;
    for (const version of [...frameworks, ...messages]) {
      body.setUint16(at + IcVersion.at.major, version >>> 16, true);
      body.setUint16(at + IcVersion.at.minor, version & 0xffff, true);
      at += IcVersion.size;
    }
    this.#send(IcType.NEGOTIATE, 0, at);
  }

  #send(type: number, transaction: number, length: number): void {
    const view = this.#view;
    const { at } = IcHeader;
    view.setUint32(PipeHeader.at.type, PIPE_TYPE_DATA, true);
    view.setUint32(PipeHeader.at.length, IcHeader.size + length, true);
    setVersion(view, IC_HEADER_AT + at.frameworkMajor, this.frameworkVersion);
    view.setUint16(IC_HEADER_AT + at.type, type, true);
    setVersion(view, IC_HEADER_AT + at.messageMajor, this.messageVersion);
    view.setUint16(IC_HEADER_AT + at.length, length, true);
    view.setUint32(IC_HEADER_AT + at.status, 0, true);
    view.setUint8(IC_HEADER_AT + at.transactionId, transaction);
    view.setUint8(IC_HEADER_AT + at.flags, IcFlag.TRANSACTION | IcFlag.REQUEST);
    view.setUint16(IC_HEADER_AT + at.reserved, 0, true);
    this.#outstanding = (IC_BODY_AT + length + 7) & ~7;

    // A fault may change it
    const message = this.#message.subarray(0, IC_BODY_AT + length);
    const altered = this.faults.alter === undefined ? message : this.faults.alter(message.slice());
    if (altered === undefined) return;
    if (altered !== message) this.#outstanding = (altered.length + 7) & ~7;
    if (!this.#put(altered)) this.#waiting = altered.slice();
  }

  #flush(): void {
    if (this.#put(this.#waiting!)) this.#waiting = undefined;
  }

  #put(message: Uint8Array): boolean {
    const { length } = message;
    if (this.#channel === undefined) return false;
    const type = PacketType.DATA_INBAND;
    return this.#channel.send(type, 0, 0, 0, this.#none, 0, message, length);
  }

  // --- answers ---

  #received(packet: GuestPacket): void {
    // Out of the ring's packet: what answers may send the next request
    const length = packet.length - packet.payloadOffset;
    if (packet.type !== PacketType.DATA_INBAND || length < IC_BODY_AT) {
      this.fail(`packet of type ${packet.type} with ${length} bytes`);
      return;
    }
    if (length > this.#packetBuffer.length) {
      this.fail(`message of ${length} bytes`);
      return;
    }
    this.#packetBuffer.set(packet.bytes.subarray(packet.payloadOffset, packet.length));
    const view = this.#packetView;
    const { at } = IcHeader;
    const framed = view.getUint32(PipeHeader.at.length, true);
    const bodyLength = view.getUint16(IC_HEADER_AT + at.length, true);
    if (framed < IcHeader.size + bodyLength || framed > length - PipeHeader.size) {
      this.fail(`lengths ${framed} and ${bodyLength} in a message of ${length} bytes`);
      return;
    }
    const type = view.getUint16(IC_HEADER_AT + at.type, true);
    if (this.state === 'negotiating') this.#negotiated(view, type, bodyLength);
    else if (this.state === 'ready') this.#answered(view, type, bodyLength, length);
  }

  readonly #packetView = new DataView(this.#packetBuffer.buffer);

  #negotiated(view: DataView, type: number, length: number): void {
    // OpenVMM: a stale response of an earlier session
    if (type !== IcType.NEGOTIATE) return this.violate(`message type ${type} while negotiating`);
    const wrong = this.#checkTransaction(view, 0);
    if (wrong !== undefined) return this.fail(wrong);
    const { at } = IcNegotiate;
    const frameworks = view.getUint16(IC_BODY_AT + at.frameworkCount, true);
    const messages = view.getUint16(IC_BODY_AT + at.messageCount, true);
    if (frameworks !== 1 || messages !== 1 || length < IcNegotiate.size + 2 * IcVersion.size) {
      return this.fail(`negotiation answered with ${frameworks} and ${messages} versions`);
    }
    const framework = getVersion(view, IC_BODY_AT + at.versions);
    const message = getVersion(view, IC_BODY_AT + at.versions + IcVersion.size);
    if (!this.#frameworks.includes(framework) || !this.#messages.includes(message)) {
      return this.fail('negotiation answered with versions that were not offered');
    }
    this.frameworkVersion = framework;
    this.messageVersion = message;
    this.#outstanding = 0;
    this.state = 'ready';
    this.ready();
  }

  #answered(view: DataView, type: number, bodyLength: number, length: number): void {
    if (this.#outstanding === 0) return this.violate('an answer that nothing asked for');
    if (type !== this.#options.type) return this.violate(`an answer of type ${type}`);
    const wrong = this.#checkTransaction(view, this.#transaction);
    if (wrong !== undefined) return this.violate(wrong);
    if (length !== this.#outstanding) {
      this.violate(`an answer of ${length} bytes to ${this.#outstanding}`);
    }
    this.#outstanding = 0;
    this.answers++;
    const status = view.getUint32(IC_HEADER_AT + IcHeader.at.status, true);
    this.answered(status, view, IC_BODY_AT, bodyLength);
  }

  /** What is wrong with an answer's transaction, or undefined. */
  #checkTransaction(view: DataView, expected: number): string | undefined {
    const id = view.getUint8(IC_HEADER_AT + IcHeader.at.transactionId);
    const flags = view.getUint8(IC_HEADER_AT + IcHeader.at.flags);
    if (id !== expected) return `an answer to transaction ${id}, not ${expected}`;
    const needed = IcFlag.TRANSACTION | IcFlag.RESPONSE;
    return (flags & needed) === needed ? undefined : `an answer with flags 0x${flags.toString(16)}`;
  }
}

function setVersion(view: DataView, at: number, version: number): void {
  view.setUint16(at, version >>> 16, true);
  view.setUint16(at + 2, version & 0xffff, true);
}

function getVersion(view: DataView, at: number): number {
  return view.getUint16(at, true) * 0x10000 + view.getUint16(at + 2, true);
}
