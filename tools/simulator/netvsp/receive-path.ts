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
import { DataHeader } from './data-message.ts';
import type { FaultVerdict, NetVspFaults, OutgoingMessage, Outbox } from './faults.ts';
import { SUB_ALLOCATION_DATA_OFFSET, type ReceiveBuffer } from './receive-buffer.ts';
import { TransferPages } from './transfer-pages.ts';

/** What became of frames. */
export interface ReceiveHost {
  /** Frames were put into the ring. */
  sent(count: number): void;
  /** Frames were lost for a reason. */
  dropped(count: number, reason: string): void;
}

export class ReceivePath {
  readonly #host: ReceiveHost;
  readonly #services: PartitionServices;
  readonly #faults: NetVspFaults;
  readonly buffer: ReceiveBuffer;
  readonly #mtu: number;
  readonly #data: TransferPages;
  readonly #control: TransferPages;
  readonly #plain = new DataHeader(false);
  readonly #withInfo = new DataHeader(true);
  /** Fires when the moment is over: the frames so far go out. */
  #alarm: Alarm | undefined;
  readonly #flushAlarm = () => this.flush();
  #frames = 0;
  /** Frames in the packet in the making. */
  #pending = 0;
  #closed = false;
  /** A message that goes in front of the next packet's others (the malformed status). */
  #prelude: Uint8Array | undefined;

  constructor(
    host: ReceiveHost,
    services: PartitionServices,
    faults: NetVspFaults,
    outbox: Outbox,
    buffer: ReceiveBuffer,
    mtu: number,
    messageSize: number,
    queue: number,
  ) {
    this.#host = host;
    this.#services = services;
    this.#faults = faults;
    this.buffer = buffer;
    this.#mtu = mtu;
    this.#data = new TransferPages(outbox, RndisChannel.DATA, messageSize, queue);
    this.#control = new TransferPages(outbox, RndisChannel.CONTROL, messageSize, queue);
  }

  /** Put a frame into a section; it goes out with the others of this moment. False if dropped. */
  deliver(frame: Uint8Array): boolean {
    const knobs = this.#services.profile.knobs;
    const buffer = this.buffer;
    if (frame.length > this.#mtu) return this.#drop('frame longer than the MTU');
    const section = buffer.take(false);
    if (section < 0) return this.#drop('no free section in the receive buffer');
    if (this.#prelude !== undefined && this.#data.count === 0) this.#addPrelude(this.#data);

    // Per-packet information in front of every nth frame
    this.#frames++;
    const info = knobs.ppiEvery > 0 && this.#frames % knobs.ppiEvery === 0;
    const header = info ? this.#withInfo : this.#plain;

    // The host may claim the whole section, and put the data anywhere behind the headers
    const whole = knobs.rxMessageLength === 'sub-allocation';
    const dataAt = whole ? SUB_ALLOCATION_DATA_OFFSET : header.bytes.length;
    const length = whole ? buffer.sectionSize : dataAt + frame.length;
    header.set(length, dataAt, frame.length);
    if (this.#faults.message !== undefined) {
      const sent = this.#deliverFaulty(section, header.bytes, frame, dataAt, length);
      if (!sent) return false;
    } else {
      buffer.write(section, 0, header.bytes, header.bytes.length);
      buffer.write(section, dataAt, frame, frame.length);
      this.#data.add(buffer, section, length);
    }
    this.#pending++;

    // Full, or wait for more until the clock moves
    if (this.#data.count >= Math.min(Math.max(1, knobs.rangesPerPacket), RANGES_MAX)) this.flush();
    else this.#arm();
    return true;
  }

  /** Send the frames so far. */
  flush(): void {
    if (this.#data.count === 0 || this.#closed) return;
    const count = this.#pending;
    this.#pending = 0;
    if (this.#data.flush(this.buffer)) this.#host.sent(count);
    else this.#host.dropped(count, 'ring full');
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
