// SPDX-License-Identifier: GPL-2.0-or-later

/** The clocks of the firmware: which is chosen, what they count, and live migration. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Log, type FirmwareEvent } from '../../../src/events.ts';
import * as rom from '../../../src/index.ts';
import type { Arm64Machine, Machine, X64Machine } from '../../../src/machine.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { referenceTsc } from '../../../src/os/reference-tsc.ts';
import { createDriver } from '../../../src/os.ts';
import { auditHandoff } from '../../../tools/simulator/audit/audit.ts';
import { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import type { SimulatedMachineOptions } from '../../../tools/simulator/machine.ts';
import { DEFAULT_PROFILE, profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { Random } from '../../../tools/simulator/base/random.ts';
import { WatchedMemory } from '../../../tools/guests/watch/watched-memory.ts';
import { runBoot } from '../../rigs/boot-rig.ts';

const MS = 10_000;
const TSC_FEATURE = 1 << 9;

/** A machine without network. */
function create(options: Partial<SimulatedMachineOptions> = {}): SimulatedMachine {
  const profile = profileNamed(DEFAULT_PROFILE)!;
  const memory = new ArrayBuffer(4 << 20);
  return new SimulatedMachine({ memory, profile, links: [], seed: 1, ...options });
}

/** The drivers on a machine, with all parts or with none, and what they log. */
function start(
  machine: Machine,
  make = createDriver,
): { driver: ReturnType<typeof createDriver>; log: string[] } {
  const log: string[] = [];
  const events = (event: FirmwareEvent): void => {
    if (event.kind === 'log') log.push(event.text);
  };
  const driver = make(machine, { events });
  driver.probe();
  return { driver, log };
}

/** An arm64 machine whose counter has another frequency than it says. */
function withFrequency(machine: SimulatedMachine, counterFrequency: number): Arm64Machine {
  const seam = machine.bootSeam as Arm64Machine;
  return {
    architecture: 'arm64',
    memory: seam.memory,
    memoryMap: seam.memoryMap,
    counterFrequency,
    hvc: (immediate, registers) => seam.hvc(immediate, registers),
    readCounter: () => seam.readCounter(),
    pause: () => seam.pause(),
  };
}

/** An x64 machine without RDTSC. */
function withoutTsc(machine: SimulatedMachine): X64Machine {
  const seam = machine.bootProcessor;
  return {
    architecture: 'x64',
    memory: seam.memory,
    memoryMap: seam.memoryMap,
    cpuid: (leaf, subleaf) => seam.cpuid(leaf, subleaf),
    rdmsr: (msr) => seam.rdmsr(msr),
    wrmsr: (msr, value) => seam.wrmsr(msr, value),
    callHypercallPage: (...call) => seam.callHypercallPage(...call),
    pause: () => seam.pause(),
  };
}

function errors(machine: SimulatedMachine): string[] {
  return auditHandoff(machine, machine.bootSeam.memoryMap)
    .filter(({ severity }) => severity === 'error')
    .map(({ text }) => text);
}

// --- the page alone ---

const page = suite('clock: reference TSC page');

/** A source on a page of our own, and a counter that the test moves. */
function source(counter: () => bigint) {
  const memory = new GuestMemory(new ArrayBuffer(1 << 20));
  const texts: string[] = [];
  const log = new Log((event) => event.kind === 'log' && texts.push(event.text));
  const at = 0x8000;
  const tsc = referenceTsc(memory, at, counter, log);
  const set = (sequence: number, scale: bigint, offset: bigint): void => {
    memory.view.setUint32(at, sequence, true);
    memory.view.setBigUint64(at + 8, scale, true);
    memory.view.setBigInt64(at + 16, offset, true);
  };
  return { tsc, set, texts };
}

page('exact to the tick for any scale, counter and offset', () => {
  const random = new Random(20_240_601);
  const word = (): bigint => {
    const bits = BigInt(random.below(65));
    const value = (BigInt(random.below(2 ** 32)) << 32n) | BigInt(random.below(2 ** 32));
    return value & ((1n << bits) - 1n);
  };
  let count = 0n;
  const { tsc, set } = source(() => count);
  let compared = 0;
  for (let i = 0; i < 3000; i++) {
    const [scale, offset] = [word(), BigInt.asIntN(52, word())];
    count = word();
    set(1 + random.below(2 ** 32 - 1), scale, offset);
    // By 32-bit halves: nothing of it is the code under test
    const [a, b, c, d] = [count >> 32n, count & 0xffffffffn, scale >> 32n, scale & 0xffffffffn];
    const middle = a * d + ((b * d) >> 32n);
    const high = a * c + (middle >> 32n) + (((middle & 0xffffffffn) + b * c) >> 32n);
    const expected = high + offset;
    if (expected < 0n || expected > 2n ** 53n) continue;
    compared++;
    assert.is(tsc.read(), Number(expected), `turn ${i}: ${count} * ${scale} + ${offset}`);
  }
  assert.ok(compared > 500);
});

