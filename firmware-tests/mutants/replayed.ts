// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Which mutants the replay of the recorded sessions alone refuses:
 * `node --import ./tools/build/ts-hook.mjs firmware-tests/mutants/replayed.ts`. Most are about what
 * no recorded host does; what they change on the wire of a recorded session must be seen.
 */

import { fileURLToPath } from 'node:url';
import { replayTrace, type Firmware } from '../../tools/replay/index.ts';
import { TRACE_NAMES, readTrace } from '../rigs/replay-rig.ts';
import { mutatedFirmware, type Patch } from './bundle.ts';
import { MUTANTS } from './mutants.ts';
import { OMISSION_MUTANTS } from './omission-mutants.ts';
import { RACE_MUTANTS } from './race-mutants.ts';
import { SILENT_OMISSIONS } from './silent-omissions.ts';
import { TESTED_MUTANTS } from './tested-mutants.ts';

/** The first session that refuses a mutant; undefined if there is none. */
export async function refusedBy(
  patches: readonly Patch[],
  names: readonly string[] = TRACE_NAMES,
): Promise<string | undefined> {
  const firmware = (await mutatedFirmware(patches)) as unknown as Firmware;
  return names.find((name) => !replayTrace(firmware, readTrace(name)).ok);
}

/** A mutant by name: of some lists one has several patches. */
interface Named {
  readonly name: string;
}

function patchesOf(
  mutant: Named & (Patch | { readonly patches: readonly Patch[] }),
): readonly Patch[] {
  return 'patches' in mutant ? mutant.patches : [mutant];
}

async function main(): Promise<void> {
  const lists = { MUTANTS, OMISSION_MUTANTS, RACE_MUTANTS, SILENT_OMISSIONS, TESTED_MUTANTS };
  let [refused, all] = [0, 0];
  for (const [list, mutants] of Object.entries(lists)) {
    let own = 0;
    for (const mutant of mutants) {
      const by = await refusedBy(patchesOf(mutant));
      if (by !== undefined) own++;
      process.stdout.write(`${mutant.name}: ${by ?? '-'}\n`);
    }
    process.stdout.write(`${list}: ${own} of ${mutants.length}\n\n`);
    [refused, all] = [refused + own, all + mutants.length];
  }
  process.stdout.write(`refused by replay alone: ${refused} of ${all}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
