// SPDX-License-Identifier: GPL-2.0-or-later

/** The checks of the audit, each with its findings, and with the lanes and messages it is about. */

import type { CheckView, FindingGroup } from '../model/audit.ts';
import { messageOf } from '../model/message.ts';
import type { App, View } from './app.ts';
import { el, link, time } from './dom.ts';

/** Most links of one kind, and texts of one group. */
const LINKS_MAX = 24;

const SIGNS: Readonly<Record<CheckView['state'], string>> = {
  ...{ error: '✕ ERROR', warning: '▲ WARNING', info: 'i info', ok: '✓ ok' },
  ...{ 'not run': '– not run', unknown: '? not known' },
};

export class AuditView implements View {
  readonly name = 'audit';
  readonly title = 'Audit';
  readonly element = el('div');

  constructor(app: App) {
    const { checks } = app.model;
    const table = el('table', { 'aria-label': 'Checks of the audit', class: 'checks' });
    const head = ['result', '', 'check, findings', 'what it looks at'].map((name) =>
      el('th', { scope: 'col' }, name),
    );
    table.append(el('thead', {}, el('tr', {}, ...head)));
    const body = table.appendChild(el('tbody'));
    for (const check of checks) body.append(row(app, check));
    this.element.append(el('div', { class: 'page', tabindex: 0, 'aria-label': 'Audit' }, table));
  }

  shown(): void {}
}

function row(app: App, check: CheckView): HTMLElement {
  const state = el('td', { class: `state ${check.state.replace(' ', '-')}` }, SIGNS[check.state]);
  const said = el('td', {}, check.text);
  for (const group of check.groups) said.append(groupOf(app, group));
  const about = el('td', {}, ...linksOf(app, check));
  const id = `audit-${check.check}`;
  return el('tr', { id }, state, el('td', { class: 'soft' }, String(check.number)), said, about);
}

function groupOf(app: App, group: FindingGroup): HTMLElement {
  const { severity, stage, texts, lanes } = group;
  const more = texts.length === 1 ? '' : ` (${texts.length} like it)`;
  const first = `${severity}, ${stage}: ${texts[0]}${more}`;
  const shown = lanes.slice(0, LINKS_MAX).map((id) => {
    const lane = app.model.lanes.find((each) => each.id === id);
    return link(lane?.purpose ?? `grant ${id}`, () => app.goLane(id));
  });
  const links = shown.length === 0 ? undefined : el('div', { class: 'links' }, ...shown);
  if (texts.length === 1) return el('div', { class: severity }, first, links);
  const rest = texts.slice(0, 200).map((each) => el('li', {}, each));
  return el('details', { class: severity }, el('summary', {}, first), el('ul', {}, ...rest), links);
}

/** What a check is about, folded: most of it is as it should be. */
function linksOf(app: App, { lanes, events }: CheckView): Node[] {
  const { model } = app;
  const nodes: Node[] = [];
  const fold = (label: string, links: readonly Node[], all: number): void => {
    if (all === 0) return;
    const more = all > links.length ? [el('span', { class: 'soft' }, `… ${all} in all`)] : [];
    const inside = el('div', { class: 'links' }, ...links, ...more);
    nodes.push(el('details', {}, el('summary', {}, `${all} ${label}`), inside));
  };
  const laneLinks = lanes.slice(0, LINKS_MAX).map((id) => {
    const lane = model.lanes.find((each) => each.id === id)!;
    return link(lane.purpose, () => app.goLane(id));
  });
  fold(lanes.length === 1 ? 'lane' : 'lanes', laneLinks, lanes.length);
  const eventLinks = events.slice(0, LINKS_MAX).map((at) => {
    const event = model.events[at]!;
    const name = messageOf(event, model.channels)?.name ?? event.kind;
    return link(`${time(event.ms)} ${name}`, () => app.goEvent(at));
  });
  fold(events.length === 1 ? 'message' : 'messages', eventLinks, events.length);
  return nodes;
}
