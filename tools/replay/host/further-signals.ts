// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a guest is told that signals once more than the recorded one: how often a guest asks again
 * until its time is up depends on its clock, which no replay has to the millisecond.
 */

import type { Anchor } from './script-types.ts';

/** Statuses of signals that the recording does not have, by the packet that they follow. */
export class FurtherSignals {
  /** Those that are refused. */
  readonly #refused = new Map<Anchor, number>();

  constructor(anchors: readonly Anchor[]) {
    const channels = new Map<number, Anchor[]>();
    for (const anchor of anchors) {
      if (anchor.packet === undefined) continue;
      const packets = channels.get(anchor.channel) ?? [];
      channels.set(anchor.channel, packets);
      packets.push(anchor);
    }
    for (const packets of channels.values()) this.#between(packets);
  }

  /** Between two refusals lies a refusal, and behind the last signal of a channel its status. */
  #between(packets: readonly Anchor[]): void {
    let status = 0;
    let asked: Anchor[] = [];
    const refuse = (): void => asked.forEach((anchor) => this.#refused.set(anchor, status));
    for (const anchor of packets) {
      const { signals } = anchor;
      if (signals.length > 0) {
        if (status !== 0 && signals[0] !== 0) refuse();
        asked = [];
        status = signals.at(-1)!;
      }
      asked.push(anchor);
    }
    if (status !== 0) refuse();
  }

  /** Status of the hypercall, once the recorded signals behind a packet have come. */
  after(anchor: Anchor | undefined): number {
    return (anchor && this.#refused.get(anchor)) ?? 0;
  }
}
