// SPDX-License-Identifier: GPL-2.0-or-later

/** Synthetic timers and the report of a crash: what the firmware asks for, and what it gets. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HypxeError } from '../../../src/error.ts';
import { Log, type FirmwareEvent } from '../../../src/events.ts';
import { anyPlatform } from '../../../src/any.ts';
import { reportCrash } from '../../../src/os/crash-report.ts';
import { HyperV } from '../../../src/hyperv/hyperv.ts';
import {
  SyntheticTimers,
  timerExpiry,
  type TimerExpiry,
  type TimerOptions,
} from '../../../src/os/synthetic-timer.ts';
import * as sources from '../../../src/os.ts';
import { MapAllocator } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { SharedMemory } from '../../../src/memory/shared-memory.ts';
import { auditTimers } from '../../../tools/simulator/audit/audit-registers.ts';
import type { HostEvent } from '../../../tools/simulator/ledger/events.ts';
import { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import { DEFAULT_PROFILE, profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { runBoot } from '../../rigs/boot-rig.ts';

const MS = 10_000;
const SINT = 4;
const ARCHITECTURES = ['x64', 'arm64'] as const;
type Architecture = (typeof ARCHITECTURES)[number];

function create(architecture: Architecture, misc = -1, features = -1) {
  const profile = profileNamed(DEFAULT_PROFILE)!;
  const machine = new SimulatedMachine({
    memory: new ArrayBuffer(4 << 20),
    profile: {
      ...profile,
      features: profile.features & features,
      miscFeatures: profile.miscFeatures & misc,
    },
    links: [],
    seed: 1,
    architecture,
  });
  const seam = machine.bootSeam;
  const log = new Log(undefined);
  const allocator = new MapAllocator(seam.memoryMap);
  const pages = new SharedMemory(new GuestMemory(seam.memory), allocator, log);
  const hv = new HyperV(anyPlatform(seam), pages, log);
  hv.probe();
  hv.enableSint(SINT);
  const timers = new SyntheticTimers(hv);
  const { inspection } = machine.partition;
  const take = (): TimerExpiry | undefined => {
    const message = hv.receiveMessage(SINT);
    return message && timerExpiry(message);
  };
  return { machine, hv, timers, inspection, pages, take };
}

const synthetic = suite('clock: synthetic timers');

for (const architecture of ARCHITECTURES) {
  synthetic(`one-shot, by a message: ${architecture}`, () => {
    const { machine, hv, timers, take } = create(architecture);
    const at = BigInt(machine.clock.now + 5 * MS);
    timers.start(1, { at, sint: SINT });
    assert.ok(timers.isRunning(1));
    machine.run(4 * MS);
    assert.is(take(), undefined);
    machine.run(2 * MS);
    const expiry = take();
    assert.is(expiry?.timer, 1);
    assert.is(expiry!.expiredAt, at);
    assert.ok(expiry!.deliveredAt >= at);
    assert.not(timers.isRunning(1));
    machine.run(20 * MS);
    assert.is(take(), undefined);
    hv.remove();
    assert.equal(auditTimers(machine), []);
  });

  synthetic(`a time that is over expires at once: ${architecture}`, () => {
    const { machine, timers, take } = create(architecture);
    timers.start(0, { at: 1n, sint: SINT });
    machine.run(1);
    assert.is(take()?.timer, 0);
  });

  synthetic(`periodic, until it is stopped: ${architecture}`, () => {
    const { machine, timers, take } = create(architecture);
    timers.start(3, { period: BigInt(2 * MS), sint: SINT, lazy: true });
    const times: bigint[] = [];
    for (let i = 0; i < 4; i++) {
      machine.run(2 * MS);
      const expiry = take();
      assert.is(expiry?.timer, 3, `period ${i}`);
      times.push(expiry!.expiredAt);
    }
    assert.is(times[3]! - times[0]!, BigInt(6 * MS));
    timers.stop(3);
    take();
    machine.run(20 * MS);
    assert.is(take(), undefined);
  });

  synthetic(`a message that finds no room comes late, not never: ${architecture}`, () => {
    const { machine, timers, inspection, take } = create(architecture);
    const now = BigInt(machine.clock.now);
    timers.start(0, { at: now + BigInt(MS), sint: SINT });
    timers.start(1, { at: now + BigInt(2 * MS), sint: SINT });
    machine.run(5 * MS);
    assert.ok(inspection.timers(0)[1]!.due);
    assert.is(take()?.timer, 0);
    const late = take();
    assert.is(late?.timer, 1);
    assert.is(late!.expiredAt, now + BigInt(2 * MS));
    assert.ok(late!.deliveredAt > late!.expiredAt);
  });

  for (const lazy of [false, true])
    synthetic(`late, ${lazy ? 'lazy: skipped' : 'not lazy: delivered'}: ${architecture}`, () => {
      const { machine, timers, take } = create(architecture);
      const now = BigInt(machine.clock.now);
      timers.start(0, { at: now + BigInt(MS), sint: SINT });
      timers.start(3, { period: BigInt(2 * MS), sint: SINT, lazy });
      // The slot is busy until shortly before the second period is over
      machine.run(3.8 * MS);
      assert.is(take()?.timer, 0);
      const late = take();
      assert.is(late?.timer, lazy ? undefined : 3);
      machine.run(0.4 * MS);
      const next = take();
      assert.is(next?.timer, 3);
      assert.ok(next!.expiredAt >= now + BigInt(4 * MS));
      assert.ok(next!.expiredAt < now + BigInt(4.2 * MS));
    });

  synthetic(`direct mode raises an interrupt and sends nothing: ${architecture}`, () => {
    const { machine, timers, inspection, take } = create(architecture);
    timers.start(2, { period: BigInt(MS), vector: 0x40 });
    machine.run(3 * MS);
    assert.ok(inspection.timers(0)[2]!.interrupts >= 2);
    assert.is(take(), undefined);
    timers.stop(2);
    assert.not(inspection.timers(0)[2]!.enabled);
  });

  for (const end of ['remove', 'quiesce'] as const) {
    synthetic(`all are stopped at ${end}: ${architecture}`, () => {
      const { machine, hv, timers, inspection } = create(architecture);
      timers.start(0, { at: BigInt(machine.clock.now + 1000 * MS), sint: SINT });
      timers.start(2, { period: BigInt(MS), vector: 0x40 });
      assert.is(auditTimers(machine).length, 2);
      hv[end]();
      assert.equal(auditTimers(machine), []);
      assert.ok(inspection.timers(0).every(({ config, count }) => config === 0n && count === 0n));
    });
  }
}

const BAD: readonly (readonly [number, TimerOptions])[] = [
  [-1, { at: 5n, sint: 2 }],
  [4, { at: 5n, sint: 2 }],
  [0.5, { at: 5n, sint: 2 }],
  [0, { at: 0n, sint: 2 }],
  [0, { period: -1n, sint: 2 }],
  [0, { period: 1n << 64n, sint: 2 }],
  [0, { sint: 2 }],
  [0, { at: 5n, period: 5n, sint: 2 }],
  [0, { at: 5n }],
  [0, { at: 5n, sint: 0 }],
  [0, { at: 5n, sint: 16 }],
  [0, { at: 5n, sint: 2, vector: 0x40 }],
  [0, { at: 5n, vector: 15 }],
  [0, { at: 5n, vector: 256 }],
  [0, { at: 5n, sint: 2, lazy: true }],
];

synthetic('what no timer can do has a name', () => {
  const { timers, inspection } = create('x64');
  for (const [timer, options] of BAD) {
    assert.throws(
      () => timers.start(timer, options),
      (error: unknown) => error instanceof HypxeError && error.name === 'BadTimer',
    );
  }
  assert.ok(inspection.timers(0).every(({ config }) => config === 0n));
});

synthetic('a host without timers, or without direct ones', () => {
  const none = (error: unknown): boolean =>
    error instanceof HypxeError && error.name === 'NoSyntheticTimers';
  const { timers } = create('arm64', -1, ~(1 << 3));
  assert.throws(() => timers.start(0, { at: 5n, sint: SINT }), none);
  const without = create('arm64', ~(1 << 19));
  assert.throws(() => without.timers.start(0, { at: 5n, vector: 0x40 }), none);
  without.timers.start(0, { at: 5n, sint: SINT });
});

synthetic.run();

// --- crashes ---

const crash = suite('clock: crash report');

/** A firmware with a mistake in it. */
function failing(error: Error) {
  return {
    boot: (...[machine, options]: Parameters<typeof sources.boot>) =>
      sources.boot(machine, {
        ...options,
        events: (event: FirmwareEvent) => {
          options?.events?.(event);
          if (event.kind === 'boot-step' && event.step === 'configure') throw error;
        },
      }),
  };
}

