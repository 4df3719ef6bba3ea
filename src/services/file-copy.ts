// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * File copy: the host puts files into the guest (Linux hv_fcopy.c; what Copy-VMFile does). This
 * checks what the host says, keeps the order of the protocol and the time limits, and leaves the
 * files to a {@link FileConsumer}.
 */

import { TICKS_PER_MS } from '../time.ts';
import { DeviceClass } from '../vmbus/protocol.ts';
import { Extents } from './extents.ts';
import type { FileConsumer, FilePort } from './file-consumer.ts';
import {
  FILE_CONSUMER_VERSION,
  FileCopyData,
  FileCopyFlag,
  FileCopyHeader,
  FileCopyOperation,
  FileCopyStart,
  IcStatus,
  IcType,
} from './protocol.ts';
import { LATER, type IcContext, type IcRequest, type IcService } from './service.ts';
import { utf16ToUtf8 } from './unicode.ts';

/** How long the consumer may take for an operation, in ms (Linux: 5 * HZ). */
export const OPERATION_MS = 5000;

/** How long an open file waits for the host's next request, in ms (Linux HV_UTIL_TIMEOUT). */
export const SILENCE_MS = 30_000;

/** How long requests wait for the consumer's handshake, in ms (Linux HV_UTIL_NEGO_TIMEOUT). */
export const HANDSHAKE_MS = 55_000;

/** Flags of START that are known. */
const KNOWN_FLAGS = FileCopyFlag.OVERWRITE | FileCopyFlag.CREATE_PATH;

/** Files of 2^53 bytes and more have no place anywhere. */
const HIGH_MAX = 2 ** 21;

/** Time limits, in ms. */
export interface FileCopyOptions {
  readonly operationMs?: number;
  readonly silenceMs?: number;
  readonly handshakeMs?: number;
}

export class FileCopyService implements IcService, FilePort {
  readonly name = 'file copy';
  readonly interfaceId = DeviceClass.FILE_COPY;
  readonly type = IcType.FILE_COPY;
  readonly messageVersions: readonly number[] = [0x00010001];
  readonly #consumer: FileConsumer;
  readonly #operationTicks: number;
  readonly #silenceTicks: number;
  readonly #handshakeTicks: number;
  #context: IcContext | undefined;
  #registered = false;
  /** The handshake did not come in time: requests are refused. */
  #deaf = false;
  #openedAt = 0;
  /** A file is being copied; its size, what of it has come, and when the host was last heard. */
  #open = false;
  #size = 0;
  readonly #extents = new Extents();
  #heardAt = 0;
  /** The operation that the consumer works on, or -1; what it is about; and since when. */
  #operation = -1;
  #ticket = 0;
  #begunAt = 0;
  #writeBegin = 0;
  #writeEnd = 0;

  constructor(consumer: FileConsumer, options: FileCopyOptions = {}) {
    this.#consumer = consumer;
    this.#operationTicks = (options.operationMs ?? OPERATION_MS) * TICKS_PER_MS;
    this.#silenceTicks = (options.silenceMs ?? SILENCE_MS) * TICKS_PER_MS;
    this.#handshakeTicks = (options.handshakeMs ?? HANDSHAKE_MS) * TICKS_PER_MS;
  }

  // --- as a service ---

  opened(context: IcContext): void {
    this.#context = context;
    this.#registered = this.#deaf = this.#open = false;
    this.#operation = -1;
    this.#openedAt = context.clock.now();
    this.#consumer.attach(this);
  }

  /** Whether the host can reach the service. */
  get isOpen(): boolean {
    return this.#context !== undefined;
  }

  get ready(): boolean {
    return this.#registered || this.#deaf;
  }

