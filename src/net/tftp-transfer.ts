// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One TFTP read request and what follows from it (RFC 1350, 2347 to 2349, 7440). Blocks are taken
 * in order only; a gap is answered with the last block in order, once, and the timer does the
 * rest. After the last block nobody waits for lost acknowledgements: the server gives up by
 * itself, and the machine boots.
 *
 * Receiving a block and acknowledging it allocates nothing.
 */

import { escaped, get16, ipv4Text } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { DownloadSink } from './download.ts';
import type { NetworkInterface, UdpHandler } from './network-interface.ts';
import { Port, TFTP_BLOCK_DEFAULT, TFTP_HEADER, TftpErrorCode, TftpOpcode } from './protocol.ts';
import { tftpErrorOf } from './tftp-error.ts';
import { errorText, parseOptionAck, putAck, putError, putReadRequest } from './tftp-packet.ts';
import {
  TFTP_FIRST_TIMEOUT_MS,
  TFTP_LONGEST_TIMEOUT_MS,
  TFTP_PROGRESS_BYTES,
  TFTP_TOTAL_MS,
  TFTP_TRIES,
} from './tftp-options.ts';
import type { TftpResult, TransferOptions } from './tftp-options.ts';
import type { TftpAsk } from './tftp-packet.ts';
import { HypxeError } from '../error.ts';
import type { ErrorName } from '../error.ts';
import { TICKS_PER_MS } from '../time.ts';

/** One request and what follows from it. */
export class Transfer implements UdpHandler {
  readonly #net: NetworkInterface;
  readonly #server: Ipv4Address;
  readonly #file: string;
  readonly #port: number;
  readonly #ask: TftpAsk;
  readonly #sink: DownloadSink;
  readonly #options: TransferOptions;
  #state: 'requesting' | 'receiving' | 'done' | 'refused' = 'requesting';
  /** The server's port: fixed by its first answer. */
  #serverPort: number;
  #blockSize = TFTP_BLOCK_DEFAULT;
  #windowSize = 1;
  #size: number | undefined;
  /** Bytes received, and the number of the block that comes next. */
  #received = 0;
  #expected = 1;
  /** The block that was acknowledged last, and whether an acknowledgement is due. */
  #acknowledged = 0;
  #ackDue = false;
  #gapTold = false;
  #progressed = false;
  /** Another port of the server that sent something in this turn. */
  #strayPort = 0;
  #failure: unknown;
  /** The code of the error that tells the server; -1 to tell it nothing. */
  #failureCode = -1;
  #nextReport = 0;
  #blocks = 0;
  #duplicates = 0;
  #gaps = 0;
  #retransmissions = 0;
  #ignored = 0;

  constructor(
    net: NetworkInterface,
    server: Ipv4Address,
    file: string,
    port: number,
    ask: TftpAsk,
    sink: DownloadSink,
    options: TransferOptions,
  ) {
    this.#net = net;
    this.#server = server;
    this.#file = file;
    this.#port = port;
    this.#ask = ask;
    this.#sink = sink;
    this.#options = options;
    this.#serverPort = options.port ?? Port.TFTP;
  }

