// SPDX-License-Identifier: GPL-2.0-or-later

/** What a recorded guest is surrounded by: host, network, and faults that somebody puts there. */

import type { X64Machine } from '../../src/machine.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { Network } from '../simulator/network/index.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import type { SessionNetworkOptions } from './session-network.ts';
import type { TapSurroundings } from './tap-surroundings.ts';

/** Faults on a machine. */
export interface SessionFaults {
  /** What the guest gets instead of the processor that it starts on. */
  readonly seam: X64Machine;
  /** Whether the guest shall give up. */
  readonly cancel: () => boolean;
  /** Whether an allocation fails. */
  readonly refuses: (purpose: string) => boolean;
}

/** Surroundings; all that is left out is as it is by default: one of each, and no fault. */
export interface SessionSurroundings {
  readonly processors?: number | undefined;
  readonly nics?: number | undefined;
  readonly network?: SessionNetworkOptions | undefined;
  /** What goes wrong, in words for the file, and how it does on a machine. */
  readonly plan?: string | undefined;
  readonly faults?: ((machine: SimulatedMachine, network: Network) => SessionFaults) | undefined;
}

/** What a tap takes from a machine itself: asking for the time is an exit that others count. */
export function tapOf({ clock, partition }: SimulatedMachine): TapSurroundings {
  return { memory: partition.ram.memory, ticks: () => BigInt(clock.now) };
}

/** How a file says what a session was recorded on. */
export function described(
  session: SessionSurroundings & { readonly profile: HostProfile; readonly seed: number },
): { readonly name: string; readonly description: string; readonly host: object } {
  const { profile, seed, plan, processors = 1, nics = 1, network = {} } = session;
  const more = {
    ...(processors === 1 ? {} : { processors }),
    ...(nics === 1 ? {} : { nics }),
    ...(Object.keys(network).length === 0 ? {} : { network }),
    ...(plan === undefined ? {} : { plan }),
  };
  const faults = plan === undefined ? '' : `, with ${plan}`;
  return {
    name: `${profile.name}-${seed}`,
    description: `seed ${seed} on host ${profile.name}${faults}`,
    host: { profile: profile.name, seed, ...more },
  };
}
