// SPDX-License-Identifier: GPL-2.0-or-later

/** One boot: the machine is built, the flow runs, and what happened becomes plain data. */

import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { pathToFileURL } from 'node:url';
import type { BootImage } from '../../src/boot/boot.ts';
import type { HypxeError } from '../../src/error.ts';
import type { FirmwareEvent } from '../../src/events.ts';
import { versionText } from '../../src/vmbus/protocol.ts';
import { BadBootResult, runBootFlow, type Firmware, type FlowReport } from '../flow/boot-flow.ts';
import type { SanFirmware } from '../flow/san-boot.ts';
import type { OsReport } from '../os/loaded-os.ts';
import { TICKS_PER_MS } from '../simulator/clock.ts';
import { SimulatedMachine } from '../simulator/machine.ts';
import {
  Network,
  memoryFiles,
  syntheticImage,
  type FileSource,
} from '../simulator/network/index.ts';
import { profileNamed, withKnobs } from '../simulator/profiles.ts';
import type { BootRequest } from './boot-options.ts';
import type { BootOutcome, OutcomeError, OutcomeOs } from './boot-outcome.ts';
import { directoryFiles } from './directory-files.ts';
import { TraceWriter } from './trace-writer.ts';
import { UsageError } from './usage.ts';

/** What a boot tells while it runs. */
export interface BootListener {
  firmware(event: FirmwareEvent, now: number): void;
}

/**
 * Boot.
 *
 * @throws UsageError for a firmware bundle that is none, for guest RAM that there is no room for,
 *   or a trace file that cannot be opened
 */
export async function runBoot(
  request: BootRequest,
  heartbeat: Int32Array,
  listener: BootListener,
): Promise<BootOutcome> {
  const firmware = await loadFirmware(request.firmware, request.steps.includes('san'));
  const { files, image } = serve(request);
  const machine = createMachine(request, files, heartbeat);
  const trace = request.trace === undefined ? undefined : openTrace(request.trace);
  if (trace !== undefined) machine.events.listen((event, now) => trace.write(event, now));

  // Run
  const tell = (event: FirmwareEvent, guest: string): void => {
    trace?.write({ guest, ...event }, machine.clock.now);
    // Later boots are the same again: they are traced, not shown
    if (guest === 'firmware') listener.firmware(event, machine.clock.now);
  };
  const served = { name: request.served.name, length: image.length, sha256: digest(image) };
  let loaded: BootOutcome['image'];
  let report: FlowReport;
  try {
    report = runBootFlow({
      machine,
      firmware,
      bootOptions: { preset: request.preset },
      steps: request.steps,
      events: tell,
      osEvents: (event, stage) => tell(event, stage === 'OS' ? 'os' : stage),
      os: request.os,
      secondBoot: request.secondBoot,
      onHandoff: (result) => {
        if (result.image !== undefined) loaded = inRam(machine, result.image, served.sha256);
      },
    });
  } catch (error) {
    if (!(error instanceof BadBootResult)) throw error;
    throw new UsageError('BadFirmware', `${request.firmware}: ${error.message}`, RESULT_ADVICE);
  } finally {
    trace?.close();
  }
  return outcome(report, served, loaded, trace?.failure);
}

const RESULT_ADVICE =
  "boot() returns { status: 'booted' or 'failed', image: { name, address, length, device }, " +
  'error, memoryMap }.';

function createMachine(
  request: BootRequest,
  files: FileSource,
  heartbeat: Int32Array,
): SimulatedMachine {
  const { served, faults, nics, memoryMiB, host, knobs, seed } = request;
  const network = new Network({ files, bootFile: served.name, faults });
  let memory: ArrayBuffer;
  try {
    memory = new ArrayBuffer(memoryMiB * 2 ** 20);
  } catch (error) {
    const text = `no ${memoryMiB} MiB of memory for the guest: ${(error as Error).message}`;
    throw new UsageError('NoMemory', text, 'Give the guest less: --memory MIB.');
  }
  return new SimulatedMachine({
    memory,
    profile: withKnobs(profileNamed(host)!, knobs),
    links: Array.from({ length: nics }, (_, nic) => network.link(nic)),
    seed,
    processors: request.processors,
    architecture: request.architecture,
    hypercallConvention: request.hypercallConvention,
    pageSize: request.pageSize,
    heartbeat,
  });
}

/** The image that a firmware says it has loaded, as it lies in guest RAM. */
function inRam(
  machine: SimulatedMachine,
  { name, address, length, device }: BootImage,
  expected: string,
): NonNullable<BootOutcome['image']> {
  const bytes = machine.partition.ram.bytes.subarray(address, address + length);
  const sha256 = digest(bytes);
  return { name, address, length, device, sha256, equal: sha256 === expected };
}

/** @throws UsageError BadFirmware */
async function loadFirmware(path: string, san: boolean): Promise<Firmware> {
  const advice = 'A firmware bundle is an ES module that exports boot(machine, options).';
  let module: Partial<Firmware & SanFirmware>;
  try {
    module = (await import(pathToFileURL(path).href)) as Partial<Firmware & SanFirmware>;
  } catch (error) {
    const text = `${path} cannot be loaded: ${String(error)}`;
    throw new UsageError('BadFirmware', text, advice);
  }
  if (san && typeof module.createDriver !== 'function') {
    const text = `${path} exports no function createDriver, which a SAN boot needs`;
    throw new UsageError('BadFirmware', text, 'Leave san out of --then.');
  }
  if (typeof module.boot === 'function') return module as Firmware;
  throw new UsageError('BadFirmware', `${path} exports no function boot`, advice);
}

function serve(request: BootRequest): { files: FileSource; image: Uint8Array } {
  const { served } = request;
  if (served.kind === 'synthetic') {
    const image = syntheticImage(served.size, request.seed);
    return { files: memoryFiles({ [served.name]: image }), image };
  }
  if (served.kind === 'file') {
    const image = fs.readFileSync(served.path);
    return { files: memoryFiles({ [served.name]: image }), image };
  }
  const files = directoryFiles(served.root);
  const image = files.read(served.name);
  if (image instanceof Uint8Array) return { files, image };
  const text = `${served.name} ${image?.error ?? 'is not there any more'}`;
  throw new UsageError('FileUnreadable', text, 'Check the path below the directory of --serve.');
}

function openTrace(path: string): TraceWriter {
  try {
    return new TraceWriter(path);
  } catch (error) {
    const text = `the trace cannot be written to ${path}: ${(error as Error).message}`;
    throw new UsageError('TraceUnwritable', text, 'Give a path that can be written.');
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
  traceFailure: string | undefined,
): BootOutcome {
  const { boot, os, ended, findings, notRun, counts } = report;
  const mismatch = image !== undefined && !image.equal;
  return {
    verdict: mismatch && report.verdict === 'clean' ? 'findings' : report.verdict,
    served,
    image,
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
    handoffMs: report.handoffAt / TICKS_PER_MS,
    endMs: report.endedAt / TICKS_PER_MS,
    traceFailure,
  };
}

/** What an OS reports, as plain data. */
function plainOs({ vmbusVersion, error, nics, vp, processors }: OsReport): OutcomeOs {
  const version = vmbusVersion === 0 ? undefined : versionText(vmbusVersion);
  return { vmbusVersion: version, error, nics, vp, processors };
}

/** An error of a firmware: a HypxeError, or whatever another firmware has instead. */
function plainError(error: Partial<HypxeError>): OutcomeError {
  const { name = 'Error', message = String(error), kind } = error;
  return { name, text: message, advice: kind?.advice ?? '' };
}
