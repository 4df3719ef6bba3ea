// SPDX-License-Identifier: GPL-2.0-or-later

/** One run of a PC: its parts are read, the flow runs, and what happened becomes plain data. */

import { versionText } from '../../../src/vmbus/protocol.ts';
import { runPcFlow, type PcFlowOptions, type PcReport } from '../../flow/pc-flow.ts';
import type { PcStage } from '../../flow/pc-stages.ts';
import { bootProgram, BOOT_PROGRAM_NAME } from '../../guests/pc/boot-program.ts';
import type { Pc } from '../../guests/pc/pc.ts';
import { BadPcProgram } from '../../guests/pc/pc-kernel.ts';
import { BadEmulator } from '../../guests/pc/wasm-patch.ts';
import { TICKS_PER_MS } from '../../simulator/base/clock.ts';
import type { Link } from '../../simulator/network/link.ts';
import { Network, memoryFiles, type FileSource } from '../../simulator/network/index.ts';
import { ShutdownHost, TimeSyncHost, deviceNamed } from '../../simulator/services/index.ts';
import { CaptureWriter } from '../boot/capture-writer.ts';
import { directoryFiles } from '../boot/directory-files.ts';
import { TraceWriter } from '../boot/trace-writer.ts';
import { readBytes } from '../files.ts';
import { EnvironmentError, UsageError } from '../usage.ts';
import { loadBios, loadProgram, loadV86 } from './pc-files.ts';
import type { PcRequest } from './pc-options.ts';
import { verdictOf, type PcOutcome } from './pc-outcome.ts';

/** Largest file that the network serves. */
const FILE_MAX = 1 << 30;

/** Most lines of the console that are kept for the document. */
const CONSOLE_MAX = 10_000;

/** What a run tells while it goes on. */
export interface PcListener {
  line(text: string, now: number): void;
  stage(stage: PcStage): void;
  alive(): boolean;
}

/**
 * Run.
 *
 * @param link the real network of a request that asks for one
 * @throws CommandError for what is missing, or is not what it should be
 */
export async function runPc(
  request: PcRequest,
  listener: PcListener,
  link?: Link,
): Promise<PcOutcome> {
  const { kernel, cdrom, disk } = loadProgram(request);
  const parts = {
    ...loadBios(request.bios),
    ...(await loadV86()),
    ...{ memoryBytes: request.memoryMiB * 2 ** 20, cdrom, disk },
  };
  let pc: Pc | undefined;
  let trace: TraceWriter | undefined;
  let pcap: CaptureWriter | undefined;
  const shown: string[] = [];
  const begin = Date.now();
  const options: PcFlowOptions = {
    ...{ parts, kernel, host: host(request, link), script: request.script, keys: request.keys },
    limits: { seconds: request.seconds, resets: request.resets },
    onReady: (made) => {
      pc = made;
      const { machine } = made;
      trace = openTrace(request.trace, made);
      pcap = openCapture(request.pcap, made);
      if (trace !== undefined) machine.events.listen((event, now) => trace!.host(event, now));
      if (pcap !== undefined) machine.events.listen((event, now) => pcap!.capture.host(event, now));
    },
    onLine: (text) => {
      if (shown.length < CONSOLE_MAX) shown.push(text);
      listener.line(text, pc!.machine.clock.now);
    },
    onStage: (stage) => listener.stage(stage),
    alive: () => listener.alive(),
  };
  try {
    const report = await runPcFlow(options);
    trace?.close();
    pcap?.close();
    const failures = { traceFailure: trace?.failure, captureFailure: pcap?.failure };
    return {
      ...outcome(report, request.strict),
      wallMs: Date.now() - begin,
      console: shown,
      ...failures,
    };
  } catch (error) {
    throw asCommandError(error, request);
  }
}

/** What is known of errors of a PC. */
function asCommandError(error: unknown, { program, memoryMiB }: PcRequest): unknown {
  if (error instanceof BadPcProgram) {
    return new UsageError(error.name, `${program}: ${error.message}`, error.advice);
  }
  if (error instanceof BadEmulator) {
    const text = `the WebAssembly module of v86 cannot be changed: ${error.message}`;
    return new EnvironmentError('EmulatorVersion', text, 'Install the version that is named.');
  }
  if (!(error instanceof RangeError)) return error;
  const text = `no ${memoryMiB} MiB of memory for the PC: ${error.message}`;
  return new EnvironmentError('NoMemory', text, 'Give it less: --memory MIB.');
}

function host(request: PcRequest, link: Link | undefined): PcFlowOptions['host'] {
  const { served, faults, nics, profile, seed, devices } = request;
  const network = new Network({
    ...{ files: files(request), bootFile: served.name, faults },
    ...request.network,
  });
  return {
    ...{ profile, seed },
    links: Array.from({ length: nics }, (_, nic) => link ?? network.link(nic)),
    // A real host has these for every guest
    devices: [
      new ShutdownHost(),
      new TimeSyncHost(),
      ...devices.map((name) => deviceNamed(name)!.create()),
    ],
  };
}

/** What the network serves: hypxe's own program, and what the request names. */
function files({ served }: PcRequest): FileSource {
  const own = { [BOOT_PROGRAM_NAME]: bootProgram() };
  if (served.kind === 'file') {
    return memoryFiles({ ...own, [served.name]: readBytes(served.path, FILE_MAX) });
  }
  if (served.kind !== 'directory') return memoryFiles(own);
  const below = directoryFiles(served.root, FILE_MAX);
  const ours = memoryFiles(own);
  return { read: (path) => below.read(path) ?? ours.read(path) };
}

function openTrace(path: string | undefined, { machine }: Pc): TraceWriter | undefined {
  if (path === undefined) return undefined;
  try {
    const { ram } = machine.partition;
    return new TraceWriter(path, () => ram.bytes);
  } catch (error) {
    const text = `the trace cannot be written to ${path}: ${(error as Error).message}`;
    throw new EnvironmentError('TraceUnwritable', text, 'Give a path that can be written.');
  }
}

function openCapture(path: string | undefined, { machine }: Pc): CaptureWriter | undefined {
  if (path === undefined) return undefined;
  try {
    const { ram } = machine.partition;
    return new CaptureWriter(path, { nics: machine.nics.length, memory: () => ram.bytes });
  } catch (error) {
    const text = `the capture cannot be written to ${path}: ${(error as Error).message}`;
    throw new EnvironmentError('CaptureUnwritable', text, 'Give a path that can be written.');
  }
}

/** The report of the flow as plain data. */
function outcome(
  report: PcReport,
  strict: boolean,
): Omit<PcOutcome, 'wallMs' | 'console' | 'traceFailure' | 'captureFailure'> {
  const { refusedVersions, vmbusVersions, endedAt, instructions, ...rest } = report;
  return {
    ...rest,
    verdict: verdictOf(report, strict),
    vmbusVersions: vmbusVersions.map(versionText),
    refusedVersions: refusedVersions.map(versionText),
    link: undefined,
    endMs: endedAt / TICKS_PER_MS,
    instructions: instructions / 1e6,
  };
}
