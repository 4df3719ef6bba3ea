// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe scenarios`: known bugs of handoffs, each caught with the bug and clean without it. */

import { SCENARIOS, scenarioNamed } from '../scenarios/index.ts';
import { runScenario, type Scenario, type ScenarioVerdict } from '../scenarios/scenario.ts';
import { parseArguments } from './arguments.ts';
import { workerFailed } from './boot/boot-message.ts';
import { runInCell } from './cell-run.ts';
import { FILE_OPTIONS, fileOption, outputsOf, readFiles } from './boot/file-options.ts';
import { checkOutputs } from './boot/output-file.ts';
import { requireFile, requireWritable } from './files.ts';
import { FIRMWARE_ADVICE, GUEST_MEMORY_HELP, guestMemoryLimit } from './guest-options.ts';
import {
  plainScenario,
  plainVerdict,
  scenarioBrief,
  scenarioDetails,
  scenarioDocument,
  scenarioList,
  scenarioTotal,
} from './scenarios-report.ts';
import { writeScenario } from './scenarios-files.ts';
import type { ScenariosJob, ScenariosMessage } from './scenarios-worker.ts';
import { list, oneOf, record, text, type Shape } from './shape.ts';
import { interrupted, oneLine, type Terminal } from './terminal.ts';
import { RESULT_HELP, RESULT_OPTIONS, tellSuite, wantsTap, type TestCase } from './test-results.ts';
import { thrownByWorker } from './worker-failure.ts';
import {
  CommandError,
  EXIT_HELP,
  Exit,
  InterruptedError,
  UsageError,
  didYouMean,
  failureText,
  plural,
  quoted,
  wholeNumber,
  type ExitCode,
} from './usage.ts';

/** The help text. */
export const SCENARIOS_HELP = `Usage: hypxe scenarios [NAME...] [--all] [--firmware FILE] [--json]

Known bugs of firmware, kernels and hosts at the moment of a handoff, each with its public
reference. Without NAME they are listed. With NAME (or how several names begin: kexec), or with
--all, each is run twice: with the broken behaviour switched on, which the audit must catch, and
with the fixed behaviour, which must pass.

With --firmware the fixed behaviour is that of your own firmware. The broken one stays hypxe's, and
shows that the bug would be caught. Scenarios that are about no firmware are left out; so are those
that need drivers which can be called one by one, if a whole firmware has none.

Options
  --all               run all of them; so does --firmware without NAME
  --report FILE       of one NAME: a page of the half with the bug, compared with the half without
                      (hypxe report --help)
  --trace FILE        of one NAME: the events of the half with the bug; with --format perfetto as
                      ui.perfetto.dev opens them
  --pcap FILE         of one NAME: a capture of that half for Wireshark
  --firmware FILE     your own: a bundle that exports boot(machine, options), or a guest in
                      WebAssembly (hypxe guest --help)
  --watchdog S        seconds that it may take in one scenario, after which it hangs (default 60)
${GUEST_MEMORY_HELP}
  --json              print one JSON document
${RESULT_HELP}
  -v, --verbose       of a mistake of hypxe itself, say where
  -h, --help          this text

A broken half that is not caught, and a fixed one that does not pass, is a finding.
${EXIT_HELP}

Examples
  hypxe scenarios
  hypxe scenarios kexec-without-unload
  hypxe scenarios kexec-without-unload --report unload.html
  hypxe scenarios --all --json
  hypxe scenarios owner --firmware my-firmware.js
`;

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface ScenariosPlaces {
  /** The process that guests run in. */
  readonly guestCell: URL;
  readonly scenariosWorker: URL;
  /** The script of a report's page. */
  readonly reportPage: string;
}

/** What is run, and how. Undefined if only help was asked for. @throws CommandError */
export function parseScenarios(args: readonly string[]) {
  const { values, positionals } = parse(args);
  if (values.help === true) return undefined;
  const tap = wantsTap(values);
  if (values.all === true && positionals.length > 0) {
    const text = `--all and also ${positionals.join(', ')}`;
    throw new UsageError('TooManyNames', text, 'Give names, or --all.');
  }
  const all = values.all === true || (values.firmware !== undefined && positionals.length === 0);
  const chosen = all ? SCENARIOS : [...new Set(positionals.flatMap(named))];
  const limits = guestLimits(values);
  if (chosen.length === 0 && (values.junit !== undefined || tap)) {
    const text = `${tap ? '--tap' : '--junit'} tells what was run, and nothing is`;
    throw new UsageError('BadOption', text, 'Give NAME, or --all.');
  }
  const inputs = [values.firmware ?? []].flat().map((file) => ({ what: 'the firmware', file }));
  checkOutputs(outputsOf(values), inputs);
  for (const { file } of outputsOf(values)) requireWritable(file);
  const wantsFiles = fileOption(values);
  const files = readFiles(values);
  if (wantsFiles !== undefined && (chosen.length !== 1 || values.firmware !== undefined)) {
    const advice = 'Name one, without --firmware; hypxe boot --firmware has them of a boot.';
    throw new UsageError('BadOption', `${wantsFiles} is about one scenario`, advice);
  }
  return { values, all, chosen, limits, tap, wantsFiles, files };
}

