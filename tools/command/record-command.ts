// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe record`: records a session of a guest on a simulated host. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { BadGuest } from '../guests/guest-program.ts';
import { guestRam } from '../guests/guest-ram.ts';
import { loadGuest } from '../guests/load-guest.ts';
import { RECORD_MEMORY, recordHostSession } from '../record/host-session.ts';
import { DEFECTS, isDefect, referenceFirmware, type Defect } from '../reference/index.ts';
import type { Firmware } from '../replay/firmware.ts';
import { DEFAULT_PROFILE } from '../simulator/profiles/profiles.ts';
import { parseArguments } from './arguments.ts';
import { requireFile } from './files.ts';
import { readHost, turnKnobs } from './host-options.ts';
import type { Terminal } from './terminal.ts';
import {
  EXIT_HELP,
  EnvironmentError,
  Exit,
  UsageError,
  didYouMean,
  plural,
  quoted,
  wholeNumber,
  type ExitCode,
} from './usage.ts';

const HELP = `Usage: hypxe record -o FILE.json [options]

Record a session: drive a guest's drivers on a simulated host, and write down what crosses the
seam, for hypxe replay. The seed decides what is done: open, frames both ways, quiesce, close.

  -o, --output FILE   where the session goes
  --firmware FILE.js  the guest: a bundle that exports createDriver(machine, options)
  --with-defect NAME  record the reference guest instead, with this defect of iPXE (repeatable);
                      ipxe: with all of them
  --host NAME|FILE    host profile (see hypxe hosts; default ${DEFAULT_PROFILE})
  --knob NAME=VALUE   change a habit of the host (repeatable)
  --seed N            decides the steps (default 1)
  -v, --verbose       of a mistake of hypxe itself, say where
  -h, --help          this text

${EXIT_HELP}

Examples
  hypxe record -o session.json
  hypxe record --with-defect ranges-in-order --seed 5 -o session.json
`;

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  firmware: { type: 'string' },
  'with-defect': { type: 'string', multiple: true },
  host: { type: 'string' },
  knob: { type: 'string', multiple: true },
  seed: { type: 'string' },
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Run the command; returns the exit code. @throws CommandError */
export async function recordCommand(
  args: readonly string[],
  places: { readonly firmware: string },
  terminal: Terminal,
): Promise<ExitCode> {
  const { values, positionals } = parseArguments('record', args, OPTIONS);
  if (values.help === true) {
    terminal.out(HELP);
    return Exit.CLEAN;
  }
  if (positionals.length > 0) {
    const text = `record takes no ${quoted(positionals[0]!)}`;
    throw new UsageError('BadArgument', text, 'See hypxe record --help.');
  }
  if (values.output === undefined) {
    throw new UsageError('NoOutput', 'no file to write to', 'Give one with -o FILE.json.');
  }
  const host = readHost(values.host ?? DEFAULT_PROFILE);
  const { profile } = turnKnobs(host, values.knob ?? []);
  const seed = wholeNumber('--seed', values.seed ?? '1', 1, 0xffffffff);
  const defects = readDefects(values['with-defect'] ?? []);
  const { firmware, memory, driver } =
    defects === undefined
      ? await loadDriver(path.resolve(values.firmware ?? places.firmware))
      : referenceGuest(defects);
  const { text, events, ended } = recordHostSession({ firmware, memory, profile, seed, driver });
  try {
    fs.writeFileSync(values.output, text);
  } catch (error) {
    const advice = 'Give a file in a folder that exists and can be written to.';
    throw new EnvironmentError('CannotWrite', (error as Error).message, advice);
  }
  terminal.out(`${values.output}: ${plural(events.length, 'event')} of ${driver}\n`);
  if (ended === undefined) return Exit.CLEAN;
  terminal.error(`the guest ended: ${String(ended)}\n`);
  return Exit.CRASH;
}

/** @throws UsageError UnknownDefect */
function readDefects(names: readonly string[]): readonly Defect[] | undefined {
  if (names.length === 0) return undefined;
  if (names.includes('ipxe')) return DEFECTS;
  return names.map((name) => {
    if (isDefect(name)) return name;
    const advice = didYouMean(name, [...DEFECTS, 'ipxe']);
    throw new UsageError('UnknownDefect', `there is no defect ${quoted(name)}`, advice);
  });
}

interface Recorded {
  readonly firmware: Firmware;
  readonly memory: ArrayBufferLike;
  readonly driver: string;
}

function referenceGuest(defects: readonly Defect[]): Recorded {
  const which = defects.length === DEFECTS.length ? 'iPXE' : defects.join(', ');
  const driver = `reference guest (${which})`;
  const firmware = referenceFirmware(defects) as Firmware;
  return { firmware, memory: guestRam(RECORD_MEMORY), driver };
}

/** @throws UsageError BadFirmware */
async function loadDriver(file: string): Promise<Recorded> {
  const advice = 'Run npm run build, or give --firmware a bundle that exports createDriver.';
  requireFile(file, advice);
  try {
    const program = await loadGuest(file);
    if (!program.drives) {
      throw new UsageError('BadFirmware', `${file} exports no function createDriver`, advice);
    }
    const guest = await program.instantiate(RECORD_MEMORY);
    const driver = path.basename(file);
    return { firmware: guest as unknown as Firmware, memory: guest.memory, driver };
  } catch (error) {
    if (!(error instanceof BadGuest)) throw error;
    throw new UsageError('BadFirmware', error.message, advice);
  }
}
