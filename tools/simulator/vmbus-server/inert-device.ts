// SPDX-License-Identifier: GPL-2.0-or-later

/** Devices that are offered and accept nothing: guests must skip them. */

import { STATUS_UNSUCCESSFUL } from '../../../src/vmbus/protocol.ts';
import type { ChannelDevice } from './channel-interface.ts';

/** A device of this class that refuses every open. GUIDs in canonical text. */
export function inertDevice(
  interfaceId: string,
  instanceId: string,
  monitored = false,
): ChannelDevice {
  return {
    interfaceId,
    instanceId,
    offerFlags: 0,
    monitored,
    attach() {},
    open: () => STATUS_UNSUCCESSFUL,
    close() {},
    signalled() {},
    gpadlTeardown: () => true,
  };
}
