// SPDX-License-Identifier: GPL-2.0-or-later

/** An offer of the host, copied out of its message. */

import { guidText } from '../wire.ts';
import { OfferChannel } from './protocol.ts';

export interface Offer {
  readonly interfaceId: string;
  readonly instanceId: string;
  readonly channel: number;
  /** 0: the device's own channel; else which of its sub-channels. */
  readonly subchannel: number;
  /** Monitor ID, or -1 if the channel has none. */
  readonly monitor: number;
  /** Connection ID of the channel's own events: never to be computed. */
  readonly connectionId: number;
}

/** Read an OFFER_CHANNEL. The message must be long enough. */
export function readOffer({
  bytes,
  view,
}: {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}): Offer {
  const monitored = bytes[OfferChannel.at.monitored] !== 0;
  return {
    interfaceId: guidText(bytes, OfferChannel.at.interfaceId),
    instanceId: guidText(bytes, OfferChannel.at.instanceId),
    channel: view.getUint32(OfferChannel.at.channel, true),
    subchannel: view.getUint16(OfferChannel.at.subchannelIndex, true),
    monitor: monitored ? bytes[OfferChannel.at.monitor]! & 0x7f : -1,
    connectionId: view.getUint32(OfferChannel.at.connectionId, true),
  };
}
