// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a device says of itself: its name, its class, how to make one, and the messages of its
 * protocol. The command line, the trace, the capture and the dissector take it from here, so that a
 * further device is described in one place.
 */

import type { ChannelDevice } from './channel-interface.ts';
import type { DeviceProtocol } from './device-protocol.ts';

export interface DeviceDescription {
  /** One word, for `--devices`: `keyboard`. */
  readonly name: string;
  /** What it is, in a line. */
  readonly text: string;
  /** GUID of its class, in canonical text. */
  readonly interfaceId: string;
  readonly protocol: DeviceProtocol;
  /** Make one for a machine. */
  create(): ChannelDevice;
}
