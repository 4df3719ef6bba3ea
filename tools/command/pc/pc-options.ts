// SPDX-License-Identifier: GPL-2.0-or-later

/** The options of `hypxe pc`. */

import * as path from 'node:path';
import { PC_WALL_SECONDS } from '../../flow/pc-limits.ts';
import { BadScript, parseKeys, parseScript, type ScriptStep } from '../../flow/pc-script.ts';
import { BOOT_PROGRAM_NAME } from '../../guests/pc/boot-program.ts';
import { hostLabel } from '../../simulator/profiles/profile-file.ts';
import { DEFAULT_PROFILE } from '../../simulator/profiles/profiles.ts';
import { parseArguments } from '../arguments.ts';
import type { BootRequest } from '../boot/boot-options.ts';
import { FILE_OPTIONS, outputsOf, readFiles } from '../boot/file-options.ts';
import { readDevices } from '../boot/device-options.ts';
import { pathBelow } from '../boot/directory-files.ts';
import { readFaults } from '../boot/fault-options.ts';
import { readLink } from '../boot/link-options.ts';
import { checkOutputs, type Output } from '../boot/output-file.ts';
import type { PcPlan } from '../../library/pc-plan.ts';
import { readNetwork } from '../boot/network-options.ts';
import { SETTING_OPTIONS } from '../boot/setting-options.ts';
import { readText, requireDirectory, requireFile } from '../files.ts';
import { readHost, turnKnobs } from '../host-options.ts';
import { UsageError, quoted, wholeNumber } from '../usage.ts';
import { PC_MEMORY_MAX_MIB, PC_MEMORY_MIB, PC_MEMORY_MIN_MIB } from './pc-help.ts';
import { RESULT_OPTIONS, wantedResults } from '../test-results.ts';

/** What the network offers. */
export type PcServed =
  | { readonly kind: 'own'; readonly name: string }
  | { readonly kind: 'elsewhere'; readonly name: string }
  | { readonly kind: 'file'; readonly name: string; readonly path: string }
  | { readonly kind: 'directory'; readonly name: string; readonly root: string };

/** A run of a PC, as it was asked for. Plain data: it goes to a worker. */
export interface PcRequest
  extends
    PcPlan,
    Pick<BootRequest, 'link' | 'trace' | 'traceFormat' | 'traceSlim' | 'report' | 'pcap'> {
  readonly program: string;
  readonly initrd: string | undefined;
  readonly commandLine: string | undefined;
  readonly bios: string | undefined;
  readonly served: PcServed;
  /** The image of a disk that the network offers. */
  readonly aoe: string | undefined;
  readonly json: boolean;
  /** For a CI: JUnit's XML into a file, TAP instead of the log. */
  readonly junit: string | undefined;
  readonly tap: boolean;
}

