// SPDX-License-Identifier: GPL-2.0-or-later

/** A guest in WebAssembly beside firmware in JavaScript: boots, and the cost of an instance. */

import type { X64Machine } from '../../src/machine.ts';
import { runBootFlow, type Firmware } from '../flow/boot-flow.ts';
import { machineFor } from '../guests/guest-machine.ts';
import type { GuestInstance } from '../guests/guest-program.ts';
import { TrustedGuest } from '../guests/trusted-guest.ts';
import { WasmProgram } from '../guests/wasm-guest.ts';
import { Network, memoryFiles, syntheticImage } from '../simulator/network/index.ts';
import { DEFAULT_PROFILE, profileNamed } from '../simulator/profiles/profiles.ts';
import type { BenchFirmware } from './firmware.ts';
import { inTurns, requireClean, type RunsFigure } from './runs.ts';
import { short, type Section } from './section.ts';

const PROFILE = profileNamed(DEFAULT_PROFILE)!;
const FILE = 'image.bin';
const IMAGE_LENGTH = 64 << 10;
const RAM = 16 << 20;

export interface GuestsOptions {
  readonly rounds: number;
  /** Boots of a round, after as many that warm up. */
  readonly boots: number;
  /** Instances of a round, after as many that warm up. */
  readonly instances: number;
}

export const GUESTS_FULL: GuestsOptions = { rounds: 5, boots: 30, instances: 300 };
export const GUESTS_QUICK: GuestsOptions = { rounds: 1, boots: 1, instances: 2 };

export interface GuestsFigure {
  /** hypxe's own firmware, then the example: the same boot. */
  readonly boots: readonly RunsFigure[];
  /** The module checked and compiled, which is done once, then an instance of it. */
  readonly instances: readonly RunsFigure[];
}

/** @param example bytes of the module */
export function measureGuests(
  firmware: BenchFirmware,
  example: Uint8Array,
  { rounds, boots, instances }: GuestsOptions,
): GuestsFigure {
  const program = new WasmProgram('example', example);
  const guest = program.instantiate(RAM);
  return {
    boots: inTurns(
      [
        ["hypxe's own", wholeBoot(new TrustedGuest(firmware, RAM))],
        ['example in C', wholeBoot(guest)],
      ],
      { rounds, warmRounds: 1, runs: boots },
    ),
    instances: inTurns(
      [
        ['check and compile', () => void new WasmProgram('example', example)],
        ['an instance', instance(guest)],
      ],
      { rounds, warmRounds: 1, runs: instances },
    ),
  };
}

/** A whole boot over the network, with the loaded OS and the late-write trial. */
function wholeBoot(guest: GuestInstance): () => void {
  const image = syntheticImage(IMAGE_LENGTH, 1);
  return () => {
    const network = new Network({ files: memoryFiles({ [FILE]: image }), bootFile: FILE });
    const machine = machineFor(guest, { profile: PROFILE, links: [network.link(0)], seed: 1 });
    const report = runBootFlow({ machine, firmware: guest as Firmware, secondBoot: false });
    requireClean(report.verdict === 'clean');
  };
}

/** A fresh instance, up to its first question: there is no Hyper-V, and so it leaves. */
function instance(guest: GuestInstance): () => void {
  const nothing = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  const machine = {
    architecture: 'x64',
    memory: guest.memory,
    memoryMap: [],
    cpuid: () => nothing,
  };
  return () => {
    const driver = guest.createDriver!(machine as unknown as X64Machine, {});
    let found = true;
    try {
      driver.probe();
    } catch (error) {
      found = (error as Error).name !== 'GuestNoDevice';
    }
    requireClean(!found);
  };
}

export function guestsSection(figure: GuestsFigure): Section {
  return {
    name: 'guests',
    title: 'Guests in WebAssembly: the example that hypxe guest new c makes',
    data: figure,
    tables: [
      {
        columns: ['boot', 'boots/s', 'ms', '× own'],
        rows: figure.boots.map(({ run, perSecond, ms, ratio }) => [
          run,
          ...[perSecond, ms, ratio].map(short),
        ]),
      },
      {
        columns: ['module', 'ms', 'least', 'KB garbage'],
        rows: figure.instances.map(({ run, ms, leastMs, garbage }) => [
          run,
          short(ms),
          short(leastMs),
          garbage === undefined ? '-' : short(garbage / 1000),
        ]),
      },
    ],
    notes: [
      'A boot is one of a 64 KiB image over the network in 16 MiB, with handoff, audit, ' +
        "late-write trial and loaded OS. × own: its time as a multiple of that of hypxe's own, " +
        'measured in turns; the loader on top is the same for both. A module is checked and ' +
        'compiled once; each boot and each run of an exploration makes an instance of it.',
    ],
  };
}

/** Without a compiler there is nothing to measure. */
export function leftOutSection(name: string, title: string, missing: readonly string[]): Section {
  const notes = [`left out: ${missing.join('; ')}`];
  return { name, title, data: { missing }, tables: [], notes };
}
