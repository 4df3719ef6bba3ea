// SPDX-License-Identifier: GPL-2.0-or-later

/** A TFTP server (RFC 1350) for reading: requests, and which packet belongs to which transfer. */

import { TftpErrorCode, TftpOpcode } from '../../../../src/net/protocol.ts';
import { ipText } from '../address.ts';
import type { NetworkContext } from '../context.ts';
import type { FileSource } from '../files.ts';
import { plainPath } from '../files.ts';
import { UDP } from '../protocol.ts';
import type { Datagram, ServerHost, UdpRoute } from '../server-host.ts';
import type { TransferRecord } from '../statistics.ts';
import { TRANSFER_RECORDS_MAX } from '../statistics.ts';
import type { TftpRequest } from './tftp-message.ts';
import { errorText, parseRequest, writeError } from './tftp-message.ts';
import type { TftpHabit, TftpPlan } from './tftp-options.ts';
import { agree, SLOW_TICKS } from './tftp-options.ts';
import { Transfer, WRONG_PORT } from './tftp-transfer.ts';
import type { Keeper } from '../../base/snapshot.ts';

/** Ports that transfers get, one after the other (RFC 6335: the dynamic ports). */
const FIRST_PORT = 49_152;
const PORTS = 0x10000 - FIRST_PORT;

export class TftpServer {
  readonly #context: NetworkContext;
  readonly #host: ServerHost;
  readonly #plan: TftpPlan;
  readonly #files: FileSource;
  /** By the client's address and port, and the server's. */
  readonly #transfers = new Map<string, Transfer>();
  #nextPort = 0;
  /** Habits that show once: what is left of them. */
  readonly #once: Set<TftpHabit>;
  /** When a slow server answers, in ticks; undefined before it was asked. */
  #awakeAt: number | undefined;

  constructor(context: NetworkContext, host: ServerHost, plan: TftpPlan, files: FileSource) {
    this.#context = context;
    this.#host = host;
    this.#plan = plan;
    this.#files = files;
    this.#once = new Set(plan.habits);
    host.bind(plan.port, (datagram) => this.#receive(datagram));
    // Whatever clients say to the wrong port is heard, and left at that
    if (plan.wrongPort) host.bind(WRONG_PORT, () => {});
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#nextPort, this.#awakeAt], (v) => ([this.#nextPort, this.#awakeAt] = v));
    keeper.keep(this.#context, this.#host, this.#transfers, this.#once);
  }

  /** A packet to the port for requests. */
  #receive(datagram: Datagram): void | false {
    if (this.#once.delete('late-start')) return false;

    // A request to everybody is ignored (RFC 1123, 4.2.3.5)
    if (!datagram.isUnicast) {
      this.#context.count('bad-tftp');
      return;
    }
    const route = this.#answerTo(datagram);
    const opcode = datagram.length < 2 ? 0 : datagram.view.getUint16(datagram.offset);
    const known = this.#transfers.get(key(route));
    if (opcode === TftpOpcode.RRQ) this.#read(datagram, route, known);
    else if (opcode === TftpOpcode.WRQ) {
      this.#refuse(route, TftpErrorCode.ACCESS, 'this server is read-only');
    } else if (known !== undefined) known.receive(datagram);
    else if (opcode === TftpOpcode.ERROR) {
      if (this.#context.logging) this.#context.log(`TFTP: stray ${errorText(datagram)}`);
    } else if (this.#plan.samePort) {
      this.#context.statistics.tftp.unknownTids++;
      this.#refuse(route, TftpErrorCode.UNKNOWN_TID, 'unknown transfer');
    } else {
      this.#refuse(route, TftpErrorCode.ILLEGAL, `opcode ${opcode} is not a request`);
    }
  }

  #read(datagram: Datagram, route: UdpRoute, known: Transfer | undefined): void {
    const counters = this.#context.statistics.tftp;
    counters.requests++;
    if (this.#plan.silent) return;
    const request = parseRequest(datagram);
    if (request === undefined) {
      this.#context.count('bad-tftp');
      this.#reject(route, '', TftpErrorCode.ILLEGAL, 'malformed request');
      return;
    }
    // With one port for all, a repeated request is told from a new one by its transfer
    if (known !== undefined && known.record.path === plainPath(request.path)) return;
    if (!this.#plan.habits.has('slow')) this.#serve(request, route);
    else if (this.#awakeAt === undefined) {
      this.#awakeAt = this.#context.clock.now + SLOW_TICKS;
      this.#context.clock.schedule(SLOW_TICKS, () => this.#serve(request, route));
    } else if (this.#context.clock.now >= this.#awakeAt) this.#serve(request, route);
  }

  #serve(request: TftpRequest, route: UdpRoute): void {
    if (this.#plan.habits.has('deaf') && request.options.size > 0) return;
    const data = this.#open(request, route);
    if (data === undefined) return;
    if (this.#transfers.size === this.#plan.maxTransfers) {
      this.#reject(route, request.path, TftpErrorCode.UNDEFINED, 'too many transfers');
      return;
    }
    this.#begin(request, route, data);
  }

  /** The file of a request; undefined: the client has got an error. */
  #open({ path, mode, options }: TftpRequest, route: UdpRoute): Uint8Array | undefined {
    const refuse = (code: number, text: string): undefined => this.#reject(route, path, code, text);
    if (mode !== 'octet') return refuse(TftpErrorCode.ILLEGAL, `mode ${mode} is not served`);
    const plain = plainPath(path);
    if (plain === undefined) return refuse(TftpErrorCode.ACCESS, 'the path leaves the root');
    const error = this.#plan.errors.get(plain);
    if (error !== undefined) return refuse(error.code, error.text);
    const refusal = this.#refusal;
    if (refusal !== undefined && options.size > 0) return refuse(refusal, 'options are refused');
    const data = this.#files.read(plain);
    if (data === undefined) return refuse(TftpErrorCode.NOT_FOUND, 'file not found');
    if ('error' in data) return refuse(TftpErrorCode.UNDEFINED, data.error);
    return data;
  }

  /** The code with which options are refused, if they are. */
  get #refusal(): number | undefined {
    const { habits, options } = this.#plan;
    if (habits.has('error-0')) return TftpErrorCode.UNDEFINED;
    if (habits.has('error-4')) return TftpErrorCode.ILLEGAL;
    return options === 'refuse' || habits.has('error-8') ? TftpErrorCode.OPTIONS : undefined;
  }

  #begin(request: TftpRequest, route: UdpRoute, data: Uint8Array): void {
    if (!this.#plan.samePort) route.sourcePort = this.#takePort();
    const terms = agree(this.#plan, request.options, data.length);
    const record: TransferRecord = {
      path: plainPath(request.path)!,
      client: `${ipText(route.destination)}:${route.destinationPort}`,
      port: route.sourcePort,
      size: data.length,
      acknowledged: 0,
      blockSize: terms.blockSize,
      windowSize: terms.windowSize,
      blocks: 0,
      retransmissions: 0,
      startedAt: this.#context.clock.now,
      endedAt: undefined,
      outcome: 'running',
      message: '',
    };
    const transfer = new Transfer(this.#context, this.#host, {
      plan: this.#plan,
      terms,
      data,
      route,
      record,
      once: this.#once,
      ended: (ended) => this.#forget(ended),
      refuse: (to, code, text) => this.#refuse(to, code, text),
    });
    this.#remember(transfer);
    transfer.begin();
  }

  #remember(transfer: Transfer): void {
    const { tftp, transfers } = this.#context.statistics;
    tftp.started++;
    if (transfers.length === TRANSFER_RECORDS_MAX) transfers.shift();
    transfers.push(transfer.record);
    this.#transfers.set(key(transfer.route), transfer);
    if (!this.#plan.samePort) {
      this.#host.bind(transfer.route.sourcePort, (datagram) =>
        this.#toTransfer(transfer, datagram),
      );
    }
    if (this.#context.logging) {
      const { path, size, client, blockSize, windowSize } = transfer.record;
      this.#context.log(
        `TFTP: ${path} (${size} bytes) to ${client}, blocks of ${blockSize}, window ${windowSize}`,
      );
    }
  }