const OPTIONS = {
  initrd: { type: 'string' },
  append: { type: 'string' },
  memory: { type: 'string' },
  bios: { type: 'string' },
  keys: { type: 'string' },
  expect: { type: 'string' },
  time: { type: 'string' },
  wall: { type: 'string' },
  resets: { type: 'string' },
  devices: { type: 'string' },
  image: { type: 'string' },
  serve: { type: 'string' },
  aoe: { type: 'string' },
  ...SETTING_OPTIONS,
  link: { type: 'string' },
  strict: { type: 'boolean' },
  ...FILE_OPTIONS,
  json: { type: 'boolean' },
  ...RESULT_OPTIONS,
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Options that there are not, by name: why, and what there is instead. */
export type NotForPc = Readonly<Record<string, readonly [text: string, advice: string]>>;

/** Options of other commands that a PC cannot have: why, and what there is instead. */
const NOT_FOR_PC: NotForPc = {
  then: [
    'a program for a PC decides itself what comes next',
    'Let it do so, and say what is typed with --expect: each handoff is seen and audited.',
  ],
  record: [
    'a session is made of the calls of drivers, and of an unmodified program only its host is seen',
    'Take --trace; for a session of iPXE: hypxe guest ipxe, then hypxe record --firmware.',
  ],
  processors: ['the emulated PC has one processor', 'Leave it out.'],
  arch: ['the emulated PC is a 32-bit one', 'Leave it out.'],
  firmware: ['the firmware of a PC is its BIOS', 'Name the place of SeaBIOS: --bios DIR.'],
  preset: ["presets are those of hypxe's own firmware", 'Leave it out.'],
};

/**
 * Parse options; of those that are unknown and options of other commands, say why a PC has none.
 *
 * @throws UsageError NotForPc; and what `parse` throws
 */
export function parseForPc<T>(args: readonly string[], parse: () => T, besides: NotForPc = {}): T {
  const refused: NotForPc = { ...NOT_FOR_PC, ...besides };
  try {
    return parse();
  } catch (error) {
    for (const word of args) {
      if (word === '--') break;
      const name = /^--([a-z-]+)(?:=|$)/.exec(word)?.[1] ?? '';
      if (!Object.hasOwn(refused, name)) continue;
      const [text, advice] = refused[name]!;
      throw new UsageError('NotForPc', `--${name}: ${text}`, advice);
    }
    throw error;
  }
}

/** Longest script; longest time, of a PC and of the wall's clock: a day. */
const SCRIPT_MAX = 1 << 20;
const SECONDS_MAX = 86_400;

/**
 * Read the options. Undefined if only help was asked for.
 *
 * @param besides files that are written besides
 * @throws CommandError
 */
export function parsePc(
  args: readonly string[],
  besides: readonly Output[] = [],
): PcRequest | undefined {
  const { values, positionals } = parseForPc(args, () => parseArguments('pc', args, OPTIONS));
  if (values.help === true) return undefined;
  const [program, ...more] = positionals;
  if (program === undefined || more.length > 0) {
    const text = program === undefined ? 'no FILE to boot' : `more than one FILE: ${more[0]}`;
    const advice = 'Give one program for a PC: hypxe pc /boot/ipxe.lkrn.';
    throw new UsageError(program === undefined ? 'NoFile' : 'TooManyFiles', text, advice);
  }
  requireFile(program, 'Check the path. Debian has /boot/ipxe.lkrn in the package ipxe.');
  if (values.initrd !== undefined) requireFile(values.initrd, 'Check the path of --initrd.');
  if (values.aoe !== undefined) requireFile(values.aoe, 'Check the path of --aoe.');
  if (values.bios !== undefined) requireDirectory(values.bios, 'Check the path of --bios.');
  const { link } = readLink(values, 'elsewhere');
  const host = readHost(values.host ?? DEFAULT_PROFILE);
  const mib = (text: string): number =>
    wholeNumber('--memory', text, PC_MEMORY_MIN_MIB, PC_MEMORY_MAX_MIB);
  const served: PcServed =
    link === undefined ? readServed(values) : { kind: 'elsewhere', name: '' };
  const inputs = [
    ['the program', program],
    ['the initrd', values.initrd],
    ['the script', values.expect],
    ['the host', values.host],
    ['the boot file', servedFile(served)],
    ['the disk', values.aoe],
  ] as const;
  checkOutputs(
    [...outputsOf(values), ...besides],
    inputs.flatMap(([what, file]) => (file === undefined ? [] : [{ what, file }])),
  );
  return {
    program: path.resolve(program),
    initrd: values.initrd,
    commandLine: values.append,
    memoryMiB: mib(values.memory ?? String(PC_MEMORY_MIB)),
    bios: values.bios,
    keys: readKeys(values.keys ?? ''),
    script: values.expect === undefined ? [] : readScript(values.expect),
    seconds: wholeNumber('--time', values.time ?? '3600', 1, SECONDS_MAX),
    wallSeconds: wholeNumber('--wall', values.wall ?? String(PC_WALL_SECONDS), 1, SECONDS_MAX),
    resets: wholeNumber('--resets', values.resets ?? '0', 0, 100),
    host: hostLabel(host),
    ...turnKnobs(host, values.knob ?? []),
    nics: wholeNumber('--nics', values.nics ?? '1', 1, 8),
    devices: readDevices(values.devices),
    seed: wholeNumber('--seed', values.seed ?? '1', 0, Number.MAX_SAFE_INTEGER),
    ...{ served, aoe: values.aoe },
    network: readNetwork(values),
    faults: readFaults(values),
    link,
    strict: values.strict === true,
    ...readFiles(values),
    traceSlim: false,
    ...wantedResults(values),
  };
}

/** The file that the network offers, if it is one of the user's. */
function servedFile(served: PcServed): string | undefined {
  if (served.kind === 'file') return served.path;
  return served.kind === 'directory' ? path.join(served.root, served.name) : undefined;
}

function readServed({ image, serve }: { image?: string; serve?: string }): PcServed {
  if (serve === undefined) {
    if (image === undefined) return { kind: 'own', name: BOOT_PROGRAM_NAME };
    requireFile(image, 'Check the path of --image.');
    return { kind: 'file', name: path.basename(image), path: path.resolve(image) };
  }
  requireDirectory(serve, 'Check the path of --serve.');
  const name = image ?? BOOT_PROGRAM_NAME;
  if (image !== undefined) {
    requireFile(path.join(serve, image), '--image is a path below the directory of --serve.');
    try {
      pathBelow(serve, image);
    } catch (error) {
      const text = `${image} ${(error as Error).message} ${serve}`;
      throw new UsageError('OutsideDirectory', text, 'Serve a directory that has the file.');
    }
  }
  return { kind: 'directory', name, root: path.resolve(serve) };
}

/** @throws UsageError BadKeys */
function readKeys(text: string): string {
  try {
    return parseKeys(text);
  } catch (error) {
    if (!(error instanceof BadScript)) throw error;
    const why = `--keys ${quoted(text)}: ${error.message}`;
    throw new UsageError('BadKeys', why, 'See hypxe pc --help.');
  }
}

/** @throws UsageError BadScript; EnvironmentError */
function readScript(file: string): readonly ScriptStep[] {
  const text = readText(file, SCRIPT_MAX);
  try {
    return parseScript(text);
  } catch (error) {
    if (!(error instanceof BadScript)) throw error;
    throw new UsageError('BadScript', `${file}: ${error.message}`, 'See hypxe pc --help.');
  }
}
