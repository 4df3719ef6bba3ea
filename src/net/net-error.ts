// SPDX-License-Identifier: GPL-2.0-or-later

/** Errors of the network interface, which end any wait on it. */

import { errorKinds } from '../error.ts';

/** Errors of the interface. */
export const NetError = errorKinds({
  DeviceClosed: [
    'ENODEV',
    'The device went away during the boot: see the log lines of its driver for the reason.',
  ],
  DeviceUnfit: ['ENOTSUP', 'Use a device whose MTU is at least 576 bytes.'],
  Flooded: [
    'ENOBUFS',
    'Look at the drop counters for what floods the interface, and move it to a quieter network.',
  ],
  ClockStopped: ['EPLATFORM', 'Give time to the machine: its clock does not move when it pauses.'],
  NoRoute: [
    'EINVAL',
    'Let the DHCP server hand out a router (option 3), or use a next server in the same subnet.',
  ],
  NoNeighbour: [
    'ETIMEDOUT',
    'Check that this host is up, in the same network, and answers ARP requests.',
  ],
});
