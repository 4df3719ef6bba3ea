// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A machine that is reset says the same of a boot as one that was made for it: verdict, findings
 * and stages, word for word; of sound firmware, and of mutants with something to find. When it
 * happened is another matter: the clock of a machine goes on.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runBootFlow, type Firmware, type FlowReport } from '../../../tools/flow/boot-flow.ts';
import * as sources from '../../../src/index.ts';
import { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../../../tools/simulator/network/index.ts';
import { DEFAULT_PROFILE, profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { mutatedFirmware } from '../../mutants/bundle.ts';
import { OMISSION_MUTANTS } from '../../mutants/omission-mutants.ts';

/** Mutants in the sample, from all of the list. */
const MUTANTS = 12;

const RAM_BYTES = 4 * 2 ** 20;

const test = suite('flow: on a machine that is reset');

const image = syntheticImage(4096, 1);

function machineFor(host: string): SimulatedMachine {
  const files = memoryFiles({ 'hypxe.img': image });
  const network = new Network({ files, bootFile: 'hypxe.img' });
  const profile = profileNamed(host)!;
  const memory = new ArrayBuffer(RAM_BYTES);
  return new SimulatedMachine({ memory, profile, links: [network.link(0)], seed: 1 });
}

/** What a boot came to, but for when. */
function wordsOf({ verdict, boot, ended, findings, stages, notRun, os }: FlowReport): string {
  const timeless = stages.map(({ name, end, findings: found }) => ({ name, end, found }));
  const { status, memoryMap } = boot ?? {};
  const ends = ended && { kind: ended.kind, text: ended.text };
  return JSON.stringify(
    { verdict, status, memoryMap, ends, findings, stages: timeless, notRun, refused: os?.refused },
    (key, value: unknown) => (key.endsWith('At') ? undefined : value),
  );
}

function boot(machine: SimulatedMachine, firmware: Firmware): FlowReport {
  return runBootFlow({ machine, firmware, strict: true });
}

/** Boot on a new machine, and on one on which another firmware has booted before the reset. */
function both(firmware: Firmware, before: Firmware, host: string, what: string): FlowReport {
  const report = boot(machineFor(host), firmware);
  const used = machineFor(host);
  boot(used, before);
  used.reset();
  used.partition.ram.fill(0, 0, RAM_BYTES);
  assert.is(wordsOf(boot(used, firmware)), wordsOf(report), what);
  return report;
}

for (const host of ['server2012r2', DEFAULT_PROFILE, 'openvmm']) {
  test(`sound firmware on ${host}`, () => {
    assert.is(both(sources as Firmware, sources as Firmware, host, host).verdict, 'clean');
  });
}

test('what one leaves is not laid to the next, and what the next leaves is found', async () => {
  const step = Math.ceil(OMISSION_MUTANTS.length / MUTANTS);
  for (let i = 0; i < OMISSION_MUTANTS.length; i += step) {
    const { name, patches, host = DEFAULT_PROFILE } = OMISSION_MUTANTS[i]!;
    const mutant = (await mutatedFirmware(patches)) as unknown as Firmware;
    assert.is.not(both(mutant, sources as Firmware, host, name).verdict, 'clean', name);
    both(sources as Firmware, mutant, host, `sound firmware after ${name}`);
  }
});

test.run();
