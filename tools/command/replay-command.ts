// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe replay`: runs the firmware against recorded sessions and compares. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { ReplayError } from '../replay/replay-error.ts';
import type { Firmware } from '../replay/firmware.ts';
import { replayTrace, type ReplayResult } from '../replay/replay.ts';
import { reportJson, reportText } from '../replay/report.ts';
import { parseTrace } from '../replay/trace-file.ts';
import type { Terminal } from './boot-command.ts';
import { Exit, UsageError, badOption } from './usage.ts';

const HELP = `Usage: hypxe replay TRACE.json... [options]

Run the firmware's drivers against recorded sessions (of iPXE's drivers, in the format of the
project's golden traces) and compare what the guest does: register writes, messages, signals,
ring packets, data, frames, completions, link changes, results. Each difference is on the list of
deliberate differences, or a failure.

  --firmware FILE.js  another bundle that exports createDriver(machine, options)
  --json              print one JSON document
  -v, --verbose       list the deliberate differences of each trace
  -h, --help          this text

Exit code: 0 no failure, 1 failures, 2 usage or a file that is no trace.

Examples
  hypxe replay firmware-tests/golden/ipxe-traces/01-boot.json
  hypxe replay firmware-tests/golden/ipxe-traces/*.json
`;

/** Run the command; returns the exit code. @throws UsageError */
export async function replayCommand(
  args: readonly string[],
  ownFirmware: string,
  terminal: Terminal,
): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    terminal.out(HELP);
    return Exit.CLEAN;
  }
  if (positionals.length === 0) {
    throw new UsageError('NoTrace', 'no trace file given', 'See hypxe replay --help.');
  }
  const firmware = await loadFirmware(path.resolve(values.firmware ?? ownFirmware));
  const results: ReplayResult[] = [];
  for (const file of positionals) {
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
    if (!(error instanceof ReplayError)) throw error;
    throw new UsageError(error.name, `${file}: ${error.message}`, error.advice);
  }
}
