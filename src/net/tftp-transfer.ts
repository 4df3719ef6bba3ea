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
import type { NetworkInterface, UdpHandler } from './network-interface.ts';
import { Port, TFTP_BLOCK_DEFAULT, TFTP_HEADER, TftpErrorCode, TftpOpcode } from './protocol.ts';
import { errorText, parseOptionAck, readRequest, tftpErrorOf } from './tftp-packet.ts';
import type { TftpValues } from './tftp-packet.ts';
import { HypxeError, isNamed } from '../error.ts';
import type { ErrorName } from '../error.ts';
import { TICKS_PER_MS } from '../time.ts';

/** Patience with the server: first try, doubled for each further one up to the longest. */
export const TFTP_FIRST_TIMEOUT_MS = 500;
export const TFTP_LONGEST_TIMEOUT_MS = 4000;

/** Times that a packet is sent without any progress, the first included. */
export const TFTP_TRIES = 8;

/** Patience with the whole download. */
export const TFTP_TOTAL_MS = 1_800_000;

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
  /** Blocks that came again, that came too early, and packets that we sent again. */
  readonly duplicates: number;
  readonly gaps: number;
  readonly retransmissions: number;
  /** Packets of other hosts and ports, and malformed ones. */
  readonly ignored: number;
}

/** One request and what follows from it. */
export class Transfer implements UdpHandler {
  readonly result: { -readonly [K in keyof TftpResult]: TftpResult[K] } = {
    ...{ length: 0, blocks: 0, blockSize: TFTP_BLOCK_DEFAULT, windowSize: 1 },
    ...{ duplicates: 0, gaps: 0, retransmissions: 0, ignored: 0 },
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
  #refused = false;
  /** The server's port: fixed by its first answer. */
  #serverPort: number;
  #size: number | undefined;
  /** The number of the block that comes next. */
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

  /** Read the file. False: the server does not want options, and nothing was begun. */
  run(): boolean {
    this.#net.bind(this.#port, this);
    try {
      this.#transfer();
    } finally {
      this.#net.unbind(this.#port);
    }
    return !this.#refused;
  }

  #transfer(): void {
    const net = this.#net;
    const { clock } = net;
    const {
      firstTimeoutMs = TFTP_FIRST_TIMEOUT_MS,
      longestTimeoutMs = TFTP_LONGEST_TIMEOUT_MS,
      tries: limit = TFTP_TRIES,
      totalMs = TFTP_TOTAL_MS,
    } = this.#options;
    const deadline = clock.now() + totalMs * TICKS_PER_MS;
    let timeoutMs = firstTimeoutMs;
    let tries = 1;
    this.#sendLast();
    let until = clock.now() + timeoutMs * TICKS_PER_MS;
    while (!this.#over) {
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
        timeoutMs = firstTimeoutMs;
        tries = 1;
        until = now + timeoutMs * TICKS_PER_MS;
      } else if (now >= until) {
        if (tries === limit) this.#giveUp(tries);
        tries++;
        this.#sendAgain();
        timeoutMs = Math.min(timeoutMs * 2, longestTimeoutMs);
        until = now + timeoutMs * TICKS_PER_MS;
      }
      if (now >= deadline && !this.#over) this.#tooSlow();
    }
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
    if (this.#over || this.#failure !== undefined) return;
    const opcode = length < 2 ? 0 : get16(buffer, offset);
    const short = length < TFTP_HEADER && opcode !== TftpOpcode.OACK;
    const stray = this.#begun && sourcePort !== this.#serverPort;
    if (source === this.#server && !short && !stray) {
      // Whatever the sink throws goes through the loop, not through the driver
      try {
        if (opcode === TftpOpcode.DATA) return this.#takeData(buffer, offset, length, sourcePort);
        if (opcode === TftpOpcode.OACK)
          return this.#takeOptions(buffer, offset, length, sourcePort);
        if (opcode === TftpOpcode.ERROR) return this.#takeError(buffer, offset, length);
      } catch (error) {
        this.#failure = error;
        this.#failureCode = TftpErrorCode.DISK_FULL;
        return;
      }
    } else if (source === this.#server && !short && opcode !== TftpOpcode.ERROR) {
      // Somebody else's transfer. Errors are not answered with errors.
      this.#strayPort = sourcePort;
    }
    this.result.ignored++;
  }

  unreachable(destination: Ipv4Address, destinationPort: number): void {
    if (this.#over) return;
    if (destination !== this.#server || destinationPort !== this.#serverPort) return;
    // Before the first answer nobody serves there; after it the server gave the transfer up
    const kind = this.#begun ? 'TftpStalled' : 'TftpPortUnreachable';
    this.#fail(kind, -1, `ICMP port unreachable after ${this.result.length} bytes`);
  }

  #takeData(buffer: Uint8Array, offset: number, length: number, sourcePort: number): void {
    const { result } = this;
    const block = get16(buffer, offset + 2);
    if (!this.#begun) {
      // A server without options begins at once (RFC 2347)
      if (block !== 1) {
        result.ignored++;
        return;
      }
      this.#start(sourcePort);
    }

    // Numbers wrap from 65535 to 0: what lies up to half of them ahead is early, the rest is old
    const ahead = (block - this.#expected) & 0xffff;
    if (ahead !== 0) return ahead < 0x8000 ? this.#takeEarly() : this.#takeOld(block);

    // Neither more nor less than was agreed
    const { blockSize } = result;
    const size = length - TFTP_HEADER;
    const received = result.length + size;
    const told = this.#size ?? received;
    const last = size < blockSize;
    if (size > blockSize) {
      const text = `block ${block} has ${size} bytes, ${blockSize} were agreed`;
      return this.#fail('TftpOversizedBlock', TftpErrorCode.ILLEGAL, text);
    }
    if (received > told) {
      const text = `block ${block} ends at ${received}, the size told was ${told}`;
      return this.#fail('TftpBeyondSize', TftpErrorCode.DISK_FULL, text);
    }
    if (last && received < told) {
      const text = `block ${block} ends the file at ${received}, the size told was ${told}`;
      return this.#fail('TftpTruncated', TftpErrorCode.UNDEFINED, text);
    }
    if (size > 0) this.#sink.write(result.length, buffer, offset + TFTP_HEADER, size);

    result.length = received;
    result.blocks++;
    this.#expected = (block + 1) & 0xffff;
    this.#progressed = true;
    this.#gapTold = false;
    this.#over = last;
    const unacknowledged = (block - this.#acknowledged) & 0xffff;
    if (last || unacknowledged >= result.windowSize) this.#ackDue = true;
  }

  /** A block is missing: say so once, and the server goes back (RFC 7440, 4). */
  #takeEarly(): void {
    this.result.gaps++;
    if (!this.#gapTold) this.#gapTold = this.#ackDue = true;
  }

  /**
   * A block again. Only the one that was acknowledged last says that the acknowledgement was lost;
   * to acknowledge others as well would double the traffic for ever (RFC 1123, 4.2.3.1).
   */
  #takeOld(block: number): void {
    this.result.duplicates++;
    const nothingSince = this.#expected === ((this.#acknowledged + 1) & 0xffff);
    if (nothingSince && block === this.#acknowledged) this.#ackDue = true;
  }

  #takeOptions(buffer: Uint8Array, offset: number, length: number, sourcePort: number): void {
    const { result } = this;
    if (this.#begun) {
      // Again: our acknowledgement of it was lost
      result.duplicates++;
      if (result.blocks === 0) this.#ackDue = true;
      return;
    }
    const granted = parseOptionAck(buffer, offset, length, this.#ask);
    if (typeof granted === 'string') {
      this.#serverPort = sourcePort;
      return this.#fail('TftpBadOptions', TftpErrorCode.OPTIONS, granted);
    }
    result.blockSize = granted.get('blksize') ?? TFTP_BLOCK_DEFAULT;
    result.windowSize = granted.get('windowsize') ?? 1;
    this.#ackDue = true;
    this.#start(sourcePort, granted.get('tsize'));
  }

  /** The server has answered: its port is fixed now, and the sink may refuse. */
  #start(sourcePort: number, size?: number): void {
    const { blockSize, windowSize } = this.result;
    this.#serverPort = sourcePort;
    this.#begun = true;
    this.#size = size;
    this.#progressed = true;
    const told = size === undefined ? 'size not told' : `${size} bytes`;
    const text = `${this.#url}: ${told}, blocks of ${blockSize}, window of ${windowSize}`;
    this.#net.log.info('TFTP', this.#net.name, text);
    this.#sink.begin(size);
  }

  #takeError(buffer: Uint8Array, offset: number, length: number): void {
    const code = get16(buffer, offset + 2);
    const refusable = !this.#begun && this.#ask.size > 0;
    if (refusable && code === TftpErrorCode.OPTIONS) this.#over = this.#refused = true;
    else this.#fail(tftpErrorOf(code), -1, errorText(buffer, offset, length));
  }

  // --- failures ---

  get #url(): string {
    return `tftp://${ipv4Text(this.#server)}/${escaped(this.#file)}`;
  }

  /** The first failure counts. A code of -1 tells the server nothing. */
  #fail(kind: ErrorName, code: number, text: string): void {
    if (this.#failure !== undefined) return;
    this.#failure = new HypxeError(kind, `${this.#url}: ${text}`);
    this.#failureCode = code;
  }

  /** Tell the server, if it is to be told, and throw what went wrong. */
  #abort(): never {
    const failure = this.#failure;
    if (this.#failureCode >= 0) {
      const text = isNamed(failure) ? failure.name : 'client error';
      this.#sendError(this.#serverPort, this.#failureCode, text);
    }
    throw failure;
  }

