// SPDX-License-Identifier: GPL-2.0-or-later

/** A run as a whole: its heading, and the views as tabs. */

import type { ReportData } from '../html.ts';
import { compare } from '../model/compare.ts';
import { channelsOf } from '../model/message.ts';
import { modelOf, type Model } from '../model/model.ts';
import type { App, View } from './app.ts';
import { AuditView } from './audit-view.ts';
import { Axis } from './axis.ts';
import { CompareView } from './compare-view.ts';
import { eventDetails, laneDetails } from './details.ts';
import { el, svg } from './dom.ts';
import { MemoryView } from './memory-view.ts';
import { OwnershipView } from './ownership-view.ts';
import { SequenceView } from './sequence-view.ts';

/** How a run is shown. */
export interface ShowOptions {
  /** The view that is shown first, by its name. */
  readonly view?: string | undefined;
  /** Of a run that has no verdict yet: what it does. Otherwise it was cut short. */
  readonly state?: string | undefined;
  /** Aborted once something else is shown in its place. */
  readonly gone?: AbortSignal;
}

/** Show a run in an element, instead of what is in there. Returns the name of the current view. */
export function showReport(
  data: ReportData,
  report: HTMLElement,
  { view, state, gone = new AbortController().signal }: ShowOptions = {},
): () => string {
  const model = modelOf(data.events);
  const aside = el('aside', { 'aria-label': 'Details', 'aria-live': 'polite', tabindex: 0 });
  aside.append(
    el('p', { class: 'soft' }, 'Choose a lane or a message: what is known of it is here.'),
  );
  const app: App = {
    model,
    axis: new Axis(model),
    gone,
    goLane: (id) => {
      tabs.show(ownership);
      ownership.go(id);
    },
    goEvent: (at) => {
      tabs.show(sequence);
      sequence.go(at);
    },
    tellLane: (lane) => aside.replaceChildren(...laneDetails(app, lane)),
    tellEvent: (at) => aside.replaceChildren(...eventDetails(app, at)),
  };
  const { clean } = data;
  const comparison =
    clean === null ? undefined : compare(model.events, model.channels, clean, channelsOf(clean));
  const ownership = new OwnershipView(app);
  const sequence = new SequenceView(app);
  const views = [
    new AuditView(app),
    ownership,
    new MemoryView(app),
    sequence,
    new CompareView(app, comparison, data.noClean),
  ];
  const tabs = new Tabs(views);
  const body = el('div', { class: 'body' }, ...tabs.panels, aside);
  report.replaceChildren(header(data.title, model, state), tabs.list, body, stripes());
  addEventListener('keydown', (event) => globalKey(event, tabs, views, sequence), { signal: gone });
  tabs.show(views.find(({ name }) => name === view) ?? views[0]!);
  return () => tabs.current;
}

function header(title: string, model: Model, state?: string): HTMLElement {
  const { verdict, run, checks, lanes, events } = model;
  const good = verdict === 'clean';
  const errors = checks.reduce((sum, { groups }) => sum + count(groups, 'error'), 0);
  const warnings = checks.reduce((sum, { groups }) => sum + count(groups, 'warning'), 0);
  const said = state ?? `${good ? '✓' : '✕'} ${verdict}`;
  const kind = state === undefined ? (good ? 'ok' : 'error') : 'soft';
  const facts = run.map(([name, value]) => `${name} ${value}`).join(' · ');
  return el(
    'header',
    {},
    title === '' ? undefined : el('h1', {}, title),
    el('p', { class: 'facts' }, facts),
    el(
      'p',
      { class: 'facts' },
      el('span', { class: `verdict ${kind}` }, said),
      ` · ${errors} errors, ${warnings} warnings · ${lanes.length} lanes, ${events.length} events`,
    ),
  );
}

function count(groups: Model['checks'][number]['groups'], severity: string): number {
  const mine = groups.filter((group) => group.severity === severity);
  return mine.reduce((sum, { texts }) => sum + texts.length, 0);
}

/** The views as tabs (WAI-ARIA Authoring Practices, "Tabs"). */
class Tabs {
  readonly list = el('div', { role: 'tablist', 'aria-label': 'Views' });
  readonly panels: HTMLElement[];
  readonly #views: readonly View[];
  /** Name of the view that is shown. */
  current = '';

  constructor(views: readonly View[]) {
    this.#views = views;
    this.panels = views.map(({ name, element }) => {
      element.id = `panel-${name}`;
      element.setAttribute('role', 'tabpanel');
      element.setAttribute('aria-labelledby', `tab-${name}`);
      return element;
    });
    for (const [index, view] of views.entries()) {
      const tab = el(
        'button',
        {
          type: 'button',
          role: 'tab',
          id: `tab-${view.name}`,
          'aria-controls': `panel-${view.name}`,
        },
        `${index + 1} ${view.title}`,
      );
      tab.addEventListener('click', () => this.show(view));
      tab.addEventListener('keydown', ({ key }) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
        if (step === undefined) return;
        const other = views[(index + step + views.length) % views.length]!;
        this.show(other);
        document.getElementById(`tab-${other.name}`)?.focus();
      });
      this.list.append(tab);
    }
  }

  show(view: View): void {
    this.current = view.name;
    for (const other of this.#views) {
      const on = other === view;
      other.element.hidden = !on;
      const tab = this.list.querySelector<HTMLElement>(`#tab-${other.name}`)!;
      tab.setAttribute('aria-selected', String(on));
      tab.tabIndex = on ? 0 : -1;
    }
    view.shown();
  }
}

/** Keys that work everywhere but where one types: 1 to 5 for the views, / for the search. */
function globalKey(
  event: KeyboardEvent,
  tabs: Tabs,
  views: readonly View[],
  sequence: SequenceView,
): void {
  const { target, key } = event;
  const typing = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
  if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
  const view = views[Number(key) - 1];
  if (key === '/') {
    event.preventDefault();
    tabs.show(sequence);
    sequence.focusSearch();
  } else if (view !== undefined) {
    tabs.show(view);
    document.getElementById(`tab-${view.name}`)?.focus();
  }
}

/** What red lanes are striped with: colour is not the only sign. */
function stripes(): SVGElement {
  const line = svg('path', { d: 'M-2,8 L8,-2 M2,12 L12,2', stroke: '#fff', 'stroke-width': 2 });
  const size = { width: 10, height: 10, patternUnits: 'userSpaceOnUse' };
  const pattern = svg('pattern', { id: 'stripes', ...size }, line);
  const root = svg('svg', { width: 0, height: 0, 'aria-hidden': true }, svg('defs', {}, pattern));
  root.style.position = 'absolute';
  return root;
}
