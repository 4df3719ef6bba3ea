// SPDX-License-Identifier: GPL-2.0-or-later

/** The replay with firmware that does something else: each deviation is found, none hangs it. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ReplayError } from '../../../tools/replay/replay-error.ts';
import * as sources from '../../../src/index.ts';
import type { X64Machine } from '../../../src/machine.ts';
import {
  asFirmware,
  parseTrace,
  replayTrace,
  reportJson,
  reportText,
} from '../../../tools/replay/index.ts';
import type { Firmware, ReplayResult } from '../../../tools/replay/index.ts';
import { TRACE_NAMES, readTrace, traceText } from '../../rigs/replay-rig.ts';
import type { LooseTrace } from '../../rigs/replay-rig.ts';

/** The firmware on a machine in which some calls are replaced. */
function deviating(change: (machine: X64Machine) => Partial<X64Machine>): Firmware {
  return {
    createDriver: (machine, options) => {
      const { architecture, memory, memoryMap } = machine;
      const whole: X64Machine = {
        architecture,
        memory,
        memoryMap,
        pause: () => machine.pause(),
        cpuid: (leaf, subleaf) => machine.cpuid(leaf, subleaf),
        rdmsr: (msr) => machine.rdmsr(msr),
        wrmsr: (msr, value) => machine.wrmsr(msr, value),
        callHypercallPage: (...call) => machine.callHypercallPage(...call),
        ...change(machine),
      };
      return sources.createDriver(whole, options);
    },
  };
}

function failures(result: ReplayResult): string {
  return result.failures
    .map(({ difference: { kind, type, expected, actual } }) =>
      [kind, type, (expected ?? actual)!.label].join(' '),
    )
    .join('\n');
}

const guests = suite('replay of other guests');

