// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Shutdown, from the host: somebody wants the machine to end. One request at a time (OpenVMM
 * `hyperv_ic::shutdown`: AlreadyInProgress, NotReady).
 */

import { IcType, ShutdownFlag, ShutdownMessage } from '../../../src/services/protocol.ts';
import { DeviceClass } from '../../../src/vmbus/protocol.ts';
import { IcHost } from './ic-host.ts';
import { SHUTDOWN_VERSIONS, type IcVersionSince } from './ic-versions.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Message versions from which on a restart and a hibernation can be asked for. */
const RESTART_VERSION = 0x00030001;
const HIBERNATE_VERSION = 0x00030002;

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

  /** `messageVersions`: by default those of the host's generation. */
  constructor(messageVersions: readonly (number | IcVersionSince)[] = SHUTDOWN_VERSIONS) {
    super({
      name: 'shutdown',
      interfaceId: DeviceClass.SHUTDOWN,
      instanceId: 'b6650ff7-33bc-4840-8048-e0676786f393',
      type: IcType.SHUTDOWN,
      messageVersions,
    });
  }

  /** For a snapshot: all that may change. */
  override saveTo(keeper: Keeper): void {
    super.saveTo(keeper);
    keeper.put([this.status, this.reason], (v) => ([this.status, this.reason] = v));
    keeper.put([this.#wish], (v) => ([this.#wish] = v));
  }

  /** Ask, now. `unsupported`: the version that was agreed on has no such request. */
  shutDown(wish: ShutdownWish = {}): 'sent' | 'not-ready' | 'in-progress' | 'unsupported' {
    if (this.state !== 'ready') return 'not-ready';
    if (!this.idle) return 'in-progress';
    if (!this.#supports(wish)) {
      this.reason = 'the version of the shutdown service has no such request';
      return 'unsupported';
    }
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

  #supports({ restart, hibernate }: ShutdownWish): boolean {
    if (this.services.profile.knobs.shutdownFlags === 'always') return true;
    if (hibernate === true && this.messageVersion < HIBERNATE_VERSION) return false;
    return restart !== true || this.messageVersion >= RESTART_VERSION;
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
