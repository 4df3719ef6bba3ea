// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One TFTP read request and what follows from it (RFC 1350, 2347 to 2349, 7440). Blocks are taken
 * in order only; a gap is answered with the last block in order, once, and the timer does the
 * rest. After the last block nobody waits for lost acknowledgements: the server gives up by
 * itself, and the machine boots.
 *
 * Receiving a block and acknowledging it allocates nothing.
 */

import { escaped, get16, ipv4Text, put16, putText } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { DownloadSink } from './download.ts';
import type { NetworkInterface, Patience, UdpHandler } from './network-interface.ts';
import { Port, TFTP_BLOCK_DEFAULT, TFTP_HEADER, TftpErrorCode, TftpOpcode } from './protocol.ts';
import { errorText, parseOptionAck, readRequest, tftpErrorOf } from './tftp-packet.ts';
import type { TftpValues } from './tftp-packet.ts';
import { HypxeError, isNamed } from '../error.ts';
import type { ErrorName } from '../error.ts';
import { TICKS_PER_MS } from '../time.ts';

/**
 * Patience with the server: the first try, doubled for each further one up to the longest; times
 * that a packet is sent without any progress, the first included; and the whole download.
 */
export const TFTP_PATIENCE: Required<Pick<TransferOptions, keyof Patience | 'totalMs'>> = {
  firstTimeoutMs: 500,
  longestTimeoutMs: 4000,
  tries: 8,
  totalMs: 1_800_000,
};

/** Bytes between two progress events. */
export const TFTP_PROGRESS_BYTES = 1 << 18;

/** Patience, and what to send. All times in milliseconds. */
export interface TransferOptions {
  readonly firstTimeoutMs?: number;
  readonly longestTimeoutMs?: number;
  readonly tries?: number;
  readonly totalMs?: number;
  readonly progressBytes?: number;
  /** Port of the server. Default 69. */
  readonly port?: number;
}

/** What became of a transfer. */
export interface TftpResult {
  /** Bytes received. */
  readonly length: number;
  readonly blocks: number;
  /** As agreed with the server. */
  readonly blockSize: number;
  readonly windowSize: number;
}