guests('another register value is shown with both sides', () => {
  const result = replayTrace(
    deviating((machine) => ({
      wrmsr: (msr, value) => machine.wrmsr(msr, msr === 0x40000092 ? value | 0x40000n : value),
    })),
    readTrace('01-boot'),
  );
  assert.not(result.ok);
  assert.match(reportText(result), /register changed: SINT2/);
  assert.match(reportText(result), /differs: value: recorded 0x20075, guest 0x60075/);
});
guests('a register that is not written, one too many', () => {
  const forget = deviating((machine) => ({
    wrmsr: (msr, value) => {
      if (msr !== 0x40000082) machine.wrmsr(msr, value);
    },
  }));
  assert.match(failures(replayTrace(forget, readTrace('19-no-netvsc'))), /register missing SIEFP/);
  const more = deviating((machine) => ({
    wrmsr: (msr, value) => {
      machine.wrmsr(msr, value);
      if (msr === 0x40000080) machine.wrmsr(0x400000b0, 3n);
    },
  }));
  assert.match(failures(replayTrace(more, readTrace('19-no-netvsc'))), /extra STIMER0_CONFIG/);
});
guests('signals that the ring calls for but the guest does not send', () => {
  const silent = deviating((machine) => ({
    callHypercallPage: (page, control, input, output) =>
      (control & 0xffffn) === 0x5dn ? 0n : machine.callHypercallPage(page, control, input, output),
  }));
  // Nobody looks at the ring: nothing is answered
  assert.match(failures(replayTrace(silent, readTrace('01-boot'))), /result changed probe/);
});
guests('a signal too many is no effect', () => {
  const noisy = deviating((machine) => ({
    callHypercallPage: (page, control, input, output) => {
      if ((control & 0xffffn) === 0x5dn) machine.callHypercallPage(page, control, input, output);
      return machine.callHypercallPage(page, control, input, output);
    },
  }));
  assert.ok(replayTrace(noisy, readTrace('01-boot')).ok);
});
guests('a message that is changed on its way', () => {
  const other = deviating((machine) => ({
    callHypercallPage: (page, control, input, output) => {
      const view = new DataView(machine.memory, Number(input));
      const open = (control & 0xffffn) === 0x5cn && view.getUint32(16, true) === 5;
      if (open) view.setUint32(16 + 20, 3, true);
      return machine.callHypercallPage(page, control, input, output);
    },
  }));
  const text = reportText(replayTrace(other, readTrace('01-boot')));
  assert.match(text, /message changed: OPEN_CHANNEL/);
  assert.match(text, /differs: VMBUS\.targetVp: recorded 0x0, guest 0x3/);
});
guests('a call of a page that is not the hypercall page ends the guest', () => {
  const lost = deviating((machine) => ({
    callHypercallPage: (page, control, input, output) =>
      machine.callHypercallPage(page + 4096, control, input, output),
  }));
  const result = replayTrace(lost, readTrace('01-boot'));
  assert.match(failures(result), /livelock extra call of the unmapped hypercall page/);
  assert.match(result.log.at(-1)!.text, /is not the hypercall page/);
});
guests('a guest that polls for ever is ended', () => {
  const stuck: Firmware = {
    createDriver: (machine) => ({
      devices: [],
      probe: () => {
        for (;;) machine.pause();
      },
      remove: () => undefined,
      quiesce: () => undefined,
      unquiesce: () => undefined,
    }),
  };
  const result = replayTrace(stuck, readTrace('10b-not-hyperv'));
  assert.match(failures(result), /livelock extra the guest makes no progress/);
});
guests('a guest that throws something else, and one that does nothing', () => {
  const firmware = (probe: () => void): Firmware => ({
    createDriver: () => ({
      devices: [],
      probe,
      remove: () => undefined,
      quiesce: () => undefined,
      unquiesce: () => undefined,
    }),
  });
  const crash = firmware(() => {
    throw new TypeError('undefined is not a function');
  });
  const text = reportText(replayTrace(crash, readTrace('10b-not-hyperv')));
  assert.match(text, /recorded ENODEV, guest crash: TypeError: undefined is not a function/);
  const idle = replayTrace(
    firmware(() => undefined),
    readTrace('01-boot'),
  );
  assert.match(failures(idle), /message missing INITIATE_CONTACT/);
  assert.match(failures(idle), /result changed open/);
});
guests('a bundle without the entry point has a name', () => {
  for (const module of [undefined, {}, { createDriver: 1 }])
    assert.throws(
      () => asFirmware(module),
      (error: Error) => error.name === 'NoEntryPoint',
    );
});
guests('a driver that never pauses is answered late, and found out', () => {
  const hasty = deviating(() => ({ pause: () => undefined }));
  const result = replayTrace(hasty, readTrace('19-no-netvsc'));
  assert.not(result.ok);
});
guests('the report as JSON', () => {
  const json = JSON.parse(
    JSON.stringify(reportJson(replayTrace(asFirmware(sources), readTrace('12f-unknown-pageset')))),
  );
  assert.is(json.ok, true);
  assert.equal(json.counts.receive, undefined);
  assert.equal(json.counts['receive-error'], { recorded: 0, guest: 1, same: 0 });
  assert.equal(json.failures, []);
  const met = json.deliberate.find(({ id }: { id: string }) => id === 'bad-packets-are-consumed');
  assert.equal(met.sources, ['5.3', 'observation 9']);
});
guests.run();

/** Runs of the random test, and what decides them; SEED=N and RUNS=N try others. */
const SEED = Number(process.env['SEED'] ?? 1);
const RANDOM_RUNS = Number(process.env['RUNS'] ?? 25);

const random = suite('replay of damaged recordings');
random('events removed, repeated, exchanged: an answer or a named error', () => {
  // Never 0: nothing would come out of it
  let state = (SEED << 1) | 1;
  const below = (n: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
  for (let run = 0; run < RANDOM_RUNS; run++) {
    const name = TRACE_NAMES[below(TRACE_NAMES.length)]!;
    const trace = JSON.parse(traceText(name)) as LooseTrace;
    const { events } = trace;
    for (let i = 0; i < 4; i++) {
      const [a, b] = [below(events.length), below(events.length)];
      const kind = below(3);
      if (kind === 0) events.splice(a, 1);
      if (kind === 1) events.splice(b, 0, structuredClone(events[a]!));
      if (kind === 2) [events[a], events[b]] = [events[b]!, events[a]!];
    }
    try {
      replayTrace(asFirmware(sources), parseTrace(JSON.stringify(trace)));
    } catch (error) {
      assert.instance(
        error,
        ReplayError,
        `SEED=${SEED}, run ${run}, ${name}: ${(error as Error).stack}`,
      );
    }
  }
});
random.run();
