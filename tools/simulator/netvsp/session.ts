// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One opening of the network device's channel, from OPEN to close: takes the guest's packets to
 * the negotiation, the transmit path and the RNDIS device, and answers when sections and ring
 * allow it. Nothing of it survives the close.
 */

import { NVSP_MESSAGE_SIZE_V6_1, NvspType } from '../../../src/netvsc/protocol.ts';
import { RndisStatus } from '../../../src/rndis/protocol.ts';
import { COMPLETION_REQUESTED, PacketType } from '../../../src/vmbus/protocol.ts';
import type { Closer, DeviceChannel, GuestPacket } from '../vmbus-server/channel-interface.ts';
import type { Grant } from '../ledger/grants.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import { Outbox, isMeddledWith, type NetVspFaults } from './faults.ts';
import { ControlPath, type ControlHost } from './control-path.ts';
import {
  blameAtClose,
  completionsAtClose,
  takeCompletion,
  type Blame,
} from './guest-completion.ts';
import {
  DataPath,
  NvspSwitchDataPath,
  OID_QUERY_EX,
  OID_QUERY_EX_COMPLETE,
} from './host-protocol.ts';
import { isExtension, isShortInit, nvspMessageFault } from './guest-message-check.ts';
import { Negotiation } from './negotiation.ts';
import { Offloads } from './offloads/offloads.ts';
import { ReceiveInfo } from './offloads/receive-info.ts';
import { excusesOmissions, leftPackets, omittedSteps, type LeftUndone } from './left-undone.ts';
import { ReceivePath } from './receive-path.ts';
import type { ReceiveScaling } from './receive-scaling.ts';
import type { SessionDevice } from './session-device.ts';
import type { QueueOwner } from './subchannel.ts';
import { Subchannels } from './subchannels.ts';
import { TRANSMITS_MAX, TransmitPath, type TransmitHost } from './transmit-path.ts';
import { VF_TRANSACTION_HIGH, VirtualFunction } from './virtual-function.ts';
import { Retry } from '../base/retry.ts';
import type { Keeper } from '../base/snapshot.ts';

export class Session implements TransmitHost, ControlHost, QueueOwner {
  readonly #device: SessionDevice;
  readonly #services: PartitionServices;
  readonly #channel: DeviceChannel;
  readonly outbox: Outbox;
  readonly negotiation: Negotiation;
  readonly transmits: TransmitPath;
  readonly control: ControlPath;
  readonly offloads: Offloads;
  readonly subchannels: Subchannels;
  /** What is told of received frames. */
  readonly info: ReceiveInfo;
  readonly virtualFunction: VirtualFunction;
  receives: ReceivePath | undefined;
  readonly #payload = new Uint8Array(NVSP_MESSAGE_SIZE_V6_1);
  readonly #view = new DataView(this.#payload.buffer);
  readonly #openedAt: number;
  /** Steps of a clean-up may lie in the ring that closes. */
  #unread = false;
  #injected = false;
  #closed = false;
  readonly #retry: Retry;
  /** Transfer-page packets that the guest has completed. */
  guestCompletions = 0;

