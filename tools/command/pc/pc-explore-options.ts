// SPDX-License-Identifier: GPL-2.0-or-later

/** The options of `hypxe explore --pc`. */

import { parseArguments } from '../arguments.ts';
import { parsePlan } from '../../explore/plan.ts';
import { readOnly, runWords } from '../explore/explore-options.ts';
import { RESULT_OPTIONS } from '../test-results.ts';
import { UsageError, quoted, wholeNumber } from '../usage.ts';
import { parsePc, type PcRequest } from './pc-options.ts';

/** What is explored. Plain data: it goes to workers. */
export interface PcExploreRequest {
  /** The program, and how it is run. */
  readonly pc: PcRequest;
  /** Single faults that are drawn from all. */
  readonly samples: number;
  /** Decides the draw. */
  readonly seed: number;
  /** Only this kind of fault. */
  readonly only: string | undefined;
  /** How the program is run, as one would type it in a shell. */
  readonly words: string;
  /** Only this one run. */
  readonly plan: string | undefined;
  readonly workers: number;
  /** File for the JSON document, beside what is printed. */
  readonly output: string | undefined;
}

/** Options that say how the program is run: as of `hypxe pc`. */
const OF_PC = [
  ...['initrd', 'append', 'memory', 'bios', 'keys', 'expect', 'host', 'image', 'serve', 'junit'],
] as const;

const OPTIONS = {
  pc: { type: 'string' },
  samples: { type: 'string' },
  only: { type: 'string' },
  seed: { type: 'string' },
  workers: { type: 'string' },
  output: { type: 'string', short: 'o' },
  ...Object.fromEntries(OF_PC.map((name) => [name, { type: 'string' }] as const)),
  knob: { type: 'string', multiple: true },
  json: { type: 'boolean' },
  ...RESULT_OPTIONS,
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

const SAMPLES = '100';
const SAMPLES_MAX = 1_000_000;

/** Whether a command line of `hypxe explore` is one of these. */
export function exploresPc(args: readonly string[]): boolean {
  return args.some((word) => word === '--pc' || word.startsWith('--pc='));
}

/** Read them. Undefined if only help was asked for. @throws CommandError */
export function parsePcExplore(
  args: readonly string[],
  cores: number,
): PcExploreRequest | undefined {
  const { values, positionals } = parseArguments('explore', args, OPTIONS);
  if (values.help === true) return undefined;
  if (positionals.length > 0) {
    const text = `nothing to do with ${positionals[0]}`;
    throw new UsageError('UnexpectedArgument', text, 'See hypxe explore --help.');
  }
  if (values.pc === undefined) {
    throw new UsageError('NoProgram', 'no program is named', 'Add --pc FILE.');
  }
  const given = values as Readonly<Record<string, string | undefined>>;
  const words = OF_PC.flatMap((name) => {
    const value = given[name];
    return value === undefined ? [] : [`--${name}=${value}`];
  });
  const knobs = (values.knob ?? []).map((knob) => `--knob=${knob}`);
  const flags = (['json', 'tap'] as const).filter((name) => values[name] === true);
  const { output } = values;
  const outputs = output === undefined ? [] : [{ option: '-o', file: output }];
  const options = [...words, ...knobs, ...flags.map((name) => `--${name}`)];
  const pc = parsePc([...options, '--', values.pc], outputs)!;
  const only = values.only === undefined ? {} : readOnly(values.only);
  if (only.plan !== undefined && parsePlan(only.plan).flow !== 'boot') {
    const text = `--only ${quoted(only.plan)}: a program for a PC has one flow`;
    throw new UsageError('BadPlan', text, 'Leave out what stands before the colon.');
  }
  return {
    pc,
    words: runWords(values, [...OF_PC.filter((name) => name !== 'junit'), 'knob']),
    ...{ only: only.only, plan: only.plan },
    samples: wholeNumber('--samples', values.samples ?? SAMPLES, 1, SAMPLES_MAX),
    seed: wholeNumber('--seed', values.seed ?? '1', 0, Number.MAX_SAFE_INTEGER),
    workers: wholeNumber('--workers', values.workers ?? String(Math.min(cores, 64)), 1, 64),
    output,
  };
}
