// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Snapshots of machines in the middle of whatever real guests do: boots, loaders, kernels; hosts of
 * all generations, both architectures, networks that lose and reorder. From a snapshot on, all that
 * can be seen is what it was the first time, whatever has been done to the machine meanwhile.
 */

import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as firmware from '../../../../src/index.ts';
import { Loader } from '../../../../tools/explore/loader.ts';
import { runOsBefore } from '../../../../tools/explore/forks/after-os.ts';
import { auditHandoff } from '../../../../tools/simulator/audit/audit.ts';
import { FreedMemory } from '../../../../tools/simulator/audit/freed-memory.ts';
import { Random } from '../../../../tools/simulator/base/random.ts';
import type { MachineSnapshot } from '../../../../tools/simulator/hypervisor/machine-snapshot.ts';
import { SimulatedMachine } from '../../../../tools/simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../../../../tools/simulator/network/index.ts';
import { PROFILES } from '../../../../tools/simulator/profiles/profiles.ts';
import {
  HeartbeatHost,
  KeyboardHost,
  ShutdownHost,
  TimeSyncHost,
} from '../../../../tools/simulator/services/index.ts';
import { playScript, recordScript, text } from '../../../rigs/snapshot/scripted-guest.ts';

/** Cases, the first of this seed; SEED=N and CASES=N try others. */
const SEED = Number(process.env['SEED'] ?? 1);
const CASES = Number(process.env['CASES'] ?? 3);

const MEMORY = 4 << 20;
const FLOWS = ['boot', 'loader', 'kernel'] as const;

/** A machine, and all that it consists of besides. */
function makeMachine(seed: number) {
  const random = new Random(seed);
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!;
  const flow = pick(FLOWS);
  const profile = pick(PROFILES);
  const architecture = flow !== 'kernel' && random.chance(0.3) ? 'arm64' : 'x64';
  const faulty = random.chance(0.5);
  const network = new Network({
    files: memoryFiles({ image: syntheticImage(20_000, seed) }),
    bootFile: 'image',
    dns: {},
    aoe: { disk: new Uint8Array(64 * 512) },
    ...(faulty && {
      faults: { loss: 0.03, duplication: 0.05, reordering: 0.1, delayTicks: 900, jitterTicks: 500 },
    }),
    ...(random.chance(0.3) && { dhcp: { foreignServer: {} } }),
  });
  const nics = 1 + random.below(2);
  const machine = new SimulatedMachine({
    ...{ memory: new ArrayBuffer(MEMORY), profile, seed, architecture },
    links: Array.from({ length: nics }, (_, nic) => network.link(nic)),
    devices: [new ShutdownHost(), new TimeSyncHost(), new HeartbeatHost(), new KeyboardHost()],
    processors: flow === 'kernel' ? 8 : 1,
  });
  const freed = new FreedMemory(machine);
  const what = `${flow} on ${profile.name}, ${architecture}, ${nics} NICs, faults ${faulty}`;
  return { machine, network, freed, flow, what, random };
}

type Made = ReturnType<typeof makeMachine>;

/** What a guest does with it. */
function runGuest({ machine, flow }: Made) {
  return recordScript(machine, ([seam, ...others]) => {
    try {
      if (flow === 'boot') firmware.boot(seam!);
      else if (flow === 'kernel') runKernel(machine, [seam!, ...others]);
      else
        new Loader(
          firmware.createDriver(seam!),
          () => false,
          () => undefined,
        ).run();
    } catch (error) {
      // Hosts that refuse are hosts, too
      if (!(error instanceof Error)) throw error;
    }
  });
}

function runKernel(machine: SimulatedMachine, seams: SimulatedMachine['seams']): void {
  const seen = Object.create(machine, { seams: { value: seams } }) as SimulatedMachine;
  runOsBefore(seen, 'linux-6.1');
}

