// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The golden sessions on other hosts: each change of `host-variants.ts` on some of them, and all of
 * them in turn by SEED=N. The verdict stays what it is, and so do the rules that it names.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { asFirmware, parseTrace, replayTrace, reportText } from '../../../tools/replay/index.ts';
import type { ReplayResult } from '../../../tools/replay/index.ts';
import {
  hostPacket,
  otherHost,
  put,
  recordOn,
  reference,
  stepBegin,
} from '../../rigs/lab/lab-rig.ts';
import { HOST_VARIANTS } from '../../rigs/lab/host-variants.ts';
import { TRACE_NAMES, readTrace, traceText, type LooseTrace } from '../../rigs/replay-rig.ts';

const SEED = Number(process.env['SEED'] ?? 1);

/** One session in so many takes each change. */
const EACH = 13;

/** Sessions in which a change shows what others do not have. */
const ALWAYS: Readonly<Record<string, string>> = {
  'monitors renumbered': '14-monitored',
  'frames alike': '07-tx-exhaustion',
  'longer rings': '13-wraparound',
  'sections across pages': '01-boot',
};

const SOURCES = asFirmware(sources);

/** What a report says, as far as it must not change. */
function said({ ok, deliberate, principled, notes }: ReplayResult): unknown {
  const rules = deliberate.map(({ entry, count }) => `${entry.id} ${count}`);
  return { ok, rules, principled: principled.length, notes };
}

const hosts = suite('golden sessions on other hosts');

Object.entries(HOST_VARIANTS).forEach(([variant, change], i) => {
  const names = TRACE_NAMES.filter(
    (name, j) => (i + j + SEED) % EACH === 0 || ALWAYS[variant] === name,
  );
  hosts(`${variant}: ${names.join(', ')}`, () => {
    for (const name of names) {
      const trace = JSON.parse(traceText(name)) as LooseTrace;
      for (const field of ['digest', 'counts', 'eventCount']) delete trace[field];
      change(trace);
      const result = replayTrace(SOURCES, parseTrace(JSON.stringify(trace)));
      const golden = replayTrace(SOURCES, readTrace(name));
      assert.equal(said(result), said(golden), `${name}\n${reportText(result)}`);
    }
  });
});

hosts('indices of a ring that is longer than the guest’s own', () => {
  const host = otherHost('01-boot', (events) => {
    const poll = ['begin', 'end'].map((phase) => ({ op: 'step', name: 'poll', phase }));
    const nvsp = '6b00000001000000ffffffff'.padEnd(64, '0');
    const packets = Array.from({ length: 100 }, (_, i) => {
      const id = put('00'.repeat(8), 0, 4, 0x2000 + i);
      return hostPacket(`0700030007000100${id}adbe000000000000${nvsp}`.padEnd(128, '0'));
    });
    const more = [0, 25, 50, 75].flatMap((from) => [
      ...packets.slice(from, from + 25),
      ...poll,
      { op: 'delay', ms: 5, by: 'harness' },
    ]);
    events.splice(stepBegin(events, 'transmit'), 0, ...more);
  });
  const session = recordOn(host, reference(), 'reference guest (iPXE)');
  const loose = structuredClone({ ...session, ram: undefined }) as unknown as LooseTrace;
  HOST_VARIANTS['longer rings']!(loose);
  const written = loose.events.filter(({ op }) => op === 'host-ring-write');
  assert.ok(written.some(({ prod }) => (prod as readonly number[])[1]! > 4096));
  const { ram } = session;
  const [base, size] = [ram.base, ram.size].map((bytes) => `0x${bytes.toString(16)}`);
  const other = parseTrace(JSON.stringify({ ...loose, ram: { base, size } }));
  const [now, before] = [other, session].map((each) => replayTrace(SOURCES, each));
  assert.equal(said(now!), said(before!), reportText(now!));
});

hosts.run();
