// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Which versions of its messages a service offers on which host generation. A generation is told by
 * the newest VMBus version that the host knows, as Linux's `util_probe` told them (hv_util.c before
 * `vmbus_prep_negotiate_resp` chose from what is offered): 1.0 of everything on Windows Server
 * 2008, 3.0 from 2008 R2 on, time synchronisation 4.0 from 2016 on.
 */

import type { HostProfile } from '../profiles/profile.ts';

/** Generations, by newest VMBus version (Linux `include/linux/hyperv.h`). */
export const Generation = {
  WS2008: 0x0000000d,
  WIN7: 0x00010001,
  WIN10: 0x00040000,
  /** Windows Server 2019 and 2022. */
  V5_2: 0x00050002,
  V5_3: 0x00050003,
} as const;

/** A version (major in the high, minor in the low 16 bits), and the generation it came with. */
export type IcVersionSince = readonly [version: number, since: number];

/** Framework versions (Linux `UTIL_WS2K8_FW_VERSION`, `UTIL_FW_VERSION`). */
export const FRAMEWORK_VERSIONS: readonly IcVersionSince[] = [
  [0x00010000, Generation.WS2008],
  [0x00030000, Generation.WIN7],
];

/** Linux `HB_WS2008`, `HB_VERSION`. */
export const HEARTBEAT_VERSIONS: readonly IcVersionSince[] = FRAMEWORK_VERSIONS;

/** Linux `TS_WS2008`, `TS_VERSION_3`, `TS_VERSION`. */
export const TIME_SYNC_VERSIONS: readonly IcVersionSince[] = [
  ...FRAMEWORK_VERSIONS,
  [0x00040000, Generation.WIN10],
];

/**
 * Linux `SD_WS2008`, `SD_VERSION`, and the two with RESTART and HIBERNATE, which "newer hosts" have
 * by Linux's history: which is inferred.
 */
export const SHUTDOWN_VERSIONS: readonly IcVersionSince[] = [
  ...FRAMEWORK_VERSIONS,
  [0x00030001, Generation.V5_2],
  [0x00030002, Generation.V5_3],
];

/** The versions that a host has, ascending; plain numbers are of every host. */
export function versionsOf(
  versions: readonly (number | IcVersionSince)[],
  profile: HostProfile,
): number[] {
  const newest = Math.max(...profile.vmbusVersions);
  return versions.flatMap((entry) => {
    if (typeof entry === 'number') return [entry];
    return entry[1] <= newest ? [entry[0]] : [];
  });
}
