// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe replay`: runs the firmware against recorded sessions and compares. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { HypxeError } from '../../src/error.ts';
import type { Firmware } from '../replay/firmware.ts';
import { replayTrace, type ReplayResult } from '../replay/replay.ts';
import { reportJson, reportText } from '../replay/report.ts';
import { parseTrace } from '../replay/trace-file.ts';
import type { Terminal } from './boot-command.ts';
import { shippedTraces, traceFile } from './trace-names.ts';
import { Exit, UsageError, badOption } from './usage.ts';

const help = (names: readonly string[]): string => `Usage: hypxe replay TRACE... [options]

Run the firmware's drivers against recorded sessions (of iPXE's drivers, in the format of the
project's golden traces) and compare what the guest does: register writes, messages, signals,
ring packets, data, frames, completions, link changes, results. Each difference is on the list of
deliberate differences, or a failure.

A TRACE with a slash in it, or that ends in .json, is a file. Others come with hypxe:
  ${names.join(', ')}

  --firmware FILE.js  another bundle that exports createDriver(machine, options)
  --json              print one JSON document
  -v, --verbose       list the deliberate differences of each trace
  -h, --help          this text

Exit code: 0 no failure, 1 failures, 2 usage or a file that is no trace.

Examples
  hypxe replay 01-boot
  hypxe replay 01-boot 14-monitored --verbose
  hypxe replay my-session.json --firmware my-firmware.js
`;

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface ReplayPlaces {
  readonly firmware: string;
  /** The folder of the sessions that come with hypxe. */
  readonly traces: string;
}

/** Run the command; returns the exit code. @throws UsageError */
export async function replayCommand(
  args: readonly string[],
  places: ReplayPlaces,
  terminal: Terminal,
): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    terminal.out(help(shippedTraces(places.traces)));
    return Exit.CLEAN;
  }
  if (positionals.length === 0) {
    throw new UsageError('NoTrace', 'no trace file given', 'See hypxe replay --help.');
  }
  const files = positionals.map((name) => traceFile(name, places.traces));
  const firmware = await loadFirmware(path.resolve(values.firmware ?? places.firmware));
  const results: ReplayResult[] = [];
  for (const file of files) {
    const result = replayTrace(firmware, readTrace(file));
    results.push(result);
    if (values.json !== true)
      terminal.out(`${reportText(result, { verbose: values.verbose === true })}\n`);
  }
  const failed = results.filter(({ ok }) => !ok).length;
  if (values.json === true) {
    terminal.out(`${JSON.stringify(results.map(reportJson), undefined, 2)}\n`);
  } else {
    terminal.out(`${results.length - failed} of ${results.length} traces replay without failure\n`);
  }
  return failed === 0 ? Exit.CLEAN : Exit.FINDINGS;
}

function parse(args: readonly string[]) {
  try {
    const options = {
      firmware: { type: 'string' },
      json: { type: 'boolean' },
      verbose: { type: 'boolean', short: 'v' },
      help: { type: 'boolean', short: 'h' },
    } as const;
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw badOption(error, 'See hypxe replay --help.');
  }
}

async function loadFirmware(file: string): Promise<Firmware> {
  const advice = 'Run npm run build, or give --firmware a bundle that exports createDriver.';
  let module: Partial<Firmware>;
  try {
    module = (await import(pathToFileURL(file).href)) as Partial<Firmware>;
  } catch (error) {
    throw new UsageError('BadFirmware', `${file}: ${(error as Error).message}`, advice);
  }
  if (typeof module.createDriver === 'function') return module as Firmware;
  throw new UsageError('BadFirmware', `${file} exports no function createDriver`, advice);
}

function readTrace(file: string) {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    const advice = 'Check the path and its permissions.';
    throw new UsageError('FileUnreadable', `${file}: ${(error as Error).message}`, advice);
  }
  try {
    return parseTrace(text);
  } catch (error) {
    if (!(error instanceof HypxeError)) throw error;
    throw new UsageError(error.name, `${file}: ${error.message}`, error.kind.advice);
  }
}
