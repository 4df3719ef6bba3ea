// SPDX-License-Identifier: GPL-2.0-or-later

/** Traces as they are read, and the files that are made of them. */

import * as fs from 'node:fs';
import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { reportHtml, type ReportData } from '../../../tools/report/html.ts';
import { perfetto } from '../../../tools/report/perfetto.ts';
import { BadTrace, readTrace, slim } from '../../../tools/report/read-trace.ts';
import { modelOf } from '../../../tools/report/model/model.ts';
import { bytes } from '../../../tools/report/model/record.ts';
import { LEAK, madeTrace, tracedBoot } from '../../rigs/report/traces.ts';

const files = suite('report: files');

const page = fs.readFileSync(new URL('../../../dist/report-page.js', import.meta.url), 'utf8');

files('what is no trace is refused, with the line', () => {
  const refused: Readonly<Record<string, string>> = {
    '': 'line 1: there is no event',
    '{"ms":0,"kind":"stage"}\n{"ms":0,"kind"': 'line 2: it is no JSON',
    '{"ms":0,"kind":"stage"}\n\n[1]': 'line 3: it is no event: it has no ms and kind',
    null: 'line 1: it is no event: it has no ms and kind',
    '{"ms":"0","kind":"stage"}': 'line 1: it is no event: it has no ms and kind',
    '{"ms":0,"kind":"run","trace":2}': 'line 1: it is of version 2',
    '{"ms":0,"kind":"run","trace":1}\n\n{"ms":0,"kind":"run"}':
      'line 3: it is of version undefined',
  };
  for (const [text, message] of Object.entries(refused)) {
    assert.throws(
      () => readTrace(text),
      (error: Error) => error instanceof BadTrace && error.message === message,
      text,
    );
  }
  // Whoever wrote it was interrupted
  assert.is(readTrace('{"ms":0,"kind":"stage"}\n{"ms":0,"ki', true).length, 1);
});