for (const architecture of ARCHITECTURES) {
  crash(`the host is told of what the firmware did wrong: ${architecture}`, () => {
    const told: HostEvent[] = [];
    const { report, machine } = runBoot({
      firmware: failing(new TypeError('x is not a function')),
      machine: { architecture },
      flow: { os: false, secondBoot: false },
      prepare: ({ events }) =>
        void events.listen((event) => {
          if (event.kind === 'crash') told.push(event);
        }),
    });
    assert.is(report.verdict, 'crash');
    assert.is(report.ended?.kind, 'thrown');
    assert.match(
      report.ended!.text,
      /x is not a function.*guest reported a crash on VP 0: P0=0x68/,
    );
    const { crashReports } = machine.partition.inspection;
    assert.is(told.length, 1);
    assert.match(crashReports[0]!, /TypeError: x is not a function$/);
    // Text and length are where P3 and P4 say
    const value = (name: string): bigint => machine.partition.inspection.register(0, name);
    assert.is(value('CRASH_P4'), BigInt('TypeError: x is not a function'.length));
    assert.is(value('CRASH_P1'), 0x98ae000000000000n);
    assert.is(value('CRASH_P2'), 0n);
  });

  crash(`a host that takes no reports is not told: ${architecture}`, () => {
    const { hv, inspection } = create(architecture, ~(1 << 10));
    assert.not(reportCrash(hv, new TypeError('x')));
    assert.equal(inspection.crashReports, []);
  });

  crash(`without room for a message there are the parameters: ${architecture}`, () => {
    const { hv, inspection, pages } = create(architecture);
    for (let length = 2 << 20; length >= 4096;) {
      try {
        pages.allocate('tx-buffer', length);
      } catch {
        length /= 2;
      }
    }
    assert.ok(reportCrash(hv, new TypeError('x')));
    assert.match(inspection.crashReports[0]!, /P3=0x0 P4=0x0$/);
  });
}

crash('a message of more than a page is cut, what is no ASCII replaced', () => {
  const { hv, inspection, pages } = create('x64');
  assert.ok(reportCrash(hv, `é${'y'.repeat(5000)}`));
  assert.match(inspection.crashReports[0]!, / P4=0x1000 \?y+$/);
  // Nothing of it stays
  assert.is(pages.outstanding().filter(({ purpose }) => purpose === 'crash-message').length, 0);
});

crash('a condition from outside is no crash', () => {
  const { machine } = runBoot({ network: { files: { read: () => undefined } } });
  assert.equal(machine.partition.inspection.crashReports, []);
});

crash('before the identity is set, and after the end, nobody is told', () => {
  const { hv, inspection } = create('x64');
  hv.remove();
  assert.not(reportCrash(hv, new TypeError('x')));
  assert.equal(inspection.crashReports, []);
});

crash.run();
