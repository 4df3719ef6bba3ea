// SPDX-License-Identifier: GPL-2.0-or-later

/** The options of `hypxe boot`. */

import * as path from 'node:path';
import { FLOW_STEPS, checkSteps, isFlowStep, type FlowStep } from '../../flow/flow-steps.ts';
import { isWasmFile } from '../../guests/wasm-file.ts';
import type { BootPlan } from '../../library/boot-plan.ts';
import { DEFAULT_LINUX } from '../../os/os-versions.ts';
import { TRACE_RAM_MAX } from '../../replay/trace-file.ts';
import { PROCESSORS_MAX } from '../../simulator/hypervisor/partition.ts';
import { DEFAULT_PROFILE } from '../../simulator/profiles/profiles.ts';
import { parseArguments } from '../arguments.ts';
import { MEMORY_MAX_MIB } from './boot-help.ts';
import { readDevices } from './device-options.ts';
import { readFaults } from './fault-options.ts';
import { pathBelow } from './directory-files.ts';
import { requireDirectory, requireFile } from '../files.ts';
import { hostLabel } from '../../simulator/profiles/profile-file.ts';
import { readHost, turnKnobs } from '../host-options.ts';
import { FIRMWARE_ADVICE, guestMemoryLimit } from '../guest-options.ts';
import { knownLinux } from '../os-options.ts';
import { readLink, type LinkOptions } from './link-options.ts';
import { readBefore } from './owner-options.ts';
import { readNetwork } from './network-options.ts';
import { SETTING_OPTIONS } from './setting-options.ts';
import {
  firstImage,
  guestPath,
  readPushes,
  readServices,
  type PushedFile,
} from './push-options.ts';
import { FILE_OPTIONS, outputsOf, readFiles, type FilesRequest } from './file-options.ts';
import { checkOutputs } from './output-file.ts';
import { UsageError, byteCount, didYouMean, quoted, wholeNumber } from '../usage.ts';
import { RESULT_OPTIONS, wantedResults } from '../test-results.ts';

export { BOOT_HELP } from './boot-help.ts';

/** What is served to the guest. */
export type Served =
  | { readonly kind: 'synthetic'; readonly name: string; readonly size: number }
  /** By the host over VMBus, not by the network. */
  | { readonly kind: 'pushed'; readonly name: string; readonly path: string; readonly size: number }
  /** By a real network: nobody here knows what. */
  | { readonly kind: 'elsewhere'; readonly name: string; readonly size: number }
  | { readonly kind: 'file'; readonly name: string; readonly path: string; readonly size: number }
  | {
      readonly kind: 'directory';
      readonly name: string;
      readonly root: string;
      readonly size: number;
    };

/** A boot, as it was asked for. Plain data: it goes to a worker. */
export interface BootRequest extends BootPlan, LinkOptions, FilesRequest {
  readonly served: Served;
  /** Files that the host pushes, in order. */
  readonly pushes: readonly PushedFile[];
  /** Firmware bundle, an absolute path. */
  readonly firmware: string;
  readonly ownFirmware: boolean;
  /** Path of the session. */
  readonly record: string | undefined;
  readonly json: boolean;
  /** For a CI: JUnit's XML into a file, TAP instead of the log. */
  readonly junit: string | undefined;
  readonly tap: boolean;
  readonly verbose: boolean;
  readonly watchdogSeconds: number;
  /** What the process of the guest may have beyond its RAM, in MiB. */
  readonly guestMemoryLimitMiB: number;
}

