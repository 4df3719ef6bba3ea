// SPDX-License-Identifier: GPL-2.0-or-later

/** The examples in C and Rust, changed, to be run in races. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as assert from 'uvu/assert';
import { ROOT } from '../../../tools/build/build.mjs';
import { MEMORY } from '../../../tools/explore/explored-guest.ts';
import { parsePlan } from '../../../tools/explore/plan.ts';
import { Runner, type Architecture } from '../../../tools/explore/run.ts';
import { abiHeader } from '../../../tools/guests/abi/abi-c.ts';
import { abiModule } from '../../../tools/guests/abi/abi-rust.ts';
import type { GuestInstance } from '../../../tools/guests/guest-program.ts';
import { WasmProgram } from '../../../tools/guests/wasm-guest.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import type { Edit } from '../../mutants/c-race-mutants.ts';
import { directory } from '../cli-rig.ts';
import { ARM64_HEADER } from './arm64-header.ts';

/** What an example needs of the interface, by language. */
const IN = { c: ['hypxe.h', abiHeader()], rust: ['hypxe.rs', abiModule()] } as const;

/** The example in a language, changed. */
export function example(
  name: string,
  edits: readonly Edit[] = [],
  language: keyof typeof IN = 'c',
  architecture: Architecture = 'x64',
): Runner {
  const folder = path.join(directory, name.replaceAll(/[^a-z]+/gi, '-'));
  fs.cpSync(path.join(ROOT, 'tools/guests', language), folder, { recursive: true });
  fs.writeFileSync(path.join(folder, IN[language][0]), IN[language][1]);
  for (const [file, from, to] of edits) {
    const source = path.join(folder, file);
    const text = fs.readFileSync(source, 'utf8');
    assert.is(text.split(from).length, 2, `${file} has not once: ${from}`);
    fs.writeFileSync(
      source,
      text.replace(from, () => to),
    );
  }
  const args = ['-s', '-C', folder];
  if (architecture === 'arm64') {
    fs.writeFileSync(path.join(folder, 'arm64.h'), ARM64_HEADER);
    args.push('DEFINES=-include arm64.h -Wno-unused');
  }
  const { status, stderr } = spawnSync('make', args, { encoding: 'utf8' });
  assert.is(status, 0, stderr);
  const module = fs.readFileSync(path.join(folder, 'guest.wasm'));
  const boot = new WasmProgram('guest.wasm', module).instantiate(MEMORY) as GuestInstance;
  const runner = new Runner({ boot }, profileNamed('server2022')!, undefined, architecture);
  // As long as the host waits for its turn there is nothing to see
  const alone = runner.run(parsePlan('none'));
  assert.equal([alone.status, alone.findings], ['booted', []]);
  return runner;
}

/** What a race finds. */
export const found = (runner: Runner, plan: string): readonly string[] =>
  runner.run(parsePlan(plan)).findings.map(({ text }) => `${plan}: ${text}`);
