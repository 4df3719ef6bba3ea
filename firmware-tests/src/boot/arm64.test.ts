// SPDX-License-Identifier: GPL-2.0-or-later

/** The same firmware on arm64: both forms of the hypercall, all sizes of guest pages, all flows. */

import * as assert from 'uvu/assert';
import { suite } from 'uvu';
import { GUEST_PAGE_SIZES } from '../../../src/machine.ts';
import type { FirmwareEvent } from '../../../src/events.ts';
import type { HostEvent } from '../../../tools/simulator/ledger/events.ts';
import { PROFILES } from '../../../tools/simulator/profiles/profiles.ts';
import {
  ARM64_FIRMWARES,
  runBoot,
  sameBytes,
  type Boot,
  type Setting,
} from '../../rigs/boot-rig.ts';

const ARM64 = { architecture: 'arm64' } as const;

/** Boot, and require that all is well. */
function clean(setting: Setting): Boot {
  const boot = runBoot(setting);
  const { report } = boot;
  assert.equal(report.ended, undefined);
  assert.equal(
    report.findings.filter(({ severity }) => severity === 'error'),
    [],
  );
  assert.is(report.verdict, 'clean');
  assert.ok(sameBytes(boot.inRam, boot.image), 'the image is in RAM');
  assert.is(report.secondBoot?.status, 'booted');
  return boot;
}

function logged(events: readonly FirmwareEvent[], pattern: RegExp): boolean {
  return events.some((event) => event.kind === 'log' && pattern.test(event.text));
}

/** What the smallest firmware has as its clock: a look at the machine's own needs no exit. */
const ALONE = /^clock: reference counter$/;

const boots = suite('arm64: boot');

for (const [name, firmware] of Object.entries(ARM64_FIRMWARES)) {
  boots(`the firmware boots: ${name}`, () => {
    const { events } = clean({ firmware, machine: ARM64 });
    const alone = name.startsWith('arm64');
    assert.ok(logged(events, alone ? ALONE : /^clock: architectural counter, 1000000000 Hz$/));
    assert.ok(logged(events, /^detected "Microsoft Hv" version 10\.0/));
  });
}

for (const hypercallConvention of ['smccc', 'immediate'] as const) {
  boots(`hypercalls in the form ${hypercallConvention}`, () => {
    const seen: HostEvent[] = [];
    clean({
      machine: { ...ARM64, hypercallConvention },
      prepare: ({ events }) => void events.listen((event) => seen.push(event)),
    });
    const written = seen.filter(({ kind }) => kind === 'register-write');
    assert.ok(written.length > 20, 'registers are written by hypercalls');
    assert.is(
      seen.find(({ kind }) => kind === 'rdmsr' || kind === 'wrmsr' || kind === 'cpuid'),
      undefined,
    );
    assert.is(
      seen.find(({ kind }) => kind === 'unmodelled' || kind === 'violation'),
      undefined,
    );
  });
}

boots('SINT 2 is unmasked with an interrupt ID and without AutoEOI', () => {
  const values: bigint[] = [];
  clean({
    machine: ARM64,
    prepare: ({ events }) =>
      void events.listen((event) => {
        if (event.kind === 'register-write' && event.name === 'SINT2') values.push(event.value);
      }),
  });
  assert.is(values[0], 18n);
  assert.ok(values.every((value) => (value & 0x20000n) === 0n));
});

for (const { name } of PROFILES) {
  boots(`as on x64: ${name}`, () => {
    const host = { host: name, flow: { os: false, secondBoot: false } };
    const [x64, arm64] = [runBoot(host), runBoot({ ...host, machine: ARM64 })];
    assert.is(arm64.report.verdict, x64.report.verdict);
    assert.is(arm64.report.boot?.error?.name, x64.report.boot?.error?.name);
    assert.is(arm64.inRam?.length, x64.inRam?.length);
    assert.ok(x64.inRam === undefined || sameBytes(arm64.inRam, x64.inRam));
  });
}

