// SPDX-License-Identifier: GPL-2.0-or-later

/** Guests that are compiled here, from the projects that `hypxe guest new` makes. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as assert from 'uvu/assert';
import { missingPrograms } from '../../../tools/command/guest/guest-programs.ts';
import { runBootFlow, type Firmware, type FlowReport } from '../../../tools/flow/boot-flow.ts';
import type { FlowStep } from '../../../tools/flow/flow-steps.ts';
import { machineFor } from '../../../tools/guests/guest-machine.ts';
import type { GuestInstance } from '../../../tools/guests/guest-program.ts';
import { WasmProgram } from '../../../tools/guests/wasm-guest.ts';
import { Network, memoryFiles, syntheticImage } from '../../../tools/simulator/network/index.ts';
import type { NetworkFaults } from '../../../tools/simulator/network/index.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { directory, hypxe } from '../cli-rig.ts';

/** Hosts on which the examples run: those that know VMBus 3.0. */
export const HOSTS = [
  ...['server2012r2', 'server2016', 'server2019', 'server2022', 'copper', 'qemu', 'openvmm'],
];

/** Guest RAM, in bytes. */
const RAM = 16 << 20;

/** Longest that a compiler may take, in ms. */
const COMPILE_MAX_MS = 400_000;

/**
 * Whether a compiler is missing: then the reason is printed, and the test returns early. Where
 * everything must be there (`HYPXE_REQUIRE_TOOLS=1`) it is a failure.
 *
 * @throws Error
 */
export function missingCompiler(language: 'c' | 'rust'): boolean {
  const lines = missingPrograms(language);
  if (spawnSync('make', ['--version'], { stdio: 'ignore' }).error !== undefined) {
    lines.push('make is not there: apt-get install make');
  }
  if (lines.length === 0) return false;
  if (process.env.HYPXE_REQUIRE_TOOLS === '1') throw new Error(lines.join('\n'));
  for (const line of lines) console.log(`\n  left out: ${line}`);
  return true;
}

/** Make a project. Returns its folder's name. */
export async function project(language: 'c' | 'rust', name: string): Promise<string> {
  const made = await hypxe('guest', 'new', language, name);
  assert.is(made.error, '');
  assert.is(made.code, 0);
  return name;
}

/**
 * Compile it, if anything has changed; `define` is what is left out of the clean-up, as its
 * Makefile takes it. An optimiser of binaryen, which would take the names of functions out, fails.
 */
export function compile(folder: string, define = ''): string {
  const programs = path.join(directory, 'programs');
  fs.mkdirSync(programs, { recursive: true });
  fs.writeFileSync(path.join(programs, 'wasm-opt'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  const env = { ...process.env, PATH: `${programs}${path.delimiter}${process.env.PATH ?? ''}` };
  const options = { cwd: directory, env, encoding: 'utf8', timeout: COMPILE_MAX_MS } as const;
  const args = ['-s', '-C', folder, ...(define === '' ? [] : [define])];
  const { status, stdout, stderr } = spawnSync('make', args, options);
  assert.is(status, 0, `${stdout}${stderr}`);
  return `${folder}/guest.wasm`;
}

/** What a boot of a guest is like, besides the default. */
export interface BootSetup {
  readonly host?: string;
  readonly nics?: number;
  readonly secondBoot?: boolean;
  readonly faults?: Partial<NetworkFaults>;
  /** What comes after it: default an OS alone. */
  readonly steps?: readonly FlowStep[];
}

/** Boot a guest; warnings count. */
export function boot(guest: string, setup: BootSetup = {}): FlowReport {
  const { host = 'server2022', nics = 1, secondBoot = true, faults = {}, steps = [] } = setup;
  const bytes = fs.readFileSync(path.join(directory, guest));
  const instance = new WasmProgram(guest, bytes).instantiate(RAM) as GuestInstance;
  const files = memoryFiles({ 'boot.img': syntheticImage(20_000, 1) });
  const network = new Network({ files, bootFile: 'boot.img', faults });
  const links = Array.from({ length: nics }, (_, nic) => network.link(nic));
  const machine = machineFor(instance, { profile: profileNamed(host)!, links, seed: 1 });
  const firmware = instance as Firmware;
  return runBootFlow({ machine, firmware, strict: true, secondBoot, steps });
}

/** It boots, and nothing is left, not even a warning. */
export function assertClean(guest: string, setup: BootSetup = {}): void {
  const { verdict, findings, ended, secondBoot, boot: first } = boot(guest, setup);
  const said = JSON.stringify({ setup, findings, ended, error: first?.error?.message });
  assert.is(verdict, 'clean', said);
  assert.is(first?.image?.length, 20_000);
  assert.is(secondBoot?.status, 'booted');
}

/** What is said of a guest that leaves something. */
export function assertCaught(guest: string, says: RegExp, setup: BootSetup): void {
  const { verdict, findings } = boot(guest, { ...setup, secondBoot: false });
  const told = findings.map(({ severity, text }) => `${severity}: ${text}`).join('\n');
  assert.is(verdict, 'findings', told);
  assert.match(told, says);
}