  /** Read the file. `refused`: the server does not want options, and nothing was begun. */
  run(): TftpResult | 'refused' {
    this.#net.bind(this.#port, this);
    try {
      this.#transfer();
    } finally {
      this.#net.unbind(this.#port);
    }
    if (this.#state === 'refused') return 'refused';
    return {
      length: this.#received,
      blocks: this.#blocks,
      blockSize: this.#blockSize,
      windowSize: this.#windowSize,
      duplicates: this.#duplicates,
      gaps: this.#gaps,
      retransmissions: this.#retransmissions,
      ignored: this.#ignored,
    };
  }

  #transfer(): void {
    const net = this.#net;
    const clock = net.clock;
    const firstMs = this.#options.firstTimeoutMs ?? TFTP_FIRST_TIMEOUT_MS;
    const longestMs = this.#options.longestTimeoutMs ?? TFTP_LONGEST_TIMEOUT_MS;
    const limit = this.#options.tries ?? TFTP_TRIES;
    const deadline = clock.now() + (this.#options.totalMs ?? TFTP_TOTAL_MS) * TICKS_PER_MS;
    let timeoutMs = firstMs;
    let tries = 1;
    this.#sendRequest();
    let until = clock.now() + timeoutMs * TICKS_PER_MS;
    while (this.#state === 'requesting' || this.#state === 'receiving') {
      // Take what came, and answer it
      net.turn();
      if (this.#failure !== undefined) this.#abort();
      if (this.#strayPort !== 0) this.#refuseStray();
      if (this.#ackDue) this.#sendAck();

      // Each progress restores patience; without any, send again what was sent last
      const now = clock.now();
      if (this.#progressed) {
        this.#progressed = false;
        net.progress();
        this.#report(false);
        timeoutMs = firstMs;
        tries = 1;
        until = now + timeoutMs * TICKS_PER_MS;
      } else if (now >= until) {
        if (tries === limit) this.#giveUp(tries);
        tries++;
        this.#sendAgain();
        timeoutMs = Math.min(timeoutMs * 2, longestMs);
        until = now + timeoutMs * TICKS_PER_MS;
      }
      if (now >= deadline) this.#tooSlow();
    }
  }

  /** A packet to our port, from whomever. */
  datagram(
    buffer: Uint8Array,
    offset: number,
    length: number,
    source: Ipv4Address,
    sourcePort: number,
  ): void {
    if (this.#state === 'done' || this.#state === 'refused' || this.#failure !== undefined) return;
    const opcode = length < 2 ? 0 : get16(buffer, offset);
    const short = length < TFTP_HEADER && opcode !== TftpOpcode.OACK;
    if (source !== this.#server || short) {
      this.#ignored++;
      return;
    }
    if (this.#state === 'receiving' && sourcePort !== this.#serverPort) {
      // Somebody else's transfer. Errors are not answered with errors.
      this.#ignored++;
      if (opcode !== TftpOpcode.ERROR) this.#strayPort = sourcePort;
      return;
    }
    // Whatever the sink throws goes through the loop, not through the driver
    try {
      if (opcode === TftpOpcode.DATA) this.#takeData(buffer, offset, length, sourcePort);
      else if (opcode === TftpOpcode.OACK) this.#takeOptions(buffer, offset, length, sourcePort);
      else if (opcode === TftpOpcode.ERROR) this.#takeError(buffer, offset, length);
      else this.#ignored++;
    } catch (error) {
      this.#failure = error;
      this.#failureCode = TftpErrorCode.DISK_FULL;
    }
  }

  unreachable(destination: Ipv4Address, destinationPort: number): void {
    if (this.#state === 'done' || this.#state === 'refused') return;
    if (destination !== this.#server || destinationPort !== this.#serverPort) return;
    // Before the first answer nobody serves there; after it the server gave the transfer up
    const kind = this.#state === 'requesting' ? 'TftpPortUnreachable' : 'TftpStalled';
    this.#fail(kind, -1, `ICMP port unreachable after ${this.#received} bytes`);
  }

  #takeData(buffer: Uint8Array, offset: number, length: number, sourcePort: number): void {
    const block = get16(buffer, offset + 2);
    if (this.#state === 'requesting') {
      // A server without options begins at once (RFC 2347)
      if (block !== 1) {
        this.#ignored++;
        return;
      }
      this.#start(sourcePort, undefined);
    }

    // Numbers wrap from 65535 to 0: what lies up to half of them ahead is early, the rest is old
    const ahead = (block - this.#expected) & 0xffff;
    if (ahead !== 0) {
      if (ahead < 0x8000) this.#takeEarly();
      else this.#takeOld(block);
      return;
    }

    const size = length - TFTP_HEADER;
    if (size > this.#blockSize) {
      const text = `block ${block} has ${size} bytes, ${this.#blockSize} were agreed`;
      return this.#fail('TftpOversizedBlock', TftpErrorCode.ILLEGAL, text);
    }
    const received = this.#received + size;
    if (this.#size !== undefined && received > this.#size) {
      const text = `block ${block} ends at ${received}, the size told was ${this.#size}`;
      return this.#fail('TftpBeyondSize', TftpErrorCode.DISK_FULL, text);
    }
    const last = size < this.#blockSize;
    if (last && this.#size !== undefined && received < this.#size) {
      const text = `block ${block} ends the file at ${received}, the size told was ${this.#size}`;
      return this.#fail('TftpTruncated', TftpErrorCode.UNDEFINED, text);
    }
    if (size > 0) this.#sink.write(this.#received, buffer, offset + TFTP_HEADER, size);

    this.#received = received;
    this.#expected = (block + 1) & 0xffff;
    this.#blocks++;
    this.#progressed = true;
    this.#gapTold = false;
    if (last) this.#state = 'done';
    if (last || ((block - this.#acknowledged) & 0xffff) >= this.#windowSize) this.#ackDue = true;
  }

  /** A block is missing: say so once, and the server goes back (RFC 7440, 4). */
  #takeEarly(): void {
    this.#gaps++;
    if (this.#gapTold) return;
    this.#gapTold = true;
    this.#ackDue = true;
  }

  /**
   * A block again. Only the one that was acknowledged last says that the acknowledgement was lost;
   * to acknowledge others as well would double the traffic for ever (RFC 1123, 4.2.3.1).
   */
  #takeOld(block: number): void {
    this.#duplicates++;
    const nothingSince = this.#expected === ((this.#acknowledged + 1) & 0xffff);
    if (nothingSince && block === this.#acknowledged) this.#ackDue = true;
  }

  #takeOptions(buffer: Uint8Array, offset: number, length: number, sourcePort: number): void {
    if (this.#state === 'receiving') {
      // Again: our acknowledgement of it was lost
      this.#duplicates++;
      if (this.#blocks === 0) this.#ackDue = true;
      return;
    }
    const grant = parseOptionAck(buffer, offset, length, this.#ask);
    if (typeof grant === 'string') {
      this.#serverPort = sourcePort;
      return this.#fail('TftpBadOptions', TftpErrorCode.OPTIONS, grant);
    }
    this.#blockSize = grant.blockSize ?? TFTP_BLOCK_DEFAULT;
    this.#windowSize = grant.windowSize ?? 1;
    this.#ackDue = true;
    this.#start(sourcePort, grant.size);
  }

  /** The server has answered: its port is fixed now, and the sink may refuse. */
  #start(sourcePort: number, size: number | undefined): void {
    this.#serverPort = sourcePort;
    this.#state = 'receiving';
    this.#size = size;
    this.#progressed = true;
    const net = this.#net;
    if (net.log.on)
      net.log.info(
        'TFTP',
        net.name,
        `tftp://${ipv4Text(this.#server)}/${escaped(this.#file)}: ` +
          `${size === undefined ? 'size not told' : `${size} bytes`}, ` +
          `blocks of ${this.#blockSize}, window of ${this.#windowSize}`,
      );
    this.#sink.begin(size);
  }

  #takeError(buffer: Uint8Array, offset: number, length: number): void {
    const code = get16(buffer, offset + 2);
    const asked = this.#ask.size;
    if (this.#state === 'requesting' && asked && code === TftpErrorCode.OPTIONS) {
      this.#state = 'refused';
      return;
    }
    this.#fail(tftpErrorOf(code), -1, errorText(buffer, offset, length));
  }

  #fail(kind: ErrorName, code: number, text: string): void {
    if (this.#failure !== undefined) return;
    this.#failure = this.#error(kind, text);
    this.#failureCode = code;
  }

  #error(kind: ErrorName, text: string): HypxeError {
    return new HypxeError(kind, `tftp://${ipv4Text(this.#server)}/${escaped(this.#file)}: ${text}`);
  }

  /** Tell the server, if it is to be told, and throw what went wrong. */
  #abort(): never {
    if (this.#failureCode >= 0) {
      const failure = this.#failure;
      const text = failure instanceof HypxeError ? failure.name : 'client error';
      this.#sendError(this.#serverPort, this.#failureCode, text);
    }
    throw this.#failure;
  }

  #giveUp(tries: number): never {
    if (this.#state === 'requesting')
      throw this.#error('NoTftpAnswer', `no answer to ${tries} requests`);
    const text = `nothing after ${this.#received} bytes, asked ${tries} times`;
    this.#fail('TftpStalled', TftpErrorCode.UNDEFINED, text);
    return this.#abort();
  }

  #tooSlow(): void {
    if (this.#state !== 'receiving' && this.#state !== 'requesting') return;
    const code = this.#state === 'receiving' ? TftpErrorCode.UNDEFINED : -1;
    this.#fail('TftpTooSlow', code, `${this.#received} bytes at the deadline`);
    this.#abort();
  }

  #send(port: number, length: number): void {
    this.#net.sendUdp(this.#port, this.#server, port, length);
  }

  #sendRequest(): void {
    this.#send(this.#serverPort, putReadRequest(this.#net.payload, this.#file, this.#ask));
  }

  #sendAck(): void {
    this.#ackDue = false;
    this.#acknowledged = (this.#expected - 1) & 0xffff;
    this.#send(this.#serverPort, putAck(this.#net.payload, this.#acknowledged));
    if (this.#state === 'done') this.#report(true);
  }

  #sendError(port: number, code: number, text: string): void {
    this.#send(port, putError(this.#net.payload, code, text));
  }

  #sendAgain(): void {
    this.#retransmissions++;
    this.#gapTold = false;
    // The neighbour may have moved to other hardware
    this.#net.refresh(this.#server);
    if (this.#state === 'requesting') this.#sendRequest();
    else this.#sendAck();
  }

  #refuseStray(): void {
    const port = this.#strayPort;
    this.#strayPort = 0;
    this.#sendError(port, TftpErrorCode.UNKNOWN_TID, 'unknown transfer ID');
  }

  /** Tell how far it is, at most once in so many bytes. */
  #report(last: boolean): void {
    if (!this.#net.log.on || (!last && this.#received < this.#nextReport)) return;
    this.#nextReport = this.#received + (this.#options.progressBytes ?? TFTP_PROGRESS_BYTES);
    this.#net.log.emit({ kind: 'progress', received: this.#received, total: this.#size });
  }
}
