// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * File copy, from the host: pushes files into the guest, one after the other, in fragments of 6 KiB
 * (what Copy-VMFile does; the messages are those of Linux `hv_start_fcopy` and `hv_do_fcopy`).
 *
 * A fragment that the guest refuses is sent again while the file is open, as each WRITE says its
 * own offset; that is all that the protocol can resume. A file that cannot go on is cancelled.
 */

import {
  FileCopyData,
  FileCopyFlag,
  FileCopyHeader,
  FileCopyOperation,
  FileCopyStart,
  IcStatus,
  IcType,
} from '../../../src/services/protocol.ts';
import { DeviceClass } from '../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS, type Alarm } from '../base/clock.ts';
import { hex } from '../base/hex.ts';
import { IcHost } from './ic-host.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Bytes of a fragment. */
export const FRAGMENT_SIZE = FileCopyData.sizes.data;

/** Units of a name's field, with its NUL. */
const NAME_UNITS = FileCopyStart.sizes.fileName / 2;

/** How often a fragment is sent at most. */
const FRAGMENT_TRIES_MAX = 3;

/** How long the guest may take for an answer, in ms; no public source says what Windows waits. */
const ANSWER_MS = 60_000;

/** A file on the host. */
export interface FileContents {
  readonly size: number;
  /** Read `length` bytes at `offset` to `at` of `into`. */
  read(offset: number, into: Uint8Array, at: number, length: number): void;
}

/** A file that is to be pushed. */
export interface Push {
  readonly name: string;
  /** Directory in the guest; default none. */
  readonly path?: string | undefined;
  readonly contents: FileContents;
  /** Default both true, as `Copy-VMFile -Force -CreateFullPath`. */
  readonly overwrite?: boolean | undefined;
  readonly createPath?: boolean | undefined;
  /** Cancel after so many fragments. */
  readonly cancelAfter?: number | undefined;
}

/** `refused`: by the guest. `lost`: the channel was closed, or the guest fell silent. */
export type PushOutcome = 'copied' | 'refused' | 'cancelled' | 'lost';

/** What became of a push. */
export interface PushReport {
  readonly name: string;
  readonly size: number;
  readonly outcome: PushOutcome;
  /** Status of the answer that decided it. */
  readonly status: number;
  /** Why, for people; '' if it was copied. */
  readonly reason: string;
  /** Bytes that the guest has taken, and fragments that were sent more than once. */
  readonly bytes: number;
  readonly repeated: number;
  /** Reference time of its begin and end, in ticks. */
  readonly startedAt: number;
  readonly endedAt: number;
}

/** Contents that lie in memory. */
export function memoryContents(bytes: Uint8Array): FileContents {
  return {
    size: bytes.length,
    read: (offset, into, at, length) => into.set(bytes.subarray(offset, offset + length), at),
  };
}

/** A push that is under way. */
interface Current {
  readonly push: Push;
  readonly startedAt: number;
  operation: number;
  /** The fragment that was sent last. */
  offset: number;
  length: number;
  /** Bytes that the guest has taken; fragments sent. */
  taken: number;
  fragments: number;
  tries: number;
  repeated: number;
  /** Why it is being cancelled. */
  outcome: PushOutcome;
  status: number;
  reason: string;
}

export interface FileCopyHostOptions {
  /** Pushed each time that a guest opens the channel, in order. */
  readonly atOpen?: readonly Push[] | undefined;
  /** Told after each answer of the guest to a fragment. */
  readonly onProgress?: ((name: string, bytes: number, size: number) => void) | undefined;
  readonly onReport?: ((report: PushReport) => void) | undefined;
  readonly answerMs?: number | undefined;
  readonly fragmentTries?: number | undefined;
}

export class FileCopyHost extends IcHost {
  readonly reports: PushReport[] = [];
  readonly #options: FileCopyHostOptions;
  readonly #answerTicks: number;
  #queue: Push[] = [];
  #current: Current | undefined;
  #patience: Alarm | undefined;

  constructor(options: FileCopyHostOptions = {}) {
    super({
      name: 'file copy',
      interfaceId: DeviceClass.FILE_COPY,
      instanceId: 'eb765408-105f-49b6-b4aa-c123b64d17d4',
      type: IcType.FILE_COPY,
      messageVersions: [0x00010001],
    });
    this.#options = options;
    this.#answerTicks = (options.answerMs ?? ANSWER_MS) * TICKS_PER_MS;
  }

