// SPDX-License-Identifier: GPL-2.0-or-later

/** One boot: the machine is built, the flow runs, and what happened becomes plain data. */

import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { pathToFileURL } from 'node:url';
import type { BootResult } from '../../src/boot/boot.ts';
import type { FirmwareEvent } from '../../src/events.ts';
import { versionText } from '../../src/vmbus/protocol.ts';
import { runBootFlow, type Firmware, type FlowReport, type Verdict } from '../flow/boot-flow.ts';
import type { OsNic } from '../os/loaded-os.ts';
import type { Finding } from '../simulator/audit.ts';
import { SimulatedMachine } from '../simulator/machine.ts';
import {
  Network,
  memoryFiles,
  syntheticImage,
  type FileSource,
} from '../simulator/network/index.ts';
import { profileNamed, withKnobs } from '../simulator/profiles.ts';
import type { BootRequest } from './boot-options.ts';
import { directoryFiles } from './directory-files.ts';
import { TraceWriter } from './trace-writer.ts';
import { UsageError } from './usage.ts';

/** What a boot tells while it runs. */
export interface BootListener {
  firmware(event: FirmwareEvent, now: number): void;
}

/** The outcome of a boot: plain data, also what `--json` prints. */
export interface BootOutcome {
  readonly verdict: Verdict;
  readonly host: string;
  readonly seed: number;
  readonly served: { readonly name: string; readonly length: number; readonly sha256: string };
  /** What lies in guest RAM after the handoff; undefined if nothing was booted. */
  readonly image:
    | {
        readonly name: string;
        readonly address: number;
        readonly length: number;
        readonly sha256: string;
        readonly equal: boolean;
      }
    | undefined;
  readonly error:
    { readonly name: string; readonly text: string; readonly advice: string } | undefined;
  readonly ended: { readonly guest: string; readonly text: string } | undefined;
  readonly findings: readonly Finding[];
  readonly reserved: readonly { address: number; length: number; purpose: string }[];
  readonly os:
    | {
        readonly vmbusVersion: string;
        readonly error: string | undefined;
        readonly nics: readonly OsNic[];
      }
    | undefined;
  readonly secondBoot: string | undefined;
  readonly counts: {
    readonly handoffMs: number;
    readonly endMs: number;
    readonly seamCalls: number;
    readonly hypercalls: number;
    readonly framesToGuest: number;
    readonly framesFromGuest: number;
    readonly framesDropped: number;
  };
  readonly firmware: string;
}

/**
 * Boot.
 *
 * @throws UsageError for a firmware bundle that is none, or a trace file that cannot be written
 */
export async function runBoot(
  request: BootRequest,
  heartbeat: Int32Array,
  listener: BootListener,
): Promise<BootOutcome> {
  const firmware = await loadFirmware(request.firmware);
  const { files, image } = serve(request);
  const network = new Network({ files, bootFile: request.served.name, faults: request.faults });
  const links = Array.from({ length: request.nics }, (_, nic) => network.link(nic));
  const machine = new SimulatedMachine({
    memory: new ArrayBuffer(request.memoryMiB * 2 ** 20),
    profile: withKnobs(profileNamed(request.host)!, request.knobs),
    links,
    seed: request.seed,
    heartbeat,
  });
  const trace = request.trace === undefined ? undefined : openTrace(request.trace);
  if (trace !== undefined) machine.events.listen((event, now) => trace.write(event, now));

  // Run
  const tell = (guest: string) => (event: FirmwareEvent) => {
    trace?.write({ guest, ...event }, machine.clock.now);
    if (guest === 'firmware') listener.firmware(event, machine.clock.now);
  };
  const tellFirmware = tell('firmware');
  let booted: BootResult | undefined;
  let sha256 = '';
  let equal = false;
  const report = runBootFlow({
    machine,
    firmware,
    bootOptions: { preset: request.preset },
    // The second boot is the same again: it is traced, not shown
    events: (event) => (booted === undefined ? tellFirmware(event) : tell('second boot')(event)),
    osEvents: tell('os'),
    os: request.os,
    secondBoot: request.secondBoot,
    onHandoff: (result) => {
      booted = result;
      if (result.image === undefined) return;
      const { address, length } = result.image;
      const bytes = machine.partition.ram.bytes.subarray(address, address + length);
      sha256 = digest(bytes);
      equal = length === image.length && sha256 === digest(image);
    },
  });
  trace?.close();
  return outcome(request, machine, report, image, { sha256, equal });
}

/** @throws UsageError BadFirmware */
async function loadFirmware(path: string): Promise<Firmware> {
  const advice = 'A firmware bundle is an ES module that exports boot(machine, options).';
  let module: Partial<Firmware>;
  try {
    module = (await import(pathToFileURL(path).href)) as Partial<Firmware>;
  } catch (error) {
    const text = `${path} cannot be loaded: ${(error as Error).message}`;
    throw new UsageError('BadFirmware', text, advice);
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
  const text = `${served.name}: ${image?.error ?? 'no such file'}`;
  throw new UsageError('FileUnreadable', text, 'Check the path below the directory of --serve.');
}

function openTrace(path: string): TraceWriter {
  try {
    return new TraceWriter(path);
  } catch (error) {
    const text = `trace file ${path}: ${(error as Error).message}`;
    throw new UsageError('TraceUnwritable', text, 'Give a path that can be written.');
  }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function outcome(
  request: BootRequest,
  machine: SimulatedMachine,
  report: FlowReport,
  image: Uint8Array,
  inRam: { readonly sha256: string; readonly equal: boolean },
): BootOutcome {
  const { boot, os } = report;
  const { seamCalls, hypercalls } = machine.partition.inspection.counts;
  const sum = (pick: (n: (typeof machine.nics)[number]['statistics']) => number): number =>
    machine.nics.reduce((total, nic) => total + pick(nic.statistics), 0);
  const mismatch = boot?.image !== undefined && !inRam.equal;
  return {
    verdict: mismatch && report.verdict === 'clean' ? 'findings' : report.verdict,
    host: request.host,
    seed: request.seed,
    served: { name: request.served.name, length: image.length, sha256: digest(image) },
    image: boot?.image === undefined ? undefined : { ...plainImage(boot.image), ...inRam },
    error:
      boot?.error === undefined
        ? undefined
        : {
            name: boot.error.name,
            text: boot.error.message,
            advice: boot.error.kind?.advice ?? '',
          },
    ended: report.ended,
    findings: report.findings,
    reserved: (boot?.memoryMap ?? [])
      .filter((range) => range.type === 'reserved')
      .map(({ address, length, purpose }) => ({ address, length, purpose: purpose ?? '' })),
    os: os && {
      vmbusVersion: os.vmbusVersion === 0 ? 'none' : versionText(os.vmbusVersion),
      error: os.error,
      nics: os.nics,
    },
    secondBoot: report.secondBoot?.status,
    counts: {
      handoffMs: report.handoffAt / 10_000,
      endMs: report.endedAt / 10_000,
      seamCalls,
      hypercalls,
      framesToGuest: sum((n) => n.framesToGuest),
      framesFromGuest: sum((n) => n.framesFromGuest),
      framesDropped: sum((n) => n.framesDropped),
    },
    firmware: request.ownFirmware ? 'hypxe' : request.firmware,
  };
}

function plainImage(image: NonNullable<BootResult['image']>) {
  const { name, address, length } = image;
  return { name, address, length };
}
