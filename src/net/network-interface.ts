// SPDX-License-Identifier: GPL-2.0-or-later

/** The network interface with all parts of the client, for who does not count bytes. */

import type { NetDevice } from './device.ts';
import { PlainInterface } from './interface.ts';
import { NET_PARTS } from './parts.ts';
import type { NetworkInterfaceOptions } from './udp.ts';
import type { Log } from '../events.ts';
import type { Clock } from '../time.ts';

export {
  ARP_FIRST_TIMEOUT_MS,
  ARP_LONGEST_TIMEOUT_MS,
  ARP_TRIES,
  FLOOD_FRAMES,
  LINK_LOSS_MS,
  type NetworkInterfaceOptions,
  type Patience,
  type Route,
  type UdpHandler,
} from './udp.ts';

export class NetworkInterface extends PlainInterface {
  /** @throws HypxeError DeviceUnfit if the device cannot carry a DHCP message */
  constructor(device: NetDevice, clock: Clock, log: Log, options?: NetworkInterfaceOptions) {
    super(device, clock, log, options, NET_PARTS);
  }
}
