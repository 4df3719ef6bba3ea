// SPDX-License-Identifier: GPL-2.0-or-later

/** Heartbeat, from the host: a request "every two seconds" (Linux hv_util.c), counted. */

import { HeartbeatMessage, IcStatus, IcType } from '../../../src/services/protocol.ts';
import { DeviceClass } from '../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS, type Alarm } from '../base/clock.ts';
import { IcHost } from './ic-host.ts';
import { HEARTBEAT_VERSIONS } from './ic-versions.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Time between two requests, in ms. */
const INTERVAL_MS = 2000;

/** State field behind the sequence number, and a value that must come back as it went. */
const STATE_AT = 8;
const STATE_UNKNOWN = 0;

export class HeartbeatHost extends IcHost {
  readonly #intervalTicks: number;
  #alarm: Alarm | undefined;
  #sequence = 0;
  /** Beats that were answered rightly, and requests that found the last one unanswered. */
  beats = 0;
  missed = 0;

  constructor(intervalMs: number = INTERVAL_MS) {
    super({
      name: 'heartbeat',
      interfaceId: DeviceClass.HEARTBEAT,
      instanceId: 'fd149e91-82e0-4a7d-afa6-2a4166cbd7c0',
      type: IcType.HEARTBEAT,
      messageVersions: HEARTBEAT_VERSIONS,
    });
    this.#intervalTicks = intervalMs * TICKS_PER_MS;
  }

  /** For a snapshot: all that may change. */
  override saveTo(keeper: Keeper): void {
    super.saveTo(keeper);
    keeper.put([this.#alarm, this.#sequence], (v) => ([this.#alarm, this.#sequence] = v));
    keeper.put([this.beats, this.missed], (v) => ([this.beats, this.missed] = v));
  }

  protected override ready(): void {
    this.#beat();
  }

  #beat(): void {
    const { clock } = this.services;
    this.#alarm = clock.schedule(this.#intervalTicks, () => this.#beat());
    if (!this.idle) {
      this.missed++;
      return;
    }
    this.bodyBytes.fill(0, 0, HeartbeatMessage.size);
    this.body.setUint32(HeartbeatMessage.at.sequence, ++this.#sequence, true);
    this.body.setUint32(STATE_AT, STATE_UNKNOWN, true);
    this.request(HeartbeatMessage.size);
  }

  protected override answered(status: number, view: DataView, at: number): void {
    const sequence = view.getUint32(at + HeartbeatMessage.at.sequence, true);
    const state = view.getUint32(at + STATE_AT, true);
    if (status !== IcStatus.SUCCESS || sequence !== this.#sequence + 1 || state !== STATE_UNKNOWN) {
      this.violate(`beat ${this.#sequence} answered with ${sequence}, state ${state}`);
      return;
    }
    this.#sequence = sequence;
    this.beats++;
  }

  protected override ended(): void {
    if (this.#alarm !== undefined) this.services.clock.cancel(this.#alarm);
  }
}
