// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the guest receives: frames and control messages are put into sections of the receive
 * buffer and announced by transfer-page packets. Frames of one moment share a packet.
 */

import { RndisChannel } from '../../../src/netvsc/protocol.ts';
import { RndisPacket } from '../../../src/rndis/protocol.ts';
import type { Alarm } from '../base/clock.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import { RANGES_MAX } from '../profiles/knob-values.ts';
import { DataHeader, PacketInfo } from './data-message.ts';
import type { FaultVerdict, NetVspFaults, OutgoingMessage, Outbox } from './faults.ts';
import { SUB_ALLOCATION_DATA_OFFSET, type ReceiveBuffer } from './receive-buffer.ts';
import type { ReceiveInfo } from './offloads/receive-info.ts';
import { SegmentRun } from './offloads/segment-run.ts';
import { NO_TAG, TAG_SIZE, tagOf } from './offloads/vlan.ts';
import { TransferPages } from './transfer-pages.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Information of a piece of a packet (Linux `rndis_pktinfo_id`): version, flags, number. */
const PIECE_VERSION = 1;
const PIECE = 0x1;
const PIECE_FIRST = 0x2;
const PIECE_LAST = 0x4;

/** What became of frames. */
export interface ReceiveHost {
  /** Frames were put into the ring. */
  sent(count: number): void;
  /** Frames were lost for a reason. */
  dropped(count: number, reason: string): void;
}

/** What was negotiated: the receive buffer is there. */
interface Negotiated {
  readonly receiveBuffer: ReceiveBuffer | undefined;
  readonly mtu: number;
  readonly messageSize: number;
}

export class ReceivePath {
  readonly #host: ReceiveHost;
  readonly #services: PartitionServices;
  readonly #faults: NetVspFaults;
  readonly buffer: ReceiveBuffer;
  readonly #mtu: number;
  readonly #data: TransferPages;
  readonly #control: TransferPages;
  readonly #header = new DataHeader();
  readonly #info: ReceiveInfo;
  /** Segments that may become one packet. */
  readonly #run: SegmentRun;
  /** Fires when the moment is over: the frames so far go out. */
  #alarm: Alarm | undefined;
  readonly #flushAlarm = () => this.flush();
  #frames = 0;
  /** Frames in the packet in the making. */
  #pending = 0;
  #closed = false;
  /** Where the data of the message under construction begin, and its length. */
  #dataAt = 0;
  #length = 0;
  /** A message that goes in front of the next packet's others (the malformed status). */
  #prelude: Uint8Array | undefined;

