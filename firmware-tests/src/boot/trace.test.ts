// SPDX-License-Identifier: GPL-2.0-or-later

/** One seed decides everything: the trace of a boot, byte for byte. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { FirmwareEvent } from '../../../src/events.ts';
import * as withParts from '../../../src/os.ts';
import type { Firmware } from '../../../tools/flow/boot-flow.ts';
import { FIRMWARES, runBoot, type Setting } from '../../rigs/boot-rig.ts';

const SETTING: Setting = {
  size: 30_000,
  seed: 7,
  nics: 2,
  trace: true,
  network: {
    faults: { loss: 0.05, duplication: 0.1, reordering: 0.1, corruption: 0.05, jitterTicks: 0 },
  },
};

/** The first line in which two traces differ, or undefined. */
function difference(a: readonly string[], b: readonly string[]): string | undefined {
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; i++) {
    if (a[i] !== b[i]) return `line ${i + 1}:\n${a[i] ?? '(end)'}\n${b[i] ?? '(end)'}`;
  }
  return undefined;
}

const trace = suite('boot: the trace');
const sources = runBoot(SETTING);

trace('the trace is one of a whole boot', () => {
  assert.is(sources.report.verdict, 'clean');
  const kinds = new Set(sources.trace.map((line) => (JSON.parse(line) as { kind: string }).kind));
  for (const kind of ['cpuid', 'wrmsr', 'hypercall', 'host-message', 'ring-packet', 'frame']) {
    assert.ok(kinds.has(kind), kind);
  }
  for (const kind of ['grant', 'revoke', 'vmbus', 'boot-step', 'ledger', 'log', 'signal']) {
    assert.ok(kinds.has(kind), kind);
  }
});

trace('time never runs backwards', () => {
  let last = 0;
  for (const line of sources.trace) {
    const { ms } = JSON.parse(line) as { ms: number };
    assert.ok(ms >= last, line);
    last = ms;
  }
});

trace('the same seed gives the same trace', () => {
  assert.is(difference(sources.trace, runBoot(SETTING).trace), undefined);
});

// With all parts the time comes from the reference TSC page
const parts = runBoot({ ...SETTING, firmware: withParts as Firmware });

for (const [form, firmware] of Object.entries(FIRMWARES)) {
  trace(`the trace of the sources: ${form}`, () => {
    const { trace } = runBoot({ ...SETTING, firmware });
    const expected = form.startsWith('os') ? parts : sources;
    assert.is(difference(expected.trace, trace), undefined);
  });
}

trace('another seed gives another trace, also where only the faults are random', () => {
  const other = runBoot({ ...SETTING, seed: 8 });
  assert.is(other.report.verdict, 'clean');
  assert.is.not(difference(sources.trace, other.trace), undefined);
});

trace('whether somebody reads the events changes nothing', () => {
  const silent = runBoot({ ...SETTING, trace: false });
  assert.is(silent.report.endedAt, sources.report.endedAt);
  assert.equal(silent.report.counts, sources.report.counts);
});

trace('a boot within a boot: nothing is shared between two machines', () => {
  const inner: (readonly string[])[] = [];
  const firmware: Firmware = {
    boot(machine, options) {
      // In the middle of the download, on another machine, by the same bundle
      const events = (event: FirmwareEvent): void => {
        const begun = event.kind === 'progress' && event.received > 0;
        if (begun && inner.length === 0) inner.push(runBoot(SETTING).trace);
        options?.events?.(event);
      };
      return FIRMWARES.bundle.boot(machine, { ...options, events });
    },
  };
  const outer = runBoot({ ...SETTING, firmware });
  assert.is(inner.length, 1);
  assert.is(difference(sources.trace, inner[0]!), undefined);
  assert.is(difference(sources.trace, outer.trace), undefined);
});

trace.run();
