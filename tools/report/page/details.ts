// SPDX-License-Identifier: GPL-2.0-or-later

/** Beside the views: all that is known of a lane, or of an event. */

import { leaks, type Lane } from '../model/lanes.ts';
import { decode, messageOf } from '../model/message.ts';
import type { Model } from '../model/model.ts';
import { text } from '../model/record.ts';
import type { App } from './app.ts';
import { el, link, terms, time } from './dom.ts';

const PAGE_SIZE = 4096;

/** Most runs of pages, and late writes, that are listed. */
const LISTED_MAX = 12;

const hex = (value: number): string => `0x${value.toString(16)}`;

/** The addresses of a lane, as the log writes them. */
export function addresses({ runs }: Lane): string {
  const shown = runs
    .slice(0, LISTED_MAX)
    .map(([pfn, count]) => `[${hex(pfn * PAGE_SIZE)},${hex((pfn + count) * PAGE_SIZE)})`);
  return shown.join(', ') + (runs.length > LISTED_MAX ? ', …' : '');
}

/** The owner of the machine at an event. */
export function stageAt({ stages }: Model, at: number): string {
  return stages.find(({ from, to }) => from <= at && at < to)?.name ?? '';
}

/** A lane in one sentence, for who cannot see it. */
export function laneSentence(model: Model, lane: Lane): string {
  const { events, handoffs } = model;
  const { from, to } = lane.spans[0]!;
  const many = lane.spans.length > 1 ? `${lane.spans.length} times, first ` : '';
  const parts = [
    `${lane.purpose}: shared ${many}at ${time(events[from]!.ms)} ms by the ` +
      `${stageAt(model, from)} with ${lane.grantedBy}`,
    to < events.length
      ? `revoked at ${time(events[to]!.ms)} ms by ${lane.revokedBy}`
      : `never revoked, should have been by ${lane.revokedWith}`,
    ...lane.crossings.map((index) => {
      const { stage, final } = handoffs[index]!;
      return final ? `crosses the handoff of the ${stage}` : `kept on purpose by the ${stage}`;
    }),
    lane.lateWrites.length === 0 ? '' : `written late ${lane.lateWrites.length} times`,
  ];
  return parts.filter((part) => part !== '').join('; ');
}

export function laneDetails(app: App, lane: Lane): Node[] {
  const { model } = app;
  const { events, handoffs } = model;
  const { from, to } = lane.spans[0]!;
  const cause = (label: string, at: number | undefined): Node =>
    at === undefined ? document.createTextNode(label) : link(label, () => app.goEvent(at));
  const lives = to >= events.length;
  const crossed = lane.crossings.map((index) => {
    const { at, stage, end } = handoffs[index]!;
    return link(`${stage} (${end}) at ${time(events[at]!.ms)} ms`, () => app.goEvent(at));
  });
  const written = lane.lateWrites
    .slice(0, LISTED_MAX)
    .map((at) => link(`at ${time(events[at]!.ms)} ms`, () => app.goEvent(at)));
  return [
    el('h2', {}, lane.purpose),
    leaks(lane, handoffs)
      ? el('p', { class: 'error' }, '⚠ The host could still touch it after a handoff.')
      : el(
          'p',
          { class: 'soft' },
          lane.access === 'write' ? 'The host writes.' : 'The host reads.',
        ),
    terms([
      ['kind', lane.kind],
      ['pages', addresses(lane)],
      ['length', lane.length === 0 ? '' : `${lane.length} bytes`],
      ['shared', `at ${time(events[from]!.ms)} ms, by the ${stageAt(model, from)}`],
      ['with', cause(lane.grantedBy, lane.cause)],
      ['named by', lane.namedCause === undefined ? '' : namedBy(app, lane.namedCause)],
      ['times', lane.spans.length > 1 ? String(lane.spans.length) : ''],
      ['revoked', lives ? 'never' : `at ${time(events[to]!.ms)} ms`],
      lives
        ? ['should be by', lane.revokedWith]
        : ['by', cause(lane.revokedBy ?? '', lane.revokedCause)],
      ['crosses', crossed.length === 0 ? '' : el('div', { class: 'links' }, ...crossed)],
      ['late writes', written.length === 0 ? '' : el('div', { class: 'links' }, ...written)],
    ]),
  ];
}

/** The event that said what a lane is for. */
function namedBy({ model, goEvent }: App, at: number): Node {
  const event = model.events[at]!;
  return link(messageOf(event, model.channels)?.name ?? event.kind, () => goEvent(at));
}

export function eventDetails(app: App, at: number): Node[] {
  const { model } = app;
  const event = model.events[at]!;
  const message = messageOf(event, model.channels);
  const answered = model.answers.get(at);
  const nodes: Node[] = [
    el('h2', {}, message?.name ?? event.kind),
    terms([
      ['time', `${time(event.ms)} ms`],
      ['event', String(at)],
      ['owner', stageAt(model, at)],
      ['kind', event.kind],
      ['says', message?.detail ?? ''],
    ]),
  ];
  if (model.answers.has(at)) {
    nodes.push(
      answered === undefined
        ? el('p', { class: 'error' }, '✕ No answer came.')
        : el(
            'p',
            {},
            link('its answer', () => app.goEvent(answered)),
          ),
    );
  }
  const lanes = model.lanes.filter((lane) =>
    [lane.cause, lane.namedCause, lane.revokedCause].includes(at),
  );
  if (lanes.length > 0) {
    const links = lanes
      .slice(0, LISTED_MAX)
      .map((lane) => link(lane.purpose, () => app.goLane(lane.id)));
    nodes.push(el('h3', {}, 'Lanes'), el('div', { class: 'links' }, ...links));
  }
  for (const { layer, name, fields } of decode(event, model.channels)) {
    nodes.push(
      el('h3', {}, `${layer}: ${name}`),
      terms(fields.map((field) => [field.name, field.text] as const)),
    );
  }
  const plain = Object.keys(event).filter((name) => !['ms', 'kind'].includes(name));
  const rest = plain.map((name) => [name, plainText(event[name])] as const);
  nodes.push(el('details', {}, el('summary', {}, 'As in the trace'), terms(rest)));
  return nodes;
}

function plainText(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : text({ value }, 'value');
}
