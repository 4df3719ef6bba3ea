// SPDX-License-Identifier: GPL-2.0-or-later

/** Every golden trace of iPXE replays, on sources and bundle, and the replay can fail. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { DIFFERENCES, asFirmware, replayTrace, reportText } from '../../../tools/replay/index.ts';
import type { Firmware, ReplayResult } from '../../../tools/replay/index.ts';
import { TRACE_NAMES, changedTrace, flipped, readTrace } from '../../rigs/replay-rig.ts';
import type { LooseEvent } from '../../rigs/replay-rig.ts';

const SOURCES = asFirmware(sources);

/** Traces in which hypxe differs on purpose, with the entries and how many traces each leaves. */
const DELIBERATE: Readonly<Record<string, string>> = {
  '01-boot': 'prompt-waits 14, ranges-in-order 2',
  '03-rndis-indications': 'prompt-waits 14, keepalive-answered 3, short-frames-rejected 3',
  '04-quiesce-unquiesce': 'prompt-waits 18, old-channel-not-closed 2, ranges-in-order 2',
  '04c-quiesce-closed': 'prompt-waits 20',
  '05-unsolicited': 'prompt-waits 14',
  '05b-rescind-in-offers': 'bus-survives 3',
  '06-message-queueing': 'prompt-waits 14',
  '06c-foreign-sint': 'prompt-waits 8',
  '07-tx-exhaustion': 'prompt-waits 14, deferral-is-no-error 3',
  '07d-interrupt-mask': 'prompt-waits 14',
  '08f-post-fail-open-channel': 'ring-gpadl-torn-down 2',
  '09-no-version-response': 'pages-kept-without-unload 1',
  '09f-no-revoke-completion': 'prompt-waits 14',
  '09g-open-refused': 'ring-gpadl-torn-down 2',
  '11-teardown-unanswered': 'prompt-waits 14',
  '12a-underlength-header': 'prompt-waits 14, bad-packets-are-consumed 6',
  '12c-overlength-packet': 'prompt-waits 14, bad-packets-are-consumed 3',
  '12f-unknown-pageset': 'prompt-waits 14, bad-packets-are-consumed 6',
  '12g-range-out-of-bounds': 'prompt-waits 14, bad-packets-are-consumed 6',
  '12i-wrong-nvsp-type': 'prompt-waits 14, every-packet-completed 5',
  '14-monitored': 'prompt-waits 14',
  '18-reopen-reprobe': 'prompt-waits 40',
  '20a-rndis-init-status': 'prompt-waits 2',
  '20g-rndis-link-down': 'prompt-waits 14',
};

/** A SINT that is masked is as it is at reset: once in each trace that gets so far. */
const MASKED_SINT = 'sints-as-at-reset';

function deliberate(result: ReplayResult): string {
  return result.deliberate
    .filter(({ entry }) => entry.id !== MASKED_SINT)
    .map(({ entry, differences }) => `${entry.id} ${differences.length}`)
    .join(', ');
}

function expectReplay(firmware: Firmware, name: string): void {
  const result = replayTrace(firmware, readTrace(name));
  assert.is(result.failures.length, 0, reportText(result));
  assert.ok(result.ok, reportText(result));
  assert.is(deliberate(result), DELIBERATE[name] ?? '');
  assert.equal(result.notes, []);
  const masked = readTrace(name).events.filter(
    (event) =>
      event.op === 'wrmsr' && BigInt(event.msr) === 0x40000092n && event.value === '0x10075',
  );
  const found = result.deliberate.find(({ entry }) => entry.id === MASKED_SINT);
  assert.is(found?.differences.length ?? 0, masked.length);
}

const onSources = suite('replay of the sources');
for (const name of TRACE_NAMES) onSources(name, () => expectReplay(SOURCES, name));
onSources('compares what a boot does', () => {
  const counts = new Map(
    replayTrace(SOURCES, readTrace('01-boot')).counts.map((count) => [count.kind, count]),
  );
  // As many as iPXE in trace 01; the frames of one packet come in their order, and the SINT is
  // left as at reset
  for (const [kind, count] of [
    ['register', 12],
    ['message', 17],
    ['packet', 32],
    ['range', 13],
    ['frame', 4],
    ['completion', 3],
    ['link', 2],
    ['device', 2],
    ['result', 5],
  ] as const) {
    assert.is(counts.get(kind)!.recorded, count, kind);
    assert.is(counts.get(kind)!.guest, count, kind);
    const other = kind === 'frame' || kind === 'register' ? 1 : 0;
    assert.is(counts.get(kind)!.same, count - other, kind);
  }
});
onSources('two replays do the same', () => {
  const [one, two] = [0, 1].map(() => replayTrace(SOURCES, readTrace('03-rndis-indications')));
  assert.is(JSON.stringify(one!.counts), JSON.stringify(two!.counts));
  assert.is(JSON.stringify(one!.log), JSON.stringify(two!.log));
});
onSources.run();

