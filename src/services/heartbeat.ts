// SPDX-License-Identifier: GPL-2.0-or-later

/** Heartbeat: the host counts, the guest counts one further (Linux heartbeat_onchannelcallback). */

import { DeviceClass } from '../vmbus/protocol.ts';
import { HeartbeatMessage, IcStatus, IcType } from './protocol.ts';
import type { IcContext, IcRequest, IcService } from './service.ts';

export class HeartbeatService implements IcService {
  readonly name = 'heartbeat';
  readonly interfaceId = DeviceClass.HEARTBEAT;
  readonly type = IcType.HEARTBEAT;
  readonly messageVersions: readonly number[] = [0x00030000, 0x00010000];
  readonly ready = true;
  /** Heartbeats answered since the channel was opened. */
  beats = 0;
  #context: IcContext | undefined;

  opened(context: IcContext): void {
    this.#context = context;
    this.beats = 0;
  }

  /** Sequence number and one; the state, which follows, stays as it came. */
  handle({ view, body, bodyLength }: IcRequest): number {
    const { sequence } = HeartbeatMessage.at;
    if (bodyLength < HeartbeatMessage.sizes.sequence) {
      this.#context?.log.error('UTIL', this.name, `refusing a heartbeat of ${bodyLength} bytes`);
      return IcStatus.FAIL;
    }
    const low = (view.getUint32(body + sequence, true) + 1) >>> 0;
    view.setUint32(body + sequence, low, true);
    if (low === 0) {
      const high = view.getUint32(body + sequence + 4, true) + 1;
      view.setUint32(body + sequence + 4, high >>> 0, true);
    }
    if (++this.beats === 1) this.#context?.log.debug('UTIL', this.name, 'first beat');
    return IcStatus.SUCCESS;
  }

  poll(): void {}
  answered(): void {}
  closed(): void {}
}
