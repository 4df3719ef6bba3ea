// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe scenarios`: known bugs of handoffs, each caught with the bug and clean without it. */

import { SCENARIOS, scenarioNamed } from '../scenarios/index.ts';
import {
  caughtText,
  runScenario,
  type HalfVerdict,
  type Scenario,
  type ScenarioVerdict,
} from '../scenarios/scenario.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { parseArguments } from './arguments.ts';
import { interrupted, type Terminal } from './terminal.ts';
import {
  EXIT_HELP,
  Exit,
  InterruptedError,
  UsageError,
  didYouMean,
  failureText,
  plural,
  quoted,
  type ExitCode,
} from './usage.ts';

const HELP = `Usage: hypxe scenarios [NAME...] [--all] [--json]

Known bugs of firmware, kernels and hosts at the moment of a handoff, each with its public
reference. Without NAME they are listed. With NAME (or how several names begin: kexec), or with
--all, each is run twice: with the broken behaviour switched on, which the audit must catch, and
with the fixed behaviour, which must pass.

Options
  --all          run all of them
  --json         print one JSON document
  -v, --verbose  of a mistake of hypxe itself, say where
  -h, --help     this text

A broken half that is not caught, and a fixed one that does not pass, is a finding.
${EXIT_HELP}

Examples
  hypxe scenarios
  hypxe scenarios kexec-without-unload
  hypxe scenarios --all --json
`;

/** Run the command; returns the exit code. @throws CommandError */
export async function scenariosCommand(
  args: readonly string[],
  terminal: Terminal,
): Promise<ExitCode> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    terminal.out(HELP);
    return Exit.CLEAN;
  }
  const json = values.json === true;
  if (values.all === true && positionals.length > 0) {
    const text = `--all and also ${positionals.join(', ')}`;
    throw new UsageError('TooManyNames', text, 'Give names, or --all.');
  }
  const chosen = values.all === true ? SCENARIOS : [...new Set(positionals.flatMap(named))];
  if (chosen.length === 0) {
    terminal.out(json ? document(SCENARIOS.map(plain)) : list());
    return Exit.CLEAN;
  }

  // Run, and tell of each as soon as it is done
  const verdicts: ScenarioVerdict[] = [];
  for (const scenario of chosen) {
    if (await interrupted(terminal)) break;
    const verdict = runScenario(scenario);
    verdicts.push(verdict);
    if (json) continue;
    const lines = values.all === true ? [brief(verdict)] : details(scenario, verdict);
    terminal.out(`${lines.join('\n')}\n`);
  }
  const failed = verdicts.filter(({ passed }) => !passed).length;
  if (json) terminal.out(document(verdicts.map((each, i) => outcome(chosen[i]!, each))));
  else if (values.all === true) terminal.out(`\n${total(verdicts.length, failed)}\n`);
  if (verdicts.length < chosen.length) {
    const was = verdicts.length === 1 ? 'was' : 'were';
    const done = `${verdicts.length} of ${plural(chosen.length, 'scenario')} ${was} run`;
    terminal.error(failureText(new InterruptedError(done)));
    return Exit.INTERRUPTED;
  }
  return failed === 0 ? Exit.CLEAN : Exit.FINDINGS;
}

const OPTIONS = {
  all: { type: 'boolean' },
  json: { type: 'boolean' },
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

function parse(args: readonly string[]) {
  return parseArguments('scenarios', args, OPTIONS);
}

/** The scenario of this name, or all whose names begin so. @throws UsageError UnknownScenario */
function named(name: string): readonly Scenario[] {
  const scenario = scenarioNamed(name);
  if (scenario !== undefined) return [scenario];
  const begun = SCENARIOS.filter((other) => name !== '' && other.name.startsWith(name));
  if (begun.length > 0) return begun;
  const names = SCENARIOS.map((other) => other.name);
  const advice = didYouMean(name, names, 'hypxe scenarios lists them.');
  throw new UsageError('UnknownScenario', `there is no scenario ${quoted(name)}`, advice);
}

// --- as text ---

function list(): string {
  const lines = SCENARIOS.flatMap(({ name, text, references }) => [
    name,
    `    ${text}`,
    `    ${references.join('; ')}`,
  ]);
  return `${lines.join('\n')}\n`;
}

function details(scenario: Scenario, { broken, fixed, passed }: ScenarioVerdict): string[] {
  const { name, text, references, mistake, caughtBy } = scenario;
  return [
    `${name}: ${text}`,
    `  mistake of the ${mistake}, to be caught by ${caughtText(caughtBy)}`,
    `  see ${references.join('; ')}`,
    ...halfLines(broken, broken.caught === undefined ? 'NOT CAUGHT' : 'caught'),
    ...halfLines(fixed, fixed.passed ? 'passes' : 'DOES NOT PASS'),
    `verdict: ${passed ? 'the bug is caught, and its absence passes' : 'FAILED'}`,
  ];
}

function halfLines({ half, caught, ended, findings }: HalfVerdict, state: string): string[] {
  const lines = [`  ${half}: ${state}`];
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

function brief({ name, broken, fixed, passed }: ScenarioVerdict): string {
  const what = passed
    ? `caught by ${broken.caught ?? ''}`
    : `${broken.caught === undefined ? 'the bug is not caught' : 'caught'}, ` +
      `${fixed.passed ? 'passes' : 'but the fixed half does not pass'}`;
  return `${passed ? 'ok    ' : 'FAILED'} ${name}: ${what}`;
}

function total(count: number, failed: number): string {
  if (count === 0) return 'no scenario was run';
  if (failed > 0) return `${failed} of ${plural(count, 'scenario')} failed`;
  return `${plural(count, 'scenario')}: every bug is caught, and its absence passes`;
}

// --- as data ---

function document(value: unknown): string {
  return `${JSON.stringify(value, (_, each: unknown) => each ?? null, 2)}\n`;
}

function plain({ name, text, mistake, references, caughtBy }: Scenario) {
  return { name, text, mistake, references, caughtBy: caughtText(caughtBy) };
}

function outcome(scenario: Scenario, { broken, fixed, passed }: ScenarioVerdict) {
  return { ...plain(scenario), passed, broken: half(broken), fixed: half(fixed) };
}

function half({ caught, passed, ended, findings }: HalfVerdict) {
  const shown = ({ check, severity, text, known }: Finding) => ({ check, severity, text, known });
  return { passed, caught, ended: ended && plainEnd(ended), findings: findings.map(shown) };
}

function plainEnd({ guest, kind, text }: NonNullable<HalfVerdict['ended']>) {
  return { guest, kind, text };
}