page('sequence 0 is no time', () => {
  const { tsc, set } = source(() => 5n);
  set(0, 1n << 63n, 7n);
  assert.is(tsc.read(), undefined);
  set(0xffffffff, 1n << 63n, 7n);
  assert.is(tsc.read(), 9);
});

page('a change during the read: read again, all of it', () => {
  let reads = 0;
  const it = source(() => {
    if (++reads === 1) it.set(2, 1n << 62n, 1000n);
    return 400n;
  });
  it.set(1, 1n << 63n, 0n);
  assert.is(it.tsc.read(), 1100);
  assert.is(reads, 2);
});

page('weak order: one change at any moment, loads done early or late, and no mixture', () => {
  const LOADS_MAX = 12;
  const [old, changed] = [
    { sequence: 1, scale: 1n << 63n, offset: 7n },
    { sequence: 2, scale: 1n << 62n, offset: 3n << 32n },
  ];
  const times = [old, changed].map(({ scale, offset }) => Number(((400n * scale) >> 64n) + offset));
  const buffer = new ArrayBuffer(1 << 16);
  const bytes = new Uint8Array(buffer);
  const at = 0x8000;
  const image = ({ sequence, scale, offset }: typeof old): Uint8Array => {
    const view = new DataView(new ArrayBuffer(24));
    view.setUint32(0, sequence, true);
    view.setBigUint64(8, scale, true);
    view.setBigInt64(16, offset, true);
    return new Uint8Array(view.buffer);
  };
  const [before, after] = [image(old), image(changed)];

  // Bit n: load n finds the change. Once it has found it, a place keeps it, and so does everything
  // behind an acquire that has
  let [choice, loads, all, latest] = [0, 0, false, false];
  const seen = new Set<number>();
  const memory = new WatchedMemory(buffer, {
    load: (address, length) => {
      const found = all || seen.has(address) || loads >= LOADS_MAX || (choice >> loads++) % 2 === 1;
      if (found) for (let i = address; i < address + length; i++) seen.add(i);
      latest = found;
      bytes.set(found ? after : before, at);
    },
    stores: {
      storing: () => undefined,
      stored: () => undefined,
      ordered: () => (all ||= seen.size > 0),
      acquired: () => (all ||= latest),
    },
  });
  memory.install();
  const tsc = referenceTsc(new GuestMemory(buffer), at, () => 400n, new Log(undefined));
  try {
    for (choice = 0; choice < 1 << LOADS_MAX; choice++) {
      [loads, all] = [0, false];
      seen.clear();
      const time = tsc.read()!;
      assert.ok(times.includes(time), `${time} with loads ${choice.toString(2)}`);
    }
  } finally {
    memory.release();
  }
});

page('valid before, not valid after: no time', () => {
  const it = source(() => {
    it.set(0, 0n, 0n);
    return 400n;
  });
  it.set(1, 1n << 63n, 0n);
  assert.is(it.tsc.read(), undefined);
});

page('a page that never settles is given up, and said so once', () => {
  let sequence = 1;
  const it = source(() => {
    it.set(++sequence, 1n << 63n, 0n);
    return 400n;
  });
  it.set(1, 1n << 63n, 0n);
  assert.is(it.tsc.read(), undefined);
  assert.ok(sequence <= 32, `${sequence} looks`);
  assert.is(it.tsc.read(), undefined);
  assert.equal(it.texts, ['reference TSC page never settles: counter used']);
});

page('unmapped, it is nobody’s', () => {
  const machine = create();
  const { driver } = start(machine.bootSeam);
  const { inspection } = machine.partition;
  const pages = (): string[] => driver.outstanding().map(({ purpose }) => purpose);
  assert.ok(pages().includes('reference-tsc'));
  assert.is(inspection.register(0, 'REFERENCE_TSC') & 1n, 1n);
  driver.remove();
  assert.is(inspection.register(0, 'REFERENCE_TSC') & 1n, 0n);
  assert.equal(pages(), []);
});

page.run();

// --- the choice ---

const choice = suite('clock: choice');

const CHOICES: readonly (readonly [string, string, () => [SimulatedMachine, Machine]])[] = [
  ['x64', 'reference TSC page', () => own(create())],
  ['x64 without RDTSC', 'reference counter', () => both(create(), withoutTsc)],
  [
    'x64 whose host has no page',
    'reference counter',
    () => {
      const profile = profileNamed(DEFAULT_PROFILE)!;
      const features = profile.features & ~TSC_FEATURE;
      return own(create({ profile: { ...profile, features } }));
    },
  ],
  ['arm64', 'architectural counter, 1000000000 Hz', () => own(create({ architecture: 'arm64' }))],
];

function own(machine: SimulatedMachine): [SimulatedMachine, Machine] {
  return [machine, machine.bootSeam];
}

function both(
  machine: SimulatedMachine,
  wrap: (machine: SimulatedMachine) => Machine,
): [SimulatedMachine, Machine] {
  return [machine, wrap(machine)];
}

