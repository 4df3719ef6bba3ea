// SPDX-License-Identifier: GPL-2.0-or-later

/** The end of a TFTP server, scripted by a test: what it hears, what it says, and a right one. */

import * as assert from 'uvu/assert';
import {
  arpFrame,
  arpTarget,
  ascii,
  at16,
  FakeClock,
  FakeDevice,
  readUdp,
  SERVER_MAC,
  u16,
  udpFrame,
} from '../net-peer.ts';
import type { Datagram } from '../net-peer.ts';
import { parseIpv4 } from '../../../src/net/bytes.ts';
import type { DownloadSink } from '../../../src/net/download.ts';
import { NetworkInterface } from '../../../src/net/network-interface.ts';
import { tftp } from '../../../src/net/tftp.ts';
import type { TftpOptions } from '../../../src/net/tftp.ts';
import type { TftpResult } from '../../../src/net/tftp-transfer.ts';
import { Log } from '../../../src/events.ts';
import type { FirmwareEvent } from '../../../src/events.ts';

/** A port that the server takes for a transfer. */
export const TID = 40_000;

export const data = (block: number, payload: readonly number[]): number[] => [
  ...[0, 3],
  ...u16(block & 0xffff),
  ...payload,
];
export const oack = (...pairs: readonly string[]): number[] => [
  ...[0, 6],
  ...pairs.flatMap((text) => [...ascii(text), 0]),
];
export const tftpError = (code: number, text: string): number[] => [
  0,
  5,
  0,
  code,
  ...ascii(text),
  0,
];

/** A sink that keeps the file, and wants it in order, each time from the beginning. */
export class FileSink implements DownloadSink {
  bytes: number[] = [];
  readonly begun: (number | undefined)[] = [];
  begin(size: number | undefined): void {
    this.begun.push(size);
    this.bytes = [];
  }
  write(offset: number, buffer: Uint8Array, from: number, length: number): void {
    assert.is(offset, this.bytes.length);
    assert.ok(this.begun.length > 0);
    for (let i = 0; i < length; i++) this.bytes.push(buffer[from + i]!);
  }
}

/** What the client sent: opcode, number, text, and when. */
export interface Seen extends Datagram {
  readonly opcode: number;
  readonly number: number;
  readonly ms: number;
}

export class Bench {
  readonly clock = new FakeClock();
  readonly device = new FakeDevice(this.clock);
  readonly events: FirmwareEvent[] = [];
  readonly seen: Seen[] = [];
  readonly net: NetworkInterface;
  readonly sink = new FileSink();
  clientPort = 0;

  constructor(answer: (packet: Seen, bench: Bench) => void) {
    this.net = new NetworkInterface(
      this.device,
      this.clock,
      new Log((event) => this.events.push(event)),
    );
    this.net.address = parseIpv4('10.0.0.50')!;
    this.net.netmask = parseIpv4('255.255.255.0')!;
    this.device.answer = (frame) => {
      const target = arpTarget(frame);
      if (target !== undefined) this.device.deliver(arpFrame(2, target, SERVER_MAC, '10.0.0.50'));
      const datagram = readUdp(frame);
      if (datagram === undefined) return;
      const { payload } = datagram;
      const opcode = at16(payload, 0);
      const seen = { ...datagram, opcode, number: at16(payload, 2), ms: this.clock.ms };
      this.seen.push(seen);
      if (opcode === 1) this.clientPort = datagram.sourcePort;
      answer(seen, this);
    };
  }

  /** Send a packet of the server. */
  send(payload: readonly number[], delayMs = 0, port = TID, from = '10.0.0.1'): void {
    const frame = { sourcePort: port, port: this.clientPort, payload, from };
    this.device.deliver(udpFrame(frame), delayMs);
  }

  run(options: TftpOptions = {}, sink: DownloadSink = this.sink): TftpResult {
    const server = parseIpv4('10.0.0.1')!;
    return tftp(this.net, () => 0xffffffff, server, 'dir/boot.bin', sink, options);
  }

  /** How often a block was acknowledged. */
  acknowledged(block: number): number {
    return this.seen.filter(({ opcode, number }) => opcode === 4 && number === block).length;
  }

  /** Opcode, number and time of what was sent, in short. */
  get course(): string[] {
    const names = ['', 'RRQ', '', '', 'ACK', 'ERROR'];
    return this.seen.map(({ opcode, number, port }) =>
      opcode === 1 ? `RRQ ${port}` : `${names[opcode]} ${number} ${port}`,
    );
  }
}

export interface ServerOptions {
  readonly file: readonly number[];
  readonly blksize?: number;
  readonly windowsize?: number;
  readonly tsize?: boolean | string;
  /** Answer without an OACK. */
  readonly plain?: boolean;
  /** Called for each data block: false loses it. */
  readonly pass?: (block: number, time: number) => boolean;
}

/** A right TFTP server: window after window, and again when it hears nothing for a second. */
export function server(o: ServerOptions): (packet: Seen, bench: Bench) => void {
  const size = o.plain === true ? 512 : (o.blksize ?? 512);
  const window = o.windowsize ?? 1;
  const blocks = Math.floor(o.file.length / size) + 1;
  const times = new Map<number, number>();
  let acked = 0;
  return (packet, bench) => {
    if (packet.opcode === 1 && o.plain !== true) {
      const pairs: string[] = [];
      if (o.blksize !== undefined) pairs.push('blksize', String(o.blksize));
      if (o.windowsize !== undefined) pairs.push('WINDOWSIZE', String(o.windowsize));
      if (o.tsize === true) pairs.push('tsize', String(o.file.length));
      else if (typeof o.tsize === 'string') pairs.push('tsize', o.tsize);
      return bench.send(oack(...pairs));
    }
    if (packet.opcode === 4) {
      assert.is(packet.port, TID);
      acked += (packet.number - acked) & 0xffff;
    } else if (packet.opcode !== 1) return;
    for (let block = acked + 1; block <= Math.min(acked + window, blocks); block++) {
      const time = (times.get(block) ?? 0) + 1;
      times.set(block, time);
      if (o.pass?.(block, time) === false) continue;
      bench.send(data(block, o.file.slice((block - 1) * size, block * size)));
    }
  };
}

export const pattern = (length: number): number[] =>
  Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255);