/** All that can be seen at the end of a run. */
function observe(made: Made, trace: readonly string[], answers: readonly string[]): string[] {
  const { machine, network, freed } = made;
  const { partition, vmbus, nics } = machine;
  const map = machine.bootSeam.memoryMap;
  return [
    ...answers,
    ...trace,
    createHash('sha256').update(new Uint8Array(machine.bootSeam.memory)).digest('hex'),
    text(vmbus.inspect()),
    text(nics.map((nic) => [nic.statistics, nic.state])),
    text(network.statistics),
    text(partition.grants.live()),
    text(partition.inspection.overlays().map(({ kind, address }) => [kind, address])),
    text(auditHandoff(machine, map)),
    text(freed.take()),
    String(machine.clock.now),
    String(partition.random.u32()),
  ];
}

/** Anything, short of what crashes the guest for good. */
function havoc({ machine, network, random }: Made, script: ReturnType<typeof runGuest>): void {
  const words = new Int32Array(machine.bootSeam.memory);
  for (let turn = 0; turn < 4; turn++) {
    switch (random.below(7)) {
      case 0:
        machine.run(random.below(100_000_000));
        break;
      case 1:
        network.setLinkUp(0, random.chance(0.5));
        break;
      case 2:
        for (let i = 0; i < 500; i++) words[random.below(words.length)] = random.u32();
        break;
      case 3:
        machine.reset();
        break;
      case 4:
        machine.vmbus.rescind(machine.nics[0]!);
        machine.vmbus.hotAdd(machine.nics[0]!);
        break;
      case 5:
        machine.partition.faults.message = () => ({ drop: true });
        break;
      default: {
        const first = random.below(script.length);
        playScript(machine, script, first, first + random.below(200));
      }
    }
  }
}

const property = suite('snapshots of machines');

for (let index = 0; index < CASES; index++) {
  const seed = SEED + index;
  property(`from any moment on it is as it was (SEED=${seed} CASES=1)`, () => {
    const script = runGuest(makeMachine(seed));
    const made = makeMachine(seed);
    const { machine, freed, random, what } = made;
    let trace: string[] = [];
    machine.events.listen((event, now) => trace.push(`${now} ${text(event)}`));

    // The first time: snapshots at some moments, and what comes behind each
    const moments = Array.from({ length: 4 }, () => random.below(script.length)).sort(
      (a, b) => a - b,
    );
    const taken: { at: number; answers: number; trace: number; snapshot: MachineSnapshot }[] = [];
    let answers: string[] = [];
    let at = 0;
    for (const moment of moments) {
      // Not as arguments: a network that never answers is asked some hundred thousand times
      answers = [...answers, ...playScript(machine, script, at, moment)];
      at = moment;
      const snapshot = machine.snapshot(freed);
      taken.push({ at, answers: answers.length, trace: trace.length, snapshot });
    }
    answers = [...answers, ...playScript(machine, script, at)];
    const end = observe(made, [], []);
    const events = trace.splice(0);

    for (let turn = 0; turn < 3; turn++) {
      const moment = taken[random.below(taken.length)]!;
      havoc(made, script);
      machine.restore(moment.snapshot);
      // A snapshot of what was put back is as good
      if (random.chance(0.5)) {
        const again = machine.snapshot(freed);
        havoc(made, script);
        machine.restore(again);
      }
      trace = [];
      const now = playScript(machine, script, moment.at);
      const expected = [...answers.slice(moment.answers), ...events.slice(moment.trace), ...end];
      requireSame(observe(made, trace, now), expected, `${what}, call ${moment.at}`);
    }
  });
}

/** Texts are long: the first that differs says enough. */
function requireSame(now: readonly string[], was: readonly string[], what: string): void {
  const differs = now.findIndex((line, i) => line !== was[i]);
  if (differs < 0 && now.length === was.length) return;
  assert.is(now[differs], was[differs], `${what}: line ${differs}`);
  assert.is(now.length, was.length, what);
}

property.run();