const onBundle = suite('replay of the bundle');
const bundle = new URL('../../../dist/hypxe.js', import.meta.url).href;
for (const name of TRACE_NAMES)
  onBundle(name, async () => expectReplay(asFirmware(await import(bundle)), name));
onBundle.run();

/** Change one event of a kind in a way that the guest cannot follow. */
const CHANGES: readonly (readonly [string, string, (event: LooseEvent) => boolean])[] = [
  ['01-boot', 'the last byte of INITIATE_CONTACT', (e) => flip(e, 'hypercall', '0e000000', -1)],
  ['01-boot', 'a page number of a GPADL', (e) => flip(e, 'hypercall', '08000000', -8)],
  ['01-boot', 'the open ID', (e) => flip(e, 'hypercall', '05000000', 28)],
  ['01-boot', 'the GPADL of a teardown', (e) => flip(e, 'hypercall', '0b000000', -1)],
  ['01-boot', 'a reserved byte of UNLOAD', (e) => flip(e, 'hypercall', '10000000', 20)],
  ['01-boot', 'the flags of a packet', (e) => flip(e, 'ring-write', '0600', 6)],
  ['01-boot', 'the version in NVSP INIT', (e) => flip(e, 'ring-write', '0600', 20)],
  ['01-boot', 'the footer of a completion', (e) => flip(e, 'ring-write', '0b00', -4)],
  ['01-boot', 'the transaction of a completion', (e) => flip(e, 'ring-write', '0b00', 8)],
  ['01-boot', 'the slot of a frame', (e) => flip(e, 'ring-write', '0900', 8)],
  ['01-boot', 'the length of a range', (e) => flip(e, 'ring-write', '0900', 24)],
  ['01-boot', 'the contents of a range', (e) => flipField(e, 'ring-write', 'gpaData', 8)],
  ['01-boot', 'the last byte of a range', (e) => flipField(e, 'ring-write', 'gpaData', -1)],
  ['01-boot', 'a received frame', (e) => flipField(e, 'netdev-rx', 'frame', 0)],
  ['01-boot', 'the permanent address', (e) => flipField(e, 'netdev', 'hwAddr', 5)],
  ['01-boot', 'the current address', (e) => flipField(e, 'netdev', 'llAddr', 5)],
  ['01-boot', 'the guest OS ID', (e) => set(e, 'wrmsr', 'value', '0x98ae000000000001')],
  ['01-boot', 'the result of a step', (e) => set(e, 'step', 'err', 'EIO')],
  ['01-boot', 'the link', (e) => set(e, 'link', 'up', false)],
  ['01-boot', 'the result of a frame', (e) => set(e, 'netdev-tx-complete', 'err', 'EIO')],
  ['01-boot', 'the counters', (e) => set(e, 'netdev-stats', 'rxBad', 1)],
  ['01-boot', 'the channel of an interrupt bit', (e) => set(e, 'guest-mem-write', 'bytes', '40')],
  ['01-boot', 'the event connection', (e) => flip(e, 'hypercall', '02000000', 0)],
  ['14-monitored', 'the monitor bit', (e) => monitor(e)],
  ['07-tx-exhaustion', 'a deferred frame', (e) => set(e, 'netdev-tx-defer', 'frameNo', 39)],
  ['03-rndis-indications', 'a receive error', (e) => set(e, 'netdev-rx-err', 'err', 'EIO')],
  ['03-rndis-indications', 'its bytes', (e) => flipField(e, 'netdev-rx-err', 'data', 0)],
  ['08a-post-fail-initiate', 'the error of a probe', (e) => set(e, 'step', 'err', 'EPROTO')],
  ['02-host-2.4-only', 'a refusal', (e) => set(e, 'step', 'err', 'OK')],
  ['10c-no-hypercall-msr', 'an error class', (e) => set(e, 'step', 'err', 'EACCES')],
];

