// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One transfer of a file to a client (RFC 1350), a window of blocks at a time (RFC 7440). Blocks
 * are numbered from 1 without wrapping; block 0 is the OACK; on the wire 65535 is followed by 0, or
 * by 1.
 */

import { TFTP_HEADER, TftpErrorCode, TftpOpcode } from '../../../../src/net/protocol.ts';
import type { Alarm } from '../../base/clock.ts';
import { copyAndSum } from '../checksum.ts';
import type { NetworkContext } from '../context.ts';
import { UDP } from '../protocol.ts';
import type { Datagram, ServerHost, UdpRoute } from '../server-host.ts';
import type { TransferOutcome, TransferRecord } from '../statistics.ts';
import { errorText, writeOack } from './tftp-message.ts';
import type { TftpHabit, TftpPlan, TftpTerms } from './tftp-options.ts';
import { BREAK_BLOCK, OVERSIZE } from './tftp-options.ts';
import type { Keeper } from '../../base/snapshot.ts';

/** What a transfer needs to know. */
export interface TransferOptions {
  readonly plan: TftpPlan;
  readonly terms: TftpTerms;
  readonly data: Uint8Array;
  readonly route: Readonly<UdpRoute>;
  readonly record: TransferRecord;
  /** Habits that show once, and are taken out then. */
  readonly once: Set<TftpHabit>;
  /** Called once, when the transfer has ended and shall be forgotten. */
  readonly ended: (transfer: Transfer) => void;
  /** Answer a datagram with an error. */
  readonly refuse: (route: Readonly<UdpRoute>, code: number, text: string) => void;
}

/** Port that blocks come from that should not: of no transfer. */
export const WRONG_PORT = 40_069;

export class Transfer {
  readonly route: Readonly<UdpRoute>;
  readonly record: TransferRecord;
  readonly #context: NetworkContext;
  readonly #host: ServerHost;
  readonly #plan: TftpPlan;
  readonly #terms: TftpTerms;
  readonly #data: Uint8Array;
  readonly #once: Set<TftpHabit>;
  readonly #ended: (transfer: Transfer) => void;
  readonly #refuse: TransferOptions['refuse'];
  /** Number of the last block, which is shorter than the others, perhaps empty. */
  readonly #last: number;
  /** Highest block that the client has acknowledged, and that was sent. */
  #acknowledged: number;
  #sent: number;
  /** Whether a window may be repeated for a repeated ACK, and whether this one was repeated. */
  #mayRepeat = true;
  #repeated = false;
  #tries = 0;
  /** When the client must have moved on; the alarm is set anew only when it has fired. */
  #deadline = 0;
  #alarm: Alarm | undefined;
  #stopped = false;

