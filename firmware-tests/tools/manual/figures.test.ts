// SPDX-License-Identifier: GPL-2.0-or-later

/** Figures in sentences of the manual: counts, each made anew. What is a time is not looked at. */

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CLEAN_UP_MUTANTS } from '../../mutants/c-clean-up-mutants.ts';
import { C_RACE_MUTANTS } from '../../mutants/c-race-mutants.ts';
import { hypxe } from '../../rigs/cli-rig.ts';

const figures = suite('manual: figures');

/** The text of a manual, with spaces for line ends. */
function read(path: string): string {
  const text = readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
  return text.replace(/\s+/g, ' ');
}

/** The numbers that stand in a sentence of a manual, in order. */
function numbersOf(path: string, sentence: RegExp): number[] {
  const found = sentence.exec(read(path));
  assert.ok(found, `${path} does not say ${sentence}`);
  return found!.slice(1).map((text) => Number(text.replaceAll(' ', '')));
}

/** Hypercalls and frames of the default boot, up to the handoff. */
async function counted(...options: string[]): Promise<{ hypercalls: number; frames: number }> {
  const { out, code } = await hypxe('boot', '--no-os', '--no-second-boot', ...options);
  assert.is(code, 0);
  const [, calls = ''] = /, ([0-9]+) hypercalls, /.exec(out) ?? [];
  const [, sent = '', came = ''] = /([0-9]+) frames out, ([0-9]+) in, /.exec(out) ?? [];
  return { hypercalls: Number(calls), frames: Number(sent) + Number(came) };
}

figures('hypercalls and frames of a complete boot, with a monitor and without', async () => {
  const said = numbersOf(
    'README.md',
    /takes ([0-9]+) hypercalls, all messages, for ([0-9]+) frames: .* it takes ([0-9]+)\./,
  );
  const [usual, without] = await Promise.all([counted(), counted('--knob', 'monitors=none')]);
  assert.equal([usual.hypercalls, usual.frames, without.hypercalls], said);
});

figures('single faults of an exploration, and the races among them', async () => {
  const said = numbersOf(
    'README.md',
    /([0-9]+ [0-9]{3}) single faults by default, of which ([0-9]+) are races/,
  );
  // A part of the list that has nothing but one run knows how long the whole is
  const { out } = await hypxe('explore', '--shard', '1/50000', '--walks', '0', '--json');
  const { singles, places } = JSON.parse(out) as {
    readonly singles: number;
    readonly places: Readonly<Record<string, Readonly<Record<string, number>>>>;
  };
  // Of each number there is one of each model that the architecture has: two
  const races = Object.values(places).reduce((sum, { race = 0 }) => sum + 2 * race, 0);
  assert.equal([singles, races], said);
});

figures('mistakes of the example in C that the manual counts', () => {
  const [told] = numbersOf(
    'tools/simulator/README.md',
    /c-clean-up-mutants\.ts\) has ([0-9]+) that are told/,
  );
  assert.is(CLEAN_UP_MUTANTS.filter(({ says }) => says !== undefined).length, told);
  assert.match(read('tools/explore/README.md'), /six on x64 .* nine on arm64/);
  assert.is(C_RACE_MUTANTS.length, 6 + 9);
});

figures.run();
