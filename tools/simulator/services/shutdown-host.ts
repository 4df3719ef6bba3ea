// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Shutdown, from the host: somebody wants the machine to end. One request at a time (OpenVMM
 * `hyperv_ic::shutdown`: AlreadyInProgress, NotReady).
 */

import { IcType, ShutdownFlag, ShutdownMessage } from '../../../src/services/protocol.ts';
import { DeviceClass } from '../../../src/vmbus/protocol.ts';
import { IcHost } from './ic-host.ts';

/** Reason code: planned. */
const REASON_PLANNED = 0x80000000;

/** What is asked for. */
export interface ShutdownWish {
  readonly restart?: boolean;
  readonly force?: boolean;
  readonly hibernate?: boolean;
  readonly reason?: number;
  readonly timeoutSeconds?: number;
  /** What the guest may show, at most 1023 characters. */
  readonly text?: string;
}

export class ShutdownHost extends IcHost {
  /** Status of the guest's last answer, or undefined; why there will be none, or ''. */
  status: number | undefined;
  reason = '';
  /** What is to be asked for as soon as the guest is ready. */
  #wish: ShutdownWish | undefined;

  constructor(messageVersions: readonly number[] = [0x10000, 0x30000, 0x30001, 0x30002]) {
    super({
      name: 'shutdown',
      interfaceId: DeviceClass.SHUTDOWN,
      instanceId: 'b6650ff7-33bc-4840-8048-e0676786f393',
      type: IcType.SHUTDOWN,
      messageVersions,
    });
  }

  /** Ask, now. */
  shutDown(wish: ShutdownWish = {}): 'sent' | 'not-ready' | 'in-progress' {
    if (this.state !== 'ready') return 'not-ready';
    if (!this.idle) return 'in-progress';
    const { at, size } = ShutdownMessage;
    const { body } = this;
    this.bodyBytes.fill(0, 0, size);
    body.setUint32(at.reasonCode, wish.reason ?? REASON_PLANNED, true);
    body.setUint32(at.timeoutSeconds, wish.timeoutSeconds ?? 300, true);
    const flags =
      (wish.force === true ? ShutdownFlag.FORCE : 0) |
      (wish.restart === true ? ShutdownFlag.RESTART : 0) |
      (wish.hibernate === true ? ShutdownFlag.HIBERNATE : 0);
    body.setUint32(at.flags, flags, true);
    const text = (wish.text ?? '').slice(0, ShutdownMessage.sizes.displayMessage / 2 - 1);
    for (let i = 0; i < text.length; i++) {
      body.setUint16(at.displayMessage + 2 * i, text.charCodeAt(i), true);
    }
    this.status = undefined;
    this.reason = '';
    this.request(size);
    return 'sent';
  }

  /** Ask as soon as the guest is ready. */
  shutDownWhenReady(wish: ShutdownWish = {}): void {
    if (this.shutDown(wish) === 'not-ready') this.#wish = wish;
  }

  protected override ready(): void {
    if (this.#wish === undefined) return;
    const wish = this.#wish;
    this.#wish = undefined;
    this.shutDown(wish);
  }

  protected override answered(status: number): void {
    this.status = status;
  }

  protected override ended(reason: string): void {
    this.reason = reason;
  }
}
