// SPDX-License-Identifier: GPL-2.0-or-later

/** The options of `hypxe explore --pc`. */

import { parseArguments } from '../arguments.ts';
import { parsePlan, type Place } from '../../explore/plan.ts';
import { FILE_OPTIONS, outputsOf, readFiles, type FilesRequest } from '../boot/file-options.ts';
import {
  readOnly,
  readShard,
  refuseWithResume,
  refuseWithoutPlan,
  runWords,
} from '../explore/explore-options.ts';
import type { Shard } from '../../explore/exploration.ts';
import { requireFile } from '../files.ts';
import { FAULT_OPTIONS } from '../boot/fault-options.ts';
import { NETWORK_OPTIONS } from '../boot/network-options.ts';
import { RESULT_OPTIONS } from '../test-results.ts';
import { UsageError, quoted, seconds, wholeNumber } from '../usage.ts';
import { parseForPc, parsePc, type NotForPc, type PcRequest } from './pc-options.ts';

/** What is explored. Plain data: it goes to workers. */
export interface PcExploreRequest extends FilesRequest {
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
  /** For so long, once the list is made. */
  readonly seconds: number | undefined;
  /** Only this part of what was drawn. */
  readonly shard: Shard;
  /** The result of an exploration that was stopped early, and goes on. */
  readonly resume: string | undefined;
  /** File for the JSON document, beside what is printed. */
  readonly output: string | undefined;
  /** All there is of the story of one run. */
  readonly verbose: boolean;
}

/** Options that say how the program is run: as of `hypxe pc`. */
const OF_PC = [
  ...['initrd', 'append', 'memory', 'bios', 'keys', 'expect', 'host', 'image', 'serve', 'junit'],
  'wall',
] as const;

const OPTIONS = {
  pc: { type: 'string' },
  samples: { type: 'string' },
  time: { type: 'string' },
  shard: { type: 'string' },
  resume: { type: 'string' },
  only: { type: 'string' },
  seed: { type: 'string' },
  workers: { type: 'string' },
  output: { type: 'string', short: 'o' },
  ...Object.fromEntries(OF_PC.map((name) => [name, { type: 'string' }] as const)),
  knob: { type: 'string', multiple: true },
  json: { type: 'boolean' },
  ...FILE_OPTIONS,
  ...RESULT_OPTIONS,
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Options of an exploration that one of a PC does not have. */
const NOT_FOR_SAMPLES: NotForPc = {
  merge: [
    'results say themselves what they are of',
    'Leave --pc out: hypxe explore --merge FILE...',
  ],
  walks: ['only single faults of a program for a PC are drawn', 'Say how many: --samples.'],
  after: ['a PC begins with its BIOS', 'Let the program of before run, with --expect of hypxe pc.'],
  watchdog: ['a program that loops is ended by counted instructions', 'Leave it out.'],
  'guest-memory-limit': ['the memory of a PC is that of its RAM', 'Say how much: --memory.'],
  ...Object.fromEntries(
    ['nics', 'devices', ...Object.keys({ ...NETWORK_OPTIONS, ...FAULT_OPTIONS })].map((name) => [
      name,
      [
        'all runs have one NIC, on a network without habits but those of its faults',
        'Take hypxe pc for one such run, or --only network for what is drawn of it.',
      ],
    ]),
  ),
};

const SAMPLES = '100';
const SAMPLES_MAX = 1_000_000;

/** Whether a command line of `hypxe explore` is one of these. */
export function exploresPc(args: readonly string[]): boolean {
  return args.some((word) => word === '--pc' || word.startsWith('--pc='));
}

/** Places that no run of a program for a PC comes to: its memory is its own. */
const NO_PLACES: readonly string[] = ['owner', 'alloc', 'read', 'race'] satisfies Place[];

/** @throws UsageError BadPlan for what only the drivers of a firmware have */
function refuseForPc(plan: string): void {
  const bad = (why: string, advice: string): UsageError =>
    new UsageError('BadPlan', `--only ${quoted(plan)}: ${why}`, advice);
  const { flow, faults } = parsePlan(plan);
  if (flow !== 'boot') {
    throw bad('a program for a PC has one flow', 'Leave out what stands before the colon.');
  }
  for (const { place, kind } of faults) {
    if (NO_PLACES.includes(place)) {
      throw bad(
        `a program for a PC has no place "${place}"`,
        'Without --only all others are drawn.',
      );
    }
    if (kind === 'give-up') {
      throw bad('only a loader of drivers gives up', 'For a press of the reset button: handoff.');
    }
  }
}

/** Read them. Undefined if only help was asked for. @throws CommandError */
export function parsePcExplore(
  args: readonly string[],
  cores: number,
): PcExploreRequest | undefined {
  const parse = () => parseArguments('explore', args, OPTIONS);
  const { values, positionals } = parseForPc(args, parse, NOT_FOR_SAMPLES);
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
  const { resume } = values;
  // What goes on may be written where it was read
  const output = values.output ?? resume;
  const besides = output === undefined ? [] : [{ option: '-o', file: output }];
  const { trace, report, pcap } = values;
  const outputs = [...besides, ...outputsOf({ trace, report, pcap })];
  const options = [...words, ...knobs, ...flags.map((name) => `--${name}`)];
  const pc = parsePc([...options, '--', values.pc], outputs)!;
  if (resume !== undefined) {
    refuseWithResume(values);
    requireFile(resume, 'Check the path of --resume.');
    if (outputsOf({ trace, report, pcap }).length > 0) refuseWithoutPlan(values);
  }
  const only = values.only === undefined ? {} : readOnly(values.only);
  if (only.plan === undefined) refuseWithoutPlan(values);
  if (only.plan !== undefined) refuseForPc(only.plan);
  const ofDraw = (['samples', 'time', 'shard'] as const).find((name) => values[name] !== undefined);
  if (ofDraw !== undefined && only.plan !== undefined) {
    const text = `--${ofDraw} is for a draw, and --only names one run`;
    throw new UsageError('NotWithPlan', text, 'Leave one of them out.');
  }
  return {
    pc,
    words: runWords(values, [
      ...OF_PC.filter((name) => name !== 'junit' && name !== 'wall'),
      'knob',
    ]),
    ...{ only: only.only, plan: only.plan },
    samples: wholeNumber('--samples', values.samples ?? SAMPLES, 1, SAMPLES_MAX),
    seed: wholeNumber('--seed', values.seed ?? '1', 0, Number.MAX_SAFE_INTEGER),
    ...readFiles(values),
    verbose: values.verbose === true,
    workers: wholeNumber('--workers', values.workers ?? String(Math.min(cores, 64)), 1, 64),
    seconds:
      values.time === undefined ? undefined : seconds('--time', values.time, 0.1, 30 * 86400),
    shard: readShard(values.shard ?? '1/1'),
    ...{ resume, output },
  };
}
