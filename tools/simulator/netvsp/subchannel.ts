// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A further queue of the network device: a channel of its own with the same GUIDs, for frames
 * alone. The sections of the receive buffer and the send buffer are those of the primary channel.
 */

import { NvspRndisPacket, NvspType } from '../../../src/netvsc/protocol.ts';
import { COMPLETION_REQUESTED, PacketType } from '../../../src/vmbus/protocol.ts';
import type {
  ChannelDevice,
  Closer,
  DeviceChannel,
  GuestPacket,
} from '../vmbus-server/channel-interface.ts';
import type { Grant } from '../ledger/grants.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import { Outbox, type NetVspFaults } from './faults.ts';
import {
  blameAtClose,
  completionsAtClose,
  takeCompletion,
  type Blame,
} from './guest-completion.ts';
import type { Negotiation } from './negotiation.ts';
import type { ReceiveInfo } from './offloads/receive-info.ts';
import { ReceivePath, type ReceiveHost } from './receive-path.ts';
import { TRANSMITS_MAX, TransmitPath, type TransmitHost } from './transmit-path.ts';
import { Retry } from '../base/retry.ts';
import type { Keeper } from '../base/snapshot.ts';

/** What a queue takes from the device whose it is. */
export interface QueueOwner extends ReceiveHost {
  readonly identity: Pick<
    ChannelDevice,
    'interfaceId' | 'instanceId' | 'offerFlags' | 'monitored' | 'client'
  >;
  readonly services: PartitionServices;
  readonly faults: NetVspFaults;
  readonly negotiation: Negotiation;
  /** What is told of received frames. */
  readonly info: ReceiveInfo;
  largeSends(version: 4 | 6): boolean;
  sendFrame(frame: Uint8Array): void;
  violation(layer: 'nvsp' | 'rndis', text: string): void;
  /** A queue was opened or closed. */
  queueChanged(): void;
  /** All queues carry frames from now on. */
  queuesActive(): void;
  /** The guest has completed a transfer-page packet. */
  completed(): void;
  /** A queue was closed with packets that the guest had not completed, some of them skipped. */
  abandoned(packets: number, skipped: number, blame: Blame): void;
}

/** A queue that is open. */
interface OpenQueue {
  readonly channel: DeviceChannel;
  readonly outbox: Outbox;
  readonly transmits: TransmitPath;
  readonly receives: ReceivePath;
}

export class Subchannel implements ChannelDevice, TransmitHost {
  readonly interfaceId: string;
  readonly instanceId: string;
  readonly offerFlags: number;
  readonly monitored: boolean;
  readonly client: 'primary' | 'secondary';
  readonly subchannelIndex: number;
  readonly #owner: QueueOwner;
  #open: OpenQueue | undefined;
  /** A look at the ring soon, on a host that looks without a signal. */
  readonly #retry: Retry;
  /** Completions that were written by opens that are over. */
  #completions = 0;

