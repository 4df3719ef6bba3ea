// SPDX-License-Identifier: GPL-2.0-or-later

/** What a plan says of its host and of its network, whatever kind of guest runs there. */

import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { Network, type NetworkFaults, type NetworkOptions } from '../simulator/network/index.ts';
import type { Link } from '../simulator/network/link.ts';
import { deviceNamed } from '../simulator/services/index.ts';
import type { ChannelDevice } from '../simulator/vmbus-server/channel-interface.ts';
import { TRACE_VERSION, type RunHeader } from '../report/trace-line.ts';
import type { BootPlan } from './boot-plan.ts';

/** The part of a plan that is about its host. */
type OfHost = Pick<BootPlan, 'profile' | 'seed' | 'nics' | 'devices' | 'faults' | 'network'>;

/** What is there besides the plan. */
export interface HostSurroundings {
  /** What the network serves. */
  readonly served: Pick<NetworkOptions, 'files' | 'bootFile' | 'aoe'>;
  /** A real network, instead of the one that is made here. */
  readonly link?: Link | undefined;
  /** Devices before and behind those that the plan names. */
  readonly first?: readonly ChannelDevice[];
  readonly last?: readonly ChannelDevice[];
}

/** What a machine is made with. @throws RangeError for a device that is not there */
export function planHost(plan: OfHost, { served, link, first = [], last = [] }: HostSurroundings) {
  const { profile, seed, nics, faults } = plan;
  const network = new Network({ ...served, faults, ...plan.network });
  const named = plan.devices.map((name) => {
    const description = deviceNamed(name);
    if (description === undefined) throw new RangeError(`there is no device ${name}`);
    return description.create();
  });
  return {
    ...{ profile, seed, devices: [...first, ...named, ...last] },
    links: Array.from({ length: nics }, (_, nic) => link ?? network.link(nic)),
  };
}

/** The part of a plan that the first line of a trace repeats. */
type OfHeader = Pick<BootPlan, 'host' | 'seed' | 'nics' | 'memoryMiB' | 'knobs' | 'faults'>;

/** Files of a run by name: its boot file, and the firmware, or a PC's program. */
type NamedFiles = { readonly image: string } & (
  { readonly firmware: string } | { readonly program: string }
);

/** The first line of a trace: what was asked for. `what`: who asks, and on which processors. */
export function planHeader(
  { host, seed, nics, memoryMiB, knobs, faults }: OfHeader,
  what: Pick<RunHeader, 'command' | 'processors' | 'architecture'> & NamedFiles,
): RunHeader {
  const { command, processors, architecture, image, ...who } = what;
  const network = faultWords(faults);
  const changed = Object.entries(knobs).map(([name, value]) => `${name}=${String(value)}`);
  return {
    ...{ kind: 'run', trace: TRACE_VERSION, command, host, seed, nics, processors },
    ...{ architecture, memoryMiB, image },
    ...('program' in who ? { program: who.program } : { firmware: who.firmware }),
    ...(network.length === 0 ? {} : { network: network.join(', ') }),
    ...(changed.length === 0 ? {} : { knobs: changed.join(', ') }),
  };
}

/** What the network does to frames: `loss 0.1`, `delay 5 ms`. */
function faultWords(faults: NetworkFaults, way = ''): string[] {
  return Object.entries(faults).flatMap(([name, value]) => {
    if (typeof value === 'object') return faultWords(value, name === 'toGuest' ? ' in' : ' out');
    if (typeof value !== 'number' || value === 0) return [];
    const [what, unit] = name.split('Ticks');
    return unit === undefined
      ? [`${what}${way} ${value}`]
      : [`${what}${way} ${value / TICKS_PER_MS} ms`];
  });
}
