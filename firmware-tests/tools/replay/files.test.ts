// SPDX-License-Identifier: GPL-2.0-or-later

/** Trace files: what is read, what is refused by name, what is only warned of. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ReplayError } from '../../../tools/replay/replay-error.ts';
import { parseTrace } from '../../../tools/replay/index.ts';
import { sha256 } from '../../../tools/replay/sha256.ts';
import { TRACE_NAMES, readTrace, traceText } from '../../rigs/replay-rig.ts';
import type { LooseTrace } from '../../rigs/replay-rig.ts';

/** A small valid trace, to be broken. */
function smallTrace(): LooseTrace {
  return JSON.parse(traceText('10b-not-hyperv')) as LooseTrace;
}

/** Expect a named error whose text has all of `parts`. */
function refuses(text: string, name: string, ...parts: readonly string[]): void {
  try {
    parseTrace(text);
  } catch (error) {
    assert.instance(error, ReplayError);
    assert.is((error as ReplayError).name, name);
    for (const part of parts) assert.ok((error as Error).message.includes(part), `${error}`);
    assert.ok((error as ReplayError).advice.length > 20);
    return;
  }
  assert.unreachable(`${name} expected`);
}

function refusesChange(name: string, part: string, change: (trace: LooseTrace) => void): void {
  const trace = smallTrace();
  change(trace);
  refuses(JSON.stringify(trace), name, part);
}

const files = suite('trace files');

