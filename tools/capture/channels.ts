// SPDX-License-Identifier: GPL-2.0-or-later

/** What the channels of a bus are, learnt from the offers that the host has made. */

import { guidText } from '../../src/wire.ts';
import { DeviceClass, MessageType, OfferChannel } from '../../src/vmbus/protocol.ts';
import { DEVICES } from '../simulator/services/devices.ts';
import { CaptureDevice } from './protocol.ts';

/** A channel, as far as a capture cares. */
export interface OfferedChannel {
  /** One of {@link CaptureDevice}, or of those behind DESCRIBED. */
  readonly device: number;
  /** The channel of the same device with sub-channel index 0. */
  readonly primary: number;
}

const UTILITIES: readonly string[] = [
  DeviceClass.HEARTBEAT,
  DeviceClass.SHUTDOWN,
  DeviceClass.TIME_SYNC,
  DeviceClass.FILE_COPY,
];

export class OfferedChannels {
  readonly #channels = new Map<number, OfferedChannel>();
  /** Channels with sub-channel index 0 by instance. */
  readonly #primaries = new Map<string, number>();

  /** The channel of a number, or one of which nothing is known. */
  get(channel: number): OfferedChannel {
    return this.#channels.get(channel) ?? { device: CaptureDevice.UNKNOWN, primary: channel };
  }

  /** Read a control message of the host: offers are remembered, the rest is not looked at. */
  read(message: Uint8Array): void {
    if (message.length < OfferChannel.size) return;
    const view = new DataView(message.buffer, message.byteOffset, message.length);
    const { at } = OfferChannel;
    if (view.getUint32(at.type, true) !== MessageType.OFFER_CHANNEL) return;
    const channel = view.getUint32(at.channel, true);
    const instance = guidText(message, at.instanceId);
    if (view.getUint16(at.subchannelIndex, true) === 0) this.#primaries.set(instance, channel);
    this.#channels.set(channel, {
      device: deviceOf(guidText(message, at.interfaceId)),
      primary: this.#primaries.get(instance) ?? channel,
    });
  }
}

function deviceOf(interfaceId: string): number {
  if (interfaceId === DeviceClass.NETWORK) return CaptureDevice.NETWORK;
  if (UTILITIES.includes(interfaceId)) return CaptureDevice.UTILITY;
  const index = DEVICES.findIndex((device) => device.interfaceId === interfaceId);
  return index < 0 ? CaptureDevice.UNKNOWN : CaptureDevice.DESCRIBED + index;
}