for (const [name, clock, make] of CHOICES) {
  choice(name, () => {
    const [machine, seam] = make();
    const { driver, log } = start(seam);
    assert.ok(log.includes(`clock: ${clock}`), log.join('\n'));
    // At 10 MHz, whatever it is
    const [before, real] = [driver.clock.now(), machine.clock.now];
    machine.run(50 * MS);
    const passed = driver.clock.now() - before;
    assert.ok(Math.abs(passed - (machine.clock.now - real)) <= 1, `${passed}`);
    driver.remove();
    assert.equal(errors(machine), []);
    assert.equal(driver.outstanding(), []);
  });
}

choice('the firmware alone has no page, on any machine', () => {
  const machine = create();
  const { driver, log } = start(machine.bootSeam, rom.createDriver);
  assert.ok(log.includes('clock: reference counter'));
  assert.is(machine.partition.inspection.register(0, 'REFERENCE_TSC') & 1n, 0n);
  driver.remove();
  assert.equal(errors(machine), []);
});

choice('for preset ipxe there is no page either, unless it is asked for', () => {
  for (const [options, clock] of [
    [{ preset: 'ipxe' }, 'reference counter'],
    [{ clock: 'counter' }, 'reference counter'],
    [{ preset: 'ipxe', clock: 'best' }, 'reference TSC page'],
  ] as const) {
    const { log } = start(create().bootSeam, (seam, own) =>
      createDriver(seam, { ...own, ...options }),
    );
    assert.ok(log.includes(`clock: ${clock}`), JSON.stringify(options));
  }
});

choice('the page goes and comes with the machine', () => {
  const machine = create();
  const { driver } = start(machine.bootSeam);
  const enabled = (): boolean =>
    (machine.partition.inspection.register(0, 'REFERENCE_TSC') & 1n) === 1n;
  driver.quiesce();
  assert.not.ok(enabled());
  driver.unquiesce();
  assert.ok(enabled());
  assert.is(driver.hv.clock.source.name, 'reference TSC page');
  driver.remove();
  assert.not.ok(enabled());
  assert.equal(driver.outstanding(), []);
});

for (const frequency of [0, -1, 1, NaN, Infinity, 1e15]) {
  choice(`an impossible counter of ${frequency} Hz is not used`, () => {
    const machine = create({ architecture: 'arm64' });
    const { driver, log } = start(withFrequency(machine, frequency));
    assert.ok(log.some((text) => /is impossible: not used/.test(text)));
    assert.ok(log.includes('clock: reference TSC page'));
    const before = driver.clock.now();
    machine.run(20 * MS);
    assert.ok(Math.abs(driver.clock.now() - before - 20 * MS) < 10);
    driver.remove();
    assert.equal(errors(machine), []);
  });
}

choice('the page is audited: left enabled it is an error', () => {
  const machine = create();
  start(machine.bootSeam);
  assert.ok(errors(machine).some((text) => /REFERENCE_TSC is enabled/.test(text)));
});

choice.run();

// --- migration ---

const migration = suite('clock: live migration');

const HOSTS = [
  { frequency: 2_400_000_123n, counter: 1n, invalidTicks: 30 * MS },
  { frequency: 25_000_000n, counter: 2n ** 60n },
  { frequency: 3_999_999_999n, invalidTicks: 1 },
  { counter: 5n, invalidTicks: 200 * MS },
];

for (const arm of [false, true]) {
  migration(`time goes on at 10 MHz and never back: ${arm ? 'arm64' : 'x64'}`, () => {
    const machine = create(arm ? { architecture: 'arm64' } : {});
    const { driver, log } = start(arm ? withFrequency(machine, 0) : machine.bootSeam);
    assert.ok(log.includes('clock: reference TSC page'));
    let last = driver.clock.now();
    const [first, real] = [last, machine.clock.now];
    for (let i = 0; i < 400; i++) {
      const host = HOSTS[(i / 40) % HOSTS.length];
      if (i % 40 === 0) {
        machine.partition.migrate(arm ? { invalidTicks: host!.invalidTicks ?? 0 } : host!);
      }
      driver.clock.pause();
      const now = driver.clock.now();
      assert.ok(now >= last, `turn ${i}: ${now} after ${last}`);
      assert.ok(Math.abs(now - first - (machine.clock.now - real)) <= 3, `turn ${i}: ${now}`);
      last = now;
    }
    driver.remove();
    assert.equal(errors(machine), []);
  });
}

migration('the counter of arm64 stays as it is', () => {
  const { partition } = create({ architecture: 'arm64' });
  assert.throws(() => partition.migrate({ frequency: 5n }), /stays as it is/);
});

migration('a boot is migrated in the middle, and the OS after it', () => {
  for (const architecture of ['x64', 'arm64'] as const) {
    const { report } = runBoot({
      machine: { architecture },
      size: 60_000,
      prepare: ({ partition }) => {
        for (let at = 1; at <= 40; at++) {
          const move = { frequency: BigInt(1_000_000_000 + 37 * at), counter: BigInt(at) };
          partition.clock.schedule(at * 3 * MS, () =>
            partition.migrate({ ...(architecture === 'x64' && move), invalidTicks: MS }),
          );
        }
      },
    });
    assert.is(report.verdict, 'clean', architecture);
  }
});

migration.run();
