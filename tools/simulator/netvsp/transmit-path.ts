// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the guest sends: RNDIS messages in its send buffer or its pages, from the ring packet to
 * the completion. Frames go to the link, control messages to their queue. The pages of a packet
 * are in the ledger from its arrival to its completion.
 */

import {
  NVSP_MESSAGE_SIZE_V6_1,
  NVSP_NO_SEND_BUFFER,
  NvspRndisPacket,
  NvspRndisPacketComplete,
  NvspStatus,
  NvspType,
} from '../../../src/netvsc/protocol.ts';
import { RndisHeader, RndisType } from '../../../src/rndis/protocol.ts';
import { PacketType } from '../../../src/vmbus/protocol.ts';
import type { GuestPacket } from '../vmbus-server/channel-interface.ts';
import type { Grant } from '../ledger/grants.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import { Stack } from '../base/stack.ts';
import { DataMessage } from './data-message.ts';
import { NO_ROOM, type NetVspFaults, type Outbox } from './faults.ts';
import { GpaRanges, RangeResult } from './gpa-ranges.ts';
import { GuestMessage } from './guest-message.ts';
import { ipFrame, putIpChecksum, putTransportChecksum } from './offloads/ip-frame.ts';
import { largeSendVersion, makeSegments } from './offloads/large-send.ts';
import { NO_TAG, TAG_SIZE, insertTag } from './offloads/vlan.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Bytes in a section of the send buffer (OpenVMM). */
export const SEND_SECTION_SIZE = 6144;

/** Transmits that the device has at the same time; it leaves the ring unread beyond. */
export const TRANSMITS_MAX = 1024;

/** Checksum information of the guest: what it wants (Linux `ndis_tcp_ip_checksum_info`). */
const WANT_TRANSPORT = 0x4 | 0x8;
const WANT_IP_HEADER = 0x10;

/** Longest RNDIS control message, and all that wait together (OpenVMM: 100 KiB). */
export const CONTROL_BYTES_MAX = 100 * 1024;

const NOTHING = new Uint8Array(0);

/** A ring packet that is not yet completed. */
interface Transmit {
  low: number;
  high: number;
  status: number;
  readonly grants: Grant[];
  grantCount: number;
}

/** What the transmit path needs of the device. */
export interface TransmitHost {
  readonly mtu: number;
  /** Length of NVSP messages. */
  readonly messageSize: number;
  readonly sendBuffer: Grant | undefined;
  /** Whether large sends of an IP version are on. */
  largeSends(version: 4 | 6): boolean;
  /** A frame of the guest; valid during the call. */
  sendFrame(frame: Uint8Array): void;
  /** A control message of the guest, copied. Returns what is wrong with it. */
  takeControl(message: Uint8Array): string | undefined;
  violation(layer: 'nvsp' | 'rndis', text: string): void;
  die(reason: string): void;
}

export class TransmitPath {
  readonly #host: TransmitHost;
  readonly #services: PartitionServices;
  readonly #outbox: Outbox;
  readonly #faults: NetVspFaults;
  readonly #ranges: GpaRanges;
  readonly #message: GuestMessage;
  readonly #data = new DataMessage();
  readonly #header = new Uint8Array(RndisHeader.size);
  readonly #headerView = new DataView(this.#header.buffer);
  #frame = NOTHING;
  /** Views of the first n bytes of the frame: made once for each length. */
  #frames: (Uint8Array | undefined)[] = [];
  readonly #payload = new Uint8Array(NVSP_MESSAGE_SIZE_V6_1);
  readonly #payloadView = new DataView(this.#payload.buffer);
  /** Transmits for later packets, those without room in the ring, those withheld by a fault. */
  readonly #pool = new Stack<Transmit>();
  #waiting: Transmit[] = [];
  #withheld: Transmit[] = [];
  /** Completions that were written. */
  completions = 0;

