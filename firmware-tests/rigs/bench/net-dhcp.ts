// SPDX-License-Identifier: GPL-2.0-or-later

/** The end of a DHCP server, scripted by a test. */

import * as assert from 'uvu/assert';
import {
  ascii,
  BROADCAST,
  dhcpOptions,
  dhcpReply,
  FakeClock,
  FakeDevice,
  readUdp,
  udpFrame,
} from '../net-peer.ts';
import type { Reply } from '../net-peer.ts';
import { dhcp } from '../../../src/net/dhcp.ts';
import type { DhcpOptions } from '../../../src/net/dhcp.ts';
import type { Lease } from '../../../src/net/lease.ts';
import { NetworkInterface } from '../../../src/net/network-interface.ts';
import { Log } from '../../../src/events.ts';
import type { FirmwareEvent } from '../../../src/events.ts';

export const DISCOVER = 1;
export const OFFER = 2;
export const REQUEST = 3;
export const ACK = 5;
export const NAK = 6;

/** A message of the client, as a server sees it. */
export interface Query {
  readonly type: number;
  readonly xid: number[];
  readonly payload: Uint8Array;
  readonly ms: number;
  option(code: number): number[] | undefined;
}

export class Bench {
  readonly clock = new FakeClock();
  readonly device = new FakeDevice(this.clock);
  readonly lines: string[] = [];
  readonly queries: Query[] = [];
  readonly net: NetworkInterface;
  randoms = [0xdeadbeef, 0x80000001, 0x11111111, 0x22222222, 0x33333333];

  /** `answer` is the server. */
  constructor(answer: (query: Query, bench: Bench) => void) {
    const log = new Log((event: FirmwareEvent) => {
      if (event.kind === 'log') this.lines.push(`${event.level} ${event.layer} ${event.text}`);
    });
    this.net = new NetworkInterface(this.device, this.clock, log);
    this.device.answer = (frame) => {
      const datagram = readUdp(frame);
      if (datagram === undefined) return;
      assert.equal(datagram.toMac, BROADCAST);
      assert.equal([datagram.from, datagram.to], ['0.0.0.0', '255.255.255.255']);
      assert.equal([datagram.sourcePort, datagram.port], [68, 67]);
      const options = dhcpOptions(datagram.payload);
      const option = (code: number): number[] | undefined =>
        options.find(([other]) => other === code)?.[1];
      const query: Query = {
        type: option(53)![0]!,
        xid: Array.from(datagram.payload.subarray(4, 8)),
        payload: datagram.payload,
        ms: this.clock.ms,
        option,
      };
      this.queries.push(query);
      answer(query, this);
    };
  }

  /** Send a message of the server to the client. */
  send(reply: Reply, delayMs = 0, packet: { from?: string; sourcePort?: number } = {}): void {
    const payload = dhcpReply(reply);
    const frame = { sourcePort: 67, port: 68, to: '255.255.255.255', toMac: BROADCAST, payload };
    this.device.deliver(udpFrame({ ...frame, ...packet }), delayMs);
  }

  run(options: DhcpOptions = {}): Lease {
    return dhcp(this.net, () => this.randoms.shift()!, options);
  }
}

/** A server that answers each query with the same fields. */
export function server(fields: Partial<Reply> = {}): (query: Query, bench: Bench) => void {
  return (query, bench) =>
    bench.send({
      file: ascii('boot.bin'),
      ...fields,
      type: query.type === DISCOVER ? OFFER : ACK,
      xid: query.xid,
    });
}
