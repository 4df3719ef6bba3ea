// SPDX-License-Identifier: GPL-2.0-or-later

/** Memory maps as platforms hand them over (robustness report R-M1). */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as firmware from '../../../src/index.ts';
import { Log } from '../../../src/events.ts';
import type { Machine, MemoryRange } from '../../../src/machine.ts';
import { soundMap } from '../../../src/memory/memory-map.ts';
import { PassingX64 } from '../../../tools/simulator/base/passing-machine.ts';
import { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../../../tools/simulator/network/index.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';

const MIB = 1 << 20;
const usable = (address: number, length: number): MemoryRange => ({
  ...{ address, length },
  type: 'usable',
});
const reserved = (address: number, length: number): MemoryRange => ({
  ...{ address, length },
  type: 'reserved',
  purpose: 'firmware',
});

function sound(map: readonly MemoryRange[], bytes = 4 * MIB): MemoryRange[] {
  const machine = new SimulatedMachine({
    memory: new ArrayBuffer(bytes),
    profile: profileNamed('server2022')!,
    links: [],
    seed: 1,
  }).bootSeam;
  return soundMap({ architecture: 'x64', memory: machine.memory, memoryMap: map } as never);
}

const maps = suite('memory map');

maps('a good map stays as it is', () => {
  const map = [usable(0x1000, 0x9e000), reserved(0x9f000, 0x61000), usable(MIB, 3 * MIB)];
  assert.equal(sound(map), map);
});

maps('R-M1: RAM beyond the memory is none', () => {
  assert.equal(sound([usable(MIB, 64 * MIB), usable(8 * MIB, MIB)]), [usable(MIB, 3 * MIB)]);
  assert.equal(sound([usable(NaN, MIB), usable(-4096, MIB), usable(0, -1), usable(0, NaN)]), []);
});

maps('R-M1: reserved ranges inside usable ones are reserved, in any order', () => {
  const inside = reserved(2 * MIB, 0x3000);
  const expected = [usable(MIB, MIB), inside, usable(2 * MIB + 0x3000, 2 * MIB - 0x3000)];
  assert.equal(sound([usable(MIB, 3 * MIB), inside]), expected);
  assert.equal(sound([inside, usable(MIB, 3 * MIB)]), expected);
});

maps('R-M1: usable ranges that overlap are not given out twice', () => {
  const map = sound([usable(MIB, 2 * MIB), usable(2 * MIB, 2 * MIB), usable(MIB, MIB)]);
  assert.equal(map, [usable(MIB, 2 * MIB), usable(3 * MIB, MIB)]);
});

maps('R-M1: each usable range that is corrected is named in the log', () => {
  const told = (map: readonly MemoryRange[]): string[] => {
    const texts: string[] = [];
    const log = new Log((event) => {
      if (event.kind === 'log') texts.push(`${event.level} ${event.text}`);
    });
    const machine = { memory: new ArrayBuffer(4 * MIB), memoryMap: map };
    soundMap(machine as unknown as Machine, log);
    return texts;
  };
  const line = (range: MemoryRange): string =>
    `warning ${range.length} bytes at 0x${range.address.toString(16)}: not all of it is usable RAM`;
  const whole = usable(MIB, 3 * MIB);
  assert.equal(told([whole, reserved(0, MIB)]), []);
  for (const bad of [usable(MIB, 64 * MIB), usable(8 * MIB, MIB)])
    assert.equal(told([usable(0, MIB), bad]), [line(bad)]);
  assert.equal(told([reserved(2 * MIB, 0x3000), whole]), [line(whole)]);
  assert.equal(told([whole, usable(2 * MIB, MIB)]), [line(usable(2 * MIB, MIB))]);
});

maps('R-M1: a boot on such a map works, and takes nothing that is not there', () => {
  const image = syntheticImage(5000, 1);
  const files = memoryFiles({ 'a.img': image });
  const network = new Network({ files, bootFile: 'a.img' });
  const hole = reserved(3 * MIB - 0x8000, 0x8000);
  const machine = new SimulatedMachine({
    memory: new ArrayBuffer(4 * MIB),
    profile: profileNamed('server2022')!,
    links: [network.link(0)],
    seed: 1,
  });
  const map = [usable(0x1000, 0x9e000), usable(MIB, 2 * MIB), hole, usable(MIB + 0x1000, 64 * MIB)];
  const { bytes } = machine.partition.ram;
  bytes.fill(0x5a, hole.address, hole.address + hole.length);
  const warnings: string[] = [];
  const events = (event: firmware.FirmwareEvent): void => {
    if (event.kind === 'log' && event.level === 'warning') warnings.push(event.text);
  };
  const result = firmware.boot(new PassingX64(machine.bootProcessor, map), { events });
  assert.is(machine.partition.ended, undefined);
  assert.is(result.status, 'booted', result.error?.message);
  // What was not believed is said, once, and nothing else
  assert.equal(warnings, [
    '2097152 bytes at 0x100000: not all of it is usable RAM',
    '67108864 bytes at 0x101000: not all of it is usable RAM',
  ]);
  const kept = bytes.subarray(hole.address, hole.address + hole.length);
  assert.ok(kept.every((byte) => byte === 0x5a));
  for (const { address, length, type } of result.memoryMap) {
    if (type === 'usable') assert.ok(address + length <= 4 * MIB);
  }
});

maps('who calls from JavaScript with something else is told what is missing', () => {
  const some = { memory: new ArrayBuffer(4 * MIB) };
  for (const [machine, text] of [
    [undefined, 'machine.memory is undefined'],
    [{}, 'machine.memory is undefined'],
    [some, 'machine.memoryMap is undefined'],
    [{ ...some, memoryMap: {} }, 'machine.memoryMap is object'],
  ] as const) {
    assert.throws(
      () => firmware.boot(machine as never),
      (error: Error) => error.name === 'BadMachine' && error.message === text,
    );
  }
});

maps.run();
