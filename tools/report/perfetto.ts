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

const US_PER_MS = 1000;

type Args = Readonly<Record<string, unknown>>;

/** The document. Times are of the partition, in µs. */
export function perfetto(records: readonly TraceRecord[]): string {
  const model = modelOf(slim(records));
  const events = [...runTracks(model), ...memoryTracks(model), ...busTracks(model)];
  return JSON.stringify({ displayTimeUnit: 'ns', traceEvents: events });
}

/** Time of an event; that behind the last is the end. */
function at({ events }: Model, index: number): number {
  const event = events[Math.min(index, events.length - 1)];
  return (event?.ms ?? 0) * US_PER_MS;
}

function name(what: 'process_name' | 'thread_name', pid: number, tid: number, text: string) {
  return { ph: 'M', name: what, pid, tid, args: { name: text } };
}

function span(model: Model, pid: number, tid: number, text: string, from: number, to: number) {
  const [ts, end] = [at(model, from), at(model, to)];
  return { ph: 'X', name: text, cat: 'hypxe', pid, tid, ts, dur: end - ts };
}

function instant(model: Model, pid: number, tid: number, text: string, index: number, args: Args) {
  return { ph: 'i', s: 't', name: text, cat: 'hypxe', pid, tid, ts: at(model, index), args };
}

function runTracks(model: Model): object[] {
  return [
    name('process_name', RUN, 0, 'run'),
    name('thread_name', RUN, 1, 'owner of the machine'),
    ...model.stages.map((stage) => span(model, RUN, 1, stage.name, stage.from, stage.to)),
    ...model.handoffs.map((handoff) => {
      const { stage, end } = handoff;
      return instant(model, RUN, 1, `handoff of the ${stage}`, handoff.at, { end });
    }),
  ];
}

function memoryTracks(model: Model): object[] {
  const events: object[] = [name('process_name', MEMORY, 0, 'shared memory')];
  for (const [index, lane] of model.lanes.entries()) {
    const tid = index + 1;
    const crosses = lane.crossings.map((crossing) => model.handoffs[crossing]!.stage);
    const { grantedBy, revokedBy, revokedWith, runs } = lane;
    const args = { grantedBy, revokedBy: revokedBy ?? 'never', revokedWith, runs, crosses };
    const label = crosses.length === 0 ? lane.purpose : `! ${lane.purpose}`;
    events.push(name('thread_name', MEMORY, tid, label));
    for (const { from, to } of lane.spans)
      events.push({ ...span(model, MEMORY, tid, label, from, to), args });
    for (const index of lane.lateWrites)
      events.push(instant(model, MEMORY, tid, 'late write', index, {}));
  }
  return events;
}

function busTracks(model: Model): object[] {
  const layers = Object.keys(LAYERS) as LayerName[];
  const events: object[] = [name('process_name', BUS, 0, 'guest and host')];
  for (const [index, layer] of layers.entries())
    events.push(name('thread_name', BUS, index + 1, LAYERS[layer]));
  for (const [index, event] of model.events.entries()) {
    const message = messageOf(event, model.channels);
    if (message === undefined) continue;
    const { layer, way, detail, channel } = message;
    const tid = layers.indexOf(layer) + 1;
    events.push(instant(model, BUS, tid, message.name, index, { way, detail, channel }));
  }
  return events;
}