const OPTIONS = {
  'nic-arrives': { type: 'string' },
  'nic-leaves': { type: 'string' },
  'nic-returns': { type: 'string' },
  'previous-owner': { type: 'string' },
  processors: { type: 'string' },
  arch: { type: 'string' },
  hvc: { type: 'string' },
  'page-size': { type: 'string' },
  memory: { type: 'string' },
  serve: { type: 'string' },
  size: { type: 'string' },
  ...SETTING_OPTIONS,
  link: { type: 'string' },
  'boot-file': { type: 'string' },
  'next-server': { type: 'string' },
  push: { type: 'string', multiple: true },
  services: { type: 'string' },
  devices: { type: 'string' },
  firmware: { type: 'string' },
  preset: { type: 'string' },
  ...FILE_OPTIONS,
  record: { type: 'string' },
  watchdog: { type: 'string' },
  'guest-memory-limit': { type: 'string' },
  then: { type: 'string', multiple: true },
  os: { type: 'string' },
  'no-os': { type: 'boolean' },
  'no-second-boot': { type: 'boolean' },
  strict: { type: 'boolean' },
  json: { type: 'boolean' },
  ...RESULT_OPTIONS,
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Least guest RAM for a SAN boot, in MiB: the firmware keeps memory of its own. */
const SAN_MEMORY_MIN_MIB = 16;

/**
 * Read the options. Undefined if only help was asked for.
 *
 * @param ownFirmware path of hypxe's own bundle
 * @throws UsageError
 */
export function parseBoot(args: readonly string[], ownFirmware: string): BootRequest | undefined {
  const { values, positionals } = withGuest(parse(args));
  if (values.help === true) return undefined;
  if (positionals.length > 1) {
    const advice = 'Give one FILE, or --serve a directory.';
    throw new UsageError('TooManyFiles', `more than one FILE: ${positionals.join(', ')}`, advice);
  }
  const memoryMiB = wholeNumber('--memory', values.memory ?? '64', 4, MEMORY_MAX_MIB);
  const host = readHost(values.host ?? DEFAULT_PROFILE);
  const size = byteCount('--size', values.size ?? '1M', 1, 2 ** 31);
  const network = readLink(values, positionals[0]);
  const pushes = readPushes(values.push ?? []);
  const onlyPushed = positionals.length === 0 && values.serve === undefined && !values.size;
  const image = onlyPushed ? firstImage(pushes) : undefined;
  let served: Served;
  if (image !== undefined) {
    served = { kind: 'pushed', name: guestPath(image), path: image.path, size: image.size };
  } else if (network.link !== undefined && positionals.length === 0) {
    served = { kind: 'elsewhere', name: network.bootFile ?? '', size: 0 };
  } else served = whatIsServed(positionals[0], values.serve, size, memoryMiB);
  if (image !== undefined) checkSize(image.name, image.size, memoryMiB);
  const steps = readSteps(values.then ?? [], values['no-os'] !== true, memoryMiB);
  if (pushes.length > 0 && steps.includes('san')) {
    const text = 'a SAN boot takes nothing that is pushed';
    throw new UsageError('BadOrder', text, 'Leave out --push, or san of --then.');
  }
  const services = readServices(values.services, pushes.length > 0);
  const own = services.length === 0 ? ownFirmware : osFirmware(ownFirmware);
  const firmware = path.resolve(values.firmware ?? own);
  const isOwn = values.firmware === undefined;
  requireFile(firmware, isOwn ? 'Run npm run build first.' : FIRMWARE_ADVICE);
  checkOutputs(outputsOf(values), [
    ...inputsOf(served),
    ...pushes.map(({ path: file }) => ({ what: 'the pushed file', file })),
    { what: 'the firmware', file: firmware },
    { what: 'the host', file: values.host ?? DEFAULT_PROFILE },
  ]);
  return {
    host: hostLabel(host),
    ...turnKnobs(host, values.knob ?? []),
    seed: wholeNumber('--seed', values.seed ?? '1', 0, Number.MAX_SAFE_INTEGER),
    nics: wholeNumber('--nics', values.nics ?? '1', 1, 8),
    processors: wholeNumber('--processors', values.processors ?? '1', 1, PROCESSORS_MAX),
    ...readArchitecture(values.arch ?? 'x64', values.hvc, values['page-size']),
    memoryMiB,
    served,
    ...network,
    pushes,
    services,
    devices: readDevices(values.devices),
    ...readBefore(values),
    faults: readFaults(values),
    network: readNetwork(values),
    firmware,
    ownFirmware: values.firmware === undefined,
    preset: knownPreset(values.preset ?? 'default'),
    ...readFiles(values),
    record: readRecord(values.record, values.arch, memoryMiB),
    ...wantedResults(values),
    verbose: values.verbose === true,
    steps,
    linux: knownLinux(values.os ?? DEFAULT_LINUX),
    os: values['no-os'] !== true,
    secondBoot: values['no-second-boot'] !== true,
    strict: values.strict === true,
    guestMemoryLimitMiB: guestMemoryLimit(values['guest-memory-limit']),
    watchdogSeconds: wholeNumber('--watchdog', values.watchdog ?? '10', 1, 3600),
  };
}

/** A FILE that is a guest in WebAssembly is the firmware, not what it boots. */
function withGuest({ values, positionals }: ReturnType<typeof parse>): ReturnType<typeof parse> {
  const [file, ...others] = positionals;
  if (file === undefined || values.firmware !== undefined || !isWasmFile(file)) {
    return { values, positionals };
  }
  return { values: { ...values, firmware: file }, positionals: others };
}

/** @throws UsageError NotRecordable */
export function readRecord(
  file: string | undefined,
  architecture: string | undefined,
  memoryMiB = 0,
): string | undefined {
  const most = TRACE_RAM_MAX / 2 ** 20;
  if (file !== undefined && memoryMiB > most) {
    const text = `a session has at most ${most} MiB of memory`;
    throw new UsageError('NotRecordable', text, `Leave out --record, or say --memory ${most}.`);
  }
  if (file === undefined || architecture !== 'arm64') return file;
  const text = 'sessions are of x64 guests, and this one is arm64';
  throw new UsageError('NotRecordable', text, 'Leave out --record, or --arch.');
}

/** The files that are served. */
function inputsOf(served: Served): { readonly what: string; readonly file: string }[] {
  if (served.kind === 'file') return [{ what: 'the boot file', file: served.path }];
  if (served.kind !== 'directory') return [];
  return [{ what: 'the boot file', file: path.join(served.root, served.name) }];
}

/** hypxe's bundle that serves the host, beside the one that only boots. */
export function osFirmware(ownFirmware: string): string {
  return path.join(path.dirname(ownFirmware), 'os.js');
}

function parse(args: readonly string[]) {
  return parseArguments('boot', args, OPTIONS);
}

/** The steps of `--then`. @throws UsageError UnknownStep, BadOrder, MemoryTooSmall */
function readSteps(texts: readonly string[], os: boolean, memoryMiB: number): FlowStep[] {
  const steps = texts.flatMap((text) => text.split(','));
  const names = Object.keys(FLOW_STEPS);
  for (const step of steps) {
    if (isFlowStep(step)) continue;
    throw new UsageError(
      'UnknownStep',
      `there is no step ${quoted(step)}`,
      didYouMean(step, names),
    );
  }
  const wrong = checkSteps(steps as FlowStep[]);
  if (wrong !== undefined) {
    const advice = 'The order is chainload, san, then kexec and crash as you like.';
    throw new UsageError('BadOrder', `--then ${steps.join(',')}: ${wrong}`, advice);
  }
  const kernel = steps.find((step) => step !== 'chainload');
  if (kernel !== undefined && !os) {
    const text = `--then ${kernel} needs an OS, and --no-os forbids one`;
    throw new UsageError('BadOrder', text, 'Leave one of them out.');
  }
  if (steps.includes('san') && memoryMiB < SAN_MEMORY_MIN_MIB) {
    const text = `a SAN boot does not fit into ${memoryMiB} MiB: the firmware stays`;
    throw new UsageError('MemoryTooSmall', text, `Give it --memory ${SAN_MEMORY_MIN_MIB}.`);
  }
  return steps as FlowStep[];
}

/** @throws UsageError UnknownArchitecture, UnknownConvention, BadPageSize */
function readArchitecture(
  architecture: string,
  convention: string | undefined,
  pageKiB: string | undefined,
): Pick<BootRequest, 'architecture' | 'hypercallConvention' | 'pageSize'> {
  if (architecture !== 'x64' && architecture !== 'arm64') {
    const text = `there is no architecture ${quoted(architecture)}`;
    throw new UsageError('UnknownArchitecture', text, 'Choose x64 or arm64.');
  }
  if (convention !== undefined && convention !== 'smccc' && convention !== 'immediate') {
    const text = `there is no form of HVC ${quoted(convention)}`;
    throw new UsageError('UnknownConvention', text, 'Choose smccc or immediate.');
  }
  if (convention !== undefined && architecture !== 'arm64') {
    const text = `--hvc ${convention} is nothing that x64 has`;
    throw new UsageError('UnknownConvention', text, 'Add --arch arm64.');
  }
  const sizes = architecture === 'arm64' ? ['4', '16', '64'] : ['4'];
  const size = pageKiB ?? '4';
  if (!sizes.includes(size)) {
    const text = `${architecture} has no pages of ${quoted(size)} KiB`;
    throw new UsageError('BadPageSize', text, `Choose one of ${sizes.join(', ')}.`);
  }
  const pageSize = Number(size) * 1024;
  return { architecture, hypercallConvention: convention, pageSize };
}

function knownPreset(name: string): 'default' | 'ipxe' {
  if (name === 'default' || name === 'ipxe') return name;
  throw new UsageError(
    'UnknownPreset',
    `there is no preset ${quoted(name)}`,
    'Choose default or ipxe.',
  );
}

function whatIsServed(
  file: string | undefined,
  root: string | undefined,
  size: number,
  memoryMiB: number,
): Served {
  if (file === undefined) {
    if (root !== undefined) {
      const advice = 'Name the boot file: its path below the directory.';
      throw new UsageError('NoBootFile', '--serve without FILE', advice);
    }
    checkSize('the image of --size', size, memoryMiB);
    return { kind: 'synthetic', name: 'hypxe.img', size };
  }
  if (root === undefined) {
    const length = requireFile(file, 'Check the path.');
    checkSize(file, length, memoryMiB);
    return { kind: 'file', name: path.basename(file), path: path.resolve(file), size: length };
  }
  requireDirectory(root, 'Check the path of --serve.');
  const length = requireFile(
    path.join(root, file),
    'FILE is a path below the directory of --serve.',
  );
  requireBelow(root, file);
  checkSize(file, length, memoryMiB);
  return { kind: 'directory', name: file, root: path.resolve(root), size: length };
}

/** @throws UsageError OutsideDirectory */
function requireBelow(root: string, file: string): void {
  try {
    pathBelow(root, file);
  } catch (error) {
    const text = `${file} ${(error as Error).message} ${root}`;
    const advice = 'Serve a directory that has the file below it; links must not lead out of it.';
    throw new UsageError('OutsideDirectory', text, advice);
  }
}

function checkSize(file: string, length: number, memoryMiB: number): void {
  if (length === 0) {
    throw new UsageError('FileEmpty', `${file} is empty`, 'Serve a file that has contents.');
  }
  if (length < memoryMiB * 2 ** 20) return;
  const text = `${file} has ${length} bytes, more than ${memoryMiB} MiB of guest RAM`;
  const enough = Math.ceil(length / 2 ** 20) + 16;
  const advice =
    enough <= MEMORY_MAX_MIB
      ? `Give the guest more: --memory ${enough}.`
      : `A guest has at most ${MEMORY_MAX_MIB} MiB: boot something smaller.`;
  throw new UsageError('FileTooLarge', text, advice);
}