/** One request and what follows from it. */
export class Transfer implements UdpHandler {
  readonly #result: { -readonly [K in keyof TftpResult]: TftpResult[K] } = {
    length: 0,
    blocks: 0,
    blockSize: TFTP_BLOCK_DEFAULT,
    windowSize: 1,
  };
  readonly #net: NetworkInterface;
  readonly #server: Ipv4Address;
  readonly #file: string;
  readonly #port: number;
  readonly #ask: TftpValues;
  readonly #sink: DownloadSink;
  readonly #options: TransferOptions;
  /** The server has answered. */
  #begun = false;
  /** The file is there, or the server does not want options. */
  #over = false;
  /** The server's port: fixed by its first answer. */
  #serverPort: number;
  #size: number | undefined;
  /** The number of the block that comes next. */
  #expected = 1;
  /** The block acknowledged last; and whether the request or the next block is to be sent. */
  #acknowledged = 0;
  #due = true;
  #gapTold = false;
  /** Something came since it was asked for; also before anything was. */
  #progressed = true;
  /** Another port of the server that sent something in this turn. */
  #strayPort = 0;
  #failure: unknown;
  /** The code of the error that tells the server; -1 to tell it nothing. */
  #failureCode = -1;
  #nextReport = 0;

  constructor(
    net: NetworkInterface,
    server: Ipv4Address,
    file: string,
    port: number,
    ask: TftpValues,
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

  /** Read the file. Undefined: the server does not want options, and nothing was begun. */
  run(): TftpResult | undefined {
    const net = this.#net;
    const patience = { ...TFTP_PATIENCE, ...this.#options };
    const deadline = net.clock.now() + patience.totalMs * TICKS_PER_MS;

    // Each progress restores patience; without any, send again what was sent last
    const ask = (): void => {
      if (!this.#progressed) this.#sendAgain();
      this.#progressed = false;
    };
    const done = (): boolean => {
      this.#answer();
      return this.#progressed || this.#over;
    };
    net.bind(this.#port, this);
    try {
      do {
        if (!net.retry(patience, deadline, ask, done))
          this.#giveUp(net.clock.now() >= deadline, patience.tries);
        if (this.#begun) this.#report();
      } while (!this.#over);
    } finally {
      net.unbind(this.#port);
    }
    return this.#begun ? this.#result : undefined;
  }

  // --- what the server sends ---

  /** A packet to our port, from whomever. */
  datagram(
    buffer: Uint8Array,
    offset: number,
    length: number,
    source: Ipv4Address,
    sourcePort: number,
  ): void {
    if (this.#isOver || source !== this.#server || length < 2) return;
    const opcode = get16(buffer, offset);
    if (length < TFTP_HEADER && opcode !== TftpOpcode.OACK) return;
    if (this.#begun && sourcePort !== this.#serverPort) {
      // Somebody else's transfer. Errors are not answered with errors
      if (opcode !== TftpOpcode.ERROR) this.#strayPort = sourcePort;
      return;
    }

    // Whatever the sink throws goes through the loop, not through the driver
    try {
      if (opcode === TftpOpcode.DATA) this.#takeData(buffer, offset, length, sourcePort);
      else if (opcode === TftpOpcode.OACK) this.#takeOptions(buffer, offset, length, sourcePort);
      else if (opcode === TftpOpcode.ERROR) this.#takeError(buffer, offset, length);
    } catch (error) {
      this.#failure = error;
      this.#failureCode = TftpErrorCode.DISK_FULL;
    }
  }

  unreachable(destination: Ipv4Address, destinationPort: number): void {
    if (this.#isOver || destination !== this.#server || destinationPort !== this.#serverPort)
      return;
    // Before the first answer nobody serves there; after it the server gave the transfer up
    const kind = this.#begun ? 'TftpStalled' : 'TftpPortUnreachable';
    this.#fail(kind, -1, `ICMP port unreachable after ${this.#result.length} bytes`);
  }

  /** The end has come already; what follows does not count. */
  get #isOver(): boolean {
    return this.#over || this.#failure !== undefined;
  }

  #takeData(buffer: Uint8Array, offset: number, length: number, sourcePort: number): void {
    const block = get16(buffer, offset + 2);
    if (!this.#begun) {
      // A server without options begins at once (RFC 2347)
      if (block !== 1) return;
      this.#start(sourcePort, undefined);
    }

    // Numbers wrap from 65535 to 0: what lies up to half of them ahead is early, the rest is old
    const ahead = (block - this.#expected) & 0xffff;
    if (ahead === 0) return this.#takeNext(buffer, offset + TFTP_HEADER, length - TFTP_HEADER);
    if (ahead < 0x8000) {
      // A block is missing: say so once, and the server goes back (RFC 7440, 4)
      if (!this.#gapTold) this.#gapTold = this.#due = true;
    } else if (ahead === 0xffff && block === this.#acknowledged) {
      // Only the block that was acknowledged last says that the acknowledgement was lost; to
      // acknowledge others as well would double the traffic for ever (RFC 1123, 4.2.3.1)
      this.#due = true;
    }
  }

  /** The block that is expected. */
  #takeNext(buffer: Uint8Array, from: number, size: number): void {
    // Neither more nor less than was agreed
    const result = this.#result;
    const received = result.length + size;
    const told = this.#size ?? received;
    const last = size < result.blockSize;
    if (size > result.blockSize)
      return this.#failAt('TftpOversizedBlock', TftpErrorCode.ILLEGAL, received);
    if (received > told) return this.#failAt('TftpBeyondSize', TftpErrorCode.DISK_FULL, received);
    if (last && received < told)
      return this.#failAt('TftpTruncated', TftpErrorCode.UNDEFINED, received);
    if (size > 0) this.#sink.write(result.length, buffer, from, size);

    result.length = received;
    result.blocks++;
    this.#progressed = true;
    this.#gapTold = false;
    this.#over = last;
    const unacknowledged = (this.#expected - this.#acknowledged) & 0xffff;
    if (last || unacknowledged >= result.windowSize) this.#due = true;
    this.#expected = (this.#expected + 1) & 0xffff;
  }

  #takeOptions(buffer: Uint8Array, offset: number, length: number, sourcePort: number): void {
    const result = this.#result;
    if (this.#begun) {
      // Again: our acknowledgement of it was lost
      if (result.blocks === 0) this.#due = true;
      return;
    }
    this.#serverPort = sourcePort;
    const granted = parseOptionAck(buffer, offset, length, this.#ask);
    if (typeof granted === 'string')
      return this.#fail('TftpBadOptions', TftpErrorCode.OPTIONS, granted);
    result.blockSize = granted.get('blksize') ?? TFTP_BLOCK_DEFAULT;
    result.windowSize = granted.get('windowsize') ?? 1;
    this.#due = true;
    this.#start(sourcePort, granted.get('tsize'));
  }

  /** The server has answered: its port is fixed now, and the sink may refuse. */
  #start(sourcePort: number, size: number | undefined): void {
    this.#serverPort = sourcePort;
    this.#size = size;
    this.#begun = this.#progressed = true;
    this.#net.log.info('TFTP', this.#net.name, `${this.#url}: ${this.#terms}`);
    this.#sink.begin(size);
  }

  #takeError(buffer: Uint8Array, offset: number, length: number): void {
    const code = get16(buffer, offset + 2);
    const refusable = !this.#begun && this.#ask.size > 0;
    if (refusable && code === TftpErrorCode.OPTIONS) this.#over = true;
    else this.#fail(tftpErrorOf(code), -1, errorText(buffer, offset, length));
  }

  // --- failures ---

  get #url(): string {
    return `tftp://${ipv4Text(this.#server)}/${escaped(this.#file)}`;
  }

  /** What was agreed with the server. */
  get #terms(): string {
    const { blockSize, windowSize } = this.#result;
    const told = this.#size === undefined ? 'size not told' : `${this.#size} bytes`;
    return `${told}, blocks of ${blockSize}, window of ${windowSize}`;
  }

  /** A code of -1 tells the server nothing. */
  #fail(kind: ErrorName, code: number, text: string): void {
    this.#failure = new HypxeError(kind, `${this.#url}: ${text}`);
    this.#failureCode = code;
  }

  /** The block that is expected breaks what was agreed. */
  #failAt(kind: ErrorName, code: number, end: number): void {
    this.#fail(kind, code, `block ${this.#expected} ends at ${end}, told were ${this.#terms}`);
  }

  /** Patience is over: with the whole download, or with a server that says nothing. */
  #giveUp(late: boolean, tries: number): void {
    const { length } = this.#result;
    const code = this.#begun ? TftpErrorCode.UNDEFINED : -1;
    if (late) this.#fail('TftpTooSlow', code, `${length} bytes at the deadline`);
    else if (this.#begun)
      this.#fail('TftpStalled', code, `nothing after ${length} bytes, asked ${tries} times`);
    else this.#fail('NoTftpAnswer', code, `no answer to ${tries} requests`);
    this.#answer();
  }

  // --- what we send ---

  /** Send what is due, but for failures: they are told to the server, and thrown. */
  #answer(): void {
    const failure = this.#failure;
    if (failure !== undefined) {
      const text = isNamed(failure) ? failure.name : 'client error';
      if (this.#failureCode >= 0) this.#sendError(this.#serverPort, this.#failureCode, text);
      throw failure;
    }
    if (this.#strayPort !== 0)
      this.#sendError(this.#strayPort, TftpErrorCode.UNKNOWN_TID, 'unknown transfer ID');
    this.#strayPort = 0;
    if (this.#due) this.#sendDue();
  }

  /** The request, or an acknowledgement of what came in order. */
  #sendDue(): void {
    const { payload } = this.#net;
    this.#due = false;
    if (!this.#begun) {
      const length = putText(payload, 2, readRequest(this.#file, this.#ask));
      return this.#send(this.#serverPort, TftpOpcode.RRQ, length);
    }
    this.#acknowledged = (this.#expected - 1) & 0xffff;
    put16(payload, 2, this.#acknowledged);
    this.#send(this.#serverPort, TftpOpcode.ACK, TFTP_HEADER);
  }

  #sendError(port: number, code: number, text: string): void {
    put16(this.#net.payload, 2, code);
    this.#send(port, TftpOpcode.ERROR, putText(this.#net.payload, TFTP_HEADER, `${text}\0`));
  }

  /** Opcode, text or number behind it. Returns nothing: a lost packet is sent again. */
  #send(port: number, opcode: number, length: number): void {
    put16(this.#net.payload, 0, opcode);
    this.#net.sendUdp(this.#port, this.#server, port, length);
  }

  #sendAgain(): void {
    this.#gapTold = false;
    this.#due = true;
    // The neighbour may have moved to other hardware
    this.#net.refresh(this.#server);
  }

  /** There is progress: tell how far it is, at most once in so many bytes. */
  #report(): void {
    const { length: received } = this.#result;
    this.#net.progress();
    if (!this.#over && received < this.#nextReport) return;
    this.#nextReport = received + (this.#options.progressBytes ?? TFTP_PROGRESS_BYTES);
    this.#net.log.emit({ kind: 'progress', received, total: this.#size });
  }
}
