// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The flow of a boot by push: no NIC, all utility services, and an image that the host pushes. What
 * the services share is explored as everything else is.
 */

import type { ChannelDevice } from '../simulator/vmbus-server/channel-interface.ts';
import {
  FileCopyHost,
  HeartbeatHost,
  ShutdownHost,
  TimeSyncHost,
  memoryContents,
} from '../simulator/services/index.ts';
import type { Plan } from './plan.ts';

/** How long the firmware waits for files, in ms: short, as every run goes to its end. */
const WAITS = { waitMs: 20, quietMs: 5, silenceMs: 200 };

/** What the firmware is told. */
export const PUSH_BOOT = {
  services: ['file-copy', 'heartbeat', 'shutdown', 'time-sync'],
  push: WAITS,
} as const;

/** The host's ends of the services. */
export function pushDevices(image: Uint8Array): ChannelDevice[] {
  const atOpen = [{ name: 'hypxe.img', path: 'boot', contents: memoryContents(image) }];
  return [
    new FileCopyHost({ atOpen }),
    new HeartbeatHost(),
    new TimeSyncHost(),
    new ShutdownHost(),
  ];
}

/**
 * Whether the image may be another one: file copy has no check sum, so that what a broken host
 * makes of its own packets is what it pushes.
 */
export function pushMayDiffer({ flow, faults }: Plan): boolean {
  return flow === 'push' && faults.some(({ place }) => place === 'packet');
}
