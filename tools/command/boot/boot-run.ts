// SPDX-License-Identifier: GPL-2.0-or-later

/** One boot: the machine is built, the flow runs, and what happened becomes plain data. */

import { errorEntry } from '../../../src/catalogue.ts';
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { BootImage } from '../../../src/boot/boot.ts';
import { PUSHED } from '../../../src/services/boot-services.ts';
import type { HypxeError } from '../../../src/error.ts';
import type { FirmwareEvent } from '../../../src/events.ts';
import { versionText } from '../../../src/vmbus/protocol.ts';
import {
  BadBootResult,
  runBootFlow,
  type Firmware,
  type FlowReport,
} from '../../flow/boot-flow.ts';
import { machineFor } from '../../guests/guest-machine.ts';
import { BadGuest, type GuestInstance, type GuestProgram } from '../../guests/guest-program.ts';
import type { Guard } from '../../guests/javascript-realm.ts';
import { loadGuest } from '../../guests/load-guest.ts';
import type { OsReport } from '../../os/loaded-os.ts';
import { TRACE_VERSION, type RunHeader } from '../../report/trace-line.ts';
import { TICKS_PER_MS } from '../../simulator/base/clock.ts';
import type { Link } from '../../simulator/network/link.ts';
import type { SimulatedMachine } from '../../simulator/machine.ts';
import {
  Network,
  memoryFiles,
  syntheticImage,
  type FileSource,
} from '../../simulator/network/index.ts';
import { deviceNamed } from '../../simulator/services/index.ts';
import type { BootRequest } from './boot-options.ts';
import type { BootOutcome, OutcomeError, OutcomeOs } from './boot-outcome.ts';
import { directoryFiles } from './directory-files.ts';
import { readBytes } from '../files.ts';
import { Pushes, type OutcomePush } from './push-run.ts';
import { CaptureWriter } from './capture-writer.ts';
import { TraceWriter } from './trace-writer.ts';
import { EnvironmentError, UsageError } from '../usage.ts';

/** What a boot tells while it runs. */
export interface BootListener {
  /** The firmware's module is being loaded; it has been, and the time is the firmware's. */
  phase(phase: 'loading' | 'running'): void;
  firmware(event: FirmwareEvent, now: number): void;
}

/** How whoever watches from outside knows that the guest lives, and ends it if not. */
export interface Watch {
  readonly heartbeat: Int32Array;
  readonly guard: Guard;
}

/**
 * Boot.
 *
 * @param link the real network of a request that asks for one
 * @throws UsageError for a firmware bundle that is none
 * @throws EnvironmentError for guest RAM without room, a file that cannot be read, or a trace that
 *   cannot be written
 */
export async function runBoot(
  request: BootRequest,
  { heartbeat, guard }: Watch,
  listener: BootListener,
  link?: Link,
): Promise<BootOutcome> {
  listener.phase('loading');
  const program = await loadFirmware(request.firmware, request.steps.includes('san'), guard);
  const firmware = await instantiate(program, request.memoryMiB);
  listener.phase('running');
  const { files, image } = serve(request);
  const pushes = new Pushes(request.pushes, request.services);
  const machine = createMachine(request, firmware, { files, link, heartbeat, pushes });
  const trace = request.trace === undefined ? undefined : openTrace(request.trace, machine);
  if (trace !== undefined) {
    trace.write(runHeader(request), machine.clock.now);
    machine.events.listen((event, now) => trace.host(event, now));
  }
  const pcap = request.pcap === undefined ? undefined : openCapture(request.pcap, machine);
  if (pcap !== undefined) machine.events.listen((event, now) => pcap.capture.host(event, now));

  // Run
  const tell = (event: FirmwareEvent, guest: string): void => {
    trace?.write({ guest, ...event }, machine.clock.now);
    pcap?.capture.guest(event, guest, machine.clock.now);
    // Later boots are the same again: they are traced, not shown
    if (guest === 'firmware') listener.firmware(event, machine.clock.now);
  };
  const { name } = request.served;
  const served = { name, length: image?.length ?? 0, sha256: image && digest(image) };
  let loaded: BootOutcome['image'];
  let report: FlowReport;
  try {
    report = runBootFlow({
      machine,
      firmware: firmware as Firmware,
      bootOptions: bootOptions(request),
      previousOwner: request.previousOwner,
      nicTimes: request.nicTimes,
      steps: request.steps,
      linux: request.linux,
      events: tell,
      osEvents: (event, stage) => tell(event, stage === 'OS' ? 'os' : stage),
      os: request.os,
      secondBoot: request.secondBoot,
      strict: request.strict,
      onHandoff: (result) => {
        pushes.handedOver(result, new Uint8Array(machine.bootSeam.memory));
        const { image } = result;
        const pushed = pushes.outcomes.find(({ name }) => name === image?.name);
        const expected = image?.device === PUSHED ? pushed?.sha256 : served.sha256;
        if (image !== undefined) loaded = inRam(machine, image, expected);
      },
    });
  } catch (error) {
    if (!(error instanceof BadBootResult)) throw error;
    throw new UsageError('BadFirmware', `${request.firmware}: ${error.message}`, RESULT_ADVICE);
  } finally {
    trace?.close();
    pcap?.close();
    pushes.close();
  }
  return outcome(report, served, loaded, pushes.outcomes, {
    traceFailure: trace?.failure,
    captureFailure: pcap?.failure,
  });
}

