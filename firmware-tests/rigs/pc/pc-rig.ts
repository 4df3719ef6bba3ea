// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A PC without programs of others: v86 is a package of the project, and the BIOS is a few bytes of
 * code. They start what SeaBIOS would start by its option ROM: the real-mode code of a kernel.
 */

import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { runPcFlow, type PcFlowOptions, type PcReport } from '../../../tools/flow/pc-flow.ts';
import { bootProgram, BOOT_PROGRAM_NAME } from '../../../tools/guests/pc/boot-program.ts';
import type { V86Class } from '../../../tools/guests/pc/v86.ts';
import type { HostEvent } from '../../../tools/simulator/ledger/events.ts';
import { Network, memoryFiles } from '../../../tools/simulator/network/index.ts';
import type { HostProfile } from '../../../tools/simulator/profiles/profile.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';

const MAIN = createRequire(import.meta.url).resolve('v86');

/** v86's WebAssembly module. */
export const WASM = new Uint8Array(fs.readFileSync(path.join(path.dirname(MAIN), 'v86.wasm')));

const { V86 } = (await import(MAIN)) as unknown as { V86: V86Class };

/**
 * 64 KiB that end at 1 MiB: INT 10H does nothing, INT 15H fails, and the kernel's real-mode code is
 * called as an option ROM would.
 */
export function tinyBios(): Uint8Array {
  const INT10 = 0x40;
  const INT15 = 0x41;
  const rom = new Uint8Array(0x10000).fill(0xf4);
  rom.set([
    ...[0x31, 0xc0, 0x8e, 0xd8], // xor ax, ax; mov ds, ax
    ...[0xc7, 0x06, 0x40, 0, INT10, 0, 0xc7, 0x06, 0x42, 0, 0, 0xf0], // vector 10h
    ...[0xc7, 0x06, 0x54, 0, INT15, 0, 0xc7, 0x06, 0x56, 0, 0, 0xf0], // vector 15h
    ...[0xb8, 0, 0x80, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0], // mov ax, 8000h; mov ds, es, ss
    ...[0xbc, 0, 0xe0, 0xea, 0, 0, 0x20, 0x80], // mov sp, e000h; jmp 8020h:0
  ]);
  rom.set([0xcf], INT10); // iret
  rom.set([0xf9, 0xca, 0x02, 0x00], INT15); // stc; retf 2
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0); // jmp f000h:0
  return rom;
}

/** A kernel whose real-mode code is this, at offset 200h of its segment. */
export function kernelOf(code: readonly number[], header: Record<number, number> = {}): Uint8Array {
  const file = new Uint8Array(1024 + 16);
  const view = new DataView(file.buffer);
  file[0x1f1] = 1;
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x020c, true);
  file[0x211] = 1;
  view.setUint32(0x238, 255, true);
  view.setUint32(0x22c, 0x37ffffff, true);
  for (const [at, value] of Object.entries(header)) file[Number(at)] = value;
  // The header is longer than a short jump can leave: code behind it
  file.set([0xeb, 0x66], 0x200);
  file.set(code, 0x268);
  return file;
}

export interface PcRun {
  readonly report: PcReport;
  readonly events: readonly HostEvent[];
}

/** What of a run a test decides. */
export interface PcRunOptions extends Partial<Omit<PcFlowOptions, 'parts' | 'kernel' | 'host'>> {
  readonly profile?: HostProfile;
  readonly compile?: boolean;
}

/** The parts of a PC of 32 MiB. */
export const PC_PARTS = {
  ...{ V86, wasm: WASM, memoryBytes: 32 << 20 },
  ...{ bios: tinyBios(), vgaBios: new Uint8Array(512) },
} as const;

/** Run a kernel on the PC. */
export async function runPc(image: Uint8Array, options: PcRunOptions = {}): Promise<PcRun> {
  const { profile = profileNamed('server2022')!, compile = true, ...rest } = options;
  const network = new Network({
    files: memoryFiles({ [BOOT_PROGRAM_NAME]: bootProgram() }),
    bootFile: BOOT_PROGRAM_NAME,
  });
  const events: HostEvent[] = [];
  const report = await runPcFlow({
    parts: { ...PC_PARTS, compile },
    kernel: { image },
    host: { profile, links: [network.link(0)], seed: 1 },
    ...rest,
    onReady: (pc) => {
      pc.machine.events.listen((event) => void events.push(event));
      options.onReady?.(pc);
    },
  });
  return { report, events };
}
