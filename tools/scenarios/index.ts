// SPDX-License-Identifier: GPL-2.0-or-later

/** All scenarios, by name. */

import { CRASH_SCENARIOS } from './crash-scenarios.ts';
import { FIRMWARE_SCENARIOS } from './firmware-scenarios.ts';
import { HOST_SCENARIOS } from './host-scenarios.ts';
import { KEXEC_SCENARIOS } from './kexec-scenarios.ts';
import { MICROSOFT_SCENARIOS } from './microsoft-scenarios.ts';
import { NETWORK_SCENARIOS } from './network-scenarios.ts';
import { OWNER_SCENARIOS } from './owner-scenarios.ts';
import { SAN_SCENARIOS } from './san-scenarios.ts';
import type { Scenario } from './scenario.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...KEXEC_SCENARIOS,
  ...CRASH_SCENARIOS,
  ...FIRMWARE_SCENARIOS,
  ...MICROSOFT_SCENARIOS,
  ...OWNER_SCENARIOS,
  ...SAN_SCENARIOS,
  ...HOST_SCENARIOS,
  ...NETWORK_SCENARIOS,
];

/** The scenario of this name, or undefined. */
export function scenarioNamed(name: string): Scenario | undefined {
  return SCENARIOS.find((scenario) => scenario.name === name);
}
