// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Time synchronisation: the host tells what time it is. From message version 4.0 on each sample
 * carries the partition's reference time at which it was taken, so that the way of the message
 * costs nothing (Linux adj_guesttime, timesync_onchannelcallback).
 */

import { TICKS_PER_MS } from '../time.ts';
import { DeviceClass } from '../vmbus/protocol.ts';
import {
  IcStatus,
  IcType,
  TimeSyncFlag,
  TimeSyncMessage,
  TimeSyncReferenceMessage,
} from './protocol.ts';
import type { IcContext, IcRequest, IcService } from './service.ts';
import { utcText } from './utc.ts';

/** First message version with a reference time (Linux TS_VERSION_4). */
const REFERENCE_VERSION = 0x00040000;

/** Milliseconds from 1601 to 1970. */
const UNIX_EPOCH_MS = 11_644_473_600_000;

/** Times from here on are no times: year 9999. */
const UNIX_MS_MAX = 253_402_300_800_000;

/** Corrections below this are not worth a line at level info, in ms. */
const QUIET_CORRECTION_MS = 1;

/** The wall clock: `unixMs` was at reference time `ticks`. */
export interface WallClock {
  /** Milliseconds since 1970, UTC, with fractions. */
  readonly unixMs: number;
  /** Reference time in ticks of 100 ns. */
  readonly ticks: number;
}

/** Time on a wall clock, in milliseconds since 1970, at reference time `ticks`. */
export function wallTimeMs(clock: WallClock, ticks: number): number {
  return clock.unixMs + (ticks - clock.ticks) / TICKS_PER_MS;
}

export class TimeSyncService implements IcService {
  readonly name = 'time synchronisation';
  readonly interfaceId = DeviceClass.TIME_SYNC;
  readonly type = IcType.TIME_SYNC;
  readonly messageVersions: readonly number[] = [0x00040000, 0x00030000, 0x00010000];
  readonly ready = true;
  /** Undefined until the host has told the time. */
  wallClock: WallClock | undefined;
  #context: IcContext | undefined;

  opened(context: IcContext): void {
    this.#context = context;
  }

  handle(message: IcRequest): number {
    const now = this.#context!.clock.now();
    const modern = message.messageVersion >= REFERENCE_VERSION;
    const { view, body, bodyLength } = message;
    const flagsAt = modern ? TimeSyncReferenceMessage.at.flags : TimeSyncMessage.at.flags;
    if (bodyLength <= flagsAt) return this.#refuse(`a message of ${bodyLength} bytes`);

    // A probe only asks whether somebody is there
    const flags = view.getUint8(body + flagsAt);
    if ((flags & (TimeSyncFlag.SYNC | TimeSyncFlag.SAMPLE)) === 0) return IcStatus.SUCCESS;

    // When was it? Without a reference time: now
    const filetime = view.getBigUint64(body + TimeSyncMessage.at.parentTime, true);
    const reference = modern
      ? Number(view.getBigUint64(body + TimeSyncReferenceMessage.at.referenceTime, true))
      : now;
    if (reference > now) return this.#refuse(`a sample of reference time ${reference}, in future`);
    const unixMs = Number(filetime) / TICKS_PER_MS - UNIX_EPOCH_MS;
    if (unixMs < 0 || unixMs >= UNIX_MS_MAX) return this.#refuse(`time 0x${filetime.toString(16)}`);

    this.#set({ unixMs, ticks: reference }, now, (flags & TimeSyncFlag.SYNC) !== 0);
    return IcStatus.SUCCESS;
  }

  #set(clock: WallClock, now: number, sync: boolean): void {
    const { log } = this.#context!;
    const before = this.wallClock;
    this.wallClock = clock;
    log.emit({ kind: 'wall-clock', unixMs: clock.unixMs, ticks: clock.ticks });
    if (!log.on) return;
    const ms = wallTimeMs(clock, now);
    const correction = before === undefined ? 0 : ms - wallTimeMs(before, now);
    const by = before === undefined ? '' : `, corrected by ${correction.toFixed(3)} ms`;
    const text = `it is ${utcText(ms)} (${sync ? 'sync' : 'sample'}${by})`;
    const first = before === undefined || Math.abs(correction) >= QUIET_CORRECTION_MS;
    if (first || sync) log.info('UTIL', this.name, text);
    else log.debug('UTIL', this.name, text);
  }

  poll(): void {}
  answered(): void {}
  closed(): void {}

  #refuse(what: string): number {
    this.#context?.log.error('UTIL', this.name, `refusing ${what}`);
    return IcStatus.FAIL;
  }
}