  #giveUp(tries: number): never {
    if (!this.#begun) this.#fail('NoTftpAnswer', -1, `no answer to ${tries} requests`);
    const text = `nothing after ${this.result.length} bytes, asked ${tries} times`;
    this.#fail('TftpStalled', TftpErrorCode.UNDEFINED, text);
    return this.#abort();
  }

  #tooSlow(): never {
    const code = this.#begun ? TftpErrorCode.UNDEFINED : -1;
    this.#fail('TftpTooSlow', code, `${this.result.length} bytes at the deadline`);
    return this.#abort();
  }

  // --- what we send ---

  /** Opcode, text or number behind it. Returns nothing: a lost packet is sent again. */
  #send(port: number, opcode: number, length: number): void {
    put16(this.#net.payload, 0, opcode);
    this.#net.sendUdp(this.#port, this.#server, port, length);
  }

  #sendLast(): void {
    if (this.#begun) return this.#sendAck();
    const length = putText(this.#net.payload, 2, readRequest(this.#file, this.#ask));
    this.#send(this.#serverPort, TftpOpcode.RRQ, length);
  }

  #sendAck(): void {
    this.#ackDue = false;
    this.#acknowledged = (this.#expected - 1) & 0xffff;
    put16(this.#net.payload, 2, this.#acknowledged);
    this.#send(this.#serverPort, TftpOpcode.ACK, TFTP_HEADER);
    if (this.#over) this.#report(true);
  }

  #sendError(port: number, code: number, text: string): void {
    put16(this.#net.payload, 2, code);
    this.#send(port, TftpOpcode.ERROR, putText(this.#net.payload, TFTP_HEADER, `${text}\0`));
  }

  #sendAgain(): void {
    this.result.retransmissions++;
    this.#gapTold = false;
    // The neighbour may have moved to other hardware
    this.#net.refresh(this.#server);
    this.#sendLast();
  }

  #refuseStray(): void {
    const port = this.#strayPort;
    this.#strayPort = 0;
    this.#sendError(port, TftpErrorCode.UNKNOWN_TID, 'unknown transfer ID');
  }

  /** Tell how far it is, at most once in so many bytes. */
  #report(last: boolean): void {
    const { length: received } = this.result;
    if (!last && received < this.#nextReport) return;
    this.#nextReport = received + (this.#options.progressBytes ?? TFTP_PROGRESS_BYTES);
    this.#net.log.emit({ kind: 'progress', received, total: this.#size });
  }
}