  constructor(context: NetworkContext, host: ServerHost, options: TransferOptions) {
    this.#context = context;
    this.#host = host;
    this.#plan = options.plan;
    this.#terms = options.terms;
    this.#data = options.data;
    this.#once = options.once;
    this.#ended = options.ended;
    this.#refuse = options.refuse;
    this.route = options.route;
    this.record = options.record;
    const full = Math.floor(this.#data.length / this.#terms.blockSize);
    const isFull = full > 0 && this.#data.length % this.#terms.blockSize === 0;
    this.#last = isFull && this.#plan.habits.has('no-last-block') ? full : full + 1;
    this.#acknowledged = this.#terms.oack === undefined ? 0 : -1;
    this.#sent = this.#acknowledged;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#acknowledged, this.#sent], (v) => ([this.#acknowledged, this.#sent] = v));
    keeper.put([this.#mayRepeat, this.#repeated], (v) => ([this.#mayRepeat, this.#repeated] = v));
    keeper.put([this.#tries, this.#deadline], (v) => ([this.#tries, this.#deadline] = v));
    keeper.put([this.#alarm, this.#stopped], (v) => ([this.#alarm, this.#stopped] = v));
    keeper.keep(this.route, this.record, this.#context, this.#host, this.#once);
  }

  /** Send the OACK, or the first block. */
  begin(): void {
    this.#deadline = this.#context.clock.now + this.#terms.timeoutTicks;
    this.#setAlarm();
    this.#sendWindow();
  }

  /** A packet of the client. */
  receive(datagram: Datagram): void {
    const { view, offset, length } = datagram;
    const opcode = length < 2 ? 0 : view.getUint16(offset);
    if (opcode === TftpOpcode.ACK && length >= TFTP_HEADER) {
      this.#receiveAck(view.getUint16(offset + 2));
    } else if (opcode === TftpOpcode.ERROR) {
      this.#end('ended-by-client', errorText(datagram));
    } else {
      const text = `opcode ${opcode} within a transfer`;
      this.#refuse(this.route, TftpErrorCode.ILLEGAL, text);
      this.#end('ended-by-error', text);
    }
  }

  /** The number on the wire is the nearest block from the last acknowledged one on. */
  #receiveAck(number: number): void {
    let block = this.#acknowledged;
    while (block <= this.#sent && this.#onWire(block) !== number) block++;
    if (block > this.#sent) return;
    if (block === this.#acknowledged) this.#repeatedAck();
    else this.#advance(block);
  }

  /** The number that a block has on the wire; that of none, before the OACK was acknowledged. */
  #onWire(block: number): number {
    if (!this.#plan.habits.has('wrap-to-1') || block <= 0xffff) return block & 0xffff;
    return ((block - 1) % 0xffff) + 1;
  }

  #advance(block: number): void {
    // An ACK inside the window: the rest of the window was lost and comes again now
    const isWhole = block === this.#sent;
    this.#mayRepeat = isWhole && !this.#repeated;
    this.#repeated = !isWhole;

    this.#acknowledged = block;
    const bytes = Math.min(Math.max(block, 0) * this.#terms.blockSize, this.#data.length);
    this.#context.statistics.tftp.bytes += bytes - this.record.acknowledged;
    this.record.acknowledged = bytes;
    if (block === this.#last) {
      this.#end('complete', '');
      return;
    }
    this.#tries = 0;
    this.#deadline = this.#context.clock.now + this.#terms.timeoutTicks;
    this.#sendWindow();
  }

  /**
   * The same ACK again: with a window, its first block was lost (RFC 7440, 4). Never twice in a
   * row, and never without a window: repeated ACKs would double all traffic (the Sorcerer's
   * Apprentice of RFC 1123, 4.2.3.1).
   */
  #repeatedAck(): void {
    if (this.#terms.windowSize === 1 || this.#acknowledged < 0) return;
    if (!this.#mayRepeat || this.#repeated) return;
    this.#repeated = true;
    this.#sendWindow();
  }

  // --- the timer ---

  #setAlarm(): void {
    const delay = this.#deadline - this.#context.clock.now;
    this.#alarm = this.#context.clock.schedule(delay, () => this.#wake());
  }

  #wake(): void {
    if (this.#context.clock.now < this.#deadline) {
      this.#setAlarm();
      return;
    }
    if (this.#tries === this.#plan.maxTries) {
      this.#end('timed-out', `no answer after ${this.#tries} retransmissions`);
      return;
    }
    this.#tries++;
    this.#repeated = true;
    this.#deadline = this.#context.clock.now + this.#terms.timeoutTicks;
    this.#setAlarm();
    this.#sendWindow();
  }

  #end(outcome: TransferOutcome, message: string): void {
    if (this.#alarm !== undefined) this.#context.clock.cancel(this.#alarm);
    this.#stopped = true;
    this.record.outcome = outcome;
    this.record.message = message;
    this.record.endedAt = this.#context.clock.now;
    this.#ended(this);
  }

  // --- sending ---

  /** Send what follows the last acknowledged block, up to a window. */
  #sendWindow(): void {
    if (this.#acknowledged < 0) {
      this.#sendOack();
      return;
    }
    const end = Math.min(this.#acknowledged + this.#terms.windowSize, this.#last);
    for (let block = this.#acknowledged + 1; block <= end && !this.#stopped; block++) {
      if (block <= this.#sent) {
        this.record.retransmissions++;
        this.#context.statistics.tftp.retransmissions++;
      }
      this.#sendBlock(block);
      if (this.#plan.duplicateEvery !== 0 && block % this.#plan.duplicateEvery === 0) {
        this.#sendBlock(block);
      }
      if (block > this.#sent) this.#sent = block;
      if (block >= this.#plan.stopAfterBlock) this.#stopped = true;
      if (block === BREAK_BLOCK) this.#breakOff();
    }
  }

  /** What ends a transfer in the middle, once. */
  #breakOff(): void {
    if (this.#once.delete('stall')) this.#stopped = true;
    else if (this.#once.delete('restart')) this.#end('ended-by-error', 'the server restarts');
    else if (this.#once.delete('break-off')) {
      this.#refuse(this.route, TftpErrorCode.UNDEFINED, 'something went wrong');
      this.#end('ended-by-error', 'something went wrong');
    }
  }

  #sendOack(): void {
    if (this.#stopped) return;
    const frame = this.#host.allocate();
    if (frame === undefined) return;
    const length = writeOack(frame.bytes, UDP.end, this.#terms.oack!);
    this.#sent = 0;
    if (this.#plan.stopAfterBlock === 0) this.#stopped = true;
    this.#host.sendUdp(frame, length, this.route);
  }

  #sendBlock(block: number): void {
    const { blockSize } = this.#terms;
    const from = (block - 1) * blockSize;
    let length = Math.min(blockSize, this.#data.length - from);
    if (block === this.#plan.shortBlock && length > 0) length--;
    if (this.#plan.wrongPort) this.#sendStray(block, from, length);

    const frame = this.#host.allocate();
    if (frame === undefined) return;
    this.record.blocks++;
    this.#context.statistics.tftp.blocks++;
    frame.view.setUint16(UDP.end, TftpOpcode.DATA);
    frame.view.setUint16(UDP.end + 2, this.#onWire(block));
    const data = UDP.end + TFTP_HEADER;
    let sum = copyAndSum(frame.words, data, this.#data, from, length);
    sum += frame.words[UDP.end >> 1]! + frame.words[(UDP.end >> 1) + 1]!;
    if (block !== this.#plan.oversizedBlock) {
      this.#host.sendUdp(frame, TFTP_HEADER + length, this.route, undefined, sum);
      return;
    }
    frame.bytes.fill(0xee, data + length, data + blockSize + OVERSIZE);
    this.#host.sendUdp(frame, TFTP_HEADER + blockSize + OVERSIZE, this.route);
  }

  /** The same block with inverted data, from a port that is not the transfer's. */
  #sendStray(block: number, from: number, length: number): void {
    const frame = this.#host.allocate();
    if (frame === undefined) return;
    frame.view.setUint16(UDP.end, TftpOpcode.DATA);
    frame.view.setUint16(UDP.end + 2, this.#onWire(block));
    const data = UDP.end + TFTP_HEADER;
    for (let i = 0; i < length; i++) frame.bytes[data + i] = ~this.#data[from + i]! & 0xff;
    this.#host.sendUdp(frame, TFTP_HEADER + length, { ...this.route, sourcePort: WRONG_PORT });
  }
}