  constructor(
    host: TransmitHost,
    services: PartitionServices,
    outbox: Outbox,
    faults: NetVspFaults,
  ) {
    this.#host = host;
    this.#services = services;
    this.#outbox = outbox;
    this.#faults = faults;
    this.#ranges = new GpaRanges(services.ram);
    this.#message = new GuestMessage(services.grants);
    this.#payloadView.setUint32(
      NvspRndisPacketComplete.at.type,
      NvspType.SEND_RNDIS_PACKET_COMPLETE,
      true,
    );
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#frame, this.#frames], (v) => ([this.#frame, this.#frames] = v));
    keeper.put([this.#waiting, this.#withheld], (v) => ([this.#waiting, this.#withheld] = v));
    keeper.put([this.completions], (v) => ([this.completions] = v));
    keeper.keep(this.#host, this.#services, this.#outbox, this.#faults, this.#ranges);
    keeper.keep(this.#message, this.#data, this.#header, this.#headerView, this.#payload);
    keeper.keep(this.#payloadView, this.#pool);
  }

  /** Packets that are not completed. */
  get inFlight(): number {
    return this.#waiting.length + this.#withheld.length;
  }

  /** Completions that wait for room in the ring. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Handle a packet with NVSP type SEND_RNDIS_PACKET; the header's length has been checked. */
  handle(packet: GuestPacket, channel: number): void {
    const transmit = this.#pool.pop() ?? { low: 0, high: 0, status: 0, grants: [], grantCount: 0 };
    transmit.low = packet.transactionIdLow;
    transmit.high = packet.transactionIdHigh;

    // Find the message: the section of the send buffer comes first, then the pages
    this.#message.clear();
    let bad = this.#addSection(packet);
    let result: number = RangeResult.END;
    if (bad === undefined && packet.type === PacketType.DATA_GPA_DIRECT) {
      result = this.#addRanges(packet, channel, transmit);
      if (result === RangeResult.MALFORMED) bad = 'malformed ranges in a GPA-direct packet';
    }
    if (bad !== undefined) {
      this.#release(transmit, 'the end of the channel');
      this.#host.die(bad);
      return;
    }

    // A bad RNDIS packet is completed as failed and the channel goes on (OpenVMM #1590)
    if (result === RangeResult.OUTSIDE) bad = 'GPA-direct packet with pages outside of RAM';
    else bad = this.#dispatch();
    if (bad !== undefined) this.#host.violation('rndis', bad);
    transmit.status = bad === undefined ? NvspStatus.SUCCESS : NvspStatus.FAIL;
    if (this.#faults.withhold?.() === true) this.#withheld.push(transmit);
    else this.#complete(transmit);
  }

  /** The guest takes a packet back: it is completed as failed if it is still here. */
  cancel(low: number, high: number): void {
    const index = this.#withheld.findIndex((other) => other.low === low && other.high === high);
    if (index < 0) return;
    const transmit = this.#withheld[index]!;
    this.#withheld.splice(index, 1);
    transmit.status = NvspStatus.FAIL;
    this.#complete(transmit);
  }

  /** Transmits that a fault withholds. */
  get withheld(): number {
    return this.#withheld.length;
  }

  /** Complete what a fault has withheld. */
  releaseWithheld(): void {
    const withheld = this.#withheld;
    this.#withheld = [];
    for (const transmit of withheld) this.#complete(transmit);
  }

  /** Write completions that had no room. True if none is left. */
  flush(): boolean {
    let done = 0;
    while (done < this.#waiting.length && this.#write(this.#waiting[done]!)) done++;
    if (done > 0) this.#waiting = this.#waiting.slice(done);
    return this.#waiting.length === 0;
  }

  /** The channel closes: complete what is in flight as far as there is room, forget the rest. */
  close(): void {
    this.releaseWithheld();
    this.flush();
    for (const transmit of this.#waiting) this.#release(transmit, 'the close of the channel');
    this.#waiting = [];
  }

  /** The section of the send buffer that the packet names. Returns what is wrong with it. */
  #addSection(packet: GuestPacket): string | undefined {
    const at = packet.payloadOffset;
    // Signed, so that the usual one is a small integer
    const signed = packet.view.getInt32(at + NvspRndisPacket.at.sendBufferIndex, true);
    if (signed === (NVSP_NO_SEND_BUFFER | 0)) return undefined;
    const index = signed >>> 0;
    const size = packet.view.getUint32(at + NvspRndisPacket.at.sendBufferSize, true);
    const buffer = this.#host.sendBuffer;
    if (buffer === undefined) return `send buffer section ${index} without a send buffer`;
    if (index * SEND_SECTION_SIZE + size > buffer.length)
      return `send buffer section ${index} of ${size} bytes outside the buffer`;
    this.#message.add(buffer, index * SEND_SECTION_SIZE, size);
    return undefined;
  }

  /** Enter the ranges in the ledger. Returns END, OUTSIDE or MALFORMED. */
  #addRanges(packet: GuestPacket, channel: number, transmit: Transmit): number {
    this.#ranges.begin(packet, channel);
    for (;;) {
      const result = this.#ranges.next();
      if (result !== RangeResult.RANGE) return result;
      const grant = this.#services.grants.grantPacket(this.#ranges.request);
      transmit.grants[transmit.grantCount++] = grant;
      this.#message.add(grant, 0, this.#ranges.request.length);
    }
  }

  /** By the RNDIS type, whatever channel the NVSP header names. Returns what is wrong. */
  #dispatch(): string | undefined {
    const message = this.#message;
    if (message.length < RndisHeader.size) return `RNDIS message of ${message.length} bytes`;
    message.read(0, this.#header, RndisHeader.size);
    if (this.#headerView.getUint32(RndisHeader.at.type, true) === RndisType.PACKET) {
      // Several messages in one packet go out all or not at all
      const alone = this.#headerView.getUint32(RndisHeader.at.length, true) === message.length;
      return (alone ? undefined : this.#walk(false)) ?? this.#walk(true);
    }
    if (message.length > CONTROL_BYTES_MAX) return `control message of ${message.length} bytes`;
    const copy = new Uint8Array(message.length);
    message.read(0, copy, message.length);
    return this.#host.takeControl(copy);
  }

  /** Go through the data messages of a packet, and send their frames. Returns what is wrong. */
  #walk(send: boolean): string | undefined {
    const frameMax = this.#host.mtu + TAG_SIZE;
    for (let at = 0; at < this.#message.length; at += this.#data.length) {
      const bad = this.#data.parse(this.#message, at, frameMax);
      if (bad !== undefined) return bad;
      const { largeSend } = this.#data;
      if (largeSend !== 0 && !this.#host.largeSends(largeSendVersion(largeSend)))
        return 'large send offload, which is not on';
      if (!send) continue;
      const failed =
        largeSend === 0 ? this.#send(this.#data, frameMax) : this.#sendLarge(this.#data);
      if (failed !== undefined) return failed;
    }
    return undefined;
  }

  /** Copy a large frame and send what is made of it. Returns what is wrong with it. */
  #sendLarge({ dataAt, dataLength, largeSend, vlan }: DataMessage): string | undefined {
    const frame = new Uint8Array(dataLength);
    this.#message.read(dataAt, frame, dataLength);
    return makeSegments(frame, largeSend, this.#host.mtu, (segment) => {
      if (vlan === NO_TAG) return this.#host.sendFrame(segment);
      const tagged = new Uint8Array(segment.length + TAG_SIZE);
      tagged.set(segment);
      insertTag(tagged, segment.length, vlan);
      this.#host.sendFrame(tagged);
    });
  }

  /** Copy a frame out of the guest's memory, do what the guest asks for, and send it. */
  #send({ dataAt, dataLength, checksum, vlan }: DataMessage, frameMax: number): undefined {
    if (this.#frame.length < frameMax + TAG_SIZE) {
      this.#frame = new Uint8Array(frameMax + TAG_SIZE);
      this.#frames = [];
    }
    this.#message.read(dataAt, this.#frame, dataLength);
    if (checksum !== 0) putChecksums(this.#frame.subarray(0, dataLength), checksum);
    if (vlan !== NO_TAG) insertTag(this.#frame, dataLength, vlan);
    const length = vlan === NO_TAG ? dataLength : dataLength + TAG_SIZE;
    const frame = (this.#frames[length] ??= this.#frame.subarray(0, length));
    this.#host.sendFrame(frame);
  }

  #complete(transmit: Transmit): void {
    if (this.#waiting.length > 0 || !this.#write(transmit)) this.#waiting.push(transmit);
  }

  /** Write a completion. False if the ring has no room. */
  #write(transmit: Transmit): boolean {
    this.#payloadView.setUint32(NvspRndisPacketComplete.at.status, transmit.status, true);
    const { low, high } = transmit;
    const copies = this.#outbox.send(
      PacketType.COMPLETION,
      0,
      low,
      high,
      NOTHING,
      0,
      this.#payload,
      this.#host.messageSize,
    );
    if (copies === NO_ROOM) return false;
    this.completions++;
    this.#release(transmit, 'the completion of the packet');
    return true;
  }

  /** Let go of the guest's pages. */
  #release(transmit: Transmit, by: string): void {
    for (let i = 0; i < transmit.grantCount; i++)
      this.#services.grants.revokePacket(transmit.grants[i]!, by);
    transmit.grantCount = 0;
    if (this.#pool.size < TRANSMITS_MAX) this.#pool.push(transmit);
  }
}

/** Make the checksums that the guest has left to the host. What is no IP packet stays as it is. */
function putChecksums(frame: Uint8Array, wanted: number): void {
  const ip = ipFrame(frame);
  if (ip === undefined) return;
  if ((wanted & WANT_IP_HEADER) !== 0) putIpChecksum(frame, ip);
  if ((wanted & WANT_TRANSPORT) !== 0 && ip.protocol !== 0) putTransportChecksum(frame, ip);
}
