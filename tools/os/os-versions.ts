// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The kernels that the loaded OS can be: Linux 6.1, and what later ones do otherwise on the wire,
 * each with its source. Everything that is not here is the same in all of them.
 */

import { VmbusVersion } from '../../src/vmbus/protocol.ts';

/** What differs from one Linux to the next, as far as the host can see it. */
export interface LinuxVersion {
  /** Guest OS identity: open source, type 1, LINUX_VERSION_CODE in bits 47:16 (mshyperv.h). */
  readonly guestOsId: bigint;
  /** VMBus versions that are asked for, newest first (connection.c, `vmbus_versions`). */
  readonly vmbusVersions: readonly number[];
  /** Channels of a NIC that are asked for at most (hyperv_net.h, `VRSS_CHANNEL_DEFAULT`). */
  readonly channels: number;
}

/** From 5.3 down to 2.4: hosts before 2012 are not spoken to any more. */
const UP_TO_5_3: readonly number[] = [
  VmbusVersion.V5_3,
  VmbusVersion.V5_2,
  VmbusVersion.V5_1,
  VmbusVersion.V5_0,
  VmbusVersion.V4_1,
  VmbusVersion.V4_0,
  VmbusVersion.V3_0,
  VmbusVersion.V2_4,
];

const LINUX_6_1: LinuxVersion = {
  // 6.1.176, which the recorded sessions are of: the version code has 255 for what is above
  guestOsId: 0x8100_0006_01b0_0000n,
  vmbusVersions: UP_TO_5_3,
  channels: 8,
};

const LINUX_6_12: LinuxVersion = {
  ...LINUX_6_1,
  guestOsId: 0x8100_0006_0c00_0000n,
  // "net: netvsc: Update default VMBus channels" (August 2024; more than 16 need 33 cores)
  channels: 16,
};

const LINUX_6_19: LinuxVersion = {
  ...LINUX_6_12,
  guestOsId: 0x8100_0006_1300_0000n,
  // "Drivers: hv: Set the default VMBus version to 6.0" (August 2025). Feature flags are asked for
  // by confidential VMs alone
  vmbusVersions: [VmbusVersion.V6_0, ...UP_TO_5_3],
};

export const LINUX_VERSIONS = {
  'linux-6.1': LINUX_6_1,
  'linux-6.12': LINUX_6_12,
  'linux-6.19': LINUX_6_19,
} as const satisfies Readonly<Record<string, LinuxVersion>>;

/** What a kernel does otherwise than those before it, with the source. */
export interface LinuxChange {
  readonly since: keyof typeof LINUX_VERSIONS;
  readonly what: string;
  readonly source: string;
}

export const LINUX_CHANGES: readonly LinuxChange[] = [
  {
    since: 'linux-6.1',
    what: 'asks for VMBus 5.3 to 2.4; for 8 channels of a NIC at most',
    source: 'drivers/hv/connection.c (`vmbus_versions`); hyperv_net.h (`VRSS_CHANNEL_DEFAULT`)',
  },
  {
    since: 'linux-6.12',
    what: 'asks for 16 channels of a NIC at most (half of the cores, if that is more)',
    source:
      'drivers/net/hyperv/hyperv_net.h (`VRSS_CHANNEL_DEFAULT` 16), ' +
      '"net: netvsc: Update default VMBus channels"',
  },
  {
    since: 'linux-6.19',
    what: 'asks for VMBus 6.0 first; for its features only in a confidential VM',
    source: 'drivers/hv/connection.c, "Drivers: hv: Set the default VMBus version to 6.0"',
  },
];

export type LinuxName = keyof typeof LINUX_VERSIONS;

/** The kernel that runs if nobody asks for another one. */
export const DEFAULT_LINUX: LinuxName = 'linux-6.1';

/** Whether a word names a kernel. */
export function isLinuxName(name: string): name is LinuxName {
  return Object.hasOwn(LINUX_VERSIONS, name);
}