  handle(request: IcRequest): number {
    const operation =
      request.bodyLength < FileCopyHeader.size
        ? LATER
        : request.view.getUint32(request.body + FileCopyHeader.at.operation, true);
    if (operation === LATER) return this.#refuse(`a message of ${request.bodyLength} bytes`);
    if (!this.#registered) return this.#refuse(`operation ${operation}: nobody takes files`);
    this.#heardAt = this.#context!.clock.now();
    const status = this.#begin(operation, request);
    if (status === LATER) {
      this.#operation = operation;
      this.#begunAt = this.#heardAt;
    }
    return status;
  }

  /** Time limits. */
  poll(): void {
    const { clock, log } = this.#context!;
    if (this.ready && !this.#open && this.#operation < 0) return;
    const now = clock.now();
    if (!this.ready) {
      if (now - this.#openedAt < this.#handshakeTicks) return;
      this.#deaf = true;
      log.error('UTIL', this.name, 'nobody has come to take files: they are refused from now on');
    } else if (this.#operation >= 0) {
      if (now - this.#begunAt >= this.#operationTicks) this.#expire();
    } else if (now - this.#heardAt >= this.#silenceTicks) {
      this.#abandon(`the host has been silent for ${this.#silenceTicks / TICKS_PER_MS} ms`);
    }
  }

  answered(): void {}

  closed(reason: string): void {
    const working = this.#operation >= 0;
    this.#operation = -1;
    this.#ticket++;
    this.#registered = false;
    if (this.#open || working) this.#abandon(reason);
    this.#context = undefined;
  }

  // --- as the consumer's port ---

  register(version: number): boolean {
    if (version !== FILE_CONSUMER_VERSION) {
      const text = `the taker of files speaks version ${version}, not ${FILE_CONSUMER_VERSION}`;
      this.#context?.log.error('UTIL', this.name, text);
      return false;
    }
    this.#registered = true;
    this.#deaf = false;
    return true;
  }

  answer(ticket: number, status: number): boolean {
    if (this.#operation < 0 || ticket !== this.#ticket) {
      const text = `discarding a late answer, status 0x${status.toString(16)}`;
      this.#context?.log.warning('UTIL', this.name, text);
      return false;
    }
    const operation = this.#operation;
    this.#operation = -1;
    this.#heardAt = this.#context!.clock.now();
    this.#context!.answer(this.#finish(operation, status));
    return true;
  }

  // --- operations ---

  #begin(operation: number, request: IcRequest): number {
    this.#ticket++;
    switch (operation) {
      case FileCopyOperation.START:
        return this.#start(request);
      case FileCopyOperation.WRITE:
        return this.#write(request);
      case FileCopyOperation.COMPLETE:
        return this.#complete();
      case FileCopyOperation.CANCEL:
        return this.#cancel();
      default:
        return this.#refuse(`operation ${operation}`, IcStatus.NOT_SUPPORTED);
    }
  }

  #start({ bytes, view, body, bodyLength, leaving }: IcRequest): number {
    if (bodyLength < FileCopyStart.size) return this.#refuse(`a START of ${bodyLength} bytes`);
    if (leaving) return this.#refuse('a START: too late, the firmware is handing over');
    const flags = view.getUint32(body + FileCopyStart.at.copyFlags, true);
    const unknown = flags & ~KNOWN_FLAGS;
    if (unknown !== 0) return this.#refuse(`a START with flags 0x${flags.toString(16)}`);
    const low = view.getUint32(body + FileCopyStart.at.fileSize, true);
    const high = view.getUint32(body + FileCopyStart.at.fileSize + 4, true);
    if (high >= HIGH_MAX) return this.#refuse('a START of 2^53 bytes or more', IcStatus.DISK_FULL);

    // Linux leaks the file that was being copied; here it is as if the host had cancelled it
    if (this.#open) this.#abandon('the host has begun another one');
    const { fileName, pathName } = FileCopyStart.at;
    this.#size = high * 2 ** 32 + low;
    return this.#now(
      FileCopyOperation.START,
      this.#consumer.start(this.#ticket, {
        path: utf16ToUtf8(bytes, body + pathName, FileCopyStart.sizes.pathName),
        name: utf16ToUtf8(bytes, body + fileName, FileCopyStart.sizes.fileName),
        overwrite: (flags & FileCopyFlag.OVERWRITE) !== 0,
        createPath: (flags & FileCopyFlag.CREATE_PATH) !== 0,
        size: this.#size,
      }),
    );
  }

  /** Everything is checked before anything is written. */
  #write({ bytes, view, body, bodyLength }: IcRequest): number {
    const { at } = FileCopyData;
    if (bodyLength < at.data) return this.#refuse(`a WRITE of ${bodyLength} bytes`);
    if (!this.#open) return this.#refuse('a WRITE: no file is open', IcStatus.NOT_FOUND);
    const length = view.getUint32(body + at.length, true);
    const low = view.getUint32(body + at.offset, true);
    const high = view.getUint32(body + at.offset + 4, true);
    const offset = high * 2 ** 32 + low;
    if (length > FileCopyData.sizes.data) return this.#refuse(`a WRITE of ${length} bytes at once`);
    if (length > bodyLength - at.data) {
      return this.#refuse(`a WRITE of ${length} bytes in a body of ${bodyLength}`);
    }
    if (high >= HIGH_MAX || offset + length > this.#size) {
      return this.#refuse(`a WRITE of ${length} bytes at ${offset}: the file has ${this.#size}`);
    }
    this.#writeBegin = offset;
    this.#writeEnd = offset + length;
    return this.#now(
      FileCopyOperation.WRITE,
      this.#consumer.write(this.#ticket, offset, bytes, body + at.data, length),
    );
  }

