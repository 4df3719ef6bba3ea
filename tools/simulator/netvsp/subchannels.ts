// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The queues of a network device beside its primary channel: offered when the guest asks, used once
 * all are open, and what the guest shall send on which of them (NVSP 5; OpenVMM netvsp, Linux
 * `rndis_set_subchannel`).
 */

import {
  NVSP_MESSAGE_SIZE_V1,
  NvspStatus,
  NvspSubchannelComplete,
  NvspSubchannelRequest,
  NvspType,
  NvspVersion,
} from '../../../src/netvsc/protocol.ts';
import { PacketType } from '../../../src/vmbus/protocol.ts';
import { putFields } from '../base/put-fields.ts';
import type { DeviceChannel, GuestPacket } from '../vmbus-server/channel-interface.ts';
import type { Alarm } from '../base/clock.ts';
import { NO_ROOM, type Outbox } from './faults.ts';
import {
  NvspIndirectionTable,
  SEND_TABLE_AT,
  SEND_TABLE_ENTRIES,
  SUBCHANNEL_ALLOCATE,
} from './host-protocol.ts';
import type { ReceivePath } from './receive-path.ts';
import { ReceiveScaling } from './receive-scaling.ts';
import { Subchannel, type QueueOwner } from './subchannel.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Most queues of a NIC, the primary channel among them (OpenVMM; Linux `VRSS_CHANNEL_MAX`). */
export const QUEUES_MAX = 64;

/**
 * What is answered to SUBCHANNEL, in a message of the version agreed on. Undecided: below NVSP 6.1
 * DPDK waits for 40 bytes, and OpenVMM sends 28, as this host does; no real host is recorded.
 */
export interface SubchannelAnswer {
  readonly status: number;
  readonly count: number;
}

const REFUSED: SubchannelAnswer = { status: NvspStatus.FAIL, count: 0 };
const NOTHING = new Uint8Array(0);

export class Subchannels {
  readonly #owner: QueueOwner;
  readonly #channel: DeviceChannel;
  readonly #outbox: Outbox;
  /** Queues that the device may have, the primary channel among them. */
  readonly #queuesMax: number;
  readonly scaling = new ReceiveScaling();
  readonly #offered: Subchannel[] = [];
  /** Those that are in use, by queue; index 0 is the primary channel's. */
  readonly #receivers: (Subchannel | undefined)[] = [undefined];
  #tableDue = false;
  #alarm: Alarm | undefined;