files('all golden traces are read without a warning', () => {
  for (const name of TRACE_NAMES) assert.equal(readTrace(name).warnings, [], name);
  assert.ok(readTrace('13-wraparound').truncated);
  assert.not(readTrace('01-boot').truncated);
});
files('empty, cut and foreign files', () => {
  refuses('', 'TraceNotJson', 'empty');
  refuses(' \n', 'TraceNotJson', 'empty');
  refuses('#!/bin/sh', 'TraceNotJson', 'The trace is not JSON');
  refuses('{"ms":0}\n{"ms":1}\n', 'TraceNotJson', 'a trace of events is for hypxe report');
  const text = traceText('01-boot');
  for (const length of [1, 100, Math.floor(text.length / 2), text.length - 3])
    refuses(text.slice(0, length), 'TraceNotJson');
  refuses('[]', 'TraceForeign', 'not one object');
  refuses('null', 'TraceForeign');
  refuses('{"name":"hypxe"}', 'TraceForeign', '"scenario"');
  refuses('{"scenario":"x","events":{}}', 'TraceForeign', '"events"');
});
files('events that are not of the format', () => {
  const event = (fault: string, change: (event: Record<string, unknown>) => void): void =>
    refusesChange('TraceEventInvalid', fault, ({ events }) => change(events[1]!));
  event('Event 1 of "10b-not-hyperv"', (e) => (e['op'] = 'cpuidx'));
  event('its op "cpuidx" is unknown', (e) => (e['op'] = 'cpuidx'));
  event('its op "constructor" is unknown', (e) => (e['op'] = 'constructor'));
  event('it has no "op"', (e) => delete e['op']);
  event('its "leaf" is missing', (e) => delete e['leaf']);
  event('its "leaf" is not of type hex', (e) => (e['leaf'] = 1));
  event('its "leaf" is not of type hex', (e) => (e['leaf'] = '1'));
  event('its "out" is not of type words', (e) => (e['out'] = ['0x1', 2]));
  refusesChange('TraceEventInvalid', 'not an object', ({ events }) => {
    (events as unknown[])[1] = 'cpuid';
  });
  refusesChange('TraceEventInvalid', '"bytes" is not of type bytes', ({ events }) => {
    const write = { channel: 5, type: 6, offset: 0, bytes: '0b0', prod: [0, 8] };
    events.splice(1, 0, { op: 'host-ring-write', ...write });
  });
  refusesChange('TraceEventInvalid', '"prod" is not of type pair', ({ events }) => {
    const write = { channel: 5, type: 6, offset: 0, bytes: '0b00', prod: [0, -8] };
    events.splice(1, 0, { op: 'host-ring-write', ...write });
  });
});
files('a byte order mark in front is no fault', () => {
  assert.is(parseTrace(`\uFEFF${traceText('10b-not-hyperv')}`).scenario, '10b-not-hyperv');
});
files('a packet of the guest that is shorter than a header', () => {
  for (const bytes of ['', '0600', '06'.repeat(15)])
    refusesChange('TraceEventInvalid', 'its "bytes" are no packet', ({ events }) => {
      const write = { channel: 5, offset: 0, bytes, prod: [0, 8] };
      events.splice(1, 0, { op: 'ring-write', ...write });
    });
});
files('a message or a signal of the guest that is not whole, and was taken', () => {
  const cut = (code: string, length: number): string => {
    const trace = JSON.parse(traceText('01-boot')) as LooseTrace;
    for (const event of trace.events)
      if (event.op === 'hypercall' && event['code'] === code)
        event['input'] = (event['input'] as string).slice(0, length);
    try {
      parseTrace(JSON.stringify(trace));
      return '';
    } catch (error) {
      return `${(error as Error).name}: ${(error as Error).message}`;
    }
  };
  for (const length of [0, 2, 30, 32, 38])
    assert.match(cut('0x5c', length), /TraceEventInvalid: .* its "input" is no message\./);
  for (const length of [0, 14])
    assert.match(cut('0x5d', length), /TraceEventInvalid: .* its "input" is no signal\./);
  assert.is(cut('0x5d', 16), '');
});
files('steps out of order', () => {
  refusesChange('TraceStepsInvalid', 'ends inside step "probe"', ({ events }) => events.pop());
  refusesChange('TraceStepsInvalid', 'did not begin', ({ events }) => events.shift());
  refusesChange('TraceStepsInvalid', 'begins inside "probe"', ({ events }) => {
    events.splice(1, 0, { op: 'step', name: 'open', phase: 'begin' });
  });
  refusesChange('TraceStepsInvalid', 'has the phase "middle"', ({ events }) => {
    events[0]!['phase'] = 'middle';
  });
  refusesChange('TraceStepsInvalid', 'has no "frame"', ({ events }) => {
    events.push({ op: 'step', name: 'transmit', phase: 'begin' });
    events.push({ op: 'step', name: 'transmit', phase: 'end' });
  });
  refusesChange('TraceForeign', 'no steps', (trace) => (trace.events = []));
});
files('a version that is not known, and sessions without an end', () => {
  for (const version of [0, 2, '1', null, {}])
    refusesChange('TraceForeign', 'known is 1', (trace) => (trace['version'] = version));
  const trace = smallTrace();
  trace['version'] = 1;
  parseTrace(JSON.stringify(trace));
  refusesChange('TraceForeign', 'more than 3600000', ({ events }) => {
    events.push({ op: 'delay', ms: 4294967295 });
  });
  refusesChange('TraceForeign', 'more than 20000 steps', ({ events }) => {
    const step = ['begin', 'end'].map((phase) => ({ op: 'step', name: 'poll', phase }));
    for (let i = 0; i < 20_001; i++) events.push(...step);
  });
});
files('memory that cannot be given', () => {
  const ram = (value: unknown): void =>
    refusesChange('TraceForeign', '"ram"', (trace) => (trace['ram'] = value));
  ram(undefined);
  ram({ base: 1, size: 2 });
  ram({ base: '0x0', size: '0x0' });
  ram({ base: '0x100800', size: '0x1000' });
  ram({ base: '0x0', size: '0x100000000' });
});
files('counts and digest that do not match are warned of', () => {
  const trace = smallTrace();
  trace.events.splice(1, 1);
  const warnings = parseTrace(JSON.stringify(trace)).warnings.join('\n');
  assert.match(warnings, /^eventCount is 8, but there are 7$/m);
  assert.match(warnings, /^counts\.cpuid is \d, but there are \d$/m);
  assert.match(warnings, /^digest\.events is [0-9a-f]{64}, but the events give [0-9a-f]{64}$/m);
});
files.run();

const digest = suite('SHA-256');
digest('vectors of FIPS 180-4, and lengths around a block', () => {
  const of = (text: string): string => sha256(new TextEncoder().encode(text));
  assert.is(of(''), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  assert.is(of('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  assert.is(
    of('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq'),
    '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
  );
  const lengths = [55, 56, 63, 64, 65].map((length) => of('a'.repeat(length)));
  assert.is(new Set(lengths).size, 5);
  assert.is(of('a'.repeat(64)), 'ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb');
});
digest.run();