  #complete(): number {
    if (!this.#open) return this.#refuse('a COMPLETE: no file is open', IcStatus.NOT_FOUND);
    if (!this.#extents.covers(this.#size)) {
      const text = `${this.#extents.length} of ${this.#size} bytes have come`;
      this.#abandon(text);
      return this.#refuse(`a COMPLETE: ${text}`);
    }
    return this.#now(FileCopyOperation.COMPLETE, this.#consumer.complete(this.#ticket));
  }

  /** What is not there needs no removing (Linux's daemon answers the same). */
  #cancel(): number {
    if (!this.#open) return IcStatus.SUCCESS;
    this.#context!.log.warning('UTIL', this.name, 'the host cancels');
    return this.#now(FileCopyOperation.CANCEL, this.#consumer.cancel(this.#ticket));
  }

  #now(operation: number, status: number): number {
    return status === LATER ? LATER : this.#finish(operation, status);
  }

  /** The consumer is done with an operation. Returns the status for the host. */
  #finish(operation: number, status: number): number {
    const done = status === IcStatus.SUCCESS;
    switch (operation) {
      case FileCopyOperation.START:
        this.#open = done;
        this.#extents.clear();
        return status;
      case FileCopyOperation.WRITE:
        if (!done || this.#extents.add(this.#writeBegin, this.#writeEnd)) return status;
        return this.#refuse('a WRITE: the file has too many holes', IcStatus.DISK_FULL);
      default:
        this.#open = false;
        return status;
    }
  }

  /** The consumer took too long: the host hears of a failure, what comes later is discarded. */
  #expire(): void {
    const ms = this.#operationTicks / TICKS_PER_MS;
    const text = `no answer to operation ${this.#operation} within ${ms} ms`;
    this.#context!.log.error('UTIL', this.name, text);
    const written = this.#operation === FileCopyOperation.WRITE;
    this.#operation = -1;
    this.#ticket++;
    this.#heardAt = this.#context!.clock.now();

    // After a lost WRITE the host may send it again; a file in any other state is of no use
    if (!written) this.#abandon(text);
    this.#context!.answer(IcStatus.FAIL);
  }

  #abandon(reason: string): void {
    this.#open = false;
    this.#context!.log.warning('UTIL', this.name, `giving up the file: ${reason}`);
    this.#consumer.abandon(reason);
  }

  #refuse(what: string, status: number = IcStatus.FAIL): number {
    this.#context!.log.error('UTIL', this.name, `refusing ${what}`);
    return status;
  }
}
