// SPDX-License-Identifier: GPL-2.0-or-later

/** Every golden trace of iPXE replays, on sources and bundle, and the replay can fail. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { DIFFERENCES, asFirmware, replayTrace, reportText } from '../../../tools/replay/index.ts';
import type { Firmware, ReplayResult } from '../../../tools/replay/index.ts';
import type { Difference } from '../../../tools/replay/compare.ts';
import { TRACE_NAMES, changedTrace, flipped, readTrace } from '../../rigs/replay-rig.ts';
import type { LooseEvent } from '../../rigs/replay-rig.ts';

const SOURCES = asFirmware(sources);

/** Sessions in which hypxe differs on purpose, with the rules that show and in how many effects. */
const DELIBERATE: Readonly<Record<string, string>> = {
  '01-boot': 'ranges-in-order 2',
  '03-rndis-indications': 'keepalive-answered 3, short-frames-rejected 3',
  '04-quiesce-unquiesce':
    'close-leaves-nothing-behind 1, old-channel-not-closed 2, ranges-in-order 2',
  '05b-rescind-in-offers': 'bus-survives 30',
  '07-tx-exhaustion': 'deferral-is-no-error 3',
  '08f-post-fail-open-channel': 'ring-gpadl-torn-down 2',
  '09-no-version-response': 'pages-kept-without-unload 2',
  '09g-open-refused': 'ring-gpadl-torn-down 2',
  '11-teardown-unanswered': 'close-leaves-nothing-behind 1',
  '12a-underlength-header': 'bad-packets-are-consumed 4, drops-are-counted 2',
  '12c-overlength-packet': 'bad-packets-are-consumed 3, drops-are-counted 2',
  '12f-unknown-pageset':
    'bad-packets-are-consumed 4, every-packet-completed 1, drops-are-counted 2',
  '12g-range-out-of-bounds': 'bad-packets-are-consumed 4',
  '12i-wrong-nvsp-type': 'every-packet-completed 1, drops-are-counted 2, error-classes 1',
};

/** A SINT that is masked is as it is at reset: once in each session that gets so far. */
const MASKED_SINT = 'sints-as-at-reset';

function deliberate(result: ReplayResult): string {
  return result.deliberate
    .filter(({ entry }) => entry.id !== MASKED_SINT)
    .map(({ entry, count }) => `${entry.id} ${count}`)
    .join(', ');
}

function expectReplay(firmware: Firmware, name: string): void {
  const result = replayTrace(firmware, readTrace(name));
  assert.is(result.failures.length, 0, reportText(result));
  assert.ok(result.ok, reportText(result));
  assert.is(deliberate(result), DELIBERATE[name] ?? '');
  assert.equal(result.notes, []);
}

const onSources = suite('replay of the sources');
for (const name of TRACE_NAMES) onSources(name, () => expectReplay(SOURCES, name));
onSources('a step that the file does not finish is compared as far as it goes', () => {
  const [messages] = ['message'].map((kind) =>
    replayTrace(SOURCES, readTrace('13-wraparound')).counts.find((count) => count.kind === kind),
  );
  assert.equal(messages, { kind: 'message', recorded: 2, guest: 2, same: 2 });
  const other = changedTrace('13-wraparound', ({ events }) => {
    // Another version in the first contact
    const contact = events.find(({ op, code }) => op === 'hypercall' && code === '0x5c')!;
    contact['input'] = String(contact['input']).replace('00000300', '00000400');
  });
  const { failures } = replayTrace(SOURCES, other);
  assert.ok(failures.some(({ difference }) => difference.kind === 'message'));
});
onSources('compares what a boot does', () => {
  const counts = new Map(
    replayTrace(SOURCES, readTrace('01-boot')).counts.map((count) => [count.kind, count]),
  );
  // As many as iPXE in trace 01; the frames of one packet come in their order, and the SINT is
  // left as at reset
  for (const [kind, count] of [
    ['register', 12],
    ['message', 17],
    ['packet', 18],
    ['answer', 11],
    ['sent', 3],
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
  ['01-boot', 'the GPADL of a teardown', (e) => flip(e, 'hypercall', '0b000000', -1)],
  ['01-boot', 'a reserved byte of UNLOAD', (e) => flip(e, 'hypercall', '10000000', 20)],
  ['01-boot', 'the flags of a packet', (e) => flip(e, 'ring-write', '0600', 6)],
  ['01-boot', 'the version in NVSP INIT', (e) => flip(e, 'ring-write', '0600', 20)],
  ['01-boot', 'the footer of a completion', (e) => flip(e, 'ring-write', '0b00', -4)],
  ['01-boot', 'the length of a range', (e) => flip(e, 'ring-write', '0900', 24)],
  ['01-boot', 'the last byte of a range', (e) => flipField(e, 'ring-write', 'gpaData', -1)],
  ['01-boot', 'a received frame', (e) => flipField(e, 'netdev-rx', 'frame', 0)],
  ['01-boot', 'the permanent address', (e) => flipField(e, 'netdev', 'hwAddr', 5)],
  ['01-boot', 'the current address', (e) => flipField(e, 'netdev', 'llAddr', 5)],
  ['01-boot', 'the guest OS ID', (e) => set(e, 'wrmsr', 'value', '0x98ae000000000001')],
  ['01-boot', 'the result of a step', (e) => set(e, 'step', 'err', 'EIO')],
  ['01-boot', 'the link', (e) => set(e, 'link', 'up', false)],
  ['01-boot', 'the result of a frame', (e) => set(e, 'netdev-tx-complete', 'err', 'EIO')],
  ['01-boot', 'the counters', (e) => set(e, 'netdev-stats', 'rxBad', 1)],
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

/** Differences that no rule explains: failures, and those of which the guest is plainly right. */
function seen({ failures, principled }: ReplayResult): readonly Difference[] {
  return [...failures, ...principled].map(({ difference }) => difference);
}

const canFail = suite('a changed recording is seen');
for (const [name, what, change] of CHANGES) {
  canFail(`${name}: ${what}`, () => {
    const result = replayTrace(
      SOURCES,
      changedTrace(name, (trace) => {
        assert.ok(trace.events.some(change), 'nothing was changed');
      }),
    );
    assert.ok(seen(result).length > 0, reportText(result));
    if (result.ok) return;
    // Both sides are shown where there are two
    const text = reportText(result);
    assert.match(text, /(recorded|with the defect): /);
    assert.match(text, /(guest|required): /);
  });
}
for (const op of ['netdev-rx', 'netdev-tx-complete', 'link']) {
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
    assert.ok(seen(result).some(({ type }) => type === 'extra'));
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
canFail('a step that is not known is noted and skipped', () => {
  const result = replayTrace(
    SOURCES,
    changedTrace('10b-not-hyperv', ({ events }) => {
      events.push({ op: 'step', name: 'timer-wait', phase: 'begin' });
      events.push({ op: 'step', name: 'timer-wait', phase: 'end' });
    }),
  );
  assert.ok(result.ok);
  assert.match(result.unsupported.join(), /step 1 "timer-wait" is not known/);
  assert.match(reportText(result), /not replayed\n    step 1 "timer-wait"/);
});
canFail.run();

const list = suite('list of deliberate differences');
list('is complete, and its names are unique', () => {
  assert.is(new Set(DIFFERENCES.map((entry) => entry.id)).size, DIFFERENCES.length);
  for (const { id, title, ipxe, hypxe, why } of DIFFERENCES)
    for (const text of [title, ipxe, hypxe, why]) assert.ok(text.length >= 8, id);
});
list.run();
