// SPDX-License-Identifier: GPL-2.0-or-later

/** One run of a PC for the command: its parts and its files; the rest is the library's. */

import { basename } from 'node:path';
import type { PcProgress } from '../../flow/pc-life.ts';
import type { PcStage } from '../../flow/pc-stages.ts';
import type { ConsoleSource } from '../../guests/pc/pc-console.ts';
import { NoRoomForPc } from '../../guests/pc/pc-emulator.ts';
import { BadPcProgram } from '../../guests/pc/pc-kernel.ts';
import { BadEmulator } from '../../guests/pc/wasm-patch.ts';
import { bootPc, pcHeader, type PcServedFiles } from '../../library/pc.ts';
import type { Link } from '../../simulator/network/link.ts';
import { NetworkOptionError, memoryFiles, planAoe } from '../../simulator/network/index.ts';
import { directoryFiles } from '../boot/directory-files.ts';
import { RunFiles } from '../boot/run-files.ts';
import { readBytes } from '../files.ts';
import { EnvironmentError, UsageError } from '../usage.ts';
import { loadBios, loadProgram, loadV86 } from './pc-files.ts';
import type { PcRequest } from './pc-options.ts';
import type { PcRunOutcome } from './pc-report.ts';

/** Largest file that the network serves. */
const FILE_MAX = 1 << 30;

const NOTHING = memoryFiles({});

/** What a run tells while it goes on. */
export interface PcListener {
  /** The PC is there, and begins to run. */
  begun(): void;
  /** A line of the console, and when its first character came. */
  line(text: string, since: number): void;
  stage(stage: PcStage): void;
  /** Called often; false ends the run. */
  alive(progress: PcProgress): boolean;
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
): Promise<PcRunOutcome> {
  const served = serve(request);
  const program = loadProgram(request);
  const set = { ...loadBios(request.bios), ...(await loadV86()), ...program };
  const begin = Date.now();
  let files: RunFiles | undefined;
  try {
    const outcome = await bootPc(set, request, {
      ...{ served, link, alive: (progress) => listener.alive(progress) },
      onMachine: (machine) => {
        listener.begun();
        const names = { program: basename(request.program), image: request.served.name };
        const memory = (): Uint8Array => machine.partition.ram.bytes;
        files = new RunFiles(request, machine, () => pcHeader(request, names), memory);
      },
      onLine: (text, source, now, since) => {
        // Events are in the order of their times: a line is one once it is complete
        files?.note(consoleEvent(text, source), now);
        listener.line(text, since);
      },
      onStage: (stage) => listener.stage(stage),
    });
    files?.close();
    const failures = files?.failures ?? { traceFailure: undefined, captureFailure: undefined };
    return { ...outcome, ...failures, wallMs: Date.now() - begin, link: undefined };
  } catch (error) {
    files?.abandon();
    throw asCommandError(error, request);
  }
}

/** A line of the console as what the guest says of itself. */
export function consoleEvent(text: string, source: ConsoleSource) {
  return { guest: 'PC', kind: 'log', level: 'info', layer: 'CONSOLE', object: source, text };
}

/** What is known of errors of a PC. */
export function asCommandError(error: unknown, { program, memoryMiB }: PcRequest): unknown {
  if (error instanceof BadPcProgram) {
    return new UsageError(error.name, `${program}: ${error.message}`, error.advice);
  }
  if (error instanceof BadEmulator) {
    const text = `the WebAssembly module of v86 cannot be changed: ${error.message}`;
    return new EnvironmentError('EmulatorVersion', text, 'Install the version that is named.');
  }
  if (!(error instanceof NoRoomForPc)) return error;
  const text = `no ${memoryMiB} MiB of memory for the PC: ${error.message}`;
  return new EnvironmentError('NoMemory', text, 'Give it less: --memory MIB.');
}

/** What the network serves besides hypxe's own program. @throws EnvironmentError */
export function serve({ served, aoe }: PcRequest): PcServedFiles {
  const { kind, name } = served;
  const disk = aoe === undefined ? undefined : readDisk(aoe);
  if (kind === 'file') {
    return { name, disk, files: memoryFiles({ [name]: readBytes(served.path, FILE_MAX) }) };
  }
  const files = kind === 'directory' ? directoryFiles(served.root, FILE_MAX) : NOTHING;
  return { name, disk, files };
}

/** @throws UsageError BadDisk; EnvironmentError */
function readDisk(file: string): Uint8Array {
  const disk = readBytes(file, FILE_MAX);
  try {
    return planAoe({ disk }).disk;
  } catch (error) {
    if (!(error instanceof NetworkOptionError)) throw error;
    const text = `--aoe ${file}: ${error.message.replace(/^.*: /, '')}`;
    throw new UsageError('BadDisk', text, 'Give an image of a whole disk.');
  }
}
