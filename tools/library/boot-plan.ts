// SPDX-License-Identifier: GPL-2.0-or-later

/** A boot as it is asked for: the host, the network, what happens besides. Plain data. */

import type { ServiceName } from '../../src/services/boot-services.ts';
import { PAGE_SIZE } from '../../src/machine.ts';
import { checkSteps, type FlowStep } from '../flow/flow-steps.ts';
import type { NicTimes } from '../flow/nic-schedule.ts';
import { DEFAULT_LINUX, type LinuxName } from '../os/os-versions.ts';
import type { Leftover } from '../os/previous-owner.ts';
import type { NetworkFaults, NetworkOptions } from '../simulator/network/index.ts';
import { hostLabel } from '../simulator/profiles/profile-file.ts';
import type { HostKnobs, HostProfile } from '../simulator/profiles/profile.ts';
import { DEFAULT_PROFILE, profileNamed, withKnobs } from '../simulator/profiles/profiles.ts';

/** What a network is made with, besides files and faults. Plain data. */
export type NetworkHabits = Pick<
  NetworkOptions,
  'path' | 'tftp' | 'vlan' | 'dhcp' | 'dhcpServers' | 'proxyDhcp' | 'dns'
>;

/** What the network does to frames: probabilities from 0 to 1, and a delay in ticks. */
export type FrameFaults = Required<
  Pick<NetworkFaults, 'loss' | 'duplication' | 'reordering' | 'corruption' | 'delayTicks'>
>;

/** A boot, with everything decided. */
export interface BootPlan {
  /** Name of the host, and all of it: with the knobs that are turned. */
  readonly host: string;
  readonly profile: HostProfile;
  readonly knobs: Readonly<Record<string, string | number | boolean>>;
  /** Decides everything that is random. */
  readonly seed: number;
  readonly nics: number;
  readonly processors: number;
  readonly architecture: 'x64' | 'arm64';
  readonly hypercallConvention: 'smccc' | 'immediate' | undefined;
  /** Size of the guest's pages in bytes. */
  readonly pageSize: number;
  /** Guest RAM in MiB. */
  readonly memoryMiB: number;
  /** Utility services that the firmware is told to serve. */
  readonly services: readonly ServiceName[];
  /** What an earlier owner of the machine has left, and when the first NIC comes and goes. */
  readonly previousOwner: readonly Leftover[];
  readonly nicTimes: NicTimes;
  /** Names of the further devices that the host offers. */
  readonly devices: readonly string[];
  readonly faults: FrameFaults;
  /** What else the network is like. */
  readonly network: NetworkHabits;
  readonly preset: 'default' | 'ipxe';
  /** Which Linux the loaded OS is. */
  readonly linux: LinuxName;
  /** What happens besides, in an order in which it can. */
  readonly steps: readonly FlowStep[];
  readonly os: boolean;
  readonly secondBoot: boolean;
  /** Warnings of the audit are findings as well. */
  readonly strict: boolean;
  /** Boot file and next server, instead of what DHCP says. */
  readonly bootFile: string | undefined;
  readonly nextServer: string | undefined;
}

/** What may be chosen of a {@link BootPlan}; the rest is as `hypxe boot` has it. */
export interface BootChoices extends Partial<
  Omit<BootPlan, 'host' | 'profile' | 'knobs' | 'faults'>
> {
  /** A profile, or the name of one. */
  readonly host?: string | HostProfile;
  readonly knobs?: Partial<HostKnobs>;
  readonly faults?: Partial<FrameFaults>;
}

const NO_FAULTS: FrameFaults = {
  loss: 0,
  duplication: 0,
  reordering: 0,
  corruption: 0,
  delayTicks: 0,
};

/**
 * Decide what was not chosen.
 *
 * @throws RangeError for a host that is not there, and for steps in an order in which they cannot
 *   happen
 */
export function bootPlan(choices: BootChoices = {}): BootPlan {
  const { host = DEFAULT_PROFILE, knobs = {}, faults, steps = [], ...chosen } = choices;
  const profile = typeof host === 'string' ? profileNamed(host) : host;
  if (profile === undefined) throw new RangeError(`there is no host profile ${String(host)}`);
  const wrong = checkSteps(steps);
  if (wrong !== undefined) throw new RangeError(`${steps.join(',')}: ${wrong}`);
  return {
    seed: 1,
    nics: 1,
    processors: 1,
    architecture: 'x64',
    hypercallConvention: undefined,
    pageSize: PAGE_SIZE,
    memoryMiB: 64,
    services: [],
    previousOwner: [],
    nicTimes: {},
    devices: [],
    network: {},
    preset: 'default',
    linux: DEFAULT_LINUX,
    os: true,
    secondBoot: true,
    strict: false,
    bootFile: undefined,
    nextServer: undefined,
    ...chosen,
    host: hostLabel(profile),
    profile: withKnobs(profile, knobs),
    knobs: { ...knobs },
    faults: { ...NO_FAULTS, ...faults },
    steps,
  };
}
