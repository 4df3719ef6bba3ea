// SPDX-License-Identifier: GPL-2.0-or-later

/** The trace, the capture and the page of a scenario: of the half with the bug. */

import { TRACE_VERSION, type RunHeader } from '../report/trace-line.ts';
import { watchHalf, type Half, type Scenario } from '../scenarios/scenario.ts';
import { BootFiles, unwritten } from './boot/boot-files.ts';
import type { FilesRequest } from './boot/file-options.ts';
import { RunFiles } from './boot/run-files.ts';
import { commandError, type CommandError } from './usage.ts';

/** A half, and the files that are made of it. */
interface HalfRequest extends FilesRequest {
  readonly half: Half;
}

/**
 * Run the half with the bug once more, for its files; a page compares it with the half without.
 *
 * @param page the script of a page
 * @returns what could not be written, and why: the verdict is told by then, and stays what it is
 */
export async function writeScenario(
  scenario: Scenario,
  request: FilesRequest,
  page: string,
): Promise<CommandError[]> {
  const broken: HalfRequest = { ...request, half: 'broken' };
  let files: BootFiles<HalfRequest> | undefined;
  try {
    files = new BootFiles(broken, page, { ...broken, half: 'fixed', pcap: undefined });
    const failures = runHalf(scenario, files.request);
    const other = (of: HalfRequest) => Promise.resolve(runHalf(scenario, of)).then(() => DONE);
    const written = await files.write(other, DONE);
    return [...written, ...unwritten(request, failures)];
  } catch (error) {
    return [commandError(error)];
  } finally {
    files?.close();
  }
}

const DONE = { verdict: 'done' };

/** Run a half; returns what its files lack. */
function runHalf(scenario: Scenario, request: HalfRequest): Partial<RunFiles['failures']> {
  let files: RunFiles | undefined;
  try {
    watchHalf(scenario, request.half, (machine) => {
      files = new RunFiles(request, machine, () => headerOf(scenario, request.half));
    });
  } catch (error) {
    files?.abandon();
    throw error;
  }
  files?.close();
  return files?.failures ?? {};
}

function headerOf({ name, text }: Scenario, half: Half): RunHeader {
  return { kind: 'run', trace: TRACE_VERSION, command: 'scenarios', scenario: name, half, text };
}