/** Run the command; returns the exit code. @throws CommandError */
export async function scenariosCommand(
  args: readonly string[],
  places: ScenariosPlaces,
  terminal: Terminal,
): Promise<ExitCode> {
  const request = parseScenarios(args);
  if (request === undefined) {
    terminal.out(SCENARIOS_HELP);
    return Exit.CLEAN;
  }
  const { values, all, chosen, limits, tap, wantsFiles, files } = request;
  const json = values.json === true;
  if (values.firmware !== undefined) {
    return runWith(chosen, all, { ...values, ...limits }, places, terminal);
  }
  if (chosen.length === 0) {
    terminal.out(json ? scenarioDocument(SCENARIOS.map(plainScenario)) : scenarioList());
    return Exit.CLEAN;
  }

  // Run, and tell of each as soon as it is done
  const verdicts: ScenarioVerdict[] = [];
  for (const scenario of chosen) {
    if (await interrupted(terminal)) break;
    const verdict = runScenario(scenario);
    verdicts.push(verdict);
    if (json || tap) continue;
    const lines = all ? [scenarioBrief(verdict)] : scenarioDetails(scenario, verdict);
    terminal.out(`${lines.join('\n')}\n`);
  }
  const failed = verdicts.filter(({ passed }) => !passed).length;
  if (json) {
    terminal.out(scenarioDocument(verdicts.map((each, i) => plainVerdict(chosen[i]!, each))));
  } else if (all && !tap) terminal.out(`\n${scenarioTotal(verdicts.length, failed)}\n`);
  const cases = verdicts.map(({ passed }, i): TestCase => {
    const lines = scenarioDetails(chosen[i]!, verdicts[i]!);
    return { name: chosen[i]!.name, outcome: passed ? 'passed' : 'failed', lines };
  });
  tellScenarios('scenarios', cases, chosen, values, terminal);
  const only = wantsFiles === undefined ? [] : chosen.slice(0, verdicts.length);
  const unwritten: CommandError[] = [];
  for (const each of only) unwritten.push(...(await writeScenario(each, files, places.reportPage)));
  for (const failure of unwritten) terminal.error(failureText(failure));
  if (verdicts.length < chosen.length) {
    const was = verdicts.length === 1 ? 'was' : 'were';
    const done = `${verdicts.length} of ${plural(chosen.length, 'scenario')} ${was} run`;
    terminal.error(failureText(new InterruptedError(done)));
    return Exit.INTERRUPTED;
  }
  return failed === 0 ? (unwritten[0]?.code ?? Exit.CLEAN) : Exit.FINDINGS;
}

/** Limits of a guest. @throws UsageError BadNumber, BadOption without a guest */
function guestLimits(values: Values) {
  const { firmware, watchdog, 'guest-memory-limit': memory } = values;
  const limits = {
    watchdogSeconds: wholeNumber('--watchdog', watchdog ?? '60', 1, 3600),
    memoryLimitMiB: guestMemoryLimit(memory),
  };
  if (firmware === undefined && (watchdog ?? memory) !== undefined) {
    const option = watchdog === undefined ? '--guest-memory-limit' : '--watchdog';
    throw new UsageError(
      'BadOption',
      `${option} is about a --firmware`,
      'Give one, or leave it out.',
    );
  }
  return limits;
}

/** For a CI: those that were not run have failed; `why`: of the first of them. */
function tellScenarios(
  name: string,
  ran: readonly TestCase[],
  chosen: readonly Scenario[],
  results: { readonly junit?: string; readonly tap?: boolean },
  terminal: Terminal,
  why = NOT_RUN,
): void {
  const missing = chosen.slice(ran.length).map((scenario, i): TestCase => ({
    name: scenario.name,
    outcome: 'failed',
    lines: [i === 0 ? why : NOT_RUN],
  }));
  tellSuite({ name, cases: [...ran, ...missing] }, results, terminal);
}

