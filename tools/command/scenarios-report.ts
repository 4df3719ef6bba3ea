// SPDX-License-Identifier: GPL-2.0-or-later

/** Scenarios and what came of them, as text for people and as data. */

import { SCENARIOS } from '../scenarios/index.ts';
import {
  caughtText,
  type HalfVerdict,
  type Scenario,
  type ScenarioVerdict,
} from '../scenarios/scenario.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { plural } from './usage.ts';

/** All scenarios. */
export function scenarioList(): string {
  const lines = SCENARIOS.flatMap(({ name, text, references }) => [
    name,
    `    ${text}`,
    `    ${references.join('; ')}`,
  ]);
  return `${lines.join('\n')}\n`;
}

/** Lines of a verdict; `guest`: the fixed half was that of a guest. */
export function scenarioDetails(
  scenario: Scenario,
  { broken, fixed, passed }: ScenarioVerdict,
  guest = false,
): string[] {
  const { name, text, references, mistake, caughtBy } = scenario;
  return [
    `${name}: ${text}`,
    `  mistake of the ${mistake}, to be caught by ${caughtText(caughtBy)}`,
    `  see ${references.join('; ')}`,
    ...halfLines(broken, broken.caught === undefined ? 'NOT CAUGHT' : 'caught'),
    ...halfLines(fixed, fixed.passed ? 'passes' : 'DOES NOT PASS', guest),
    `verdict: ${passed ? PASSED[guest ? 'guest' : 'own'] : 'FAILED'}`,
  ];
}

/** What a scenario has come to that has not failed. */
const PASSED = {
  own: 'the bug is caught, and its absence passes',
  guest: 'the bug is caught, and the guest does not have it',
};

function halfLines(
  { half, caught, ended, findings }: HalfVerdict,
  state: string,
  guest = false,
): string[] {
  const lines = [`  ${guest ? 'guest' : half}: ${state}`];
  if (caught !== undefined) lines.push(`    by ${caught}`);
  else if (ended !== undefined) lines.push(`    ${ended.guest} ended: ${ended.text}`);
  for (const { check, severity, text, known } of findings) {
    const told = severity === 'info' || known !== undefined || `${check}: ${text}` === caught;
    if (!told) lines.push(`    ${severity}: ${check}: ${text}`);
  }
  const holes = findings.filter((finding) => finding.known !== undefined).length;
  if (holes > 0) lines.push(`    ${plural(holes, 'finding')} of the known hole of a crash`);
  return lines;
}

/** A verdict in a line; `guest` as for {@link scenarioDetails}. */
export function scenarioBrief(
  { name, broken, fixed, passed }: ScenarioVerdict,
  guest = false,
): string {
  const what = passed
    ? guest
      ? 'the guest passes'
      : `caught by ${broken.caught ?? ''}`
    : `${broken.caught === undefined ? 'the bug is not caught' : 'caught'}, ` +
      `${fixed.passed ? 'passes' : `but the ${guest ? 'guest' : 'fixed half'} does not pass`}`;
  return `${passed ? 'ok    ' : 'FAILED'} ${name}: ${what}`;
}

/** All verdicts in a line. */
export function scenarioTotal(count: number, failed: number): string {
  if (count === 0) return 'no scenario was run';
  if (failed > 0) return `${failed} of ${plural(count, 'scenario')} failed`;
  return `${plural(count, 'scenario')}: every bug is caught, and its absence passes`;
}

/** A document, as text. */
export function scenarioDocument(value: unknown): string {
  return `${JSON.stringify(value, (_, each: unknown) => each ?? null, 2)}\n`;
}

/** A scenario as data. */
export function plainScenario({ name, text, mistake, references, caughtBy }: Scenario) {
  return { name, text, mistake, references, caughtBy: caughtText(caughtBy) };
}

/** A verdict as data. */
export function plainVerdict(scenario: Scenario, { broken, fixed, passed }: ScenarioVerdict) {
  return { ...plainScenario(scenario), passed, broken: half(broken), fixed: half(fixed) };
}

function half({ caught, passed, ended, findings }: HalfVerdict) {
  const shown = ({ check, severity, text, known }: Finding) => ({ check, severity, text, known });
  return { passed, caught, ended: ended && plainEnd(ended), findings: findings.map(shown) };
}

function plainEnd({ guest, kind, text }: NonNullable<HalfVerdict['ended']>) {
  return { guest, kind, text };
}