function flipField(event: LooseEvent, op: string, field: string, at: number): boolean {
  if (event.op !== op || typeof event[field] !== 'string') return false;
  event[field] = flipped(event[field], at);
  return true;
}

/** Flip a byte of a hypercall's input or a packet, if its message or packet begins with `start`. */
function flip(event: LooseEvent, op: string, start: string, at: number): boolean {
  const field = op === 'hypercall' ? 'input' : 'bytes';
  const hex = String(event[field]);
  // Posted messages have 16 bytes in front; a signal is the input
  const from = op === 'hypercall' && hex.length > 16 ? 32 : 0;
  if (event.op !== op || !hex.startsWith(start, from)) return false;
  return flipField(event, op, field, at);
}

function set(event: LooseEvent, op: string, field: string, value: unknown): boolean {
  if (event.op !== op || event[field] === undefined || event[field] === value) return false;
  event[field] = value;
  return true;
}

function monitor(event: LooseEvent): boolean {
  return event['purpose'] === 'monitor-out' && set(event, 'guest-mem-write', 'bytes', '08');
}

const canFail = suite('a changed recording fails');
for (const [name, what, change] of CHANGES) {
  canFail(`${name}: ${what}`, () => {
    const result = replayTrace(
      SOURCES,
      changedTrace(name, (trace) => {
        assert.ok(trace.events.some(change), 'nothing was changed');
      }),
    );
    assert.not(result.ok, reportText(result));
    // Both sides are shown where there are two
    const { difference } = result.failures[0]!;
    const text = reportText(result);
    if (difference.type === 'changed') assert.match(text, /differs: \S+: recorded .+, guest .+/);
    assert.match(text, /recorded: /);
    assert.match(text, /guest: /);
  });
}
for (const op of ['wrmsr', 'hypercall', 'ring-write', 'netdev-rx', 'netdev-tx-complete', 'link']) {
  canFail(`01-boot: a ${op} is missing`, () => {
    const result = replayTrace(
      SOURCES,
      changedTrace('01-boot', ({ events }) => {
        events.splice(
          events.findIndex((event) => event.op === op),
          1,
        );
      }),
    );
    assert.not(result.ok);
    assert.ok(result.failures.some(({ difference }) => difference.type === 'extra'));
  });
}
canFail('01-boot: stale bytes do not count', () => {
  const result = replayTrace(
    SOURCES,
    changedTrace('01-boot', ({ events }) => {
      for (const event of events) if (event['stale']) event['bytes'] = flipped(event['bytes'], 17);
    }),
  );
  assert.ok(result.ok, reportText(result));
  assert.match(result.warnings.join(), /digest\.events/);
});
canFail('a step that cannot be driven is a finding', () => {
  const result = replayTrace(
    SOURCES,
    changedTrace('10b-not-hyperv', ({ events }) => {
      events.push({ op: 'step', name: 'timer-wait', phase: 'begin' });
      events.push({ op: 'step', name: 'timer-wait', phase: 'end' });
    }),
  );
  assert.not(result.ok);
  assert.is(result.failures.length, 0);
  assert.match(result.unsupported.join(), /step 1 "timer-wait" is not supported/);
  assert.match(reportText(result), /^10b-not-hyperv: 1 step not replayed/);
});
canFail.run();

const list = suite('list of deliberate differences');
list('names every defect and every observation', () => {
  const named = new Set(DIFFERENCES.flatMap((entry) => entry.sources));
  const known = [
    ...Array.from({ length: 20 }, (_, i) => `5.${i + 1}`),
    ...Array.from({ length: 37 }, (_, i) => `observation ${i + 1}`),
  ];
  assert.equal([...named].sort(), known.sort());
});
list('is complete, and its names are unique', () => {
  assert.is(new Set(DIFFERENCES.map((entry) => entry.id)).size, DIFFERENCES.length);
  for (const { id, title, ipxe, hypxe, why, handling, matches } of DIFFERENCES) {
    for (const text of [title, ipxe, hypxe, why]) assert.ok(text.length >= 8, id);
    // What is kept leaves no differences
    if (handling !== 'fixed') assert.is(matches, undefined, id);
  }
});
list.run();
