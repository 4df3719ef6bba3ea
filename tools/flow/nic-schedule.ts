// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * NICs that come late, go, and come back: times are counted from the first end of an enumeration,
 * so that they mean the same on every host.
 */

import { MessageType } from '../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { NetVsp } from '../simulator/netvsp/netvsp.ts';

/** When, in ms. What is left out does not happen. */
export interface NicTimes {
  /** The first NIC is only offered so long after the enumeration. */
  readonly arrives?: number | undefined;
  /** It is taken away so long after the enumeration, or after it has come. */
  readonly leaves?: number | undefined;
  /** It comes back so long after it has left, with the same instance. */
  readonly returns?: number | undefined;
}

/** Offer a NIC again that was taken away; one that somebody has brought back already stays. */
export function bringBack(machine: SimulatedMachine, nic: NetVsp): void {
  const { clients } = machine.vmbus.inspect();
  const there = clients.some(({ channels }) =>
    channels.some(({ instanceId, state }) => instanceId === nic.instanceId && state !== 'revoked'),
  );
  if (!there) machine.vmbus.hotAdd(nic);
}

/** Let the first NIC of a machine come and go. Before any guest runs. */
export function scheduleNic(machine: SimulatedMachine, times: NicTimes): void {
  const [nic] = machine.nics;
  if (nic === undefined) return;
  const { arrives, leaves, returns } = times;
  const { clock, vmbus } = machine;
  const after = (ms: number, action: () => void): void => {
    clock.schedule(Math.round(ms * TICKS_PER_MS), action);
  };
  if (arrives === undefined && leaves === undefined) return;
  const leave = (): void => {
    if (leaves === undefined) return;
    after(leaves, () => {
      vmbus.rescind(nic);
      if (returns !== undefined) after(returns, () => bringBack(machine, nic));
    });
  };
  if (arrives !== undefined) vmbus.rescind(nic);
  const stop = machine.events.listen((event) => {
    if (event.kind !== 'host-message' || event.change === 'drop') return;
    if (event.payload[0] !== MessageType.ALL_OFFERS_DELIVERED) return;
    stop();
    if (arrives === undefined) return leave();
    after(arrives, () => {
      bringBack(machine, nic);
      leave();
    });
  });
}
