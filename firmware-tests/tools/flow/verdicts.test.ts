// SPDX-License-Identifier: GPL-2.0-or-later

/** Verdicts of flows on which it is easy to be wrong: what the host did, and what the guest did. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { Msr, Sint } from '../../../src/hyperv/protocol.ts';
import type { MemoryRange, X64Machine } from '../../../src/machine.ts';
import type { PageAllocator } from '../../../src/memory/allocator.ts';
import { carve } from '../../../src/memory/shared-memory.ts';
import type { FlowStep } from '../../../tools/flow/flow-steps.ts';
import { auditOs, osStart } from '../../../tools/flow/os-findings.ts';
import type { Firmware } from '../../../tools/flow/boot-flow.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { complaints, runBoot, type Setting } from '../../rigs/boot-rig.ts';

const nics = suite('verdicts: NICs that come and go');

/** Two NICs of which the first leaves while the firmware runs. */
const LEAVING: Setting = { nics: 2, size: 60_000, flow: { nicTimes: { leaves: 1 } } };

nics('a NIC that left before the OS came gives its number to the next one', () => {
  const { report } = runBoot({ ...LEAVING, flow: { ...LEAVING.flow, secondBoot: false } });
  assert.is(report.os!.nics.length, 1);
  assert.equal(complaints(report), []);
});

nics('one that comes or goes excuses itself, and no other', () => {
  const { report, machine } = runBoot({ nics: 3, flow: { secondBoot: false } });
  const os = report.os!;
  const start = osStart(machine);
  const [first, second] = machine.nics;
  machine.vmbus.rescind(first!);
  const texts = (changed: typeof os): string[] =>
    auditOs(changed, machine, start).map(({ severity, text }) => `${severity}: ${text}`);
  const without = os.nics.filter(({ instance }) => instance !== `{${first!.instanceId}}`);
  assert.equal(texts({ ...os, nics: without }), []);
  assert.equal(texts({ ...os, nics: without.slice(1) }), ['error: the OS found 1 of 2 NICs']);
  assert.equal(texts({ ...os, nics: without, outstanding: 1 }), [
    'error: the OS could not get back 1 of its own shared regions',
  ]);

  // The devices had their numbers before it went
  const { at, changes, numbers } = start.numbering;
  const { instanceId } = second!;
  const other = new Map([...numbers, [instanceId, 99]]);
  const found = auditOs(os, machine, { ...start, numbering: { at, changes, numbers: other } });
  assert.equal(
    found.filter(({ severity }) => severity === 'error').map(({ text }) => text),
    [`{${instanceId}} was channel 99 and is channel ${numbers.get(instanceId)!} for the OS`],
  );
});

for (const [what, flow] of [
  ['the second boot', { nicTimes: { leaves: 500 } }],
  ['chain-loaded firmware', { nicTimes: { leaves: 5 }, steps: ['chainload'] }],
  ['firmware that serves the loader', { nicTimes: { leaves: 300 }, steps: ['san'] }],
] as [string, Setting['flow']][]) {
  nics(`${what} finds no NIC where the host has none`, () => {
    const { report } = runBoot({ memoryMiB: 16, flow: flow! });
    assert.is(report.verdict, 'clean');
    assert.equal(complaints(report), []);
    const infos = report.findings.filter(({ check }) => check === 'second-boot');
    assert.ok(infos.some(({ text }) => /the host has taken a NIC away/.test(text)));
    assert.ok(report.notRun.includes('second-boot'));
  });
}

for (const [unloadAnswer, found] of [
  [120_000 * TICKS_PER_MS, []],
  ['never', ['unload warning: UNLOAD was sent but not answered']],
] as const)
  nics(`a guest that has waited 100 s is not blamed: UNLOAD answered ${unloadAnswer}`, () => {
    const { report } = runBoot({ knobs: { unloadAnswer } });
    assert.is(report.boot?.error?.name, 'NoResponse');
    const others = complaints(report).filter((each) => !each.startsWith('shared-pages warning'));
    assert.equal(others, found);
  });

nics('a second boot that loads another image is an error', () => {
  let runs = 0;
  const firmware: Firmware = {
    boot(machine, options) {
      const result = sources.boot(machine, options);
      if (runs++ > 0) new Uint8Array(machine.memory)[result.image!.address + 100]! ^= 0xff;
      return result;
    },
  };
  const { report } = runBoot({ firmware });
  assert.equal(complaints(report), [
    'rescind error: the second boot loaded another image than the first one',
  ]);
});