boots('VMBus and above do the same as on x64, message for message', () => {
  const control = (architecture: 'x64' | 'arm64'): string[] => {
    const calls: string[] = [];
    runBoot({
      machine: { architecture },
      flow: { os: false, secondBoot: false },
      prepare: ({ events }) =>
        void events.listen((event) => {
          if (event.kind !== 'hypercall' || event.name !== 'HvPostMessage') return;
          // Addresses of pages differ by the hypercall page and the clock's
          calls.push(`${event.status} ${event.input.length} ${event.input.subarray(0, 24).join()}`);
        }),
    });
    return calls;
  };
  const messages = control('arm64');
  assert.ok(messages.length > 10);
  assert.equal(messages, control('x64'));
});

boots('chainload, SAN boot, kexec and crash', () => {
  const { report } = clean({
    memoryMiB: 16,
    machine: { ...ARM64, processors: 2 },
    flow: { steps: ['chainload', 'san', 'kexec', 'crash'] },
  });
  assert.is(report.stages.at(-1)?.name, 'crash kernel');
});

boots.run();

const pages = suite('arm64: guest pages');

for (const pageSize of GUEST_PAGE_SIZES) {
  pages(`boot and all flows with pages of ${pageSize / 1024} KiB`, () => {
    const { machine, report } = clean({
      memoryMiB: 16,
      size: 70_000,
      machine: { ...ARM64, pageSize },
      flow: { steps: ['san', 'kexec', 'crash'] },
    });
    assert.is(machine.bootSeam.pageSize, pageSize);
    for (const { address, length } of report.boot!.memoryMap) {
      assert.is(address % pageSize, 0, `0x${address.toString(16)} is a guest page`);
      assert.is(length % pageSize, 0, `0x${length.toString(16)} bytes are whole guest pages`);
    }
  });
}

pages('a GPADL of rings skips the gap behind each control page', () => {
  const layouts = GUEST_PAGE_SIZES.map((pageSize) => {
    let pfns: number[] = [];
    runBoot({
      memoryMiB: 8,
      machine: { ...ARM64, pageSize },
      flow: { os: false, secondBoot: false },
      prepare: ({ events, partition }) => {
        let gpadl: number[] = [];
        events.listen((event) => {
          if (event.kind !== 'hypercall' || event.name !== 'HvPostMessage') return;
          const { input } = event;
          const view = new DataView(input.buffer, input.byteOffset + 16, input.length - 16);
          const type = view.getUint32(0, true);
          const words = (at: number): number[] => {
            const found: number[] = [];
            for (let i = at; i + 8 <= view.byteLength; i += 8) found.push(view.getUint32(i, true));
            return found;
          };
          if (type === 8) gpadl = words(28);
          else if (type === 9) gpadl.push(...words(16));
          // The first channel that is opened is the NIC's
          else if (type === 5 && pfns.length === 0) pfns = gpadl;
        });
        assert.is(partition.architecture, 'arm64');
      },
    });
    return { pageSize, pfns };
  });
  const [small] = layouts;
  for (const { pageSize, pfns } of layouts) {
    assert.is(pfns.length, small!.pfns.length, 'the host sees the same number of pages');
    const ratio = pageSize / 4096;
    const second = pfns.length / 2;
    for (const start of [0, second]) {
      assert.is(pfns[start]! % ratio, 0, 'a control page begins a guest page');
      assert.is(pfns[start + 1]! % ratio, 0, 'so does the data');
      assert.is(pfns[start + 1]! - pfns[start]!, ratio, 'the rest of the control page is a gap');
      for (let i = start + 2; i < start + second; i++) assert.is(pfns[i]! - pfns[i - 1]!, 1);
    }
  }
});

pages('sizes that no guest has are refused', () => {
  for (const pageSize of [0, 2048, 8192, 131072]) {
    assert.throws(() => runBoot({ machine: { ...ARM64, pageSize } }), /pages of/);
  }
});

pages.run();
