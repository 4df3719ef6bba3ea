// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The devices that a machine may have besides NICs and utility services: one line for each. What
 * stands here is offered by `hypxe boot --devices`, named in traces and captures, and dissected.
 */

import type { DeviceDescription } from '../vmbus-server/device-description.ts';
import { KEYBOARD } from './keyboard-host.ts';

export const DEVICES: readonly DeviceDescription[] = [KEYBOARD];

/** The device of this name, or undefined. */
export function deviceNamed(name: string): DeviceDescription | undefined {
  return DEVICES.find((device) => device.name === name);
}