files('what nobody writes is refused, cut, or read without running out of stack', () => {
  const deep = `{"ms":0,"kind":"log","text":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
  assert.throws(
    () => readTrace(deep),
    (error: Error) => error instanceof BadTrace && error.message.startsWith('line 1: more than 16'),
  );
  const long = 'ab'.repeat(10_000_000);
  const [event] = slim(madeTrace({ kind: 'hypercall', input: long, more: { list: [long] } }));
  assert.is(String(event!.input).length, 4000);
  assert.is((event!.more as { list: string[] }).list[0]!.length, 4000);
  assert.is(bytes({ input: long }, 'input').length, 10_000_000);
  assert.equal([...bytes({ input: 'aBc0fx00' }, 'input')], [0xab, 0xc0]);
});

files('a page has no polling of the clock, short frames, and pages as runs', () => {
  const events = tracedBoot();
  const kept = slim(events);
  assert.not.ok(kept.some(({ kind, msr }) => kind === 'rdmsr' && msr === 0x40000020));
  const frames = kept.filter(({ kind }) => kind === 'frame');
  assert.ok(frames.some(({ length }) => Number(length) > 500));
  assert.ok(frames.every(({ frame }) => String(frame).length <= 128));
  const grants = kept.filter(({ kind }) => kind === 'grant');
  const rings = grants.find(({ grant }) => (grant as { kind: string }).kind === 'gpadl')!;
  const { runs } = rings.grant as { runs: [number, number][] };
  const before = events.find(({ grant }) => (grant as { id?: number })?.id === 9)!;
  const { pfns } = before.grant as { pfns: number[] };
  assert.is(runs.length, 1);
  assert.equal(runs[0], [pfns[0], pfns.length]);
});

files('nothing of a guest is markup, and no script runs but the one of the page', () => {
  const hostile = '</script><script>alert(1)</script><img src=x onerror=alert(2)>';
  const events = madeTrace(
    { kind: 'run', trace: 1, command: hostile, host: hostile },
    { kind: 'log', guest: 'firmware', level: 'info', layer: hostile, object: '', text: hostile },
  );
  const html = reportHtml({ script: page, events, title: hostile });
  assert.is(html.split('<script').length, 3, 'two scripts: the data and the page');
  assert.is(html.split('</script').length, 3);
  assert.not.ok(html.includes('<img'));
  const [, json] = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html)!;
  const data = JSON.parse(json!) as ReportData;
  assert.is(data.events[1]!.text, hostile);
  assert.is(data.title, hostile);

  // The policy names the digests of what is there
  const policy = /Content-Security-Policy" content="([^"]*)"/.exec(html)![1]!;
  assert.match(policy, /^default-src 'none';/);
  const sha = (text: string) => createHash('sha256').update(text).digest('base64');
  assert.ok(policy.includes(`script-src 'sha256-${sha(page)}'`));
  const style = /<style>(.*?)<\/style>/s.exec(html)![1]!;
  assert.ok(policy.includes(`style-src 'sha256-${sha(style)}'`));
});

files('the page is below 1 MB without data, and its script ends no element', () => {
  const html = reportHtml({ script: page, events: madeTrace({ kind: 'stage' }), title: '' });
  assert.ok(html.length < 1_000_000, `${html.length} bytes`);
  assert.not.match(page, /<\/script|<!--/i);
});

files('for Perfetto: a track for each grant and layer, times in µs', () => {
  interface Entry {
    readonly ph: string;
    readonly name: string;
    readonly pid: number;
    readonly ts: number;
    readonly dur?: number;
    readonly args?: { readonly name?: string };
  }
  const trace = perfetto(tracedBoot({ firmware: LEAK }));
  const { traceEvents } = JSON.parse(trace) as { traceEvents: Entry[] };
  const tracks = traceEvents
    .filter(({ ph, name }) => ph === 'M' && name === 'thread_name')
    .map(({ args }) => args!.name);
  for (const name of ['owner of the machine', '! message page of VP 0', 'VMBus messages'])
    assert.ok(tracks.includes(name), name);
  const leak = traceEvents.find(({ ph, name }) => ph === 'X' && name === '! hypercall page')!;
  assert.is(leak.ts, 3.8);
  assert.ok(
    leak.dur! > 1000 * 1000,
    'it lives until the OS takes its place, after the late writes',
  );
  assert.ok(traceEvents.every(({ ph, ts, dur }) => ph === 'M' || (ts >= 0 && !(dur! < 0))));
});

files('as Perfetto wants it: tracks of their own, in order, spans in spans, a grant each', () => {
  interface Entry {
    readonly ph: string;
    readonly name: string;
    readonly pid: number;
    readonly tid: number;
    readonly ts: number;
    readonly dur?: number;
  }
  const chain = { memoryMiB: 64, machine: { processors: 4 } };
  const boot = tracedBoot();
  const long = Array.from({ length: Math.ceil(100_000 / boot.length) }, (_, round) =>
    boot.map((event) => ({ ...event, ms: event.ms + 2000 * round })),
  ).flat();
  const runs = [
    boot,
    tracedBoot({ firmware: LEAK }),
    tracedBoot({ ...chain, flow: { steps: ['kexec', 'crash'] } }),
    long,
  ];
  for (const events of runs) {
    const text = perfetto(events);
    assert.ok(text.length < 400 * events.length, `${text.length} for ${events.length} events`);
    const { traceEvents } = JSON.parse(text) as { traceEvents: Entry[] };

    // Each track has one name, each number of a track is of one process
    const names = traceEvents.filter(({ name }) => name === 'thread_name');
    const tids = names.map(({ tid }) => tid);
    assert.is(new Set(tids).size, tids.length);
    const entries = traceEvents.filter(({ ph }) => ph !== 'M');
    assert.ok(entries.every(({ tid, pid }) => names.some((n) => n.tid === tid && n.pid === pid)));
    assert.ok(entries.every(({ name }) => name !== ''));
    const grants = modelOf(slim(events)).lanes.length;
    assert.is(names.filter(({ pid }) => pid === 2).length, grants);

    // Whole ns, in order of time, behind all names
    const ns = (us: number): number => Math.round(us * 1000);
    assert.ok(
      traceEvents.findIndex(({ ph }) => ph !== 'M') === traceEvents.length - entries.length,
    );
    assert.ok(entries.every(({ ts, dur = 0 }) => ns(ts) % 100 === 0 && ns(dur) % 100 === 0));
    assert.ok(entries.every(({ ts, dur = 0 }) => ts >= 0 && dur >= 0));
    assert.ok(entries.every(({ ts }, i) => i === 0 || ts >= entries[i - 1]!.ts));

    // On a track a span is inside of another one or beside it, in the numbers that Perfetto has
    const open = new Map<number, number[]>();
    const spans = entries.filter(({ ph }) => ph === 'X');
    assert.ok(spans.length > 10);
    spans.sort((a, b) => a.ts - b.ts || b.dur! - a.dur!);
    for (const { tid, ts, dur } of spans) {
      const ends = open.get(tid) ?? [];
      open.set(tid, ends);
      while (ends.length > 0 && ends.at(-1)! <= ns(ts)) ends.pop();
      const end = ns(ts) + ns(dur!);
      assert.ok(ends.length === 0 || end <= ends.at(-1)!, `at ${ts} µs on track ${tid}`);
      ends.push(end);
    }
  }
});

files.run();
