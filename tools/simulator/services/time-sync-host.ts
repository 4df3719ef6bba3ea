// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Time synchronisation, from the host: one sync after the negotiation, then samples (OpenVMM
 * `hyperv_ic::timesync`), as transactions.
 */

import {
  IcStatus,
  IcType,
  TimeSyncFlag,
  TimeSyncMessage,
  TimeSyncReferenceMessage,
} from '../../../src/services/protocol.ts';
import { DeviceClass } from '../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS, type Alarm } from '../base/clock.ts';
import { IcHost } from './ic-host.ts';
import { TIME_SYNC_VERSIONS } from './ic-versions.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Time between two samples, in ms. */
const INTERVAL_MS = 5000;

/** Message version from which on samples carry the reference time. */
const REFERENCE_VERSION = 0x00040000;

/** 1 January 2026 in units of 100 ns since 1601: when simulated machines start. */
const EPOCH = 134_116_992_000_000_000n;

export interface TimeSyncHostOptions {
  /** Wall time at reference time 0, in units of 100 ns since 1601. */
  readonly epoch?: bigint | undefined;
  readonly intervalMs?: number | undefined;
  /** Ascending; by default those of the host's generation. */
  readonly messageVersions?: readonly number[] | undefined;
  /** How old samples are when they are sent, in ms. */
  readonly ageMs?: number | undefined;
}

export class TimeSyncHost extends IcHost {
  readonly #intervalTicks: number;
  readonly #ageTicks: number;
  #alarm: Alarm | undefined;
  /** Wall time at reference time 0: a test may move the host's clock. */
  epoch: bigint;
  /** Messages that the guest took. */
  taken = 0;

  constructor(options: TimeSyncHostOptions = {}) {
    super({
      name: 'time synchronisation',
      interfaceId: DeviceClass.TIME_SYNC,
      instanceId: '2dd1ce17-079e-403c-b352-a1921ee207ee',
      type: IcType.TIME_SYNC,
      messageVersions: options.messageVersions ?? TIME_SYNC_VERSIONS,
    });
    this.epoch = options.epoch ?? EPOCH;
    this.#intervalTicks = (options.intervalMs ?? INTERVAL_MS) * TICKS_PER_MS;
    this.#ageTicks = (options.ageMs ?? 0) * TICKS_PER_MS;
  }

  /** For a snapshot: all that may change. */
  override saveTo(keeper: Keeper): void {
    super.saveTo(keeper);
    keeper.put([this.#alarm, this.epoch], (v) => ([this.#alarm, this.epoch] = v));
    keeper.put([this.taken], (v) => ([this.taken] = v));
  }

  protected override ready(): void {
    this.#tell(TimeSyncFlag.SYNC);
  }

  #tell(flag: number): void {
    const { clock } = this.services;
    this.#alarm = clock.schedule(this.#intervalTicks, () => this.#tell(TimeSyncFlag.SAMPLE));
    if (!this.idle) return;
    const reference = Math.max(0, clock.now - this.#ageTicks);
    const { body } = this;
    if (this.messageVersion >= REFERENCE_VERSION) {
      const { at, size } = TimeSyncReferenceMessage;
      this.bodyBytes.fill(0, 0, size);
      body.setBigUint64(at.parentTime, this.epoch + BigInt(reference), true);
      body.setBigUint64(at.referenceTime, BigInt(reference), true);
      body.setUint8(at.flags, flag);
      this.request(size);
      return;
    }
    const { at, size } = TimeSyncMessage;
    this.bodyBytes.fill(0, 0, size);
    body.setBigUint64(at.parentTime, this.epoch + BigInt(reference), true);
    body.setUint8(at.flags, flag);
    this.request(size);
  }

  protected override answered(status: number): void {
    if (status === IcStatus.SUCCESS) this.taken++;
    else this.violate(`time refused with status 0x${status.toString(16)}`);
  }

  protected override ended(): void {
    if (this.#alarm !== undefined) this.services.clock.cancel(this.#alarm);
  }
}
