// SPDX-License-Identifier: GPL-2.0-or-later

/** A network interface on a scripted device. */

import { FakeClock, FakeDevice } from '../net-peer.ts';
import { parseIpv4 } from '../../../src/net/bytes.ts';
import type { DropReason } from '../../../src/net/drops.ts';
import { NetworkInterface } from '../../../src/net/network-interface.ts';
import type { NetworkInterfaceOptions } from '../../../src/net/network-interface.ts';
import { Log } from '../../../src/events.ts';

export interface Bench {
  readonly clock: FakeClock;
  readonly device: FakeDevice;
  readonly net: NetworkInterface;
  readonly got: { payload: number[]; source: number; port: number }[];
  readonly unreachable: number[];
}

export function bench(options: NetworkInterfaceOptions = {}, configured = true): Bench {
  const clock = new FakeClock();
  const device = new FakeDevice(clock);
  const net = new NetworkInterface(device, clock, new Log(undefined), options);
  if (configured) {
    net.address = parseIpv4('10.0.0.50')!;
    net.netmask = parseIpv4('255.255.255.0')!;
    net.gateway = parseIpv4('10.0.0.254')!;
  }
  const got: Bench['got'] = [];
  const unreachable: number[] = [];
  net.bind(1000, {
    datagram: (buffer, offset, length, source, port) => {
      got.push({ payload: Array.from(buffer.slice(offset, offset + length)), source, port });
    },
    unreachable: (_, port) => {
      unreachable.push(port);
    },
  });
  return { clock, device, net, got, unreachable };
}

export const good = { sourcePort: 69, port: 1000, payload: [1, 2, 3, 4, 5] };

/** Deliver frames in one turn and return the drop counters that are not 0. */
export function dropped(
  b: Bench,
  ...frames: readonly number[][]
): Partial<Record<DropReason, number>> {
  for (const frame of frames) b.device.deliver(frame);
  b.net.turn();
  return Object.fromEntries(Object.entries(b.net.drops).filter(([, count]) => count > 0));
}
