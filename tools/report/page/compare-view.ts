// SPDX-License-Identifier: GPL-2.0-or-later

/** The run beside a clean one of the same seed: what is missing, what is extra, where they part. */

import type { Comparison, Difference } from '../model/compare.ts';
import type { App, View } from './app.ts';
import { el, link, time } from './dom.ts';

/** Most differences in the table. */
const ROWS_MAX = 300;

export class CompareView implements View {
  readonly name = 'compare';
  readonly title = 'Compare';
  readonly element = el('div');

  constructor(app: App, comparison: Comparison | undefined, none: string) {
    const page = el('div', { class: 'page', tabindex: 0, 'aria-label': 'Comparison' });
    this.element.append(page);
    if (comparison === undefined) {
      page.append(el('p', {}, `There is nothing to compare with. ${none}`));
      return;
    }
    const { same, missing, extra, differences, rough } = comparison;
    const first = differences[0];
    page.append(
      el('h2', {}, first === undefined ? 'It does what the clean run does' : 'Where the runs part'),
    );
    if (first !== undefined) page.append(sentence(app, first));
    const alike = `${same} messages and register writes are the same`;
    page.append(el('p', {}, `${alike}, ${missing} are missing, ${extra} are extra.`));
    if (rough) {
      const text =
        'The runs differ in so much that what follows the first difference is not aligned.';
      page.append(el('p', { class: 'warning' }, text));
    }
    if (differences.length > 0) page.append(table(app, differences));
  }

  shown(): void {}
}

const SIGNS = { missing: '− missing', extra: '+ extra' } as const;

function sentence(app: App, { type, name, detail, beside, ms }: Difference): HTMLElement {
  const what =
    type === 'missing' ? 'The clean run goes on with ' : 'Where the clean run goes on, there is ';
  return el(
    'p',
    { class: type === 'missing' ? 'error' : 'warning' },
    `${SIGNS[type]}: ${what}${name} (${detail}), at `,
    link(`${time(app.model.events[beside]?.ms ?? 0)} ms`, () => app.goEvent(beside)),
    type === 'missing' ? `, in the clean run at ${time(ms)} ms` : '',
  );
}

function table(app: App, differences: readonly Difference[]): HTMLElement {
  const body = el('tbody');
  for (const { type, name, detail, beside, ms } of differences.slice(0, ROWS_MAX)) {
    const place = link(time(app.model.events[beside]?.ms ?? 0), () => app.goEvent(beside));
    const state = el('td', { class: `state ${type === 'missing' ? 'error' : 'warning'}` });
    state.append(SIGNS[type]);
    const cells = [type === 'missing' ? time(ms) : '', `${name} ${detail}`];
    body.append(
      el('tr', {}, state, el('td', {}, place), ...cells.map((cell) => el('td', {}, cell))),
    );
  }
  const head = ['', 'beside (ms)', 'in the clean run (ms)', 'what'].map((name) =>
    el('th', { scope: 'col' }, name),
  );
  const all = el('table', { 'aria-label': 'Differences' });
  all.append(el('thead', {}, el('tr', {}, ...head)), body);
  if (differences.length > ROWS_MAX) all.append(el('caption', {}, `the first ${ROWS_MAX}`));
  return all;
}
