// SPDX-License-Identifier: GPL-2.0-or-later

/** The result of an exploration, in words. */

import { shardSize, type PlaceCounts } from '../../explore/exploration.ts';
import type { Part } from '../../explore/part.ts';
import { parsePlan } from '../../explore/plan.ts';
import type { RunOutcome } from '../../explore/run.ts';
import type { Group } from '../../explore/tally.ts';
import { hostIdentity } from '../../simulator/profiles/profile-file.ts';
import type { TestCase, TestSuite } from '../test-results.ts';
import type { ExploreRequest } from './explore-options.ts';
import { Exit, UsageError, plural, type ExitCode } from '../usage.ts';

/** Findings are listed up to this number; the JSON has all. */
const LISTED_MAX = 40;

/** Of a guest whose accesses nobody sees: a list without them is no list that was passed. */
const UNWATCHED =
  'unwatched nothing is told of its loads and stores: neither reads nor races are in the list';

/** The lines of a report. */
export function exploreReport(request: ExploreRequest, part: Part): string[] {
  const { tally, seconds, singles, total } = part;
  const rate = seconds > 0 ? Math.round(tally.runs / seconds) : 0;
  const walks = total - singles;
  const whole = `${total} runs: ${singles} with a single fault, ${walks} walks`;
  return [
    '',
    ...placeLines(part.places),
    ...(part.places.boot.race === 0 ? [UNWATCHED] : []),
    `list      ${whole} (list ${part.fingerprint})`,
    `made      ${tally.runs} runs in ${seconds.toFixed(1)} s, ${rate} runs/s${scope(part)}`,
    ...(part.complete ? [] : [`sample    ${share(part)} of them, spread evenly over the list`]),
    ...(tally.runs === 0 ? [] : [`ended     ${outcomes(tally.outcomes)}`]),
    ...(tally.unreached === 0 ? [] : [`unreached ${tally.unreached} runs never came to a fault`]),
    ...tally.groups.slice(0, LISTED_MAX).flatMap((group) => groupLines(request, part, group)),
    ...(tally.groups.length > LISTED_MAX
      ? [`... and ${tally.groups.length - LISTED_MAX} more`]
      : []),
    '',
    `verdict: ${verdict(part)}`,
  ];
}

/** The lines of a report on one run. */
export function runReport(plan: string, outcome: RunOutcome): string[] {
  const { status, error, steps, findings } = outcome;
  return [
    `run       ${plan}`,
    `ended     ${error ?? status} after ${steps} steps`,
    ...findings.map(({ kind, text }) => `${kind.padEnd(10)}${text}`),
    '',
    `verdict: ${findings.length === 0 ? 'clean' : plural(findings.length, 'finding')}`,
  ];
}

/** A run is one that its plan is about. @throws UsageError PlaceNotReached */
export function requireReached(
  plan: string,
  { fired }: RunOutcome,
  advice = 'The flow may have changed: explore it anew.',
): void {
  if (fired > 0 || parsePlan(plan).faults.length === 0) return;
  const text = `the run never comes to ${plan}`;
  throw new UsageError('PlaceNotReached', text, advice);
}

/** An exploration for a CI: one case for all that held, one for each finding. */
export function exploreSuite(request: ExploreRequest, part: Part): TestSuite {
  const { tally, complete } = part;
  const all = complete ? 'all' : `a sample of ${share(part)}`;
  const cases = tally.groups.map((group): TestCase => ({
    name: group.cause,
    outcome: 'failed',
    lines: [
      `${group.kind} in ${plural(group.runs, 'run')}`,
      group.text,
      commandOf(request, part, group),
    ],
  }));
  const name = `${plural(tally.runs, 'run')} (${all})`;
  // Nothing was looked at: that is no success
  const outcome = tally.runs === 0 ? 'failed' : 'passed';
  const held: TestCase = { name, outcome, lines: ['nothing was run'] };
  return { name: suiteName(part), cases: cases.length === 0 ? [held] : cases };
}

/** One run for a CI. */
export function runSuite(
  request: ExploreRequest,
  plan: string,
  { findings }: RunOutcome,
): TestSuite {
  const outcome = findings.length === 0 ? 'passed' : 'failed';
  const lines = findings.map(({ kind, text }) => `${kind}: ${text}`);
  const what = { host: hostIdentity(request.host), options: request.options };
  return { name: suiteName(what), cases: [{ name: plan, outcome, lines }] };
}

function suiteName({ host, options }: Pick<Part, 'host' | 'options'>): string {
  return `explore ${host}${options}`;
}

/** The exit code that findings deserve. */
export function exploreExit(findings: readonly { readonly kind: Group['kind'] }[]): ExitCode {
  if (findings.some(({ kind }) => kind !== 'finding')) return Exit.CRASH;
  return findings.length === 0 ? Exit.CLEAN : Exit.FINDINGS;
}

/** Seconds as people read them: `2 min 5 s`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

function placeLines(places: PlaceCounts): string[] {
  return Object.entries(places)
    .filter(([, counts]) => Object.keys(counts).length > 0)
    .map(([flow, counts]) => {
      const texts = Object.entries(counts).map(([place, count]) => `${count} ${place}`);
      return `${flow.padEnd(10)}${texts.join(', ')}`;
    });
}

function scope({ shard, complete }: Part): string {
  const part = shard.count === 1 ? '' : `, shard ${shard.index}/${shard.count}`;
  return complete ? part : `${part}, stopped early`;
}

function outcomes(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

/** The command that shows a finding. */
function commandOf({ who }: ExploreRequest, { options }: Part, { reproduction }: Group): string {
  return `hypxe explore${who}${options} --only ${reproduction}`;
}

function groupLines(request: ExploreRequest, part: Part, group: Group): string[] {
  const { kind, cause, runs, text } = group;
  return [
    '',
    `${kind.padEnd(10)}${cause} (${plural(runs, 'run')})`,
    ...(text === cause ? [] : [`          ${text}`]),
    `          ${commandOf(request, part, group)}`,
  ];
}

function verdict(part: Part): string {
  const { complete, tally } = part;
  const { groups } = tally;
  if (groups.length > 0) return plural(groups.length, 'finding');
  return complete ? 'clean' : `clean so far, in a sample of ${share(part)}`;
}

/** How much of its list a part has made: `0.12 %`. */
function share({ tally, total, shard }: Part): string {
  const percent = (100 * tally.runs) / Math.max(1, shardSize(total, shard));
  return `${percent.toFixed(percent < 1 ? 2 : percent < 10 ? 1 : 0)} %`;
}
