// SPDX-License-Identifier: GPL-2.0-or-later

/** Moving the events of an open channel to another processor. */

import { HypxeError } from '../error.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import {
  MessageType,
  ModifyChannelResponse,
  VP_INDEX_DISABLE_INTERRUPT,
  VmbusVersion,
} from '../vmbus/protocol.ts';
import type { OsChannel } from './channel.ts';

/**
 * Have the host's events for the open channel go to another virtual processor, from 4.1 on (Linux
 * vmbus_send_modifychannel). From 5.3 on the host answers, and no event goes to the old one
 * afterwards; before, nobody knows when it takes effect.
 *
 * @throws HypxeError NotSupported below 4.1 or without events; ModifyRefused, NoResponse,
 * ChannelRescinded, PostFailed
 */
export function modifyChannel(device: VmbusDevice, targetVp: number): void {
  const { connection, channelId: id, channel } = device;
  const { version } = connection;
  const now = (channel?.part as OsChannel | undefined)?.targetVp;
  const possible = version >= VmbusVersion.V4_1 && channel !== undefined;
  if (!possible || [now, targetVp].includes(VP_INDEX_DISABLE_INTERRUPT)) {
    const text = `events of channel ${id} cannot be moved to processor ${targetVp}`;
    throw new HypxeError('NotSupported', text);
  }
  connection.post(MessageType.MODIFY_CHANNEL, [id, targetVp]);
  if (version < VmbusVersion.V5_3) return;

  // Wait for response
  const { at, size } = ModifyChannelResponse;
  const { view } = connection.wait(
    MessageType.MODIFY_CHANNEL_RESPONSE,
    size,
    (reply) => reply.view.getUint32(at.channel, true) === id,
    undefined,
    device,
  );
  const status = view.getUint32(at.status, true);
  if (status === 0) return;
  const text = `moving channel ${id} failed with status 0x${status.toString(16)}`;
  throw new HypxeError('ModifyRefused', text, status);
}
