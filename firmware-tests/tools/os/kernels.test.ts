// SPDX-License-Identifier: GPL-2.0-or-later

/** Kernels that hand over to each other: what they do, in which order, and what is left. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvMessageType, Msr } from '../../../src/hyperv/protocol.ts';
import type { KernelPlan } from '../../../tools/flow/os-chain.ts';
import { OS_BUGS, type OsBug } from '../../../tools/os/os-bugs.ts';
import { makeMachine } from '../../../tools/scenarios/rig.ts';
import { chain, complaints, errorChecks, recordWrites } from '../../rigs/flow-rig.ts';

const HOSTS = [
  'server2012r2',
  'server2016',
  'server2019',
  'server2022',
  'copper',
  'qemu',
  'openvmm',
];

const kernels = suite('flow: kernels');

for (const host of HOSTS) {
  for (const processors of [1, 4]) {
    kernels(`kexec twice on ${host} with ${processors} VPs leaves nothing`, () => {
      const { stages, ended } = chain({
        ...{ host, processors },
        kernels: [{ end: 'kexec' }, { end: 'kexec' }, { end: 'shutdown' }],
      });
      assert.is(ended, undefined);
      assert.equal(
        stages.map(({ name }) => name),
        ['OS', 'kexec 1', 'kexec 2'],
      );
      for (const { os, findings } of stages) {
        assert.equal(complaints(findings), []);
        assert.is(os!.error, undefined);
        assert.is(os!.processors.length, processors);
        assert.ok(os!.nics.length === 1 && os!.nics[0]!.received > 0);
      }
    });

    kernels(`crash on ${host} with ${processors} VPs leaves the known hole and no more`, () => {
      const crashVp = processors === 1 ? 0 : 2;
      const { stages, ended } = chain({
        ...{ host, processors },
        kernels: [{ end: 'crash', crashVp }, { end: 'power-off' }],
      });
      assert.is(ended, undefined);
      const [crashed, next] = stages;
      const holes = crashed!.findings.filter(({ known }) => known === 'crash-hole');
      const others = Array.from({ length: processors }, (_, vp) => vp).filter(
        (vp) => vp !== crashVp,
      );
      const pieces = ['clock-pages', 'sints', 'synic-pages', 'synic-pages', 'timers'];
      for (const vp of others) {
        const found = holes.filter((finding) => finding.vp === vp);
        assert.equal(found.map(({ check }) => check).sort(), pieces, `VP ${vp}`);
        assert.ok(
          found.every(({ severity, text }) => severity === 'warning' && /known hole/.test(text)),
        );
      }
      // And the VP assist page of the one that crashed, which the crash kernel has no use for
      const own = holes.filter(({ vp }) => vp === crashVp);
      assert.equal(
        own.map(({ severity, text }) => `${severity} ${/^VP_ASSIST_PAGE/.test(text)}`),
        ['info true'],
      );
      assert.is(holes.length, pieces.length * others.length + 1);
      assert.is(complaints(crashed!.findings).length, holes.length - 1);
      assert.equal(complaints(next!.findings), []);
      assert.equal(next!.os!.processors, [crashVp]);
      assert.is(next!.os!.error, undefined);
      assert.ok(next!.os!.nics[0]!.received > 0);
    });
  }
}

/** Versions of {@link HOSTS}: no Linux before 6.19 asks for 6.0. */
const VERSIONS = [0x30000, 0x40000, 0x50002, 0x50003, 0x50003, 0x40000, 0x50003];

for (const linux of ['linux-6.1', 'linux-6.12', 'linux-6.19'] as const) {
  kernels(`${linux} takes the newest version that it knows of each host`, () => {
    const versions = HOSTS.map((host) => {
      return chain({ host, linux, kernels: [{ end: 'shutdown' }] }).stages[0]!.os!.vmbusVersion;
    });
    const newest = (version: number, i: number): number =>
      ['copper', 'openvmm'].includes(HOSTS[i]!) ? 0x60000 : version;
    assert.equal(versions, linux === 'linux-6.19' ? VERSIONS.map(newest) : VERSIONS);
  });
}

