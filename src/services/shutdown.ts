// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Shutdown: the host asks the guest to end. The answer goes out first; then whoever runs the
 * firmware finds the request and ends in an orderly way (Linux shutdown_onchannelcallback).
 */

import { DeviceClass } from '../vmbus/protocol.ts';
import { IcStatus, IcType, ShutdownFlag, ShutdownMessage } from './protocol.ts';
import type { IcContext, IcRequest, IcService } from './service.ts';
import { utf16ToUtf8, utf8Text } from './unicode.ts';

/** First message version that knows a restart (Linux SD_VERSION_3_1). */
const RESTART_VERSION = 0x00030001;

/** Flags that are served. */
const KNOWN_FLAGS = ShutdownFlag.FORCE | ShutdownFlag.RESTART;

/** What the host wants. */
export interface ShutdownRequest {
  readonly kind: 'power-off' | 'restart';
  /** The host does not want to hear of anything that would keep the guest from it. */
  readonly force: boolean;
  /** Reason code; 0x80000000 means that it is planned. */
  readonly reason: number;
  /** How long the host will wait, in seconds. */
  readonly timeoutSeconds: number;
  /** What to tell the user, or ''. */
  readonly text: string;
}

export class ShutdownService implements IcService {
  readonly name = 'shutdown';
  readonly interfaceId = DeviceClass.SHUTDOWN;
  readonly type = IcType.SHUTDOWN;
  readonly messageVersions: readonly number[] = [0x00030002, 0x00030001, 0x00030000, 0x00010000];
  readonly ready = true;
  /** What the host wants: only once it has been answered. */
  request: ShutdownRequest | undefined;
  /** What was just agreed to, but not yet answered. */
  #agreed: ShutdownRequest | undefined;
  #context: IcContext | undefined;

  opened(context: IcContext): void {
    this.#context = context;
    this.#agreed = undefined;
  }

  handle(message: IcRequest): number {
    const { view, body, bodyLength } = message;
    if (bodyLength < ShutdownMessage.at.displayMessage) {
      return this.#refuse(`a message of ${bodyLength} bytes`);
    }
    const flags = view.getUint32(body + ShutdownMessage.at.flags, true);
    const restart = (flags & ShutdownFlag.RESTART) !== 0;
    if ((flags & ~KNOWN_FLAGS) !== 0) return this.#refuse(`flags 0x${flags.toString(16)}`);
    if (restart && message.messageVersion < RESTART_VERSION) {
      return this.#refuse('a restart, which this version does not know');
    }
    // What the host asks for twice it gets once; what was asked for first counts
    if (this.request !== undefined) return IcStatus.SUCCESS;
    if (message.leaving) return this.#refuse('it: too late, the firmware is handing over');

    const textLength = Math.min(
      bodyLength - ShutdownMessage.at.displayMessage,
      ShutdownMessage.sizes.displayMessage,
    );
    const textAt = body + ShutdownMessage.at.displayMessage;
    this.#agreed = {
      kind: restart ? 'restart' : 'power-off',
      force: (flags & ShutdownFlag.FORCE) !== 0,
      reason: view.getUint32(body + ShutdownMessage.at.reasonCode, true),
      timeoutSeconds: view.getUint32(body + ShutdownMessage.at.timeoutSeconds, true),
      text: utf8Text(utf16ToUtf8(message.bytes, textAt, textLength)),
    };
    return IcStatus.SUCCESS;
  }

  /** The host has its answer: now it may happen. */
  answered(): void {
    const agreed = this.#agreed;
    if (agreed === undefined) return;
    this.request = agreed;
    this.#agreed = undefined;
    const { kind, force, reason, text } = agreed;
    const how = `${force ? 'forced ' : ''}${kind}, reason 0x${reason.toString(16)}`;
    const words = text === '' ? '' : `: ${JSON.stringify(text)}`;
    this.#context?.log.warning('UTIL', this.name, `the host wants a ${how}${words}`);
  }

  poll(): void {}

  closed(): void {
    this.#agreed = undefined;
  }

  #refuse(what: string): number {
    this.#context?.log.error('UTIL', this.name, `refusing ${what}`);
    return IcStatus.FAIL;
  }
}
