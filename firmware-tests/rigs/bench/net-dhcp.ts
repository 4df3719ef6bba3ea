// SPDX-License-Identifier: GPL-2.0-or-later

/** The end of a DHCP server, scripted by a test. */

import * as assert from 'uvu/assert';
import {
  arpFrame,
  arpTarget,
  ascii,
  BROADCAST,
  dhcpOptions,
  dhcpReply,
  FakeClock,
  FakeDevice,
  readUdp,
  SERVER_MAC,
  udpFrame,
} from '../net-peer.ts';
import type { Datagram, Packet, Reply } from '../net-peer.ts';
import { dhcp } from '../../../src/net/dhcp.ts';
import type { DhcpOptions } from '../../../src/net/dhcp.ts';
import type { Lease } from '../../../src/net/lease.ts';
import { ipv4Text } from '../../../src/net/bytes.ts';
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
  /** Where it was sent to, and our address. */
  readonly to: string;
  readonly port: number;
  readonly from: string;
  option(code: number): number[] | undefined;
}

export class Bench {
  readonly clock = new FakeClock();
  readonly device = new FakeDevice(this.clock);
  readonly lines: string[] = [];
  readonly queries: Query[] = [];
  readonly net: NetworkInterface;
  randoms = [0xdeadbeef, 0x80000001, 0x11111111, 0x22222222, 0x33333333];

  /** DNS queries go here, and all else that is no DHCP. */
  other: (datagram: Datagram) => void = () => {};

  /** `answer` is the server. Everybody who is asked for by ARP is there. */
  constructor(answer: (query: Query, bench: Bench) => void) {
    const log = new Log((event: FirmwareEvent) => {
      if (event.kind === 'log') this.lines.push(`${event.level} ${event.layer} ${event.text}`);
    });
    this.net = new NetworkInterface(this.device, this.clock, log);
    this.device.answer = (frame) => {
      const target = arpTarget(frame);
      if (target !== undefined)
        this.device.deliver(arpFrame(2, target, SERVER_MAC, ipv4Text(this.net.address)));
      const datagram = readUdp(frame);
      if (datagram === undefined) return;
      if (datagram.port !== 67 && datagram.port !== 4011) return this.other(datagram);
      const all = datagram.port === 67;
      assert.is(datagram.sourcePort, 68);
      assert.equal(datagram.toMac, all ? BROADCAST : SERVER_MAC);
      if (all) assert.is(datagram.to, '255.255.255.255');
      const options = dhcpOptions(datagram.payload);
      const option = (code: number): number[] | undefined =>
        options.find(([other]) => other === code)?.[1];
      const query: Query = {
        type: option(53)![0]!,
        xid: Array.from(datagram.payload.subarray(4, 8)),
        payload: datagram.payload,
        ms: this.clock.ms,
        to: datagram.to,
        port: datagram.port,
        from: datagram.from,
        option,
      };
      this.queries.push(query);
      answer(query, this);
    };
  }

  /** Send a message of the server to the client. */
  send(reply: Reply, delayMs = 0, packet: Partial<Packet> = {}): void {
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