const RESULT_ADVICE =
  "boot() returns { status: 'booted' or 'failed', image: { name, address, length, device }, " +
  'error, memoryMap }.';

/** What the firmware is told: a FILE of the network is booted in spite of what is pushed. */
function bootOptions(request: BootRequest): Record<string, unknown> {
  const { preset, services, served, pushes, bootFile, nextServer } = request;
  const named = pushes.length > 0 && served.kind !== 'pushed' && served.kind !== 'synthetic';
  return {
    preset,
    ...(services.length === 0 ? {} : { services }),
    ...(named ? { bootFile: served.name } : {}),
    ...(bootFile === undefined ? {} : { bootFile }),
    ...(nextServer === undefined ? {} : { nextServer }),
  };
}

/** What a machine is plugged into. */
interface Surroundings {
  readonly files: FileSource;
  readonly link: Link | undefined;
  readonly heartbeat: Int32Array;
  readonly pushes: Pushes;
}

function createMachine(
  request: BootRequest,
  firmware: GuestInstance,
  { files, link, heartbeat, pushes }: Surroundings,
): SimulatedMachine {
  const { served, faults, nics, profile, seed } = request;
  const network = new Network({ files, bootFile: served.name, faults, ...request.network });
  return machineFor(firmware, {
    profile,
    links: Array.from({ length: nics }, (_, nic) => link ?? network.link(nic)),
    seed,
    processors: request.processors,
    architecture: request.architecture,
    hypercallConvention: request.hypercallConvention,
    pageSize: request.pageSize,
    heartbeat,
    devices: [...pushes.devices, ...request.devices.map((name) => deviceNamed(name)!.create())],
  });
}

/** The image that a firmware says it has loaded, as it lies in guest RAM. */
function inRam(
  machine: SimulatedMachine,
  { name, address, length, device }: BootImage,
  expected: string | undefined,
): NonNullable<BootOutcome['image']> {
  const bytes = new Uint8Array(machine.bootSeam.memory, address, length);
  const sha256 = digest(bytes);
  const equal = expected === undefined ? undefined : sha256 === expected;
  return { name, address, length, device, sha256, equal };
}

/** @throws UsageError BadFirmware */
async function loadFirmware(path: string, san: boolean, guard: Guard): Promise<GuestProgram> {
  let program: GuestProgram;
  try {
    program = await loadGuest(path, guard);
  } catch (error) {
    if (!(error instanceof BadGuest)) throw error;
    throw new UsageError('BadFirmware', error.message, error.advice);
  }
  if (san && !program.drives) {
    const text = `${path} exports no function createDriver, which a SAN boot needs`;
    throw new UsageError('BadFirmware', text, 'Leave san out of --then.');
  }
  if (san && program.kind === 'wasm' && !program.exports.includes('hypxe_quiesce')) {
    const text = `${path} does not export hypxe_quiesce, which a SAN boot needs`;
    throw new UsageError('BadFirmware', text, 'Leave san out of --then.');
  }
  if (program.boots) return program;
  const advice = 'A firmware bundle is an ES module that exports boot(machine, options).';
  throw new UsageError('BadFirmware', `${path} exports no function boot`, advice);
}

/** The guest in its RAM. @throws EnvironmentError NoMemory */
async function instantiate(program: GuestProgram, memoryMiB: number): Promise<GuestInstance> {
  try {
    return await program.instantiate(memoryMiB * 2 ** 20);
  } catch (error) {
    if (error instanceof BadGuest) {
      throw new UsageError('BadFirmware', error.message, error.advice);
    }
    if (!(error instanceof RangeError)) throw error;
    const text = `no ${memoryMiB} MiB of memory for the guest: ${error.message}`;
    throw new EnvironmentError('NoMemory', text, 'Give the guest less: --memory MIB.');
  }
}

