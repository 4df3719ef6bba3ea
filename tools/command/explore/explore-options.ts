// SPDX-License-Identifier: GPL-2.0-or-later

/** The options of `hypxe explore`. */

import * as path from 'node:path';
import type { Shard } from '../../explore/exploration.ts';
import { FAULT_KINDS, FLOWS, PlanError, parsePlan, type Place } from '../../explore/plan.ts';
import type { HostProfile } from '../../simulator/profiles/profile.ts';
import { osFirmware, readRecord } from '../boot/boot-options.ts';
import {
  FILE_OPTIONS,
  fileOption,
  readFiles,
  type FileValues,
  type FilesRequest,
} from '../boot/file-options.ts';
import { DEFAULT_PROFILE } from '../../simulator/profiles/profiles.ts';
import { parseArguments } from '../arguments.ts';
import type { NetworkHabits } from '../../library/boot-plan.ts';
import { NETWORK_OPTIONS, readNetwork } from '../boot/network-options.ts';
import { requireFile } from '../files.ts';
import { knownLinux } from '../os-options.ts';
import type { LinuxName } from '../../os/os-versions.ts';
import { readHost } from '../host-options.ts';
import { FIRMWARE_ADVICE, GUEST_MEMORY_HELP, guestMemoryLimit } from '../guest-options.ts';
import { RESULT_HELP, RESULT_OPTIONS, wantedResults } from '../test-results.ts';
import { EXIT_HELP, UsageError, quoted, seconds, wholeNumber } from '../usage.ts';

/** What is explored. */
export interface ExploreRequest extends FilesRequest {
  readonly firmware: string;
  /** The one that takes what the host pushes. */
  readonly pushFirmware: string;
  readonly host: HostProfile;
  /** Its file, or what would be its name. */
  readonly hostFile: string | undefined;
  readonly architecture: 'x64' | 'arm64';
  /** What the network of all runs is like. */
  readonly network: NetworkHabits;
  /** Which OS had the machine before, if one had. */
  readonly after: LinuxName | undefined;
  readonly seed: number;
  readonly walks: number;
  /** Only this kind of fault. */
  readonly only: string | undefined;
  /** The options that make a run what it is, as words of a command: ` --arch arm64`. */
  readonly options: string;
  /** ... and those that say which host and firmware: other machines may have them elsewhere. */
  readonly who: string;
  /** Only this one run. */
  readonly plan: string | undefined;
  readonly seconds: number | undefined;
  readonly shard: Shard;
  readonly workers: number;
  readonly watchdogSeconds: number;
  /** What the process of a worker may have beyond the guests' RAM, in MiB. */
  readonly guestMemoryLimitMiB: number;
  /** The result of an exploration that was stopped early, and goes on. */
  readonly resume: string | undefined;
  /** Parts to merge instead of exploring anything. */
  readonly merge: readonly string[] | undefined;
  readonly json: boolean;
  /** For a CI: JUnit's XML into a file, TAP instead of the report. */
  readonly junit: string | undefined;
  readonly tap: boolean;
  /** File for the JSON document, beside what is printed. */
  readonly output: string | undefined;
  /** File for the session of the run, or of the first finding. */
  readonly record: string | undefined;
  /** All there is of the story of one run; of a mistake of hypxe itself, where. */
  readonly verbose: boolean;
}

