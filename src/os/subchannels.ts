// SPDX-License-Identifier: GPL-2.0-or-later

/** Sub-channels: more channels of a device, of whoever asks the host for them. */

import type { VmbusDevice } from '../vmbus/device.ts';

const LISTS = new WeakMap<VmbusDevice, VmbusDevice[]>();

/** The sub-channels of a device that the host has offered, in order of their offers. */
export function subchannelsOf(device: VmbusDevice): VmbusDevice[] {
  const list = LISTS.get(device) ?? [];
  LISTS.set(device, list);
  return list;
}
