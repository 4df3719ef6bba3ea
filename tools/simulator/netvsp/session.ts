// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One opening of the network device's channel, from OPEN to close: takes the guest's packets to
 * the negotiation, the transmit path and the RNDIS device, and answers when sections and ring
 * allow it. Nothing of it survives the close.
 */

import {
  NVSP_MESSAGE_SIZE_V6_1,
  NvspInit,
  NvspNdisConfig,
  NvspNdisVersion,
  NvspRevokeBuffer,
  NvspRndisPacket,
  NvspRndisPacketComplete,
  NvspSendBuffer,
  NvspStatus,
  NvspSubchannelComplete,
  NvspSubchannelRequest,
  NvspType,
  NvspVersion,
} from '../../../src/netvsc/protocol.ts';
import { RndisStatus } from '../../../src/rndis/protocol.ts';
import { COMPLETION_REQUESTED, PacketType } from '../../../src/vmbus/protocol.ts';
import type { DeviceChannel, GuestPacket } from '../channel-interface.ts';
import { TICKS_PER_MS, type Alarm } from '../clock.ts';
import type { Grant } from '../grants.ts';
import type { PartitionServices } from '../partition-interface.ts';
import { Outbox, type NetVspFaults } from './faults.ts';
import { ControlPath, VF_TRANSACTION_HIGH, type ControlDevice } from './control-path.ts';
import { Negotiation } from './negotiation.ts';
import { ReceivePath, type ReceiveHost } from './receive-path.ts';
import { TRANSMITS_MAX, TransmitPath, type TransmitHost } from './transmit-path.ts';

/** NVSP types that only the host's side has to know (Linux `NVSP_MSG5_TYPE_OID_QUERY_EX`). */
const OID_QUERY_EX = 131;
const OID_QUERY_EX_COMPLETE = 132;

/** By NVSP type of the guest: the version that it came with and its least length. */
const NVSP_TYPES: ReadonlyMap<number, readonly [version: number, size: number]> = new Map([
  [NvspType.INIT, [0, NvspInit.size]],
  [NvspType.SEND_NDIS_VERSION, [NvspVersion.V1, NvspNdisVersion.size]],
  [NvspType.SEND_RECEIVE_BUFFER, [NvspVersion.V1, NvspSendBuffer.size]],
  [NvspType.REVOKE_RECEIVE_BUFFER, [NvspVersion.V1, NvspRevokeBuffer.size]],
  [NvspType.SEND_SEND_BUFFER, [NvspVersion.V1, NvspSendBuffer.size]],
  [NvspType.REVOKE_SEND_BUFFER, [NvspVersion.V1, NvspRevokeBuffer.size]],
  [NvspType.SEND_RNDIS_PACKET, [NvspVersion.V1, NvspRndisPacket.size]],
  [NvspType.SEND_NDIS_CONFIG, [NvspVersion.V2, NvspNdisConfig.size]],
  [NvspType.SWITCH_DATA_PATH, [NvspVersion.V4, 8]],
  [OID_QUERY_EX, [NvspVersion.V5, 12]],
  [NvspType.SUBCHANNEL, [NvspVersion.V5, NvspSubchannelRequest.size]],
]);

/** A full ring is looked at again after this time: guests need not signal for freed space. */
const RETRY_TICKS = TICKS_PER_MS;

/** What a session takes from the device. */
export interface SessionDevice extends ReceiveHost, ControlDevice {
  readonly services: PartitionServices;
  readonly faults: NetVspFaults;
  readonly mtu: number;
  sendFrame(frame: Uint8Array): void;
  violation(layer: 'nvsp' | 'rndis', text: string): void;
}

export class Session implements TransmitHost {
  readonly #device: SessionDevice;
  readonly #services: PartitionServices;
  readonly #channel: DeviceChannel;
  readonly outbox: Outbox;
  readonly negotiation: Negotiation;
  readonly transmits: TransmitPath;
  readonly control: ControlPath;
  receives: ReceivePath | undefined;
  readonly #payload = new Uint8Array(NVSP_MESSAGE_SIZE_V6_1);
  readonly #view = new DataView(this.#payload.buffer);
  #closed = false;
  #retry: Alarm | undefined;
  readonly #retryAction = () => this.signalled();
  /** Transfer-page packets that the guest has completed. */
  guestCompletions = 0;