kernels('a kexec writes what Linux writes, in its order', () => {
  let seen: string[] = [];
  const beforeEnd: KernelPlan['beforeEnd'] = (machine) => (seen = recordWrites(machine));
  chain({ kernels: [{ end: 'kexec', beforeEnd }] });
  assert.equal(seen, [
    ...['STIMER0_COUNT 0', 'STIMER0_CONFIG 0'],
    'message 16',
    ...['SINT2 value', 'SIMP 0', 'SIEFP 0', 'SCONTROL 0', 'VP_ASSIST_PAGE 0'],
    ...['GUEST_OS_ID 0', 'HYPERCALL value', 'REFERENCE_TSC value'],
  ]);
});

kernels('a crash writes what Linux writes, in its order', () => {
  let seen: string[] = [];
  const beforeEnd: KernelPlan['beforeEnd'] = (machine) => (seen = recordWrites(machine));
  chain({ processors: 3, kernels: [{ end: 'crash', crashVp: 1, beforeEnd }] });
  assert.equal(seen, [
    'message 16',
    ...['CRASH_P0 0', 'CRASH_P1 0', 'CRASH_P2 0', 'CRASH_P3 value', 'CRASH_P4 value'],
    'CRASH_CTL value',
    ...['STIMER0_COUNT 0', 'STIMER0_CONFIG 0'],
    ...['SINT2 value', 'SIMP 0', 'SIEFP 0', 'SCONTROL 0'],
    ...['GUEST_OS_ID 0', 'HYPERCALL value', 'REFERENCE_TSC value'],
  ]);
});

kernels('hypercall page and TSC page lose their enable bit and keep their address', () => {
  const { machine } = chain({ kernels: [{ end: 'kexec' }] });
  for (const name of ['HYPERCALL', 'REFERENCE_TSC']) {
    const value = machine.partition.inspection.register(0, name);
    assert.is(value & 1n, 0n, name);
    assert.ok(value !== 0n, name);
  }
});

kernels('an old host gets no UNLOAD', () => {
  const { machine, stages } = chain({ host: 'server2012', kernels: [{ end: 'kexec' }] });
  assert.is(stages[0]!.os!.vmbusVersion, 0x20004);
  assert.is(machine.vmbus.inspect().unloadsSeen, 0);
});

kernels('the answer to UNLOAD is awaited for 50 s by a kexec and by a crash', () => {
  for (const end of ['kexec', 'crash'] as const) {
    const { machine, stages } = chain({
      knobs: { unloadAnswer: 500_000_000 },
      kernels: [{ end }],
    });
    assert.is(machine.vmbus.inspect().phase, 'disconnected', end);
    assert.equal(errorChecks(stages[0]!.findings), [], end);
    assert.ok(stages[0]!.endedAt > 500_000_000, end);
  }
});

kernels('a crash that is never answered goes on after 100 s', () => {
  const { stages, ended } = chain({
    knobs: { unloadAnswer: 'never' },
    kernels: [{ end: 'crash' }, { end: 'power-off' }],
  });
  assert.is(ended, undefined);
  assert.equal(errorChecks(stages[0]!.findings), ['unload', 'channels', 'shared-pages']);
  const seconds = stages[0]!.endedAt / 10_000_000;
  assert.ok(seconds > 100 && seconds < 103, `${seconds} s`);
});

kernels('a panic or power-off is followed by a reset, after which all is new', () => {
  for (const end of ['panic', 'power-off'] as const) {
    const { stages, ended } = chain({
      ...{ processors: 2, host: 'server2012' },
      kernels: [{ end }, { end: 'shutdown' }],
    });
    assert.is(ended, undefined);
    assert.equal(
      stages.map(({ name }) => name),
      ['OS', 'OS after the reset'],
    );
    for (const { findings, os } of stages) {
      assert.equal(errorChecks(findings), [], end);
      assert.is(os!.error, undefined);
    }
  }
});

kernels('the crash kernel writes to nothing but its own memory', () => {
  const machine = makeMachine({ processors: 2 });
  const { ram } = machine.partition;
  let dead: Uint8Array | undefined;
  chain({
    machine,
    kernels: [
      { end: 'crash', crashVp: 0 },
      {
        end: 'power-off',
        // All but the crash kernel's 2 MiB at 1 MiB and what was handed to the host before
        beforeEnd: () => (dead = ram.bytes.slice(0x300000, 0x700000)),
      },
    ],
  });
  assert.ok(dead!.every((byte, i) => byte === ram.bytes[0x300000 + i]!));
});