  constructor(owner: QueueOwner, index: number) {
    const { identity } = owner;
    this.interfaceId = identity.interfaceId;
    this.instanceId = identity.instanceId;
    this.offerFlags = identity.offerFlags;
    this.monitored = identity.monitored;
    this.client = identity.client ?? 'primary';
    this.subchannelIndex = index;
    this.#owner = owner;
    const { clock, profile } = owner.services;
    this.#retry = new Retry(clock, profile.knobs.ringPollTicks, () => this.signalled());
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#open, this.#completions], (v) => ([this.#open, this.#completions] = v));
    keeper.keep(this.#owner, this.#retry);
  }

  /** Where frames for the guest go in, or undefined while it is not open or has died. */
  get receives(): ReceivePath | undefined {
    const open = this.#open;
    return open === undefined || open.channel.dead ? undefined : open.receives;
  }

  get inFlight(): number {
    return this.#open?.transmits.inFlight ?? 0;
  }

  /** Completions that were written. */
  get completions(): number {
    return this.#completions + (this.#open?.transmits.completions ?? 0);
  }

  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  // --- as a channel device ---

  attach(): void {}

  open(channel: DeviceChannel): number {
    const { services, faults, negotiation } = this.#owner;
    const outbox = new Outbox(services.clock, faults);
    outbox.connect(channel);
    const receives = new ReceivePath(
      this.#owner,
      services,
      faults,
      outbox,
      negotiation,
      this.subchannelIndex,
      this.#owner.info,
    );
    const transmits = new TransmitPath(this, services, outbox, faults);
    this.#open = { channel, outbox, transmits, receives };
    this.#owner.queueChanged();
    return 0;
  }

  close(closer: Closer = 'guest'): void {
    const open = this.#open;
    if (open === undefined) return;
    completionsAtClose(open.channel, (packet) => void this.#handle(packet, open));
    const skipped = open.receives.buffer.skipped(this.subchannelIndex);
    const blame = blameAtClose(open.channel, closer);
    open.transmits.close();
    open.receives.close();
    open.outbox.connect(undefined);
    this.#retry.cancel();
    this.#completions += open.transmits.completions;
    const left = open.receives.buffer.abandon(this.subchannelIndex);
    this.#owner.abandoned(left, skipped, blame);
    this.#open = undefined;
    this.#owner.queueChanged();
  }

  signalled(): void {
    const open = this.#open;
    if (open === undefined) return;
    while (this.#alive && open.transmits.inFlight < TRANSMITS_MAX) {
      const packet = open.channel.receive();
      if (packet === undefined) break;
      const bad = this.#handle(packet, open);
      if (bad !== undefined) this.die(bad);
      this.pump();
    }
    this.pump();
  }

  gpadlTeardown(): boolean {
    return true;
  }

  /** Write completions that wait for room. */
  pump(): void {
    if (this.#alive && !this.#open!.transmits.flush()) this.#retry.later();
  }

  /** Complete the transmits that a fault has withheld. */
  releaseWithheld(): void {
    this.#open?.transmits.releaseWithheld();
  }

  // --- what the transmit path calls ---

  largeSends(version: 4 | 6): boolean {
    return this.#owner.largeSends(version);
  }

  get mtu(): number {
    return this.#owner.negotiation.mtu;
  }

  get messageSize(): number {
    return this.#owner.negotiation.messageSize;
  }

  get sendBuffer(): Grant | undefined {
    return this.#owner.negotiation.sendBuffer;
  }

  sendFrame(frame: Uint8Array): void {
    this.#owner.sendFrame(frame);
  }

  /** Control messages have their place on the primary channel (OpenVMM). */
  takeControl(): string | undefined {
    this.die('RNDIS control message on a sub-channel');
    return undefined;
  }

  violation(layer: 'nvsp' | 'rndis', text: string): void {
    this.#owner.violation(layer, `${text} (sub-channel ${this.subchannelIndex})`);
  }

  die(reason: string): void {
    this.violation('nvsp', reason);
    this.#open?.channel.die(reason);
  }

  get #alive(): boolean {
    const { negotiation } = this.#owner;
    return this.#open !== undefined && !this.#open.channel.dead && !negotiation.stopped;
  }

  /** Returns what ends the channel, or undefined. */
  #handle(packet: GuestPacket, { channel, transmits }: OpenQueue): string | undefined {
    const { services, negotiation } = this.#owner;
    const { knobs } = services.profile;
    switch (packet.type) {
      case PacketType.DATA_INBAND:
      case PacketType.DATA_GPA_DIRECT: {
        const bad = checkData(packet);
        if (bad === undefined) transmits.handle(packet, channel.id);
        return bad;
      }
      case PacketType.COMPLETION: {
        const { receiveBuffer } = negotiation;
        const bad = takeCompletion(packet, knobs, receiveBuffer, this.subchannelIndex);
        if (bad === undefined) this.#owner.completed();
        return bad;
      }
      case PacketType.CANCELLATION:
        if (knobs.cancelPacket === 'fatal') return 'cancellation packet';
        transmits.cancel(packet.transactionIdLow, packet.transactionIdHigh);
        return undefined;
      default:
        return `ring packet type ${packet.type}`;
    }
  }
}

/** Nothing but RNDIS packets comes here. Returns what is wrong. */
function checkData(packet: GuestPacket): string | undefined {
  const length = packet.length - packet.payloadOffset;
  const type = length < 4 ? 0 : packet.view.getUint32(packet.payloadOffset, true);
  if (type !== NvspType.SEND_RNDIS_PACKET) return `NVSP type ${type} on a sub-channel`;
  if (length < NvspRndisPacket.size) return `NVSP type ${type} of ${length} bytes`;
  if ((packet.flags & COMPLETION_REQUESTED) === 0) return 'RNDIS without a transaction';
  return undefined;
}
