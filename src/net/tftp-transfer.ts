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
import type { PlainInterface } from './interface.ts';
import { TFTP_BLOCK_DEFAULT, TFTP_HEADER, TftpErrorCode, TftpOpcode } from './protocol.ts';
import { errorText, NO_OPTIONS, parseOptionAck, readRequest, tftpErrorOf } from './tftp-packet.ts';
import {
  TFTP_LONGEST_REQUEST_MS,
  TFTP_OPTION_TRIES,
  TFTP_PATIENCE,
  TFTP_PROGRESS_BYTES,
  TFTP_UNREACHABLE_TRIES,
  TFTP_WHOLE_TRIES,
  TFTP_WRAP_TRIES,
} from './tftp-options.ts';
export type { TftpResult } from './tftp-options.ts';
import type { TftpResult, TransferRequest } from './tftp-options.ts';
import type { UdpHandler } from './udp.ts';
import { HypxeError, isNamed } from '../error.ts';
import type { ErrorName } from '../error.ts';

/** One request and what follows from it. */
export class Transfer implements UdpHandler {
  readonly result: { -readonly [K in keyof TftpResult]: TftpResult[K] } = {
    length: 0,
    blocks: 0,
    blockSize: TFTP_BLOCK_DEFAULT,
    windowSize: 1,
  };
  readonly #net: PlainInterface;
  readonly #request: TransferRequest;
  /** The server has answered. */
  #begun = false;
  /** The file is there. */
  #over = false;
  /** The server, fixed by its first answer. */
  #peer: Ipv4Address;
  #peerPort: number;
  #size: number | undefined;
  /** The number of the block that comes next. */
  #expected = 1;
  /** The block acknowledged last, and blocks since then; whether something is to be sent. */
  #acknowledged = 0;
  #unacknowledged = 0;
  #due = true;
  #gapTold = false;
  #wraps = 0;
  /** Something came since it was asked for; also before anything was. */
  #progressed = true;
  /** Tries since then, and how often ICMP called them hopeless. */
  #silence = 0;
  #unreachable = 0;
  /** Somebody else who sent something. One of them is told so in each try: then the port is -1. */
  #stray: Ipv4Address = 0;
  #strayPort = 0;
  #failure: unknown;
  /** The code of the error that tells the server; -1 to tell it nothing. */
  #failureCode = -1;
  #nextReport = 0;

  constructor(net: PlainInterface, request: TransferRequest) {
    this.#net = net;
    this.#request = request;
    this.#peer = request.server;
    this.#peerPort = request.serverPort;
  }