  /** For a snapshot: all that may change. */
  override saveTo(keeper: Keeper): void {
    super.saveTo(keeper);
    keeper.put([this.#queue, this.#current], (v) => ([this.#queue, this.#current] = v));
    keeper.put([this.#patience], (v) => ([this.#patience] = v));
    keeper.keep(this.reports);
  }

  /** Push a file, after those that wait already. @throws RangeError for a name that is too long */
  push(push: Push): void {
    for (const text of [push.name, push.path ?? '']) {
      if (text.length > NAME_UNITS) throw new RangeError(`${text.length} characters in a name`);
    }
    this.#queue.push(push);
    this.#next();
  }

  /** Whether nothing is under way and nothing waits. */
  get done(): boolean {
    return this.#current === undefined && this.#queue.length === 0;
  }

  // --- the service ---

  protected override ready(): void {
    this.#queue.push(...(this.#options.atOpen ?? []));
    this.#next();
  }

  protected override ended(reason: string): void {
    this.#quiet();
    const current = this.#current;
    this.#current = undefined;
    if (current !== undefined) {
      this.#report({ ...current, outcome: 'lost', reason: current.reason || reason });
    }
    this.#queue = [];
  }

  protected override answered(status: number): void {
    this.#quiet();
    const current = this.#current;
    if (current === undefined) return;
    const done = status === IcStatus.SUCCESS;
    switch (current.operation) {
      case FileCopyOperation.START:
        if (done) this.#fragment(current);
        else this.#end(current, 'refused', status, `START refused: ${hex(status)}`);
        return;
      case FileCopyOperation.WRITE:
        this.#written(current, status);
        return;
      case FileCopyOperation.COMPLETE:
        if (done) this.#end(current, 'copied', status, '');
        else this.#end(current, 'refused', status, `COMPLETE refused: ${hex(status)}`);
        return;
      default:
        this.#end(current, current.outcome, current.status, current.reason);
    }
  }

  #next(): void {
    if (!this.idle || this.#current !== undefined) return;
    const push = this.#queue.shift();
    if (push === undefined) return;
    this.#current = {
      push,
      startedAt: this.services.clock.now,
      operation: FileCopyOperation.START,
      offset: 0,
      length: 0,
      taken: 0,
      fragments: 0,
      tries: 0,
      repeated: 0,
      outcome: 'lost',
      status: 0,
      reason: '',
    };

    // START
    const { body } = this;
    const { at, size } = FileCopyStart;
    this.bodyBytes.fill(0, 0, size);
    putUtf16(body, at.fileName, push.name);
    putUtf16(body, at.pathName, push.path ?? '');
    const flags =
      (push.overwrite === false ? 0 : FileCopyFlag.OVERWRITE) |
      (push.createPath === false ? 0 : FileCopyFlag.CREATE_PATH);
    body.setUint32(at.copyFlags, flags, true);
    body.setBigUint64(at.fileSize, BigInt(push.contents.size), true);
    this.#ask(FileCopyOperation.START, size);
  }

  #written(current: Current, status: number): void {
    if (status === IcStatus.SUCCESS) {
      current.taken += current.length;
      current.offset += current.length;
      current.tries = 0;
      this.#options.onProgress?.(current.push.name, current.taken, current.push.contents.size);
      this.#fragment(current);
      return;
    }

    // The same fragment again, unless the guest has no room or no such file
    const hopeless = status === IcStatus.DISK_FULL || status === IcStatus.NOT_FOUND;
    if (!hopeless && current.tries < (this.#options.fragmentTries ?? FRAGMENT_TRIES_MAX)) {
      current.repeated++;
      this.#write(current);
      return;
    }
    const reason = `fragment at ${current.offset} refused ${current.tries} times: ${hex(status)}`;
    this.#giveUp(current, 'refused', status, reason);
  }

  /** The next fragment, or the end. */
  #fragment(current: Current): void {
    const { contents, cancelAfter } = current.push;
    if (current.fragments === cancelAfter) {
      this.#giveUp(current, 'cancelled', 0, `cancelled after ${cancelAfter} fragments`);
    } else if (current.offset >= contents.size) {
      this.#simple(current, FileCopyOperation.COMPLETE);
    } else {
      current.length = Math.min(FRAGMENT_SIZE, contents.size - current.offset);
      current.fragments++;
      this.#write(current);
    }
  }

  #write(current: Current): void {
    const { at, size } = FileCopyData;
    const { body, bodyBytes } = this;
    const { offset, length } = current;
    current.operation = FileCopyOperation.WRITE;
    current.tries++;
    bodyBytes.fill(0, 0, at.data);
    body.setUint32(at.offset, offset >>> 0, true);
    body.setUint32(at.offset + 4, Math.floor(offset / 2 ** 32), true);
    body.setUint32(at.length, length, true);
    current.push.contents.read(offset, bodyBytes, at.data, length);
    // The message has its full length, however short the fragment
    bodyBytes.fill(0, at.data + length, size);
    this.#ask(FileCopyOperation.WRITE, size);
  }

  #giveUp(current: Current, outcome: PushOutcome, status: number, reason: string): void {
    Object.assign(current, { outcome, status, reason });
    this.#simple(current, FileCopyOperation.CANCEL);
  }

  #simple(current: Current, operation: number): void {
    current.operation = operation;
    this.bodyBytes.fill(0, 0, FileCopyHeader.size);
    this.#ask(operation, FileCopyHeader.size);
  }

  #ask(operation: number, length: number): void {
    this.body.setUint32(FileCopyHeader.at.operation, operation, true);
    this.#patience = this.services.clock.schedule(this.#answerTicks, () => {
      this.fail(
        `no answer to operation ${operation} within ${this.#answerTicks / TICKS_PER_MS} ms`,
      );
    });
    this.request(length);
  }

  #end(current: Current, outcome: PushOutcome, status: number, reason: string): void {
    this.#current = undefined;
    this.#report({ ...current, outcome, status, reason });
    this.#next();
  }

  #report(current: Current): void {
    const { push, outcome, status, reason, taken: bytes, repeated, startedAt } = current;
    const { name, contents } = push;
    const endedAt = this.services.clock.now;
    const times = { startedAt, endedAt };
    const report = {
      name,
      size: contents.size,
      outcome,
      status,
      reason,
      bytes,
      repeated,
      ...times,
    };
    this.reports.push(report);
    this.#options.onReport?.(report);
  }

  #quiet(): void {
    if (this.#patience !== undefined) this.services.clock.cancel(this.#patience);
    this.#patience = undefined;
  }
}

function putUtf16(view: DataView, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) view.setUint16(at + 2 * i, text.charCodeAt(i), true);
}
