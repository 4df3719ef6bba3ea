// SPDX-License-Identifier: GPL-2.0-or-later

/** What the worker of a demo page tells: each fault, each omission, each flow, and errors. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { boot } from '../../../src/index.ts';
import { serve } from '../../../tools/demo/demo.ts';
import { BOOT_FIELDS } from '../../../tools/demo/fields.ts';
import { FAULT_OPTIONS } from '../../../tools/demo/host-faults.ts';
import { OMISSION_OPTIONS } from '../../../tools/demo/omissions.ts';
import { EVENTS_MAX, Recorder } from '../../../tools/demo/recorder.ts';
import type { LiveField, LiveMessage, LivePort } from '../../../tools/report/live.ts';
import { leaks } from '../../../tools/report/model/lanes.ts';
import { modelOf } from '../../../tools/report/model/model.ts';
import { demoRun, type Told } from '../../rigs/report/demo-runs.ts';

const demo = suite('demo: the worker');

/** The last message of a run that came to its end. */
function done({ last }: Told) {
  if (last.kind !== 'done') throw new Error(JSON.stringify(last));
  return last;
}

/** Findings of errors, each by its check. */
function errors({ events }: Told): string[] {
  const found = events.filter((each) => each.kind === 'finding' && each['severity'] === 'error');
  return found.map((each) => String(each['check']));
}

demo('as it is: clean, nothing crosses, the same once more, and nothing to compare with', () => {
  const told = demoRun();
  const { good, summary, clean } = done(told);
  assert.ok(good);
  assert.is(summary, 'clean: the host has nothing of this guest any more');
  assert.is(clean, null);
  const model = modelOf(told.events);
  assert.ok(model.lanes.length > 10);
  assert.not.ok(model.lanes.some((lane) => leaks(lane, model.handoffs)));
  assert.equal(demoRun().events, told.events);
});

demo('events come in pieces while it goes on, and their time moves on', () => {
  const pieces = demoRun().messages.filter((each) => each.kind === 'events');
  assert.ok(pieces.length > 1);
  const times = pieces.map((each) => (each.kind === 'events' ? each.ms : 0));
  assert.equal(
    times,
    [...times].sort((a, b) => a - b),
  );
});

/** What each omission is found by; what heals of itself is a warning. */
const FOUND: Readonly<Record<string, { readonly check: string; readonly severity: string }>> = {
  unload: { check: 'unload', severity: 'error' },
  close: { check: 'omissions', severity: 'warning' },
  teardown: { check: 'omissions', severity: 'warning' },
  simp: { check: 'synic-pages', severity: 'error' },
  siefp: { check: 'synic-pages', severity: 'error' },
  sint: { check: 'sints', severity: 'error' },
  hypercall: { check: 'hypercall', severity: 'error' },
  identity: { check: 'hypercall', severity: 'error' },
};

for (const { value, text } of OMISSION_OPTIONS.filter(({ value: each }) => each !== 'untold')) {
  demo(`forgotten: ${text}`, () => {
    // Where the identity disables the hypercall page nothing comes of forgetting the latter
    const told = demoRun({
      forgets: value,
      host: value === 'hypercall' ? 'openvmm' : 'server2022',
    });
    const { check, severity } = FOUND[value]!;
    const found = told.events.some(
      (each) => each.kind === 'finding' && each['check'] === check && each['severity'] === severity,
    );
    assert.ok(found, JSON.stringify(told.events.filter(({ kind }) => kind === 'finding')));
    assert.ok(done(told).clean!.length > 100);
  });
}

demo('UNLOAD forgotten, and nothing told of it: the next owner is hurt', () => {
  const told = demoRun({ forgets: 'unload,untold' });
  assert.not.ok(done(told).good);
  assert.ok(errors(told).includes('late-writes'));
  const model = modelOf(told.events);
  const [lane] = model.lanes.filter((each) => each.purpose === 'interrupt page');
  assert.ok(leaks(lane!, model.handoffs));
  assert.ok(lane!.lateWrites.length > 0);
});

for (const { value, text } of FAULT_OPTIONS) {
  demo(`the host ${text}`, () => {
    const told = demoRun({ fault: value });
    const { clean } = done(told);
    assert.is(clean === null, value === 'none');
    if (clean === null) return;
    // It made a difference beyond the first event, which names it; and what happened then is as
    // good as ever: the host came to its senses
    assert.is.not(JSON.stringify(told.events.slice(1)), JSON.stringify(clean.slice(1)));
    assert.ok(told.events.some(({ kind }) => kind === 'verdict'));
  });
}

/** The field of a name. */
const field = (wanted: string): LiveField => BOOT_FIELDS.find(({ name }) => name === wanted)!;

for (const name of ['flow', 'host', 'network']) {
  const asked = field(name);
  for (const { value, text } of asked.kind === 'select' ? asked.options : []) {
    demo(`${name}: ${text}`, () => assert.ok(done(demoRun({ [name]: value })).summary.length > 10));
  }
}

demo('what cannot be chosen is refused by name', () => {
  for (const [values, text] of [
    [{ host: 'vax' }, /^there is no host profile vax$/],
    [{ seed: '1.5' }, /^seed is "1.5": give a whole number from 0 to 4294967295$/],
    [{ nics: '' }, /^nics is "": give a whole number from 1 to 4$/],
    [{ network: 'toString' }, /^there is no network named toString$/],
    [{ fault: 'constructor' }, /^there is no fault named constructor$/],
    [{ forgets: 'unload,valueOf' }, /^there is nothing to forget named valueOf$/],
    [{ flow: 'crash,san' }, /^there is no flow crash,san$/],
  ] as const) {
    const { last } = demoRun(values);
    if (last.kind !== 'failed') throw new Error(JSON.stringify(last));
    assert.match(last.text, text);
    assert.is(last.advice, 'Choose something else.');
  }
});

demo('a mistake of the simulator is no choice of the user', () => {
  const messages: LiveMessage[] = [];
  const port: LivePort = {
    onmessage: null,
    postMessage(message) {
      if (message.kind === 'done') throw new RangeError('out of range');
      messages.push(message);
    },
  };
  serve(port, { boot });
  port.onmessage!({ data: { values: {} } });
  const text = 'RangeError: out of range';
  assert.equal(messages.at(-1), {
    ...{ kind: 'failed', text, advice: 'This is a mistake of the simulator.' },
  });
});

demo('beyond the most events: one line that says so, and what the run came to', () => {
  const recorder = new Recorder();
  const noise = { guest: 'PC', kind: 'log', level: 'info', layer: 'CONSOLE', object: '', text: '' };
  recorder.write({ kind: 'run' }, 0);
  for (let i = 0; i < EVENTS_MAX + 10; i++) recorder.write(noise, i);
  const last = ['stage', 'revoke', 'crash', 'hang', 'handoff', 'finding', 'verdict'];
  for (const kind of last) {
    recorder.write({ ...noise, kind, grant: {} }, EVENTS_MAX + 10);
    recorder.write(noise, EVENTS_MAX + 10);
  }
  const [said, ...rest] = recorder.events.slice(EVENTS_MAX);
  assert.match(String(said!['text']), /^300000 events: only findings /);
  assert.equal(
    rest.map(({ kind }) => kind),
    last,
  );
  // That has an end as well
  for (let i = 0; i < EVENTS_MAX; i++) recorder.write({ kind: 'stage' }, i);
  assert.is(recorder.events.length, 2 * EVENTS_MAX);
});

demo.run();