const OPTIONS = {
  only: { type: 'string' },
  seed: { type: 'string' },
  walks: { type: 'string' },
  time: { type: 'string' },
  shard: { type: 'string' },
  merge: { type: 'boolean' },
  resume: { type: 'string' },
  host: { type: 'string' },
  arch: { type: 'string' },
  ...NETWORK_OPTIONS,
  after: { type: 'string' },
  firmware: { type: 'string' },
  workers: { type: 'string' },
  watchdog: { type: 'string' },
  'guest-memory-limit': { type: 'string' },
  json: { type: 'boolean' },
  ...RESULT_OPTIONS,
  output: { type: 'string', short: 'o' },
  record: { type: 'string' },
  ...FILE_OPTIONS,
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

export const EXPLORE_HELP = `Usage: hypxe explore [options]
       hypxe explore --merge PART.json...
       hypxe explore --pc FILE [options]

Cut the boot after every single step, put every single fault at every place where it can occur,
and walk at random with several faults at once. After each run nothing may be left shared, unless
it is reserved in the memory map that is handed on; nothing may hang or crash; every failure has a
named error; and the next boot works. Beside the boot over the network a boot of what the host
pushes is explored, if the firmware exports SERVICE_NAMES, and a loader that gives up in the middle,
if it exports createDriver, or is a driver in WebAssembly.

  --only PLACE/FAULT  one run: message.4/drop, step.120/handoff+call.7/status:19,
                      loader:step.200/give-up, push:packet.5/drop; or all of a kind:
                      message/drop, packet, loader:step
  --walks N           random walks behind the single faults (default 1000; with --only 0)
  --seed N            decides the walks (default 1)
  --time SECONDS      once the list is made, run for so long (.5 is half a second): a sample that
                      is spread evenly over faults and walks
  --resume FILE       go on where an exploration was stopped that has left its result in FILE, with
                      the same options; the result is FILE's again, or -o's
  --shard I/N         only part I of N; the parts together are the whole, each run once
  --merge             put the results of all shards together, as -o or --json gave them
  --host NAME|FILE    host generation (default ${DEFAULT_PROFILE}), or FILE.json that describes one;
                      hypxe hosts lists them
  --arch NAME         x64 (default) or arm64
  --mtu, --vlan, ...  what the network of all runs is like, as with hypxe boot (see its --help)
  --after OS          an OS had the machine before, on 8 processors, and left all of it open:
                      linux-6.1, linux-6.12, linux-6.19
  --firmware FILE     bring your own: an ES module that exports boot(machine, options), or a
                      guest in WebAssembly (hypxe guest --help)
  --workers N         threads, 1 to 64 (default: one for each core)
  --watchdog S        seconds without a sign of life after which a run hangs (default 10)
${GUEST_MEMORY_HELP}
  --json              print one JSON document
  -o, --output FILE   write that document to FILE, whatever is printed
  --record FILE       write what the guest does in the run of --only, or in the smallest run with
                      the first finding, as a session, for hypxe replay
${RESULT_HELP}
  -v, --verbose       of one run all that the firmware logs; of a mistake of hypxe itself, where
  -h, --help          this text

One run: --only PLAN tells its story, as a boot's log, and takes
  --report FILE       a page of it (hypxe report --help), compared with the run without the fault
  --trace FILE        its events; with --format perfetto as ui.perfetto.dev opens them
  --pcap FILE         a capture for Wireshark

A program for a PC
  --pc FILE           explore an unmodified program as hypxe pc boots it: with each fault it may
                      boot or give up, but not crash, loop, or leave something behind.
                      step/handoff is a press of the reset button. A run begins where it leaves
                      the one without faults, or nearly so; with --only PLAN with the BIOS.
                      --only PLAN tells the story of one, with its files, as above
  --samples N         faults that are drawn, of each kind as many (default 100); --seed decides
  --time, --resume, --shard
                      as above, of the runs that were drawn; --merge (without --pc) as above
  --wall S            most time of the run without faults, as of hypxe pc
  --host, --knob, --initrd, --append, --memory, --bios, --keys, --expect, --image, --serve
                      as of hypxe pc

Places, each counted from 0, and what can go wrong there
${placesHelp()}

${EXIT_HELP}

Examples
  hypxe explore
  hypxe explore --only step/handoff
  hypxe explore --only message.4/drop --report drop.html
  hypxe explore --after linux-6.1 --arch arm64 --time 600
  hypxe explore --walks 1000000 --seed 7 --time 3600
  hypxe explore --shard 2/8 -o part-2.json
  hypxe explore --time 60 -o sample.json
  hypxe explore --time 60 --resume sample.json
  hypxe explore --pc /boot/ipxe.lkrn --samples 40
  hypxe explore --pc /boot/ipxe.lkrn --time 600 -o ipxe.json
`;

function placesHelp(): string {
  return Object.entries(FAULT_KINDS)
    .map(([place, kinds]) => `  ${place.padEnd(10)}${Object.keys(kinds).join(', ')}`)
    .join('\n');
}

/**
 * Read the options. Undefined if only help was asked for.
 *
 * @throws UsageError
 */
export function parseExplore(
  args: readonly string[],
  ownFirmware: string,
  cores: number,
): ExploreRequest | undefined {
  const { values, positionals } = parse(args);
  if (values.help === true) return undefined;
  const merge = values.merge === true ? positionals : undefined;
  if (merge?.length === 0) {
    throw new UsageError('NoParts', '--merge without files', 'Name the --json results of shards.');
  }
  if (values.resume !== undefined) refuseWithResume(values);
  if (merge === undefined && positionals.length > 0) {
    const text = `nothing to do with ${quoted(positionals[0]!)}`;
    throw new UsageError('UnexpectedArgument', text, 'See hypxe explore --help.');
  }
  const own = values.firmware === undefined;
  const firmware = path.resolve(values.firmware ?? ownFirmware);
  if (merge === undefined) {
    requireFile(firmware, own ? 'Run npm run build first.' : FIRMWARE_ADVICE);
  }
  const only = values.only === undefined ? {} : readOnly(values.only);
  if (only.plan === undefined) refuseWithoutPlan(values);
  if (merge !== undefined && values.record !== undefined) {
    const text = '--record does not go with --merge: the parts may be of other options';
    throw new UsageError('BadOption', text, 'Record the run of a finding, as it is printed.');
  }
  return {
    firmware,
    pushFirmware: own ? osFirmware(firmware) : firmware,
    host: readHost(values.host ?? DEFAULT_PROFILE),
    hostFile: values.host,
    architecture: knownArchitecture(values.arch ?? 'x64'),
    network: readNetwork(values),
    after: values.after === undefined ? undefined : knownLinux(values.after),
    seed: wholeNumber('--seed', values.seed ?? '1', 0, Number.MAX_SAFE_INTEGER),
    walks: wholeNumber(
      '--walks',
      values.walks ?? (values.only === undefined ? '1000' : '0'),
      0,
      1e9,
    ),
    only: only.only,
    options: runWords(values, ['arch', 'after', ...Object.keys(NETWORK_OPTIONS)]),
    who: runWords(values, ['host', 'firmware']),
    plan: only.plan,
    seconds:
      values.time === undefined ? undefined : seconds('--time', values.time, 0.1, 30 * 86400),
    shard: readShard(values.shard ?? '1/1'),
    workers: wholeNumber('--workers', values.workers ?? String(Math.min(cores, 64)), 1, 64),
    guestMemoryLimitMiB: guestMemoryLimit(values['guest-memory-limit']),
    watchdogSeconds: wholeNumber('--watchdog', values.watchdog ?? '10', 1, 3600),
    resume: values.resume,
    merge,
    ...wantedResults(values),
    output: values.output ?? values.resume,
    record: readRecord(values.record, values.arch),
    ...readFiles(values),
    verbose: values.verbose === true,
  };
}

/** What nobody needs to say. */
const DEFAULTS: Readonly<Record<string, string>> = { host: DEFAULT_PROFILE, arch: 'x64' };

/** Options as one would type them in a shell; defaults are left out. */
export function runWords(
  values: Readonly<Record<string, string | boolean | readonly string[] | undefined>>,
  names: readonly string[],
): string {
  const words = names.flatMap((name) => {
    const value = values[name] === DEFAULTS[name] ? undefined : values[name];
    if (value === undefined || value === false) return [];
    if (value === true) return [`--${name}`];
    const texts = typeof value === 'string' ? [value] : value;
    return texts.map((text) => `--${name} ${shellWord(text)}`);
  });
  return words.map((word) => ` ${word}`).join('');
}

/** A word as a shell takes it. */
export function shellWord(text: string): string {
  return /^[-\w./:,+%@=]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

type ResumeValues = Partial<Pick<ReturnType<typeof parse>['values'], 'merge' | 'workers' | 'only'>>;

/** What goes on is a list of runs, with the workers that it had. @throws UsageError */
export function refuseWithResume({ merge, workers, only }: ResumeValues): void {
  const one = only !== undefined && readOnly(only).plan !== undefined;
  const other = [merge && '--merge', workers && '--workers', one && '--only PLAN'].find(Boolean);
  if (other === undefined) return;
  throw new UsageError(
    'BadOption',
    `--resume does not go with ${other}`,
    'See hypxe explore --help.',
  );
}

/** Files of a run are of one run. @throws UsageError */
export function refuseWithoutPlan(values: FileValues): void {
  const option = fileOption(values);
  if (option === undefined) return;
  const advice = 'Name the run, as a finding is printed: --only message.4/drop.';
  throw new UsageError('BadOption', `${option} is about one run`, advice);
}

function knownArchitecture(name: string): 'x64' | 'arm64' {
  if (name === 'x64' || name === 'arm64') return name;
  const text = `there is no architecture ${quoted(name)}`;
  throw new UsageError('UnknownArchitecture', text, 'Choose x64 or arm64.');
}

function parse(args: readonly string[]) {
  return parseArguments('explore', args, OPTIONS);
}

/** One run, or one kind, of all flows or of one. */
export function readOnly(text: string): { plan?: string; only?: string } {
  const flow = FLOWS.find((name) => text.startsWith(`${name}:`));
  const [place = '', kind] = text.slice(flow === undefined ? 0 : flow.length + 1).split('/');
  const kinds = Object.hasOwn(FAULT_KINDS, place) ? FAULT_KINDS[place as Place] : undefined;
  if (kinds && (kind === undefined || Object.hasOwn(kinds, kind))) return { only: text };
  try {
    parsePlan(text);
  } catch (error) {
    if (!(error instanceof PlanError)) throw error;
    throw new UsageError('BadPlan', `--only ${quoted(text)}: ${error.message}`, error.advice);
  }
  return { plan: text };
}

/** @throws UsageError for anything but I/N with 1 <= I <= N */
export function readShard(text: string): Shard {
  const match = /^([0-9]{1,7})\/([0-9]{1,7})$/.exec(text);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  if (match !== null && index >= 1 && index <= count) return { index, count };
  const advice = 'Write I/N, with I from 1 to N: 1/4 is the first of four.';
  throw new UsageError('BadShard', `--shard ${quoted(text)} is out of range`, advice);
}