  constructor(owner: QueueOwner, channel: DeviceChannel, outbox: Outbox, queuesMax: number) {
    this.#owner = owner;
    this.#channel = channel;
    this.#outbox = outbox;
    this.#queuesMax = queuesMax;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#tableDue, this.#alarm], (v) => ([this.#tableDue, this.#alarm] = v));
    keeper.keep(this.#owner, this.#channel, this.#outbox, this.scaling, this.#offered);
    keeper.keep(this.#receivers);
  }

  /** Sub-channels that were offered, and those that carry frames. */
  get offered(): readonly Subchannel[] {
    return this.#offered;
  }

  get active(): number {
    return this.#receivers.length - 1;
  }

  get queuesMax(): number {
    return this.#queuesMax;
  }

  /** Completions that were written, and packets that are not completed, of all of them. */
  get completions(): number {
    return this.#offered.reduce((sum, queue) => sum + queue.completions, 0);
  }

  get inFlight(): number {
    return this.#offered.reduce((sum, queue) => sum + queue.inFlight, 0);
  }

  /** Complete what a fault has withheld. */
  releaseWithheld(): void {
    for (const queue of this.#offered) queue.releaseWithheld();
  }

  /** Answer NVSP SUBCHANNEL into a cleared message. */
  answer(packet: GuestPacket, into: DataView): void {
    const { at } = NvspSubchannelRequest;
    const operation = packet.view.getUint32(packet.payloadOffset + at.operation, true);
    const asked = packet.view.getUint32(packet.payloadOffset + at.count, true);
    const { status, count } = this.request(operation, asked);
    putFields(into, NvspSubchannelComplete, { type: NvspType.SUBCHANNEL, status, count });
  }

  /**
   * The guest asks for `count` sub-channels. Refused are operations that nobody knows, as many as
   * there may be queues in all, more than there are sections for, and a second request.
   */
  request(operation: number, count: number): SubchannelAnswer {
    const sections = this.#owner.negotiation.receiveBuffer!.dataSections;
    if (operation !== SUBCHANNEL_ALLOCATE || count >= this.#queuesMax) return REFUSED;
    if (count >= sections || this.#offered.length > 0) return REFUSED;
    const devices = Array.from({ length: count }, (_, i) => new Subchannel(this.#owner, i + 1));
    if (!this.#channel.offerSubchannels(devices)) return REFUSED;
    this.#offered.push(...devices);
    return { status: NvspStatus.SUCCESS, count };
  }

  /** Where a frame for the guest goes: the primary's path, or that of its queue. */
  receiverOf(frame: Uint8Array, primary: ReceivePath): ReceivePath {
    const queue = this.scaling.queueOf(frame, this.#receivers.length);
    return this.#receivers[queue]?.receives ?? primary;
  }

  /** A sub-channel was opened or closed: the guest is told when all are there. */
  changed(): void {
    const complete = this.#offered.every(({ isOpen }) => isOpen);
    if (!complete) {
      // Those that are left go on; one that closed takes no frames any more
      this.#tableDue = false;
      return;
    }
    const { clock, profile } = this.#owner.services;
    this.#alarm ??= clock.schedule(profile.knobs.ringLatencyTicks, () => this.#activate());
  }

  /** Send what waits. False if the ring has no room. */
  pump(): boolean {
    if (!this.#tableDue) return true;
    if (!this.#sendTable()) return false;
    this.#tableDue = false;
    return true;
  }

  /** Send the frames that wait for their moment. */
  flush(): void {
    for (const { receives } of this.#offered) receives?.flush();
  }

  /** The primary channel closes. */
  close(): void {
    if (this.#alarm !== undefined) this.#owner.services.clock.cancel(this.#alarm);
    this.#alarm = undefined;
    for (const subchannel of this.#offered) subchannel.close();
    this.#receivers.length = 1;
  }

  /** All are open: frames are spread from now on, in both directions. */
  #activate(): void {
    this.#alarm = undefined;
    if (!this.#offered.every(({ isOpen }) => isOpen)) return;
    this.#receivers.length = 1;
    this.#receivers.push(...this.#offered);
    this.#tableDue = true;
    this.#owner.queuesActive();
  }

  /** SEND_INDIRECTION_TABLE: sixteen times the number of a queue, one after the other. */
  #sendTable(): boolean {
    const { at } = NvspIndirectionTable;
    const { version } = this.#owner.negotiation;
    const payload = new Uint8Array(SEND_TABLE_AT + 4 * SEND_TABLE_ENTRIES);
    const view = new DataView(payload.buffer);
    view.setUint32(at.type, NvspType.SEND_INDIRECTION_TABLE, true);
    view.setUint32(at.count, SEND_TABLE_ENTRIES, true);

    // Windows hosts up to version 6 count from a shorter message: Linux corrects it. How much
    // shorter is inferred: that of version 1
    const { tableOffset } = this.#owner.services.profile.knobs;
    const wrong = tableOffset === 'too-small' && version <= NvspVersion.V6;
    view.setUint32(at.offset, wrong ? NVSP_MESSAGE_SIZE_V1 : SEND_TABLE_AT, true);
    for (let i = 0; i < SEND_TABLE_ENTRIES; i++)
      view.setUint32(SEND_TABLE_AT + 4 * i, i % this.#receivers.length, true);
    const { length } = payload;
    const sent = this.#outbox.send(PacketType.DATA_INBAND, 0, 0, 0, NOTHING, 0, payload, length);
    return sent !== NO_ROOM;
  }
}