kernels('a timer that has expired is armed again', () => {
  for (const host of ['server2016', 'server2022']) {
    const { machine } = chain({
      ...{ host, processors: 2 },
      kernels: [
        { end: 'kexec', beforeEnd: (m) => m.run(50_000_000) },
        { end: 'crash', crashVp: 1 },
      ],
    });
    assert.ok(machine.partition.inspection.timers(0)[0]!.enabled, host);
    const slots = machine.partition.inspection.slots(1);
    assert.ok(slots.every(({ type }) => type !== HvMessageType.TIMER_EXPIRED));
  }
});

kernels.run();

const bugs = suite('flow: omissions');

/** What each omission of a kexec is caught by, and by nothing else. */
const KEXEC: Partial<Record<OsBug, readonly string[]>> = {
  'timers-left': ['timers'],
  'no-unload': ['unload', 'channels', 'shared-pages'],
  'synic-of-others-left': ['synic-pages', 'sints'],
  'synic-left': ['synic-pages', 'sints'],
  'vp-assist-left': ['clock-pages'],
  'identity-left': ['hypercall'],
  'hypercall-page-left': ['hypercall'],
  'tsc-page-left': ['clock-pages'],
};

for (const processors of [2, 4]) {
  for (const [bug, checks] of Object.entries(KEXEC)) {
    bugs(`kexec with ${processors} VPs that ${OS_BUGS[bug as OsBug]}`, () => {
      const { stages } = chain({
        processors,
        knobs: { osIdZero: 'independent' },
        kernels: [{ end: 'kexec', bugs: [bug as OsBug] }],
      });
      assert.equal(errorChecks(stages[0]!.findings), checks);
    });
  }
}

/** The same for a crash: what only the crashing VP can do is no part of the hole. */
const CRASH: Partial<Record<OsBug, readonly string[]>> = {
  ...KEXEC,
  'unload-own-page-only': ['unload'],
};
delete CRASH['synic-of-others-left'];
// No crash of Linux disables it
delete CRASH['vp-assist-left'];

for (const [bug, checks] of Object.entries(CRASH)) {
  bugs(`crash of a kernel that ${OS_BUGS[bug as OsBug]}`, () => {
    const { stages } = chain({
      processors: 4,
      knobs: { osIdZero: 'independent' },
      kernels: [{ end: 'crash', crashVp: 2, bugs: [bug as OsBug] }],
    });
    assert.equal(errorChecks(stages[0]!.findings), checks);
  });
}

bugs('a dirty machine is survived by the next kernel, as by Linux', () => {
  for (const bug of ['no-unload', 'synic-left', 'vp-assist-left', 'tsc-page-left'] as const) {
    const { stages, ended } = chain({
      processors: 2,
      kernels: [{ end: 'kexec', bugs: [bug] }, { end: 'shutdown' }],
    });
    assert.is(ended, undefined, bug);
    assert.is(stages[1]!.os!.error, undefined, bug);
    const late = complaints(stages[1]!.findings).some((text) => text.startsWith('late-writes'));
    assert.is(late, true, bug);
  }
});

bugs('events of the one before it are told, and not looked up', () => {
  const { stages } = chain({
    kernels: [
      { end: 'crash', beforeEnd: (machine) => machine.partition.signalEvent(0, 2, 3) },
      { end: 'power-off' },
    ],
  });
  assert.equal(stages[1]!.os!.staleEvents, ['event flag 3 of VP 0']);
  assert.ok(complaints(stages[1]!.findings).some((text) => /leftovers: event flag 3/.test(text)));
});

bugs('a crash kernel whose pages the host still has is no part of the hole', () => {
  const machine = makeMachine({ processors: 2 });
  const { stages } = chain({
    machine,
    kernels: [
      {
        end: 'crash',
        crashVp: 1,
        // A page of the other processor lies where the crash kernel will run
        beforeEnd: ({ processors }) => processors[0]!.wrmsr(Msr.VP_ASSIST_PAGE, 0x180001n),
      },
    ],
  });
  assert.equal(errorChecks(stages[0]!.findings), ['clock-pages', 'late-writes']);
});

bugs.run();