const NOT_RUN = 'it was not run';

/** With a guest in place of hypxe's own firmware, in a process of its own. */
async function runWith(
  chosen: readonly Scenario[],
  brief: boolean,
  values: Values & ReturnType<typeof guestLimits>,
  places: ScenariosPlaces,
  terminal: Terminal,
): Promise<ExitCode> {
  const { firmware = '', json = false, tap = false, watchdogSeconds, memoryLimitMiB } = values;
  requireFile(firmware, FIRMWARE_ADVICE);
  const job: ScenariosJob = { firmware, names: chosen.map(({ name }) => name), brief };
  const run = {
    ...{ guestCell: places.guestCell, worker: places.scenariosWorker, job },
    ...{ watchdogSeconds, memoryLimitMiB },
    interrupt: terminal.interrupt,
  };
  const ran: Ran[] = [];
  const error = await runInCell(run, {
    message: (given) => {
      const message = scenariosMessage(given, '');
      if (message.kind === 'failed') throw thrownByWorker(message);
      if (message.kind === 'ran') {
        ran.push(message);
        if (!json && !tap) terminal.out(`${message.lines.map(oneLine).join('\n')}\n`);
      }
      return message.kind !== 'done';
    },
    crashed: (why) => {
      const where = `${firmware} in ${chosen[ran.length]?.name ?? 'no scenario'}`;
      return new CommandError(Exit.CRASH, 'FirmwareEnded', `${where}: ${why}`, ENDED_ADVICE);
    },
    interrupted: () =>
      new InterruptedError(`${ran.length} of ${plural(chosen.length, 'scenario')} were told`),
  });
  const judged = ran.filter(({ state }) => state !== 'left-out');
  const failed = judged.filter(({ state }) => state !== 'passed').length;
  if (error === undefined && judged.length === 0) {
    const advice = 'hypxe scenarios --firmware FILE runs those that fit.';
    throw new UsageError('NothingToRun', `nothing of it fits ${firmware}`, advice);
  }
  const cases = ran.map(({ state, lines }, i): TestCase => {
    const outcome = OUTCOMES[state];
    return { name: chosen[i]!.name, outcome, lines: lines.map(oneLine) };
  });
  const suite = `scenarios with ${firmware}`;
  const why = error && oneLine(`${error.name}: ${error.message}`);
  if (error !== undefined && ran.length === 0) {
    tellScenarios(suite, cases, chosen, values, terminal, why);
    throw error;
  }
  if (json) terminal.out(scenarioDocument(ran.map((each) => JSON.parse(each.json) as unknown)));
  else if (!tap) {
    const left = ran.length - judged.length;
    const all = `${plural(judged.length, 'scenario')}, ${failed} failed`;
    terminal.out(`\n${all}${left === 0 ? '' : `, ${left} left out`}\n`);
  }
  tellScenarios(suite, cases, chosen, values, terminal, why);
  if (error !== undefined) {
    terminal.error(failureText(error, values.verbose));
    return error.code;
  }
  if (judged.some(({ state }) => state === 'ended')) return Exit.CRASH;
  return failed === 0 ? Exit.CLEAN : Exit.FINDINGS;
}

/** What a scenario has come to, for a CI. */
const OUTCOMES: Readonly<Record<Ran['state'], TestCase['outcome']>> = {
  passed: 'passed',
  failed: 'failed',
  ended: 'failed',
  'left-out': 'skipped',
};

type Ran = Extract<ScenariosMessage, { kind: 'ran' }>;

const ENDED_ADVICE = 'Run that scenario alone, and look at what the firmware does in it.';

/** A message of the worker. @throws ShapeError */
const scenariosMessage: Shape<ScenariosMessage> = (value, where) => {
  const words = ['loaded', 'ran', 'done', 'failed'] as const;
  const { kind } = record({ kind: oneOf(...words) })(value, where);
  if (kind === 'failed') return workerFailed(value, where);
  if (kind !== 'ran') return { kind };
  const state = oneOf('passed', 'failed', 'ended', 'left-out');
  return record({ kind: oneOf('ran'), state, lines: list(text), json: text })(value, where);
};

const OPTIONS = {
  all: { type: 'boolean' },
  firmware: { type: 'string' },
  watchdog: { type: 'string' },
  'guest-memory-limit': { type: 'string' },
  ...FILE_OPTIONS,
  json: { type: 'boolean' },
  ...RESULT_OPTIONS,
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof parse>['values'];

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