function serve(request: BootRequest): { files: FileSource; image: Uint8Array | undefined } {
  const { served } = request;
  // What does not fit into the guest needs not be read
  const most = request.memoryMiB * 2 ** 20;
  if (served.kind === 'elsewhere') return { files: memoryFiles({}), image: undefined };
  if (served.kind === 'synthetic') {
    const image = syntheticImage(served.size, request.seed);
    return { files: memoryFiles({ [served.name]: image }), image };
  }
  if (served.kind === 'pushed') {
    return { files: memoryFiles({}), image: readBytes(served.path, most) };
  }
  if (served.kind === 'file') {
    const image = readBytes(served.path, most);
    return { files: memoryFiles({ [served.name]: image }), image };
  }
  const files = directoryFiles(served.root, most);
  const image = files.read(served.name);
  if (image instanceof Uint8Array) return { files, image };
  const text = `${served.name} ${image?.error ?? 'is not there any more'}`;
  throw new EnvironmentError(
    'FileUnreadable',
    text,
    'Check the path below the directory of --serve.',
  );
}

/** What was asked for, as the first line of a trace. */
function runHeader(request: BootRequest): RunHeader {
  const { host, seed, nics, processors, architecture, memoryMiB, served, steps, linux } = request;
  const changed = Object.entries(request.knobs).map(([name, value]) => `${name}=${String(value)}`);
  return {
    ...{ kind: 'run', trace: TRACE_VERSION, command: 'boot', host, seed, nics, processors },
    ...{ architecture, memoryMiB, image: served.name },
    firmware: request.ownFirmware ? 'hypxe' : basename(request.firmware),
    ...(changed.length === 0 ? {} : { knobs: changed.join(', ') }),
    ...(steps.length === 0 ? {} : { then: steps.join(', ') }),
    ...(request.os ? { os: linux } : {}),
  };
}

function openTrace(path: string, { partition }: SimulatedMachine): TraceWriter {
  try {
    return new TraceWriter(path, partition.ram.memory);
  } catch (error) {
    const text = `the trace cannot be written to ${path}: ${(error as Error).message}`;
    throw new EnvironmentError('TraceUnwritable', text, 'Give a path that can be written.');
  }
}

function openCapture(path: string, { nics, partition }: SimulatedMachine): CaptureWriter {
  try {
    return new CaptureWriter(path, { nics: nics.length, memory: partition.ram.memory });
  } catch (error) {
    const text = `the capture cannot be written to ${path}: ${(error as Error).message}`;
    throw new EnvironmentError('CaptureUnwritable', text, 'Give a path that can be written.');
  }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The report of the flow as plain data. */
function outcome(
  report: FlowReport,
  served: BootOutcome['served'],
  image: BootOutcome['image'],
  pushes: readonly OutcomePush[],
  failures: Pick<BootOutcome, 'traceFailure' | 'captureFailure'>,
): BootOutcome {
  const { boot, os, ended, findings, notRun, counts } = report;
  const lost = pushes.some(({ outcome, equal }) => outcome !== 'copied' || equal === false);
  const mismatch = lost || image?.equal === false;
  return {
    verdict: mismatch && report.verdict === 'clean' ? 'findings' : report.verdict,
    served,
    image,
    pushes,
    error: boot?.error && plainError(boot.error),
    attempts: (boot?.attempts ?? []).map(({ device, error }) => ({
      device,
      ...plainError(error),
    })),
    ended,
    vmbusVersions: report.vmbusVersions.map(versionText),
    findings,
    notRun,
    memoryMap: boot?.memoryMap ?? [],
    stages: report.stages.map(({ name, end, endedAt, findings: own, os: kernel }) => ({
      ...{ name, end, endedMs: endedAt / TICKS_PER_MS },
      findings: own,
      os: kernel && plainOs(kernel),
    })),
    os: os && plainOs(os),
    secondBoot: report.secondBoot?.status,
    counts,
    link: undefined,
    handoffMs: report.handoffAt / TICKS_PER_MS,
    endMs: report.endedAt / TICKS_PER_MS,
    ...failures,
  };
}

/** What an OS reports, as plain data. */
function plainOs({ vmbusVersion, error, nics, vp, processors }: OsReport): OutcomeOs {
  const version = vmbusVersion === 0 ? undefined : versionText(vmbusVersion);
  return { vmbusVersion: version, error, nics, vp, processors };
}

/** An error of a firmware: a HypxeError, or whatever another firmware has instead. */
function plainError(error: Partial<HypxeError>): OutcomeError {
  const { name = 'Error', message = String(error) } = error;
  return { name, text: message, advice: errorEntry(name)?.[1] ?? '' };
}
