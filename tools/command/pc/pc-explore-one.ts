// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe explore --pc FILE --only PLAN`: one run of a program, its story, and its files. */

import { basename } from 'node:path';
import { parsePlan, planText } from '../../explore/plan.ts';
import { Tally } from '../../explore/tally.ts';
import { BootFiles, unwritten } from '../boot/boot-files.ts';
import { exploreExit, requireReached, runReport } from '../explore/explore-report.ts';
import { writeText } from '../files.ts';
import { oneLine, type Terminal } from '../terminal.ts';
import { tellSuite } from '../test-results.ts';
import { Exit, InterruptedError, failureText, type CommandError, type ExitCode } from '../usage.ts';
import type { PcExploreRequest } from './pc-explore-options.ts';
import { PcPool, type PcExplorePlaces } from './pc-explore-pool.ts';
import type { PcStory } from './pc-explore-worker.ts';
import { screenLines } from './pc-report.ts';

/** What to do about a plan whose faults do not come to pass. */
const UNREACHED =
  'See with --only of its place (message, step) which there are: with these options, on this host.';

/** Make the run of a request that names one; returns the exit code. @throws CommandError */
export async function exploreOnePc(
  request: PcExploreRequest,
  places: PcExplorePlaces,
  terminal: Terminal,
): Promise<ExitCode> {
  const plan = request.plan!;
  const quiet = request.pc.json || request.pc.tap;
  const files = new BootFiles(request, places.reportPage, cleanRun(request));
  const pool = new PcPool(places.pcExploreWorker, request, 1);
  const end = (): void => pool.end();
  terminal.interrupt?.addEventListener('abort', end);
  let story: PcStory | undefined;
  let failures: CommandError[];
  try {
    story = await pool.story(plan, files.request, (line) => {
      if (!quiet) terminal.out(`${oneLine(line)}\n`);
    });
    if (story === undefined) throw new InterruptedError('the run came to no end');
    requireReached(plan, story.outcome, UNREACHED);
    failures = await files.write(
      async (of) => endOf(await pool.story(of.plan!, of, () => {})),
      endOf(story),
    );
  } finally {
    terminal.interrupt?.removeEventListener('abort', end);
    files.close();
    await pool.close();
  }
  failures.push(...unwritten(request, story));
  tell(request, story, terminal);
  for (const failure of failures) terminal.error(failureText(failure));
  const came = exploreExit(story.outcome.findings);
  return came === Exit.CLEAN ? (failures[0]?.code ?? came) : came;
}

/** The same run without its faults; undefined if it has none. */
function cleanRun(request: PcExploreRequest): PcExploreRequest | undefined {
  const { flow, faults } = parsePlan(request.plan!);
  if (faults.length === 0) return undefined;
  return { ...request, plan: planText({ flow, faults: [] }), pcap: undefined };
}

/** What the files need to know of a run. */
function endOf(story: PcStory | undefined): { readonly verdict: string } {
  return { verdict: story?.outcome.status ?? 'interrupted' };
}

function tell(request: PcExploreRequest, { outcome, screen }: PcStory, terminal: Terminal): void {
  const { pc, output, seed } = request;
  const { host, program, json, tap, junit } = pc;
  const plan = request.plan!;
  const tally = new Tally();
  tally.add(0, parsePlan(plan), outcome);
  const what = { program, host, knobs: pc.knobs, seed, total: 1, plan, screen };
  const document = `${JSON.stringify({ ...what, ...outcome, tally: tally.data }, undefined, 2)}\n`;
  const lines = ['', ...screenLines(screen), ...runReport(plan, outcome)];
  if (!tap) terminal.out(json ? document : `${lines.map(oneLine).join('\n')}\n`);
  if (output !== undefined) writeText(output, document);
  const found = outcome.findings.map(({ kind, text }) => `${kind}: ${text}`);
  const passed = found.length === 0 ? 'passed' : 'failed';
  const name = `explore ${basename(program)} on ${host}`;
  const cases = [{ name: plan, outcome: passed, lines: found }] as const;
  tellSuite({ name, cases }, { junit, tap }, terminal);
}