nics('what a guest calls by a name of the tool is not the tool’s', () => {
  const firmware: Firmware = {
    boot(machine, options) {
      const result = sources.boot(machine, options);
      const last = result.memoryMap.at(-1)!;
      const kept = { ...last, type: 'reserved' as const, purpose: 'resident firmware (SAN boot)' };
      return { ...result, memoryMap: [...result.memoryMap.slice(0, -1), kept] };
    },
  };
  const { report } = runBoot({ firmware, flow: { secondBoot: false } });
  const texts = complaints(report);
  assert.ok(texts.some((text) => /the guest's "resident firmware \(SAN boot\)"/.test(text)));
});

nics('memory that a map leaves out is lost, and told', () => {
  const firmware: Firmware = {
    boot(machine, options) {
      const result = sources.boot(machine, options);
      const last = result.memoryMap.at(-1)!;
      const cut = { ...last, length: last.length - 0x3000 };
      return { ...result, memoryMap: [...result.memoryMap.slice(0, -1), cut] };
    },
  };
  const { report } = runBoot({ firmware, flow: { secondBoot: false } });
  const found = complaints(report);
  assert.is(found.length, 1);
  assert.match(found[0]!, /^reserved warning: 3 pages from 0x[0-9a-f]+ on reserved for good/);
});

nics('a second boot that fails though its NIC is there is an error', () => {
  let runs = 0;
  const firmware: Firmware = {
    boot(machine, options) {
      const result = sources.boot(machine, options);
      return runs++ === 0 ? result : { ...result, status: 'failed', image: undefined };
    },
  };
  const { report } = runBoot({ firmware });
  assert.equal(complaints(report), [
    // Its map still has the image that it says it does not have
    'rescind warning: after the second boot: 1 page from 0x100000 on reserved for good, ' +
      'but the host has nothing there (boot image hypxe.img)',
    'rescind error: the second boot failed: no reason given',
  ]);
});

nics.run();

const networks = suite('verdicts: networks that lose frames');

for (const seed of [2, 3]) {
  networks(`who has no network for that is not to blame, seed ${seed}`, () => {
    const faults = { toGuest: { loss: 0.6 }, fromGuest: { loss: 0.6 } };
    const { report } = runBoot({ seed, size: 1024, network: { faults } });
    assert.equal(complaints(report), []);
    const told = report.findings.filter(({ text }) => /its network has lost/.test(text));
    assert.ok(told.some(({ check }) => check === 'next-os' || check === 'second-boot'));
  });
}

networks('a network that loses nothing excuses nobody, nor does any an error of the bus', () => {
  const { report, machine, network } = runBoot({ nics: 2, flow: { secondBoot: false } });
  const os = report.os!;
  const start = osStart(machine);
  const failing = (error: string) => ({
    ...os,
    nics: os.nics.map((nic, i) => (i === 0 ? { ...nic, error } : nic)),
  });
  const severities = (error: string): string[] =>
    auditOs(failing(error), machine, start).map(({ severity }) => severity);
  const SILENT = 'DhcpServerSilent: 192.168.77.1 does not acknowledge';
  assert.equal(severities(SILENT), ['error']);
  network.setLinkUp(1, false);
  assert.equal(severities(SILENT), ['error'], 'another NIC');
  network.setLinkUp(0, false);
  assert.equal(severities(SILENT), ['info']);
  assert.equal(severities('NoAnswer: no answer'), ['error']);
});

networks.run();

const rooms = suite('verdicts: who had the machine before');

rooms('a kernel without room leaves what stood on processors that it never had', () => {
  const steps: FlowStep[] = ['crash', 'crash', 'kexec'];
  const { report } = runBoot({ memoryMiB: 8, machine: { processors: 120 }, flow: { steps } });
  const errors = report.findings.filter(({ severity }) => severity === 'error');
  assert.equal(errors, []);
  assert.is(report.verdict, 'clean');
  const told = report.findings.filter(({ text }) => /no room for all that it wants/.test(text));
  assert.is(told.length, 1);
  assert.is(report.secondBoot?.status, 'booted');
});

rooms(
  'firmware that keeps nearly all memory to itself is to blame for one that has no room',
  () => {
    const firmware: Firmware = {
      boot(machine, options) {
        const result = sources.boot(machine, options);
        const kept = (r: MemoryRange) => (r.address < 0x100000 ? r : { ...r, type: 'reserved' });
        return { ...result, memoryMap: result.memoryMap.map(kept) as MemoryRange[] };
      },
    };
    const { report } = runBoot({ firmware, memoryMiB: 16, machine: { processors: 240 } });
    const errors = report.findings.filter(({ severity }) => severity === 'error');
    assert.ok(errors.some(({ text }) => /the OS could not come up: OutOfMemory/.test(text)));
  },
);

for (const steps of [[], ['kexec']] as FlowStep[][]) {
  const then = steps.join() || 'nothing';
  rooms(`a host that ignores contacts keeps an earlier owner's connection, then ${then}`, () => {
    const previousOwner = ['gpadls'] as const;
    const { report } = runBoot({ host: 'server2008r2', flow: { previousOwner, steps } });
    const errors = report.findings.filter(({ severity }) => severity === 'error');
    assert.equal(errors, []);
    const before = report.findings.filter(({ text }) => /left by who had the machine/.test(text));
    for (const check of ['unload', 'channels', 'shared-pages', 'late-writes'])
      assert.ok(
        before.some((finding) => finding.check === check),
        check,
      );
    // Of the firmware itself nothing is left on this host but what a contact has shared
    assert.is(report.boot?.status, 'failed');
  });
}

rooms(
  'memory that an earlier owner has shared is not freed early by who takes and returns it',
  () => {
    const firmware: Firmware = {
      boot(machine, options) {
        const pages = (allocator: PageAllocator): PageAllocator => {
          const watched = options!.pages!(allocator);
          const address = watched.allocate(64 * 4096, 4096, 'probe')!;
          watched.free(address, 64 * 4096, 'probe');
          return watched;
        };
        return sources.boot(machine, { ...options, pages });
      },
    };
    const { report } = runBoot({ firmware, flow: { previousOwner: ['gpadls'] } });
    assert.equal(complaints(report), []);
  },
);

rooms('each firmware gets the memory that the one before has handed on', () => {
  const maps: (readonly MemoryRange[])[] = [];
  const handed: (readonly MemoryRange[])[] = [];
  const kept = 0x180000;
  const firmware: Firmware = {
    boot(machine, options) {
      maps.push(machine.memoryMap);
      const result = sources.boot(machine, options);
      const carved = (range: MemoryRange) => carve(range, kept, kept + 4096, 'kept');
      const memoryMap = result.memoryMap.flatMap(carved);
      handed.push(memoryMap);
      return { ...result, memoryMap };
    },
  };
  const { report } = runBoot({ firmware, flow: { steps: ['chainload'] } });
  const [first, chained, again] = maps;
  assert.equal(chained, handed[0]);
  assert.equal(complaints(report), [
    'reserved warning: 1 page from 0x180000 on reserved for good, ' +
      'but the host has nothing there (kept)',
  ]);
  // Both images are nobody's when the OS is gone; what was kept is kept
  const around = (map: readonly MemoryRange[]) =>
    map.flatMap((r) => carve(r, kept, kept + 4096, 'kept'));
  assert.equal(again, around(first!));
});

rooms('a firmware that touches a machine that the loader owns is told', () => {
  const firmware: Firmware = {
    boot: sources.boot as Firmware['boot'],
    createDriver(machine, options) {
      const driver = sources.createDriver(machine, options);
      const unquiesce = driver.unquiesce.bind(driver);
      let count = 0;
      driver.unquiesce = () => {
        if (++count === 2) (machine as X64Machine).wrmsr(Msr.SINT0 + 3, Sint.MASKED);
        else unquiesce();
      };
      return driver;
    },
  };
  const { report } = runBoot({ firmware, memoryMiB: 16, flow: { steps: ['san'] } });
  const told = complaints(report).filter((text) => /from the loader that owned it/.test(text));
  assert.is(told.length, 1);
});

rooms('a firmware that only says that it was refused is not believed', () => {
  const firmware: Firmware = {
    boot(machine, options) {
      const { memoryMap } = sources.boot(machine, options);
      const error = Object.assign(new Error('no'), { name: 'VersionRefused' });
      return { status: 'failed', error, memoryMap };
    },
  };
  assert.is(runBoot({ firmware, flow: { secondBoot: false } }).report.verdict, 'findings');
});

rooms('a NIC that comes back while the trial of a rescind brings it back comes once', () => {
  // Somewhere around here the firmware closes its channel
  for (let leaves = 1000; leaves < 1016; leaves++) {
    const { report } = runBoot({ size: 52 << 10, flow: { nicTimes: { leaves, returns: 0 } } });
    assert.is(report.ended, undefined);
  }
});

rooms.run();