  /** A packet to the port of a transfer: only its client may speak there (RFC 1350, 4). */
  #toTransfer(transfer: Transfer, datagram: Datagram): void {
    const { destination, destinationPort } = transfer.route;
    if (datagram.source === destination && datagram.sourcePort === destinationPort) {
      transfer.receive(datagram);
      return;
    }
    this.#context.statistics.tftp.unknownTids++;
    const isError = datagram.length >= 2 && datagram.view.getUint16(datagram.offset) === 5;
    if (isError) return;
    this.#refuse(this.#answerTo(datagram), TftpErrorCode.UNKNOWN_TID, 'unknown transfer');
  }

  #forget(transfer: Transfer): void {
    this.#transfers.delete(key(transfer.route));
    if (!this.#plan.samePort) this.#host.unbind(transfer.route.sourcePort);
    const { tftp } = this.#context.statistics;
    const { outcome, path, client, acknowledged, retransmissions, message } = transfer.record;
    if (outcome === 'complete') tftp.completed++;
    else if (outcome === 'timed-out') tftp.timedOut++;
    else tftp.failed++;
    if (this.#context.logging) {
      const why = message === '' ? '' : ` (${message})`;
      this.#context.log(
        `TFTP: ${path} to ${client}: ${outcome}${why}, ` +
          `${acknowledged} bytes, ${retransmissions} blocks again`,
      );
    }
  }

  /** The next port that nobody has: there are more ports than transfers. */
  #takePort(): number {
    for (;;) {
      const port = FIRST_PORT + this.#nextPort;
      this.#nextPort = (this.#nextPort + 1) % PORTS;
      if (!this.#host.isBound(port)) return port;
    }
  }

  /** Answer a request with an error, from a port of its own like a transfer. */
  #reject(route: UdpRoute, path: string, code: number, text: string): undefined {
    this.#context.statistics.tftp.refused++;
    if (this.#context.logging) {
      this.#context.log(`TFTP: ${path} to ${ipText(route.destination)}: error ${code}: ${text}`);
    }
    if (!this.#plan.samePort) route.sourcePort = this.#takePort();
    this.#refuse(route, code, text);
    return undefined;
  }

  #refuse(route: Readonly<UdpRoute>, code: number, text: string): void {
    const frame = this.#host.allocate();
    if (frame === undefined) return;
    this.#host.sendUdp(frame, writeError(frame.bytes, UDP.end, code, text), route);
  }

  /** The way back: from the address that was asked, or from the other one. */
  #answerTo(datagram: Datagram): UdpRoute {
    const { secondAddress } = this.#host;
    const isOther = this.#plan.habits.has('second-address') && secondAddress !== undefined;
    return {
      source: isOther ? secondAddress : datagram.destination,
      sourcePort: datagram.destinationPort,
      destination: datagram.source,
      destinationPort: datagram.sourcePort,
    };
  }
}

/** What tells a transfer from others. */
function key(route: Readonly<UdpRoute>): string {
  return `${route.destination}:${route.destinationPort}:${route.sourcePort}`;
}
