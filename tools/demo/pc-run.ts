// SPDX-License-Identifier: GPL-2.0-or-later

/** Boots a program for a PC for a page: with what was chosen, and without what goes wrong. */

import { BadScript, parseKeys } from '../flow/pc-script.ts';
import { BadPcProgram } from '../guests/pc/pc-kernel.ts';
import { kindOfProgram } from '../guests/pc/pc-program.ts';
import { BOOT_PROGRAM_NAME } from '../guests/pc/boot-program.ts';
import type { V86Class } from '../guests/pc/v86.ts';
import { bootPc, pcHeader, type PcSet } from '../library/pc.ts';
import { pcSummary } from '../library/pc-outcome.ts';
import { pcPlan } from '../library/pc-plan.ts';
import type { LiveFile, LiveRequest } from '../report/live.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { BadChoice } from './choice.ts';
import { hostChoices, type Values } from './fields.ts';
import { NO_FAULT, endFault, injectFault } from './host-faults.ts';
import { Recorder, type Tell } from './recorder.ts';

/** Names of the files beside the page. */
export const PC_PARTS = { wasm: 'v86.wasm', bios: 'bios.bin', vgaBios: 'vgabios-stdvga.bin' };

/** RAM of the PC in MiB. */
const MEMORY_MIB = 128;

/** How often something is told, in ms of the wall. */
const TELL_MS = 100;

/** Programs for a PC, one after the other. */
export class PcDemo {
  readonly #V86: V86Class;
  readonly #tell: Tell;

  constructor(V86: V86Class, tell: Tell) {
    this.#V86 = V86;
    this.#tell = tell;
  }

  /**
   * Run, and tell of it; then the same without what was chosen to go wrong.
   *
   * @throws BadPcProgram for no program, BadChoice for what cannot be chosen
   */
  async run({ values, file, parts = {} }: LiveRequest): Promise<void> {
    if (file === undefined) throw new BadPcProgram('NoProgram', 'no file came', 'Choose one.');
    const set = this.#set(file, parts);
    const recorder = new Recorder(this.#tell);
    const outcome = await this.#boot(set, values, file.name, recorder);
    recorder.flush();
    const { fault = NO_FAULT, network = 'none' } = values;
    let clean: Recorder | undefined;
    if (fault !== NO_FAULT || network !== 'none') {
      this.#tell({ kind: 'line', text: '-- once more, and nothing goes wrong: to compare with' });
      clean = new Recorder();
      const sound = { ...values, fault: NO_FAULT, network: 'none' };
      await this.#boot(set, sound, file.name, clean);
    }
    this.#tell({
      kind: 'done',
      good: outcome.verdict === 'clean',
      summary: `${outcome.verdict}: ${pcSummary(outcome)}`,
      clean: clean?.events ?? null,
      noClean: 'This is the clean run: nothing goes wrong.',
    });
  }

  /** What the PC is made of. @throws BadPcProgram */
  #set({ name, bytes }: LiveFile, parts: NonNullable<LiveRequest['parts']>): PcSet {
    const part = (of: string): Uint8Array => {
      const found = parts[of];
      if (found !== undefined) return found;
      const advice = 'Keep the files together that were written beside this page.';
      throw new BadPcProgram('PartMissing', `${of} is not there`, advice);
    };
    const kind = kindOfProgram(bytes, name);
    return {
      V86: this.#V86,
      ...{ wasm: part(PC_PARTS.wasm), bios: part(PC_PARTS.bios), vgaBios: part(PC_PARTS.vgaBios) },
      ...(kind === 'kernel' ? { kernel: { image: bytes } } : { [kind]: bytes }),
    };
  }

  #boot(set: PcSet, values: Values, program: string, recorder: Recorder) {
    const { fault = NO_FAULT, keys = '' } = values;
    const typed = readKeys(keys);
    const plan = pcPlan({ ...hostChoices(values), keys: typed, memoryMiB: MEMORY_MIB });
    const header = pcHeader(plan, { program, image: BOOT_PROGRAM_NAME });
    recorder.write({ ...header, ...(fault === NO_FAULT ? {} : { fault }) }, 0);
    let end: (() => void) | undefined;
    let told = Date.now();
    return bootPc(set, plan, {
      onMachine: (machine) => {
        recorder.listen(machine, () => machine.partition.ram.bytes);
        injectFault(machine, fault);
        end = () => endFault(machine);
      },
      onLine: (text, object, now) => {
        const said = { guest: 'PC', kind: 'log', level: 'info', layer: 'CONSOLE', object, text };
        recorder.write(said, now);
        if (recorder.tells) this.#tell({ kind: 'line', text: `${seconds(now)} s  ${text}` });
      },
      onStage: () => end?.(),
      alive: () => {
        if (Date.now() - told >= TELL_MS) {
          recorder.flush();
          told = Date.now();
        }
        return true;
      },
    });
  }
}

/** @throws BadChoice */
function readKeys(text: string): string {
  try {
    return parseKeys(text);
  } catch (error) {
    throw error instanceof BadScript ? new BadChoice(`what is typed: ${error.message}`) : error;
  }
}

function seconds(ticks: number): string {
  return (ticks / TICKS_PER_MS / 1000).toFixed(3).padStart(9);
}
