// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One run of a PC, in the thread that asks for it. Knows nothing of files and of packages: who
 * calls it hands in the emulator's class and module, the BIOS, and the program.
 */

import { versionText } from '../../src/vmbus/protocol.ts';
import { runPcFlow, type PcFlowOptions, type PcReport } from '../flow/pc-flow.ts';
import type { PcProgress } from '../flow/pc-life.ts';
import type { PcStage } from '../flow/pc-stages.ts';
import { bootProgram, BOOT_PROGRAM_NAME } from '../guests/pc/boot-program.ts';
import type { ConsoleSource } from '../guests/pc/pc-console.ts';
import type { PcParts } from '../guests/pc/pc-emulator.ts';
import type { PcKernel } from '../guests/pc/pc-kernel.ts';
import type { Pc } from '../guests/pc/pc.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { memoryFiles, type FileSource } from '../simulator/network/index.ts';
import type { Link } from '../simulator/network/link.ts';
import { ShutdownHost, TimeSyncHost } from '../simulator/services/index.ts';
import type { ChannelDevice } from '../simulator/vmbus-server/channel-interface.ts';
import type { RunHeader } from '../report/trace-line.ts';
import type { PcOutcome } from './pc-outcome.ts';
import type { PcPlan } from './pc-plan.ts';
import { planHeader, planHost } from './plan-host.ts';

/** Most lines of the console that are kept. */
const CONSOLE_MAX = 10_000;

/** The emulator, its BIOS, and what boots: a kernel (or a .lkrn), a CD-ROM, a disk. */
export interface PcSet extends Omit<PcParts, 'memoryBytes'> {
  readonly kernel?: PcKernel | undefined;
}

/** What the network serves. */
export interface PcServedFiles {
  /** What DHCP names. */
  readonly name: string;
  readonly files: FileSource;
  /** A disk of whole sectors, by ATA over Ethernet: `aoe:e0.0`. */
  readonly disk?: Uint8Array | undefined;
}

/** What a run is given besides its plan. */
export interface PcSurroundings {
  /** By default the boot program of hypxe's own, which is there besides whatever is served. */
  readonly served?: PcServedFiles;
  /** Further devices on the bus, besides those that the plan names. */
  readonly devices?: readonly ChannelDevice[];
  /** A real network, instead of the one that is made here. */
  readonly link?: Link | undefined;
  /** The machine is there, and nothing has run yet: who listens to its events begins here. */
  readonly onMachine?: (machine: SimulatedMachine) => void;
  /** A line of the console is complete, at so many ticks; `since`: when it began. */
  readonly onLine?: (text: string, source: ConsoleSource, now: number, since: number) => void;
  readonly onStage?: (stage: PcStage) => void;
  /** Asked for each slice, and told how far it is; false ends the run. */
  readonly alive?: (progress: PcProgress) => boolean;
}

/**
 * Run a PC. It takes all of the thread.
 *
 * @throws BadEmulator for another module of WebAssembly than that of v86 0.5.462
 * @throws BadPcProgram for a kernel that cannot be booted
 * @throws RangeError if there is no room, or for a plan that makes no machine
 */
export async function bootPc(
  { kernel, ...set }: PcSet,
  plan: PcPlan,
  around: PcSurroundings = {},
): Promise<PcOutcome> {
  const { onLine, onStage, onMachine, alive } = around;
  const { seconds, resets, script, keys, strict } = plan;
  const shown: string[] = [];
  let pc: Pc | undefined;
  const report = await runPcFlow({
    ...{ kernel, script, keys, strict, host: hostOf(plan, around), limits: { seconds, resets } },
    parts: { ...set, memoryBytes: plan.memoryMiB * 2 ** 20 },
    onReady: (made) => {
      pc = made;
      onMachine?.(made.machine);
    },
    onLine: (text, source, since) => {
      if (shown.length < CONSOLE_MAX) shown.push(text);
      onLine?.(text, source, pc!.machine.clock.now, since);
    },
    overdue: wallClock(plan.wallSeconds),
    ...(onStage === undefined ? {} : { onStage }),
    ...(alive === undefined ? {} : { alive }),
  });
  return { ...outcomeOf(report), console: shown };
}

/** Says when so many seconds of the wall's clock are over. */
export function wallClock(seconds: number): () => string | undefined {
  const begin = Date.now();
  return () => {
    if (Date.now() - begin < seconds * 1000) return undefined;
    return `after ${seconds} s of the wall's clock, where no two runs are alike (see --wall)`;
  };
}

/** What was asked for, as the first line of a trace. `names`: for people. */
export function pcHeader(plan: PcPlan, names: { program: string; image: string }): RunHeader {
  return planHeader(plan, { command: 'pc', processors: 1, architecture: 'x64', ...names });
}

function hostOf(
  plan: PcPlan,
  { served, link, devices = [] }: PcSurroundings,
): PcFlowOptions['host'] {
  const ours = memoryFiles({ [BOOT_PROGRAM_NAME]: bootProgram() });
  const theirs = served?.files;
  const files: FileSource = {
    read: (path) => theirs?.read(path) ?? ours.read(path),
    list: () => [...(theirs?.list?.() ?? []), BOOT_PROGRAM_NAME],
  };
  const disk = served?.disk;
  return planHost(plan, {
    served: {
      ...{ files, bootFile: served?.name ?? BOOT_PROGRAM_NAME },
      ...(disk === undefined ? {} : { aoe: { disk } }),
    },
    // A real host has these for every guest
    ...{ link, first: [new ShutdownHost(), new TimeSyncHost()], last: devices },
  });
}

/** The report of the flow as plain data. */
function outcomeOf(report: PcReport): Omit<PcOutcome, 'console'> {
  const { refusedVersions, vmbusVersions, endedAt, instructions, ...rest } = report;
  return {
    ...rest,
    vmbusVersions: vmbusVersions.map(versionText),
    refusedVersions: refusedVersions.map(versionText),
    endMs: endedAt / TICKS_PER_MS,
    instructions: instructions / 1e6,
  };
}
