// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Which processor takes the events of a channel (`init_vp_index`): those of fast devices are spread
 * over all, so that no two channels of one device share a processor; all others come to the one
 * that connected. One NUMA node.
 */

import { DeviceClass } from '../../src/vmbus/protocol.ts';

/** Devices that are worth a processor of their own (`vmbus_devs`, `perf_device`). */
const FAST: readonly string[] = [
  DeviceClass.IDE,
  DeviceClass.SCSI,
  DeviceClass.NETWORK,
  // Fibre channel, network direct
  '2f9bcc4a-0069-4af3-b76b-6fd0be528cda',
  '8c2eaf3d-32a7-4b09-ab99-bd1f1c86b501',
];

/** A channel as far as this goes. */
export interface TargetedChannel {
  readonly interfaceId: string;
  readonly instanceId: string;
  readonly subchannel: number;
}

export class TargetCpus {
  /** VP indices of the processors that are online. */
  readonly #online: readonly number[];
  readonly #connect: number;
  /** Processors that were given away in this round. */
  readonly #allocated = new Set<number>();
  /** Of each device: the processors of its channels. */
  readonly #used = new Map<string, number[]>();

  /** @param connect VP that connects, which is Linux's processor 0 */
  constructor(online: readonly number[], connect: number) {
    this.#online = online;
    this.#connect = connect;
  }

  /** A channel is offered: the VP index of its processor. */
  assign(channel: TargetedChannel): number {
    const { interfaceId, instanceId, subchannel } = channel;
    if (!FAST.includes(interfaceId)) return this.#connect;
    const count = this.#online.length;
    const used = subchannel === 0 ? [] : (this.#used.get(instanceId) ?? []);
    let target = this.#connect;
    for (let i = 1; i <= count + 1; i++) {
      target = this.#next();
      if (subchannel >= count || i > count || !used.includes(target)) break;
    }
    this.#used.set(instanceId, [...used, target]);
    return target;
  }

  /** The next processor; a round is over when all had their turn. */
  #next(): number {
    let target = this.#online.find((vp) => !this.#allocated.has(vp));
    if (target === undefined) {
      this.#allocated.clear();
      target = this.#online[0]!;
    }
    this.#allocated.add(target);
    return target;
  }
}
