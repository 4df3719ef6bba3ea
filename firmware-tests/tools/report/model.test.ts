// SPDX-License-Identifier: GPL-2.0-or-later

/** What a page shows, made from events: lanes, answers, checks, the comparison. No browser. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import { compare } from '../../../tools/report/model/compare.ts';
import { leaks, type Lane } from '../../../tools/report/model/lanes.ts';
import { channelsOf, decode, layerOf, messageOf } from '../../../tools/report/model/message.ts';
import { modelOf, type Model } from '../../../tools/report/model/model.ts';
import { slim } from '../../../tools/report/read-trace.ts';
import { LEAK, answer, bootModel, madeTrace, post, tracedBoot } from '../../rigs/report/traces.ts';

const report = suite('report: model');

const M = MessageType;

/** The line of an event, by its number. */
function line(model: Model, at: number | undefined): string {
  const message = at === undefined ? undefined : messageOf(model.events[at]!, model.channels);
  return message === undefined ? '' : `${message.name} ${message.detail}`.trim();
}

const laneNamed = ({ lanes }: Model, purpose: RegExp): Lane =>
  lanes.find((lane) => purpose.test(lane.purpose))!;

report('a clean boot: owners, handoffs, and no lane that crosses one', () => {
  const model = bootModel();
  assert.equal(
    model.stages.map(({ name }) => name),
    ['firmware', 'OS', 'second boot'],
  );
  assert.equal(
    model.handoffs.map(({ stage, end }) => `${stage}: ${end}`),
    ['firmware: handoff', 'OS: shutdown', 'second boot: handoff'],
  );
  assert.is(model.verdict, 'clean');
  assert.equal(
    model.lanes.filter((lane) => lane.crossings.length > 0),
    [],
  );
  assert.ok(model.lanes.every(({ spans }) => spans.every(({ to }) => to < model.events.length)));
  assert.is(model.checks.length, 18);
  assert.ok(model.checks.every(({ state }) => state === 'ok'));
});

report('a GPADL says what it was for, by which message it came, and what revoked it', () => {
  const model = bootModel();
  const rings = laneNamed(model, /^rings of channel 3/);
  const gpadl = /0x[\da-f]+/.exec(rings.purpose)![0];
  assert.match(line(model, rings.cause), new RegExp(`^GPADL_HEADER channel 3, gpadl ${gpadl}`));
  assert.match(line(model, rings.revokedCause), new RegExp(`^GPADL_TEARDOWN .*gpadl ${gpadl}`));
  const page = laneNamed(model, /^message page of VP 0/);
  assert.match(line(model, page.cause), /^write SIMP 0x[\da-f]+1$/);
  assert.is(line(model, page.revokedCause), 'write SIMP 0x0');
  assert.is(line(model, laneNamed(model, /^interrupt page/).revokedCause), 'UNLOAD');
});

report(
  'a leak: its lanes cross the handoff, are written late, and are what findings link to',
  () => {
    const model = bootModel({ firmware: LEAK });
    const bad = model.lanes.filter((lane) => leaks(lane, model.handoffs));
    const kinds = ['hypercall-page', 'message-page', 'event-page', 'interrupt-page'];
    for (const kind of kinds)
      assert.ok(
        bad.some((lane) => lane.kind === kind),
        kind,
      );
    assert.is(bad.filter(({ kind }) => kind === 'gpadl').length, 2);
    for (const lane of bad) {
      if (lane.access !== 'write') continue;
      const [written] = lane.lateWrites;
      assert.is(model.events[written!]?.kind, 'late-write', lane.purpose);
      assert.ok(written! > model.handoffs[0]!.at);
    }
    const channels = model.checks.find(({ check }) => check === 'channels')!;
    assert.is(channels.state, 'error');
    const linked = channels.groups.flatMap(({ lanes }) => lanes);
    const gpadls = bad.filter(({ kind }) => kind === 'gpadl').map(({ id }) => id);
    assert.equal([...linked].sort(), gpadls.sort());
  },
);

report('a SAN boot keeps its connection on purpose: that is no leak', () => {
  const model = bootModel({ memoryMiB: 16, size: 8192, flow: { steps: ['san'] } });
  const [first] = model.handoffs;
  assert.is(first?.end, 'quiesce');
  const kept = model.lanes.filter(({ crossings }) => crossings.includes(0));
  assert.ok(kept.some(({ kind }) => kind === 'gpadl'));
  assert.not.ok(first!.final);
});

report('a finding of no check, or of what is none, is one of the run itself', () => {
  for (const check of ['toString', { toString: 1, valueOf: 1 }, null]) {
    const { checks } = modelOf(madeTrace({ kind: 'finding', severity: 'error', check, text: 'x' }));
    const [own] = checks.filter(({ groups }) => groups.length > 0);
    assert.is(own?.check, 'run');
  }
});

report('findings of a chain stand with their owner, alike ones as one group', () => {
  const model = bootModel({
    memoryMiB: 64,
    machine: { processors: 4 },
    flow: { steps: ['kexec', 'crash'] },
  });
  const groups = model.checks.flatMap((check) => check.groups);
  const warnings = groups.filter(({ known }) => known);
  assert.ok(warnings.some(({ texts, lanes }) => texts.length === 3 && lanes.length === 3));
  assert.ok(warnings.every(({ stage }) => stage === 'kexec 1'));
  assert.equal(
    model.handoffs.map(({ end }) => end),
    ['handoff', 'kexec', 'crash', 'power-off', 'handoff'],
  );
});

