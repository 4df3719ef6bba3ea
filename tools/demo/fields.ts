// SPDX-License-Identifier: GPL-2.0-or-later

/** What one can choose in a page that boots the firmware, and how it is read. */

import type { FlowStep } from '../flow/flow-steps.ts';
import type { BootChoices } from '../library/boot-plan.ts';
import type { LiveField, LiveOption } from '../report/live.ts';
import { DEFAULT_PROFILE, PROFILES } from '../simulator/profiles/profiles.ts';
import { BadChoice } from './choice.ts';
import { FAULT_OPTIONS, NO_FAULT } from './host-faults.ts';
import { OMISSION_OPTIONS } from './omissions.ts';

/** Largest numbers that can be chosen. */
const SEED_MAX = 2 ** 32 - 1;
const NICS_MAX = 4;
const PROCESSORS_MAX = 8;

/** What comes after the firmware has handed over, for the first time or once more. */
const FLOWS: readonly (readonly [string, readonly FlowStep[]])[] = [
  ['the OS', []],
  ['the OS, kexec', ['kexec']],
  ['the OS, kexec, kexec', ['kexec', 'kexec']],
  ['the OS, a crash kernel', ['crash']],
  ['the OS, kexec, a crash kernel', ['kexec', 'crash']],
  ['firmware once more, the OS', ['chainload']],
];

const FLOW_OPTIONS: readonly LiveOption[] = FLOWS.map(([text, steps]) => ({
  ...{ text, value: steps.join(',') },
}));

/** What a network does to frames, and how often. */
const NETWORKS: Readonly<Record<string, NonNullable<BootChoices['faults']>>> = {
  none: {},
  loss: { loss: 0.1 },
  'high loss': { loss: 0.4 },
  duplication: { duplication: 0.2 },
  reordering: { reordering: 0.2 },
  corruption: { corruption: 0.1 },
};

const NETWORK_OPTIONS: readonly LiveOption[] = [
  { value: 'none', text: 'loses nothing' },
  { value: 'loss', text: 'loses 10 % of frames' },
  { value: 'high loss', text: 'loses 40 % of frames' },
  { value: 'duplication', text: 'sends 20 % of frames twice' },
  { value: 'reordering', text: 'reorders 20 % of frames' },
  { value: 'corruption', text: 'corrupts 10 % of frames' },
];

/** The host and its network: of every page that runs something. */
const HOST_FIELDS: readonly LiveField[] = [
  {
    ...{ kind: 'select', name: 'host', label: 'Host', value: DEFAULT_PROFILE },
    options: PROFILES.map(({ name, description }) => ({
      value: name,
      text: `${name}: ${description}`,
    })),
  },
  { kind: 'select', name: 'network', label: 'Network', value: 'none', options: NETWORK_OPTIONS },
  { kind: 'number', name: 'nics', label: 'NICs', least: 1, most: NICS_MAX, value: 1 },
  { kind: 'number', name: 'seed', label: 'Seed', least: 0, most: SEED_MAX, value: 1 },
];

/** What the host does wrong: of a boot, and of a PC. */
const FAULT_FIELD: LiveField = {
  ...{ kind: 'select', name: 'fault', label: 'The host', value: NO_FAULT },
  options: FAULT_OPTIONS,
};

/** What one can choose of a boot. */
export const BOOT_FIELDS: readonly LiveField[] = [
  ...HOST_FIELDS,
  { kind: 'number', name: 'cpus', label: 'Processors', least: 1, most: PROCESSORS_MAX, value: 1 },
  { kind: 'select', name: 'flow', label: 'Then', value: '', options: FLOW_OPTIONS },
  FAULT_FIELD,
  { kind: 'checks', name: 'forgets', label: 'The firmware forgets', options: OMISSION_OPTIONS },
];

/** What one can choose of a PC. */
export const PC_FIELDS: readonly LiveField[] = [
  { kind: 'file', name: 'program', label: 'Program', hint: '.lkrn, bzImage, ISO or disk image' },
  ...HOST_FIELDS,
  FAULT_FIELD,
  { kind: 'text', name: 'keys', label: 'Typed once it waits', value: '', hint: 'dhcp\\n' },
];

/** What was chosen, by the names of the fields. */
export type Values = Readonly<Record<string, string>>;

/** The host and network that were chosen. @throws BadChoice for what cannot be chosen */
export function hostChoices(
  values: Values,
): Pick<BootChoices, 'host' | 'seed' | 'nics' | 'faults'> & { readonly seed: number } {
  const { host = DEFAULT_PROFILE, network = 'none' } = values;
  if (!PROFILES.some(({ name }) => name === host))
    throw new BadChoice(`there is no host profile ${host}`);
  const faults = Object.hasOwn(NETWORKS, network) ? NETWORKS[network] : undefined;
  if (faults === undefined) throw new BadChoice(`there is no network named ${network}`);
  return {
    ...{ host, faults },
    nics: whole(values, 'nics', 1, NICS_MAX, 1),
    seed: whole(values, 'seed', 0, SEED_MAX, 1),
  };
}

/** The boot that was chosen. @throws BadChoice for what cannot be chosen */
export function bootChoices(values: Values): ReturnType<typeof hostChoices> & BootChoices {
  const { flow = '' } = values;
  const steps = FLOWS.find(([, each]) => each.join(',') === flow)?.[1];
  if (steps === undefined) throw new BadChoice(`there is no flow ${flow}`);
  const processors = whole(values, 'cpus', 1, PROCESSORS_MAX, 1);
  return { ...hostChoices(values), steps, processors };
}

/** A whole number that was typed. @throws BadChoice */
function whole(values: Values, name: string, least: number, most: number, usual: number): number {
  const text = values[name] ?? String(usual);
  const value = Number(text);
  if (text.trim() !== '' && Number.isInteger(value) && least <= value && value <= most)
    return value;
  throw new BadChoice(`${name} is "${text}": give a whole number from ${least} to ${most}`);
}