  constructor(
    host: ReceiveHost,
    services: PartitionServices,
    faults: NetVspFaults,
    outbox: Outbox,
    negotiated: Negotiated,
    queue: number,
    info: ReceiveInfo,
  ) {
    this.#host = host;
    this.#services = services;
    this.#faults = faults;
    this.buffer = negotiated.receiveBuffer!;
    this.#mtu = negotiated.mtu;
    this.#info = info;
    this.#run = new SegmentRun((version) => info.coalescesIp(version));
    const { messageSize } = negotiated;
    this.#data = new TransferPages(outbox, RndisChannel.DATA, messageSize, queue);
    this.#control = new TransferPages(outbox, RndisChannel.CONTROL, messageSize, queue);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#alarm, this.#frames], (v) => ([this.#alarm, this.#frames] = v));
    keeper.put([this.#pending, this.#closed], (v) => ([this.#pending, this.#closed] = v));
    keeper.put([this.#dataAt, this.#length], (v) => ([this.#dataAt, this.#length] = v));
    keeper.put([this.#prelude], (v) => ([this.#prelude] = v));
    keeper.keep(this.#host, this.#services, this.#faults, this.buffer, this.#data, this.#control);
    keeper.keep(this.#header, this.#info, this.#run);
  }

  /**
   * Put an untagged frame into a section; it goes out with the others of this moment. `tag` is the
   * VLAN information that was taken out of it. False if it was dropped.
   */
  deliver(frame: Uint8Array, tag: number): boolean {
    // A tag that stays in a frame does not count
    const most = this.#mtu + (tagOf(frame) === NO_TAG ? 0 : TAG_SIZE);
    if (frame.length > most) return this.#drop('frame longer than the MTU');
    const section = this.buffer.take(false);
    if (section < 0) return this.#drop('no free section in the receive buffer');
    if (this.#prelude !== undefined && this.#data.count === 0) this.#addPrelude(this.#data);

    // Segments wait for what continues them
    if (this.#info.coalesces && this.#faults.message === undefined) {
      if (!this.#run.add(section, frame, tag)) {
        this.#endRun();
        this.#run.add(section, frame, tag);
      }
    } else if (!this.#write(section, frame, tag)) return false;
    this.#pending++;

    // Full, or wait for more until the clock moves
    if (this.#data.count + this.#run.length >= this.#rangesMax) this.flush();
    else this.#arm();
    return true;
  }

  /** Send the frames so far. */
  flush(): void {
    if (this.#closed) return;
    this.#endRun();
    if (this.#data.count === 0) return;
    const count = this.#pending;
    this.#pending = 0;
    if (this.#data.flush(this.buffer)) this.#host.sent(count);
    else this.#host.dropped(count, 'ring full');
  }

  /** Most ranges of one packet. */
  get #rangesMax(): number {
    return Math.min(Math.max(1, this.#services.profile.knobs.rangesPerPacket), RANGES_MAX);
  }

  /** Write a frame into its section. False if a fault keeps it from being sent now. */
  #write(section: number, frame: Uint8Array, tag: number): boolean {
    const header = this.#header;
    header.begin();
    this.#info.add(header, frame, tag, false);

    // Per-packet information in front of every nth frame, whatever the guest asked for
    const { ppiEvery } = this.#services.profile.knobs;
    this.#frames++;
    const due = ppiEvery > 0 && this.#frames % ppiEvery === 0;
    if (due && !header.has(PacketInfo.CHECKSUM)) header.add(PacketInfo.CHECKSUM, 0);

    this.#place(frame);
    if (this.#faults.message !== undefined) {
      const bytes = header.bytes.subarray(0, header.length);
      return this.#deliverFaulty(section, bytes, frame, this.#dataAt, this.#length);
    }
    this.#enter(section, frame);
    return true;
  }

  /** Where the data lies: right behind the headers, or where the host claims whole sections. */
  #place(data: Uint8Array): void {
    const { rxMessageLength, rxDataPadding } = this.#services.profile.knobs;
    const whole = rxMessageLength === 'sub-allocation';
    this.#dataAt = whole ? SUB_ALLOCATION_DATA_OFFSET : this.#header.length + rxDataPadding;
    this.#length = whole ? this.buffer.sectionSize : this.#dataAt + data.length;
    this.#header.set(this.#length, this.#dataAt, data.length);
  }

  /** Enter what was placed last. */
  #enter(section: number, data: Uint8Array): void {
    this.buffer.write(section, 0, this.#header.bytes, this.#header.length);
    this.buffer.write(section, this.#dataAt, data, data.length);
    this.#data.add(this.buffer, section, this.#length);
  }

  /** Write the segments that wait: one packet in as many ranges. */
  #endRun(): void {
    const run = this.#run;
    const { length, sections, tag } = run;
    if (length === 0) return;
    const pieces = run.pieces();
    if (length === 1) this.#write(sections[0]!, pieces[0]!, tag);
    else {
      const id = this.#frames & 0xffff;
      pieces.forEach((piece, i) => {
        this.#frames++;
        this.#header.begin();
        if (i === 0) this.#info.add(this.#header, piece, tag, true);
        const place = (i === 0 ? PIECE_FIRST : 0) | (i === length - 1 ? PIECE_LAST : 0);
        const value = PIECE_VERSION | ((PIECE | place) << 8) | (id << 16);
        this.#header.add(PacketInfo.PACKET_ID, value);
        this.#place(piece);
        this.#enter(sections[i]!, piece);
      });
    }
    run.clear();
  }

  /**
   * Send one control message at once, in a packet of its own, after the frames so far. The caller
   * has seen to a free section and to room in the ring.
   */
  sendControl(message: Uint8Array, length: number): void {
    this.flush();
    if (this.#prelude !== undefined && this.buffer.freeControl > 1) this.#addPrelude(this.#control);
    const verdict = this.#faulty(message, length);
    if (typeof verdict.verdict === 'number') {
      const copy = verdict.message.bytes.slice(0, verdict.message.length);
      this.#services.clock.schedule(verdict.verdict, () => void this.send([copy], true));
    } else if (verdict.verdict !== 'drop') {
      const { bytes, length: n } = verdict.message;
      this.#put(this.#control, true, bytes, n);
      if (verdict.verdict === 'twice') this.#put(this.#control, true, bytes, n);
    }
    this.#control.flush(this.buffer);
  }

  /** Send RNDIS messages as the ranges of one packet. False without sections or room. */
  send(messages: readonly Uint8Array[], control: boolean): boolean {
    const free = control ? this.buffer.freeControl : this.buffer.freeData;
    if (this.#closed || messages.length === 0 || free < messages.length) return false;
    this.flush();
    const pages = control ? this.#control : this.#data;
    for (const message of messages) this.#put(pages, control, message, message.length);
    return pages.flush(this.buffer);
  }

  /** Let a message go in front of the next packet's others, in the same packet. */
  precede(message: Uint8Array): void {
    this.#prelude = message;
  }

  /** The channel closes: nothing goes out any more. */
  close(): void {
    this.#closed = true;
    if (this.#alarm !== undefined) this.#services.clock.cancel(this.#alarm);
    // The sections are still there for other queues
    for (const section of this.#run.sections) this.buffer.put(section);
    this.#run.clear();
    this.#data.abandon(this.buffer);
    this.#control.abandon(this.buffer);
  }

  #drop(reason: string): boolean {
    this.#host.dropped(1, reason);
    return false;
  }

  #addPrelude(pages: TransferPages): void {
    const message = this.#prelude!;
    const control = pages === this.#control;
    if (this.#put(pages, control, message, message.length)) this.#prelude = undefined;
  }

  #put(pages: TransferPages, control: boolean, bytes: Uint8Array, length: number): boolean {
    const section = this.buffer.take(control);
    if (section < 0) return false;
    this.buffer.write(section, 0, bytes, length);
    pages.add(this.buffer, section, length);
    return true;
  }

  /** Flush when the clock moves next. */
  #arm(): void {
    const { clock } = this.#services;
    if (this.#alarm === undefined) this.#alarm = clock.schedule(0, this.#flushAlarm);
    else if (this.#alarm.state !== 'waiting') clock.reschedule(this.#alarm, 0);
  }

  #faulty(bytes: Uint8Array, length: number): { message: OutgoingMessage; verdict: FaultVerdict } {
    const message = { bytes, length };
    const verdict = this.#faults.message?.(message) ?? 'send';
    return { message, verdict };
  }

  /** A frame while a fault looks at messages: built in one piece first. False if not sent now. */
  #deliverFaulty(
    section: number,
    header: Uint8Array,
    frame: Uint8Array,
    dataAt: number,
    length: number,
  ): boolean {
    const whole = new Uint8Array(Math.max(length, RndisPacket.size));
    whole.set(header);
    whole.set(frame, dataAt);
    const { message, verdict } = this.#faulty(whole, length);
    if (verdict === 'drop' || typeof verdict === 'number') this.buffer.put(section);
    if (verdict === 'drop') return this.#drop('fault');
    if (typeof verdict === 'number') {
      const copy = message.bytes.slice(0, message.length);
      this.#services.clock.schedule(verdict, () => void this.send([copy], false));
      return false;
    }
    this.buffer.write(section, 0, message.bytes, message.length);
    this.#data.add(this.buffer, section, message.length);
    if (verdict === 'twice') this.#put(this.#data, false, message.bytes, message.length);
    return true;
  }
}