  /** Read the file. @throws HypxeError a TftpError, a NetError, or what the sink throws */
  run(): TftpResult {
    const net = this.#net;
    const { port, deadline, options } = this.#request;
    const patience = { ...TFTP_PATIENCE, ...options };
    const first = { ...patience, longestTimeoutMs: TFTP_LONGEST_REQUEST_MS, ...options };

    // Progress, and a link that is back, restore patience; else send again what was sent last
    const ask = (tries: number): void => {
      if (!this.#progressed) this.#sendAgain();
      if (tries === 0) this.#silence = this.#unreachable = 0;
      this.#progressed = false;
      this.#strayPort = 0;
    };
    const done = (): boolean => {
      this.#answer();
      return this.#progressed || this.#over;
    };
    net.bind(port, this);
    try {
      do {
        if (!net.retry(this.#begun ? patience : first, deadline, ask, done))
          this.#giveUp(net.clock.now() >= deadline, patience.tries);
        this.#report();
      } while (!this.#over);
    } finally {
      net.unbind(port);
    }
    return this.result;
  }

  // --- what the server sends ---

  /** A packet to our port. Who answers first is the server, also from another address of it. */
  datagram(
    buffer: Uint8Array,
    offset: number,
    length: number,
    source: Ipv4Address,
    sourcePort: number,
  ): void {
    if (this.#isOver) return this.#net.drop('tftpForeign');
    const opcode = length < 2 ? 0 : get16(buffer, offset);
    if (length < TFTP_HEADER && opcode !== TftpOpcode.OACK) return this.#net.drop('tftpMalformed');
    if (this.#begun && (source !== this.#peer || sourcePort !== this.#peerPort)) {
      // Somebody else's transfer. Errors are not answered with errors
      if (opcode !== TftpOpcode.ERROR && this.#strayPort === 0) {
        this.#stray = source;
        this.#strayPort = sourcePort;
      }
      return this.#net.drop('tftpForeign');
    }
    if (opcode === TftpOpcode.ERROR) return this.#takeError(buffer, offset, length);
    if (opcode !== TftpOpcode.DATA && opcode !== TftpOpcode.OACK)
      return this.#net.drop('tftpMalformed');

    // A server without options begins at once (RFC 2347)
    if (!this.#begun && opcode === TftpOpcode.DATA && get16(buffer, offset + 2) !== 1)
      return this.#net.drop('tftpOrder');
    this.#peer = source;
    this.#peerPort = sourcePort;

    // Whatever the sink throws goes through the loop, not through the driver
    try {
      if (opcode === TftpOpcode.DATA) return this.#takeData(buffer, offset, length);
      return this.#takeOptions(buffer, offset, length);
    } catch (error) {
      this.#failure = error;
      this.#failureCode = TftpErrorCode.DISK_FULL;
    }
  }

  /** Nobody listens. That may pass before the first answer, and be a stray message after it. */
  unreachable(destination: Ipv4Address, destinationPort: number): void {
    if (this.#isOver || destination !== this.#peer || destinationPort !== this.#peerPort)
      return this.#net.drop('tftpForeign');
    this.#unreachable++;
    if (this.#isWhole) this.#over = true;
    else if (this.#begun && this.#unreachable >= TFTP_UNREACHABLE_TRIES)
      this.#fail('TftpStalled', -1, `ICMP port unreachable after ${this.result.length} bytes`);
  }

  /** The end has come already; what follows does not count. */
  get #isOver(): boolean {
    return this.#over || this.#failure !== undefined;
  }

  /** All is there that was told, but not the block that ends it. */
  get #isWhole(): boolean {
    return this.result.length === this.#size;
  }

  #takeData(buffer: Uint8Array, offset: number, length: number): void {
    const block = get16(buffer, offset + 2);
    if (!this.#begun) this.#start(undefined);

    // Numbers wrap from 65535 to 0; those of some servers to 1, which without a window is plain
    const isWrap = block === 1 && this.#expected === 0;
    if (isWrap && (this.result.windowSize === 1 || this.#wraps === TFTP_WRAP_TRIES))
      this.#expected = 1;

    // What lies up to half of the numbers ahead is early, the rest is old
    const ahead = (block - this.#expected) & 0xffff;
    if (ahead === 0) {
      return this.#takeNext(buffer, offset + TFTP_HEADER, length - TFTP_HEADER);
    }
    if (ahead < 0x8000) {
      // A block is missing: say so once, and the server goes back (RFC 7440, 4)
      if (!this.#gapTold) {
        this.#gapTold = this.#due = true;
        if (isWrap) this.#wraps++;
      }
    } else if (block === this.#acknowledged) {
      // Only the block that was acknowledged last says that the acknowledgement was lost; to
      // acknowledge others as well would double the traffic for ever (RFC 1123, 4.2.3.1)
      this.#due = true;
    }
    return this.#net.drop('tftpOrder');
  }

  /** The block that is expected. */
  #takeNext(buffer: Uint8Array, from: number, size: number): void {
    // Neither more nor less than was agreed
    const { result } = this;
    const { sink, ends } = this.#request;
    const received = result.length + size;
    const told = this.#size ?? received;
    const last = size < result.blockSize;
    if (size > result.blockSize)
      return this.#failAt('TftpOversizedBlock', TftpErrorCode.ILLEGAL, received);
    if (received > told) return this.#failAt('TftpBeyondSize', TftpErrorCode.DISK_FULL, received);
    if (last && (ends.length > 0 ? !ends.includes(received) : received < told)) {
      if (told > received) ends.push(received, told);
      return this.#failAt('TftpTruncated', TftpErrorCode.UNDEFINED, received);
    }
    if (size > 0) sink.write(result.length, buffer, from, size);

    result.length = received;
    result.blocks++;
    this.#progressed = true;
    this.#gapTold = false;
    this.#over = last;
    this.#unacknowledged++;
    if (last || this.#unacknowledged >= result.windowSize) this.#due = true;
    this.#expected = (this.#expected + 1) & 0xffff;
  }

  #takeOptions(buffer: Uint8Array, offset: number, length: number): void {
    const { result } = this;
    if (this.#begun) {
      // Again: our acknowledgement of it was lost
      if (result.blocks === 0) this.#due = true;
      return this.#net.drop('tftpOrder');
    }
    const granted = parseOptionAck(buffer, offset, length, this.#request.ask);
    if (typeof granted === 'string') {
      return this.#fail('TftpBadOptions', TftpErrorCode.OPTIONS, granted);
    }
    result.blockSize = granted.get('blksize') ?? TFTP_BLOCK_DEFAULT;
    result.windowSize = granted.get('windowsize') ?? 1;
    this.#due = true;
    this.#start(granted.get('tsize'));
  }

  /** The server has answered: its address and port are fixed now, and the sink may refuse. */
  #start(size: number | undefined): void {
    this.#size = size;
    this.#begun = this.#progressed = true;
    this.#net.log.info('TFTP', this.#net.name, `${this.#url}: ${this.#terms}`);
    this.#request.sink.begin(size);
  }

  #takeError(buffer: Uint8Array, offset: number, length: number): void {
    const code = get16(buffer, offset + 2);
    if (this.#isWhole) this.#over = true;
    else this.#fail(tftpErrorOf(code), -1, errorText(buffer, offset, length));
  }

  // --- failures ---

  get #url(): string {
    const { server, file } = this.#request;
    return `tftp://${ipv4Text(server)}/${escaped(file)}`;
  }

  /** What was agreed with the server. */
  get #terms(): string {
    const { blockSize, windowSize } = this.result;
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
    const { length } = this.result;
    const kind = late
      ? 'TftpTooSlow'
      : this.#begun
        ? 'TftpStalled'
        : this.#unreachable > 0
          ? 'TftpPortUnreachable'
          : 'NoTftpAnswer';
    const came = late
      ? `${length} bytes at the deadline`
      : `nothing after ${length} bytes, asked ${tries} times`;
    this.#fail(kind, this.#begun ? TftpErrorCode.UNDEFINED : -1, came);
    this.#answer();
  }

  // --- what we send ---

  /** Send what is due, but for failures: they are told to the server, and thrown. */
  #answer(): void {
    const failure = this.#failure;
    if (failure !== undefined) {
      const text = isNamed(failure) ? failure.name : 'client error';
      if (this.#failureCode >= 0) this.#sendError(this.#failureCode, text);
      throw failure;
    }
    if (this.#strayPort > 0) {
      this.#sendError(
        TftpErrorCode.UNKNOWN_TID,
        'unknown transfer ID',
        this.#stray,
        this.#strayPort,
      );
      this.#strayPort = -1;
    }
    if (this.#due) this.#sendDue();
  }

  /** The request, or an acknowledgement of what came in order. */
  #sendDue(): void {
    const { payload } = this.#net;
    this.#due = false;
    if (!this.#begun) {
      const { file, ask } = this.#request;
      const options = this.#silence < TFTP_OPTION_TRIES ? ask : NO_OPTIONS;
      return this.#send(TftpOpcode.RRQ, putText(payload, 2, readRequest(file, options)));
    }
    this.#acknowledged = (this.#expected - 1) & 0xffff;
    this.#unacknowledged = 0;
    put16(payload, 2, this.#acknowledged);
    this.#send(TftpOpcode.ACK, TFTP_HEADER);
  }

  #sendError(code: number, text: string, to?: Ipv4Address, port?: number): void {
    put16(this.#net.payload, 2, code);
    const length = putText(this.#net.payload, TFTP_HEADER, `${text}\0`);
    this.#send(TftpOpcode.ERROR, length, to, port);
  }

  /** Opcode, text or number behind it. Returns nothing: a lost packet is sent again. */
  #send(opcode: number, length: number, to = this.#peer, port = this.#peerPort): void {
    put16(this.#net.payload, 0, opcode);
    this.#net.sendUdp(this.#request.port, to, port, length);
  }

  #sendAgain(): void {
    this.#silence++;
    if (this.#isWhole && this.#silence >= TFTP_WHOLE_TRIES) this.#over = true;
    this.#gapTold = false;
    this.#due = true;
    // The neighbour may have moved to other hardware
    this.#net.refresh(this.#peer);
  }

  /** There is progress: tell how far it is, at most once in so many bytes. */
  #report(): void {
    const { length: received } = this.result;
    this.#net.progress();
    if (!this.#over && received < this.#nextReport) return;
    this.#nextReport = received + (this.#request.options.progressBytes ?? TFTP_PROGRESS_BYTES);
    this.#net.log.emit({ kind: 'progress', received, total: this.#size });
  }
}