  constructor(device: SessionDevice, channel: DeviceChannel) {
    const { services, faults } = device;
    this.#device = device;
    this.#services = services;
    this.#channel = channel;
    this.outbox = new Outbox(services.clock, faults);
    this.outbox.connect(channel);
    const negotiation = new Negotiation(services, channel, this.outbox, device.mtu);
    this.negotiation = negotiation;
    this.transmits = new TransmitPath(this, services, this.outbox, faults);
    this.control = new ControlPath(this, device, channel, this.outbox, negotiation);
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
    if (this.control.rndis.filter === 0) return 'packet filter is 0';
    return undefined;
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

  /** Send what waits, as far as the ring has room and the receive buffer sections. */
  pump(): void {
    if (!this.#alive) return;
    if (!this.transmits.flush()) return this.#retryLater();
    if (this.receives !== undefined && !this.control.pump(this.receives)) this.#retryLater();
  }

  /** Whether the device keeps a view of a GPADL until it is closed. */
  holds(gpadl: number): boolean {
    const { receiveBuffer, sendBufferGpadl } = this.negotiation;
    return receiveBuffer?.gpadl === gpadl || sendBufferGpadl === gpadl;
  }

  /** Let go of a GPADL at once. */
  letGo(gpadl: number): void {
    this.receives?.flush();
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
    const { length } = extra;
    return this.#channel.send(type, flags, low, high, extra, length, payload, payload.length);
  }

  /** Complete what is in flight, then touch nothing any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.transmits.close();
    this.receives?.close();
    this.outbox.connect(undefined);
    if (this.#retry !== undefined) this.#services.clock.cancel(this.#retry);
  }

  // --- what the paths and the RNDIS device call ---

  sendFrame(frame: Uint8Array): void {
    this.#device.sendFrame(frame);
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
    const length = packet.length - packet.payloadOffset;
    if (length < 4) return `NVSP message of ${length} bytes`;
    const type = packet.view.getUint32(packet.payloadOffset, true);
    const { negotiation } = this;
    const known = NVSP_TYPES.get(type);
    if (known === undefined || known[0] > negotiation.version)
      return `NVSP type ${type} at version 0x${negotiation.version.toString(16)}`;
    if (length < known[1]) return `NVSP type ${type} of ${length} bytes`;
    if (type === NvspType.SEND_RNDIS_PACKET) return this.#rndisPacket(packet);
    if (packet.type !== PacketType.DATA_INBAND) return `NVSP type ${type} with ranges`;
    if (
      type === NvspType.SWITCH_DATA_PATH ||
      type === OID_QUERY_EX ||
      type === NvspType.SUBCHANNEL
    ) {
      if (!negotiation.ready) return `NVSP type ${type} before the device was started`;
      return this.#extension(type, packet);
    }
    const bad = negotiation.handle(type, packet);
    if (bad === undefined) this.#prepareReceives();
    return bad;
  }

  /** RNDIS over NVSP; the first packet starts the device. */
  #rndisPacket(packet: GuestPacket): string | undefined {
    if (!this.negotiation.ready) return 'RNDIS before the device was started';
    if ((packet.flags & COMPLETION_REQUESTED) === 0) return 'RNDIS without a transaction';
    this.negotiation.started = true;
    this.transmits.handle(packet, this.#channel.id);
    return undefined;
  }

  #prepareReceives(): void {
    const { receiveBuffer, mtu, messageSize } = this.negotiation;
    if (this.receives !== undefined || receiveBuffer === undefined) return;
    const { faults } = this.#device;
    this.receives = new ReceivePath(
      this.#device,
      this.#services,
      faults,
      this.outbox,
      receiveBuffer,
      mtu,
      messageSize,
    );
  }

  /** Messages of versions 4 and 5. This host has no VF data path and offers no sub-channels. */
  #extension(type: number, packet: GuestPacket): string | undefined {
    if (type === NvspType.SWITCH_DATA_PATH) return this.negotiation.completeEmpty(packet);
    if ((packet.flags & COMPLETION_REQUESTED) === 0) return `NVSP type ${type} without transaction`;
    this.#payload.fill(0);
    if (type === OID_QUERY_EX) {
      this.#view.setUint32(0, OID_QUERY_EX_COMPLETE, true);
      this.#view.setUint32(4, RndisStatus.NOT_SUPPORTED, true);
    } else {
      this.#view.setUint32(NvspSubchannelComplete.at.type, NvspType.SUBCHANNEL, true);
      this.#view.setUint32(NvspSubchannelComplete.at.status, NvspStatus.FAIL, true);
      this.#view.setUint32(NvspSubchannelComplete.at.count, 0, true);
    }
    return this.negotiation.complete(packet, this.#payload, this.messageSize);
  }

  /** The guest completes a transfer-page packet, or (or not) a VF_ASSOCIATION. */
  #completion(packet: GuestPacket): string | undefined {
    const { transactionIdLow: low, transactionIdHigh: high } = packet;
    if (high === VF_TRANSACTION_HIGH) return undefined;
    const length = packet.length - packet.payloadOffset;
    if (length === 0) {
      if (this.#services.profile.knobs.emptyCompletion === 'fatal') return 'empty completion';
    } else {
      const type = length < 4 ? 0 : packet.view.getUint32(packet.payloadOffset, true);
      if (type !== NvspType.SEND_RNDIS_PACKET_COMPLETE) return `completion with NVSP type ${type}`;
      if (length < NvspRndisPacketComplete.size) return `completion of ${length} bytes`;
    }
    if (this.receives?.buffer.complete(low, high) !== true)
      return `completion of unknown transaction 0x${high.toString(16)}:${low.toString(16)}`;
    this.guestCompletions++;
    return undefined;
  }

  /** Look at the rings again soon. */
  #retryLater(): void {
    const { clock } = this.#services;
    if (this.#retry === undefined) this.#retry = clock.schedule(RETRY_TICKS, this.#retryAction);
    else if (this.#retry.state !== 'waiting') clock.reschedule(this.#retry, RETRY_TICKS);
  }
}
