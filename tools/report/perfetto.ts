// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A trace as the Perfetto UI and Chrome's tracing page open it (the JSON form of the Trace Event
 * Format): a track for each grant, for the owners of the machine, and for each layer.
 */

import { slim } from './read-trace.ts';
import { LAYERS, messageOf, type LayerName } from './model/message.ts';
import { modelOf, type Model } from './model/model.ts';
import type { TraceRecord } from './model/record.ts';

/** Processes of the format: a group of tracks each. */
const RUN = 1;
const MEMORY = 2;
const BUS = 3;

/** Each process has its own numbers of threads: Perfetto knows a thread by its number alone. */
const TIDS_PER_PROCESS = 1_000_000;

const TICKS_PER_MS = 10_000;
const TICKS_PER_US = 10;

type Args = Readonly<Record<string, unknown>>;

/** One entry: a name (`M`), a span (`X`), or a moment (`i`). */
interface Entry {
  readonly ph: 'M' | 'X' | 'i';
  /** In µs. */
  readonly ts: number;
}

/** The document. Times are of the partition, in µs: names first, then all in order of time. */
export function perfetto(records: readonly TraceRecord[]): string {
  const model = modelOf(slim(records));
  const events = [...runTracks(model), ...memoryTracks(model), ...busTracks(model)];
  events.sort((a, b) => Number(b.ph === 'M') - Number(a.ph === 'M') || a.ts - b.ts);
  return JSON.stringify({ displayTimeUnit: 'ns', traceEvents: events });
}

/**
 * Time of an event, in ticks of 100 ns; that behind the last is the end. Whole numbers: what ends
 * where something else begins would else lie over it by a rounding, and Perfetto drops that.
 */
function at({ events }: Model, index: number): number {
  const event = events[Math.min(index, events.length - 1)];
  return Math.round((event?.ms ?? 0) * TICKS_PER_MS);
}

/** The name of a process, or of a thread in it, and its place among the others. */
function named(what: 'process' | 'thread', pid: number, tid: number, text: string) {
  const entry = { ph: 'M' as const, ts: 0, pid, tid: threadId(pid, tid) };
  const place = what === 'process' ? pid : tid;
  return [
    { ...entry, name: `${what}_name`, args: { name: text } },
    { ...entry, name: `${what}_sort_index`, args: { sort_index: place } },
  ];
}

const threadId = (pid: number, tid: number): number => pid * TIDS_PER_PROCESS + tid;

function span(model: Model, pid: number, tid: number, text: string, from: number, to: number) {
  const [begin, end] = [at(model, from), at(model, to)];
  const times = { ts: begin / TICKS_PER_US, dur: (end - begin) / TICKS_PER_US };
  return { ph: 'X' as const, name: text, cat: 'hypxe', pid, tid: threadId(pid, tid), ...times };
}

function instant(model: Model, pid: number, tid: number, text: string, index: number, args: Args) {
  const place = { pid, tid: threadId(pid, tid), ts: at(model, index) / TICKS_PER_US };
  return { ph: 'i' as const, s: 't', name: text, cat: 'hypxe', ...place, args };
}

function runTracks(model: Model): Entry[] {
  return [
    ...named('process', RUN, 0, 'run'),
    ...named('thread', RUN, 1, 'owner of the machine'),
    ...model.stages.map((stage) => span(model, RUN, 1, stage.name, stage.from, stage.to)),
    ...model.handoffs.map((handoff) => {
      const { stage, end } = handoff;
      return instant(model, RUN, 1, `handoff of the ${stage}`, handoff.at, { end });
    }),
  ];
}

function memoryTracks(model: Model): Entry[] {
  const events: Entry[] = named('process', MEMORY, 0, 'shared memory');
  for (const [index, lane] of model.lanes.entries()) {
    const tid = index + 1;
    const crosses = lane.crossings.map((crossing) => model.handoffs[crossing]!.stage);
    const { grantedBy, revokedBy, revokedWith, runs } = lane;
    const args = { grantedBy, revokedBy: revokedBy ?? 'never', revokedWith, runs, crosses };
    const label = crosses.length === 0 ? lane.purpose : `! ${lane.purpose}`;
    events.push(...named('thread', MEMORY, tid, label));
    for (const { from, to } of lane.spans) {
      const entry = { ...span(model, MEMORY, tid, label, from, to), args };
      events.push(entry);
    }
    for (const index of lane.lateWrites)
      events.push(instant(model, MEMORY, tid, 'late write', index, {}));
  }
  return events;
}

function busTracks(model: Model): Entry[] {
  const layers = Object.keys(LAYERS) as LayerName[];
  const events: Entry[] = named('process', BUS, 0, 'guest and host');
  for (const [index, layer] of layers.entries())
    events.push(...named('thread', BUS, index + 1, LAYERS[layer]));
  for (const [index, event] of model.events.entries()) {
    const message = messageOf(event, model.channels);
    if (message === undefined) continue;
    const { layer, way, detail, channel } = message;
    const tid = layers.indexOf(layer) + 1;
    events.push(instant(model, BUS, tid, message.name, index, { way, detail, channel }));
  }
  return events;
}