report('packets in flight are one lane; one that crosses a handoff is one of its own', () => {
  const packet = (id: number) => ({
    kind: 'grant',
    grant: {
      ...{ id, kind: 'packet', purpose: 'packet in flight', access: 'read', runs: [[5, 1]] },
      ...{ length: 64, grantedBy: 'GPA-direct packet', revokedWith: 'its completion' },
    },
  });
  const done = (id: number) => ({ kind: 'revoke', grant: { id, revokedBy: 'the completion' } });
  const { lanes, handoffs } = modelOf(
    madeTrace(
      ...[packet(1), done(1), packet(2), done(2), packet(3)],
      ...[{ kind: 'handoff', stage: 'firmware', end: 'handoff', memoryMap: [] }, done(3)],
    ),
  );
  assert.is(lanes.length, 2);
  const [all, alone] = lanes;
  assert.equal(all!.spans, [
    { from: 0, to: 1 },
    { from: 2, to: 3 },
  ]);
  assert.is(alone!.id, 3);
  assert.ok(leaks(alone!, handoffs));
});

report('each request has its answer; one that never came has none', () => {
  const { answers } = modelOf(
    madeTrace(
      post(M.INITIATE_CONTACT),
      answer(M.VERSION_RESPONSE, 1),
      post(M.GPADL_HEADER, 3, 0x11),
      post(M.GPADL_HEADER, 3, 0x12),
      answer(M.GPADL_CREATED, 3, 0x12, 0),
      { ...answer(M.GPADL_CREATED, 3, 0x11, 0), change: 'drop', reason: 'lost' },
      post(M.GPADL_TEARDOWN, 3, 0x12),
      answer(M.GPADL_TORNDOWN, 0x12),
      { ...post(M.UNLOAD), status: 5 },
    ),
  );
  assert.equal(
    [...answers],
    [
      [0, 1],
      [2, undefined],
      [3, 4],
      [6, 7],
    ],
  );
  // A whole boot has no request without an answer
  const boot = bootModel();
  assert.ok(boot.answers.size > 50);
  assert.equal(
    [...boot.answers].filter(([, at]) => at === undefined),
    [],
  );
});

report('RNDIS that a packet only refers to is in the trace, and decoded', () => {
  const events = slim(tracedBoot());
  const channels = channelsOf(events);
  assert.is(channels.get(3), 'network');
  const names = events
    .filter(({ kind, rndis }) => kind === 'ring-packet' && rndis !== undefined)
    .map((event) => decode(event, channels).at(-1)!.name);
  for (const name of ['INITIALISE', 'INITIALISE_CMPLT', 'QUERY', 'SET', 'HALT'])
    assert.ok(names.includes(name), name);
  assert.not.ok(names.includes('PACKET'));
});

report('the layer of an event is that of its line', () => {
  const events = slim(tracedBoot());
  const channels = channelsOf(events);
  for (const event of events) {
    assert.is(layerOf(event), messageOf(event, channels)?.layer, event.kind);
  }
});

report('two runs of one seed do the same; a leak parts where it gives nothing back', () => {
  const clean = slim(tracedBoot());
  const channels = channelsOf(clean);
  const same = compare(clean, channels, slim(tracedBoot()), channels);
  assert.equal(same.differences, []);
  assert.ok(same.same > 200, String(same.same));

  const leak = slim(tracedBoot({ firmware: LEAK }));
  const { differences, missing } = compare(leak, channelsOf(leak), clean, channels);
  assert.is(differences[0]?.type, 'missing');
  assert.is(differences[0]?.ms, clean[differences[0]!.event]!.ms);
  assert.match(differences[0]!.name, /^SET in SEND_RNDIS_PACKET/);
  const unload = differences.find(({ name }) => name === 'UNLOAD');
  assert.is(unload?.type, 'missing');
  assert.ok(missing >= differences.filter(({ type }) => type === 'missing').length);
});

report('a comparison finds the least that differs, wherever it is', () => {
  const types = [M.REQUEST_OFFERS, M.OPEN_CHANNEL, M.CLOSE_CHANNEL, M.UNLOAD, M.RESUME];
  const trace = (list: readonly number[]) => madeTrace(...list.map((type) => post(type)));
  const all = Array.from({ length: 40 }, (_, i) => types[(i * i + i) % types.length]!);
  for (let at = 0; at < all.length; at++) {
    const less = all.filter((_, i) => i !== at);
    const { missing, extra, same } = compare(trace(less), new Map(), trace(all), new Map());
    assert.equal([missing, extra, same], [1, 0, 39], `without ${at}`);
    const other = compare(trace(all), new Map(), trace(less), new Map());
    assert.equal([other.missing, other.extra], [0, 1], `with ${at}`);
    const changed = all.map((type, i) => (i === at ? M.PAUSE : type));
    const both = compare(trace(changed), new Map(), trace(all), new Map());
    assert.equal([both.missing, both.extra, both.same], [1, 1, 39], `changed ${at}`);
  }
});

report('events of any form are taken: nothing of a trace is believed', () => {
  const odd = madeTrace(
    { kind: 'grant' },
    { kind: 'grant', grant: { id: 'x', pfns: 7, runs: [[1], 'y', [2, 3]] } },
    { kind: 'revoke', grant: null },
    { kind: 'hypercall', code: 0x5c, input: 'zz', status: 0 },
    { kind: 'hypercall', code: 0x5c, input: '', status: 0 },
    { kind: 'host-message', type: 1, payload: 12 },
    { kind: 'ring-packet', bytes: 'ff', rndis: '0' },
    { kind: 'finding', check: 'toString', text: {} },
    { kind: 'constructor' },
    { kind: 'verdict', notRun: 'unload' },
  );
  const model = modelOf(slim(odd));
  for (const event of model.events) {
    messageOf(event, model.channels);
    decode(event, model.channels);
  }
  assert.is(model.stages.length, 1);
});

report.run();