  constructor(device: SessionDevice, channel: DeviceChannel) {
    const { services, faults } = device;
    this.#device = device;
    this.#services = services;
    this.#channel = channel;
    this.#openedAt = services.clock.now;
    const { knobs } = services.profile;
    this.#retry = new Retry(services.clock, knobs.ringPollTicks, () => this.signalled());
    this.outbox = new Outbox(services.clock, faults);
    this.outbox.connect(channel);
    const negotiation = new Negotiation(services, channel, this.outbox, device.mtu, (text) =>
      this.violation('nvsp', text),
    );
    this.negotiation = negotiation;
    this.offloads = new Offloads(knobs, negotiation);
    this.transmits = new TransmitPath(this, services, this.outbox, faults);
    this.control = new ControlPath(this, device, channel, negotiation);
    this.subchannels = new Subchannels(this, channel, this.outbox, device.queuesMax);
    this.info = new ReceiveInfo(knobs, negotiation, this.offloads, this.subchannels.scaling);
    this.virtualFunction = new VirtualFunction(services, this.outbox, negotiation, device.vfSerial);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.receives, this.#unread], (v) => ([this.receives, this.#unread] = v));
    keeper.put([this.#injected, this.#closed], (v) => ([this.#injected, this.#closed] = v));
    keeper.put([this.guestCompletions], (v) => ([this.guestCompletions] = v));
    keeper.keep(this.#device, this.#services, this.#channel, this.outbox, this.negotiation);
    keeper.keep(this.transmits, this.control, this.offloads, this.subchannels, this.info);
    keeper.keep(this.virtualFunction, this.#payload, this.#view, this.#retry);
  }

  // --- what sub-channels take from here ---

  get identity(): QueueOwner['identity'] {
    return this.#device.identity;
  }
  get services(): PartitionServices {
    return this.#services;
  }
  get faults(): NetVspFaults {
    return this.#device.faults;
  }

  sent(count: number): void {
    this.#device.sent(count);
  }

  dropped(count: number, reason: string): void {
    this.#device.dropped(count, reason);
  }

  queueChanged(): void {
    if (!this.#closed) this.subchannels.changed();
  }

  queuesActive(): void {
    this.pump();
  }

  completed(): void {
    this.guestCompletions++;
    // The answers on the primary channel may have waited for these sections
    this.pump();
  }

  abandoned(packets: number, skipped: number, blame: Blame): void {
    // When all is closed whoever closes it has counted them already
    if (!this.#closed) this.#device.abandoned(packets, skipped, blame);
  }

  get queuesMax(): number {
    return this.subchannels.queuesMax;
  }

  get scaling(): ReceiveScaling {
    return this.subchannels.scaling;
  }

  /** Completions that were written on all queues. */
  get completions(): number {
    return this.transmits.completions + this.subchannels.completions;
  }

  /** Packets of all queues that are not completed. */
  get inFlight(): number {
    return this.transmits.inFlight + this.subchannels.inFlight;
  }

  /** Complete what a fault has withheld, on all queues. */
  releaseWithheld(): void {
    this.transmits.releaseWithheld();
    this.subchannels.releaseWithheld();
  }

  get mtu(): number {
    return this.negotiation.mtu;
  }

  get messageSize(): number {
    return this.negotiation.messageSize;
  }

  get sendBuffer(): Grant | undefined {
    return this.negotiation.sendBuffer;
  }

  /** Why frames cannot be received now, or undefined. */
  get deaf(): string | undefined {
    if (!this.#alive) return 'channel dead';
    if (this.receives === undefined || !this.control.rndis.initialised)
      return 'device not initialised';
    if (this.receives.buffer.revoked) return 'receive buffer revoked';
    if (this.control.rndis.filter.bits === 0) return 'packet filter is 0';
    if (this.virtualFunction.path === DataPath.VF) return 'data path is the virtual function';
    return undefined;
  }

  /** A frame for the guest, which is not {@link deaf}. False if it was dropped. */
  deliver(frame: Uint8Array): boolean {
    if (!this.control.rndis.filter.passes(frame)) {
      this.dropped(1, 'packet filter');
      return false;
    }
    const bare = this.info.untag(frame);
    return this.subchannels.receiverOf(bare, this.receives!).deliver(bare, this.info.tag);
  }

  /** Read what the guest has sent, and answer. */
  signalled(): void {
    while (this.#alive) {
      // Out of transmits: leave the rest in the ring
      if (this.transmits.inFlight >= TRANSMITS_MAX) break;
      const packet = this.#channel.receive();
      if (packet === undefined) break;
      const bad = this.#handle(packet);
      if (bad !== undefined) this.die(bad);
      this.pump();
    }
    this.pump();
  }

  /** Take the completions that lie in the ring, and nothing else: the channel closes. */
  takeWhatIsLeft(): void {
    const take = (packet: GuestPacket): void => void this.#completion(packet);
    const excuses = (one: GuestPacket) => excusesOmissions(one, this.#device, this.#openedAt);
    completionsAtClose(this.#channel, take, (packet) => (this.#unread ||= excuses(packet)));
  }

  /** What the guest leaves undone if `closer` closes, or so far. */
  leftUndone(closer?: Closer): LeftUndone {
    const blame = blameAtClose(this.#channel, closer, this.#injected);
    const { dead, reason } = this.#channel;
    const died = dead && blame !== 'nobody' && !isMeddledWith(this.faults) ? reason : undefined;
    // What lies unread in the ring may be just that
    const steps = (this.#unread || dead) && died === undefined ? [] : omittedSteps(this);
    const since = this.#openedAt;
    return Object.assign(leftPackets(this.receives?.buffer), { blame, steps, died, since });
  }

  /** Send what waits, as far as the ring has room and the receive buffer sections. */
  pump(): void {
    if (!this.#alive) return;
    if (!this.transmits.flush()) return this.#retry.later();
    if (!this.virtualFunction.pump() || !this.subchannels.pump()) return this.#retry.later();
    if (this.receives !== undefined && !this.control.pump(this.receives)) this.#retry.later();
  }

  /** Whether the device keeps a view of a GPADL until it is closed. */
  holds(gpadl: number): boolean {
    const { receiveBuffer, sendBufferGpadl } = this.negotiation;
    return receiveBuffer?.gpadl === gpadl || sendBufferGpadl === gpadl;
  }

  /** Let go of a GPADL at once. */
  letGo(gpadl: number): void {
    this.flushReceives();
    const { receiveBuffer, sendBufferGpadl } = this.negotiation;
    if (receiveBuffer?.gpadl === gpadl) receiveBuffer.revoked = true;
    if (sendBufferGpadl === gpadl) this.negotiation.sendBuffer = undefined;
  }

  /** Put any packet into the ring. */
  inject(
    type: number,
    flags: number,
    low: number,
    high: number,
    extra: Uint8Array,
    payload: Uint8Array,
  ): boolean {
    if (this.#closed || this.#channel.dead) return false;
    this.#injected = true;
    return this.#channel.send(type, flags, low, high, extra, extra.length, payload, payload.length);
  }

  /** Complete what is in flight, then touch nothing any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.subchannels.close();
    this.virtualFunction.close();
    this.transmits.close();
    this.receives?.close();
    this.outbox.connect(undefined);
    this.#retry.cancel();
  }

  // --- what the paths and the RNDIS device call ---

  largeSends(version: 4 | 6): boolean {
    return this.offloads.largeSends(version);
  }

  sendFrame(frame: Uint8Array): void {
    this.control.wentOn();
    this.#device.sendFrame(frame);
  }

  started(): void {
    if (this.#services.profile.knobs.vfAssociation) this.virtualFunction.announce();
  }

  flushReceives(): void {
    this.receives?.flush();
    this.subchannels.flush();
  }

  takeControl(message: Uint8Array): string | undefined {
    return this.control.take(message);
  }

  violation(layer: 'nvsp' | 'rndis', text: string): void {
    this.#device.violation(layer, text);
  }

  die(reason: string): void {
    this.violation('nvsp', reason);
    this.#channel.die(reason);
  }

  /** Neither closed, nor dead, nor fallen silent after a revoke. */
  get #alive(): boolean {
    return !this.#closed && !this.#channel.dead && !this.negotiation.stopped;
  }

  // --- packets of the guest ---

  /** Returns what ends the channel, or undefined. */
  #handle(packet: GuestPacket): string | undefined {
    switch (packet.type) {
      case PacketType.DATA_INBAND:
      case PacketType.DATA_GPA_DIRECT:
        return this.#message(packet);
      case PacketType.COMPLETION:
        return this.#completion(packet);
      case PacketType.CANCELLATION:
        if (this.#services.profile.knobs.cancelPacket === 'fatal') return 'cancellation packet';
        this.transmits.cancel(packet.transactionIdLow, packet.transactionIdHigh);
        return undefined;
      default:
        return `ring packet type ${packet.type}`;
    }
  }

  /** An NVSP message. */
  #message(packet: GuestPacket): string | undefined {
    const { negotiation } = this;
    const { knobs } = this.#services.profile;
    if (knobs.shortInit === 'silent' && isShortInit(packet)) {
      this.violation('nvsp', 'NVSP INIT in less than 32 bytes, which this host never answers');
      return undefined;
    }
    const wrong = nvspMessageFault(packet, negotiation.version);
    if (wrong !== undefined) return wrong;
    const type = packet.view.getUint32(packet.payloadOffset, true);
    if (type === NvspType.SEND_RNDIS_PACKET) return this.#rndisPacket(packet);
    if (packet.type !== PacketType.DATA_INBAND) return `NVSP type ${type} with ranges`;
    if (isExtension(type)) return this.#extension(type, packet);
    const bad = negotiation.handle(type, packet);
    if (bad === undefined) this.#prepareReceives();
    return bad;
  }

  /** RNDIS over NVSP; the first packet starts the device. */
  #rndisPacket(packet: GuestPacket): string | undefined {
    if (!this.negotiation.ready) return 'RNDIS before the device was started';
    if ((packet.flags & COMPLETION_REQUESTED) === 0) return 'RNDIS without a transaction';
    this.negotiation.use();
    this.transmits.handle(packet, this.#channel.id);
    return undefined;
  }

  #prepareReceives(): void {
    const { negotiation, outbox, info } = this;
    if (this.receives !== undefined || negotiation.receiveBuffer === undefined) return;
    const { services, faults } = this.#device;
    if (faults.section !== undefined)
      negotiation.receiveBuffer.moved = (...change) => faults.section?.(...change);
    this.receives = new ReceivePath(this.#device, services, faults, outbox, negotiation, 0, info);
  }

  /** Messages of versions 4 and 5. */
  #extension(type: number, packet: GuestPacket): string | undefined {
    if (!this.negotiation.started) return `NVSP type ${type} before the device was started`;
    if (type === NvspType.SWITCH_DATA_PATH) return this.#switchDataPath(packet);
    if ((packet.flags & COMPLETION_REQUESTED) === 0) return `NVSP type ${type} without transaction`;
    this.#payload.fill(0);
    if (type === OID_QUERY_EX) {
      this.#view.setUint32(0, OID_QUERY_EX_COMPLETE, true);
      this.#view.setUint32(4, RndisStatus.NOT_SUPPORTED, true);
    } else this.subchannels.answer(packet, this.#view);
    return this.negotiation.complete(packet, this.#payload, this.messageSize);
  }

  /** The completion says nothing of what became of it. */
  #switchDataPath(packet: GuestPacket): string | undefined {
    const at = packet.payloadOffset + NvspSwitchDataPath.at.dataPath;
    const bad = this.virtualFunction.choose(packet.view.getUint32(at, true));
    if (bad !== undefined) this.violation('nvsp', bad);
    return this.negotiation.completeEmpty(packet);
  }

  /** The guest completes a transfer-page packet, or (or not) what the host says of a VF. */
  #completion(packet: GuestPacket): string | undefined {
    if (packet.transactionIdHigh === VF_TRANSACTION_HIGH) return undefined;
    const { knobs } = this.#services.profile;
    const bad = takeCompletion(packet, knobs, this.receives?.buffer, 0);
    if (bad === undefined) this.guestCompletions++;
    return bad;
  }
}
