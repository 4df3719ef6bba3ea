// SPDX-License-Identifier: GPL-2.0-or-later

/** The faults of a plan around a guest whose session is recorded: it is driven by others. */

import type { X64Machine } from '../../src/machine.ts';
import type { SessionFaults, SessionSurroundings } from '../record/session-surroundings.ts';
import type { SessionNetworkOptions } from '../record/session-network.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { combined, NETWORK_CONDITIONS, type Network } from '../simulator/network/index.ts';
import type { PlaceObserver } from './counter.ts';
import { Injector } from './injector.ts';
import { PlanError, planText, type Fault, type Place, type Plan } from './plan.ts';
import { leave } from './one-run.ts';
import { steppedMachine } from './stepped-machine.ts';

/** Places that a session does not show: what a guest reads in between two exits. */
const UNSEEN: readonly Place[] = ['race', 'read'];

/** Kinds of which the same holds. */
const UNSEEN_KINDS: readonly string[] = ['scribble'];

/** Whether a session can show a fault. */
export function isRecordable({ place, kind }: Fault): boolean {
  return !UNSEEN.includes(place) && !UNSEEN_KINDS.includes(kind);
}

/**
 * A plan, and a network besides, as surroundings of a recording.
 *
 * @param observer is told of each place that the session comes to
 * @throws PlanError for what no session shows
 */
export function withFaults(
  plan: Plan,
  network: SessionNetworkOptions = {},
  observer?: PlaceObserver,
): SessionSurroundings {
  if (plan.flow !== 'boot') {
    const advice = 'Leave out what stands before the colon: --seed decides what is done.';
    throw new PlanError(`the guest is not driven by the flow "${plan.flow}"`, advice);
  }
  for (const fault of plan.faults) {
    if (isRecordable(fault)) continue;
    const { place, kind } = fault;
    const advice = 'hypxe explore runs it.';
    throw new PlanError(`no session can show ${place}/${kind}: it is between two exits`, advice);
  }
  const is = plan.faults.filter(({ place }) => place === 'network');
  const conditions = is.map(({ argument }) => NETWORK_CONDITIONS[argument]!);
  return {
    plan: planText(plan),
    network: combined([network, ...conditions]),
    faults: (machine, its) => faultsOn(machine, its, plan, observer),
  };
}

function faultsOn(
  machine: SimulatedMachine,
  network: Network,
  plan: Plan,
  observer?: PlaceObserver,
): SessionFaults {
  for (const { place, argument } of plan.faults) if (place === 'owner') leave(machine, argument);
  const injector = new Injector(machine, plan, observer);
  const { counter } = injector;
  counter.begin('owner', 'previous owner');
  counter.begin('network', 'network');
  injector.nic(network);
  const { partition, bootSeam } = machine;
  const listener = {
    exit: () => partition.guard(() => injector.exit()),
    step: (what: string) => partition.guard(() => injector.step(what)),
    refuses: (register: number) => injector.refuses(register),
    activity: () => injector.activity,
  };
  const memory = (): ArrayBufferLike => partition.ram.memory;
  let failEver = false;
  return {
    seam: steppedMachine(machine, bootSeam.memoryMap, listener, memory) as X64Machine,
    cancel: () => injector.cut,
    refuses: (purpose) => {
      const faults = counter.arrive('alloc', () => ({ what: purpose }));
      for (const fault of faults) counter.fire(fault);
      failEver ||= faults.some(({ kind }) => kind === 'fail-ever');
      return failEver || faults.length > 0;
    },
  };
}
