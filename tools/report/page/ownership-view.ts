// SPDX-License-Identifier: GPL-2.0-or-later

/** Page ownership over time: a lane for each grant, from sharing it to letting it go. */

import { leaks, type Lane } from '../model/lanes.ts';
import type { App, View } from './app.ts';
import { laneSentence } from './details.ts';
import { el, svg, time } from './dom.ts';
import { VirtualList } from './virtual-list.ts';

/** Spans that lie closer than this part of the width are drawn as one. */
const MERGE = 1 / 1500;

/** Most marks of time above the lanes, and the pixels that each needs. */
const TICKS_MAX = 8;
const TICK_WIDTH = 100;

/** Pixels that a late write is moved by, so that it is not drawn over the handoff. */
const BESIDE = 15;

const percent = (place: number): string =>
  `${(Math.max(-0.5, Math.min(1.5, place)) * 100).toFixed(3)}%`;

export class OwnershipView implements View {
  readonly name = 'ownership';
  readonly title = 'Page ownership';
  readonly element = el('div');
  readonly #app: App;
  readonly #list: VirtualList;
  readonly #head = el(
    'div',
    { class: 'axis' },
    el('span', { class: 'lane-name' }, 'shared memory'),
  );
  readonly #axis = svg('svg', { 'aria-hidden': true });
  readonly #count = el('span', { class: 'soft' });
  #lanes: readonly Lane[] = [];
  #only: 'all' | 'leaks' | 'memory' = 'all';

  constructor(app: App) {
    this.#app = app;
    this.#list = new VirtualList({
      label: 'Lanes of shared memory',
      tall: true,
      draw: (index, row) => this.#draw(this.#lanes[index]!, row),
      choose: (index) => app.tellLane(this.#lanes[index]!),
      key: (event) => axisKey(app, event),
    });
    this.#head.append(this.#axis);
    this.element.append(this.#tools(), this.#head, this.#list.element, legend());
    app.axis.onChange.push(() => this.#moved());
    dragAxis(app, this.#list.element);
    this.#filter();
  }

  shown(): void {
    this.#moved();
  }

  /** Go to a lane, whatever is chosen. */
  go(id: number): void {
    if (!this.#lanes.some((lane) => lane.id === id)) this.#choose('all');
    const index = this.#lanes.findIndex((lane) => lane.id === id);
    if (index >= 0) this.#list.go(index);
  }

  #tools(): HTMLElement {
    const select = el('select', { 'aria-label': 'Which lanes', id: 'lanes-shown' });
    const choices = {
      all: 'all lanes',
      leaks: 'only what crosses a handoff',
      memory: 'no packets',
    };
    for (const [value, label] of Object.entries(choices)) {
      select.append(el('option', { value }, label));
    }
    select.addEventListener('change', () => this.#choose(select.value as 'all'));
    return el('div', { class: 'tools' }, select, ...axisTools(this.#app), this.#count);
  }

  #choose(only: 'all' | 'leaks' | 'memory'): void {
    this.#only = only;
    this.element.querySelector<HTMLSelectElement>('#lanes-shown')!.value = only;
    this.#filter();
  }

  #filter(): void {
    const { lanes, handoffs } = this.#app.model;
    const bad = lanes.filter((lane) => leaks(lane, handoffs));
    const rest = lanes.filter((lane) => !bad.includes(lane));
    const memory = (lane: Lane): boolean => lane.kind !== 'packet';
    this.#lanes =
      this.#only === 'leaks'
        ? bad
        : [...bad, ...(this.#only === 'memory' ? rest.filter(memory) : rest)];
    this.#count.textContent = `${this.#lanes.length} lanes, ${bad.length} cross a handoff`;
    this.#list.reset(this.#lanes.length);
  }

  #moved(): void {
    const { model, axis } = this.#app;
    const marks: Node[] = [];
    for (const [index, { name, from, to }] of model.stages.entries()) {
      const [left, right] = [axis.place(from), axis.place(to)];
      if (right < 0 || left > 1) continue;
      const fill = `var(--band-${index % 2 === 0 ? 'a' : 'b'})`;
      const [x, width] = [Math.max(0, left), Math.min(1, right) - Math.max(0, left)];
      const band = svg('rect', { x: percent(x), y: 0, width: percent(width), height: 22, fill });
      // A band that is too narrow for its name says it to the mouse
      band.append(svg('title', {}, name));
      marks.push(band);
      const label = { x: percent(x), dx: 4, y: 15, fill: 'var(--front)', 'font-size': 12 };
      if (width > 0.04) marks.push(svg('text', label, name));
    }
    for (const line of handoffLines(this.#app)) marks.push(line);
    // The lanes have a scroll bar beside them
    const { offsetWidth, clientWidth } = this.#list.element;
    this.#head.style.paddingRight = `${offsetWidth - clientWidth}px`;
    const ticks = Math.max(1, Math.min(TICKS_MAX, Math.floor(this.#axis.clientWidth / TICK_WIDTH)));
    for (let i = 0; i < ticks; i++) {
      const label = `${axis.ms(axis.event(i / ticks)).toFixed(3)} ms`;
      const x = percent(i / ticks);
      marks.push(svg('line', { x1: x, x2: x, y1: 36, y2: 44, stroke: 'var(--soft)' }));
      marks.push(
        svg(
          'text',
          { x, dx: 3, y: 36, fill: 'var(--soft)', 'font-size': 11, class: 'over' },
          label,
        ),
      );
    }
    this.#axis.replaceChildren(...marks);
    this.#list.refresh();
  }

  #draw(lane: Lane, row: HTMLElement): string {
    const bad = leaks(lane, this.#app.model.handoffs);
    row.classList.add('lane');
    const label = el('span', { class: bad ? 'lane-name error' : 'lane-name' });
    label.append(el('span', {}, (bad ? '⚠ ' : '') + lane.purpose));
    row.append(label, this.#picture(lane, bad));
    const sentence = laneSentence(this.#app.model, lane);
    hint(row, sentence);
    return sentence;
  }

  #picture(lane: Lane, bad: boolean): SVGElement {
    const { axis, model } = this.#app;
    const picture = svg('svg', { 'aria-hidden': true }, ...handoffLines(this.#app));
    const fill = lane.access === 'write' ? 'var(--own)' : 'var(--read)';
    for (const [left, right] of merged(lane, (event) => axis.place(event))) {
      const width = percent(Math.max(right - left, 0.0012));
      picture.append(svg('rect', { x: percent(left), y: 8, width, height: 8, fill }));
    }
    if (bad) {
      const first = lane.crossings.find((index) => model.handoffs[index]!.final)!;
      const [left, right] = [axis.place(model.handoffs[first]!.at), axis.place(lane.spans[0]!.to)];
      const box = { x: percent(left), y: 4, width: percent(Math.max(0.002, right - left)) };
      picture.append(svg('rect', { ...box, height: 16, fill: 'var(--bad)' }));
      picture.append(svg('rect', { ...box, height: 16, fill: 'url(#stripes)' }));
    }
    for (const index of lane.crossings) {
      const { at, final } = model.handoffs[index]!;
      const style = final
        ? { fill: 'var(--back)', stroke: 'var(--bad)' }
        : { fill: 'var(--back)', stroke: 'var(--warn)' };
      const x = percent(axis.place(at));
      picture.append(svg('circle', { cx: x, cy: 12, r: 7, ...style, 'stroke-width': 2 }));
      const sign = { x, y: 16, 'text-anchor': 'middle', 'font-size': 11, 'font-weight': 700 };
      picture.append(svg('text', { ...sign, fill: style.stroke }, final ? '!' : '='));
    }
    for (const event of lane.lateWrites) {
      const text = { x: percent(axis.place(event)), y: 17, 'text-anchor': 'middle', dx: BESIDE };
      picture.append(
        svg(
          'text',
          { ...text, 'font-size': 15, 'font-weight': 700, fill: 'var(--front)', class: 'over' },
          '✕',
        ),
      );
    }
    return picture;
  }
}

/** Spans as places, those that cannot be told apart as one. */
function merged(lane: Lane, place: (event: number) => number): [number, number][] {
  const out: [number, number][] = [];
  for (const { from, to } of lane.spans) {
    const [left, right] = [place(from), place(to)];
    if (right < 0 || left > 1) continue;
    const last = out.at(-1);
    if (last !== undefined && left - last[1] < MERGE) last[1] = Math.max(last[1], right);
    else out.push([left, right]);
  }
  return out;
}

function handoffLines({ axis, model }: App): SVGElement[] {
  return model.handoffs.flatMap(({ at, final }) => {
    const place = axis.place(at);
    if (place < 0 || place > 1) return [];
    const dash = final ? undefined : '3 3';
    const line = { x1: percent(place), x2: percent(place), y1: 0, y2: '100%' };
    return [svg('line', { ...line, stroke: 'var(--front)', 'stroke-dasharray': dash })];
  });
}

/** What says how the axis is to be. */
export function axisTools(app: App): HTMLElement[] {
  const { axis, model } = app;
  const button = (label: string, name: string, act: () => void): HTMLElement => {
    const element = el('button', { type: 'button', 'aria-label': name, title: name }, label);
    element.addEventListener('click', act);
    return element;
  };
  const by = el('select', { 'aria-label': 'Axis' });
  by.append(
    el('option', { value: 'event' }, 'by event'),
    el('option', { value: 'time' }, 'by time'),
  );
  by.addEventListener('change', () => {
    axis.by = by.value as 'event' | 'time';
    axis.show(0, 1);
  });
  const owner = el('select', { 'aria-label': 'Zoom to an owner' });
  owner.append(el('option', { value: '' }, 'whole run'));
  for (const [index, { name }] of model.stages.entries()) {
    owner.append(el('option', { value: index }, name));
  }
  owner.addEventListener('change', () => {
    const stage = owner.value === '' ? undefined : model.stages[Number(owner.value)];
    if (stage === undefined) axis.show(0, 1);
    else axis.showEvents(stage.from, stage.to);
  });
  return [
    by,
    owner,
    button('−', 'Zoom out (key -)', () => axis.zoom(2)),
    button('+', 'Zoom in (key +)', () => axis.zoom(0.5)),
    button('←', 'Earlier (key ←)', () => axis.pan(-0.25)),
    button('→', 'Later (key →)', () => axis.pan(0.25)),
  ];
}

/** Keys that move the axis. */
export function axisKey({ axis }: App, { key }: KeyboardEvent): boolean {
  if (key === '+' || key === '=') axis.zoom(0.5);
  else if (key === '-') axis.zoom(2);
  else if (key === 'ArrowLeft') axis.pan(-0.25);
  else if (key === 'ArrowRight') axis.pan(0.25);
  else if (key === '0') axis.show(0, 1);
  else return false;
  return true;
}

/** Wheel with Ctrl zooms; the wheel sideways moves. */
function dragAxis({ axis }: App, element: HTMLElement): void {
  element.addEventListener(
    'wheel',
    (event) => {
      if (!event.ctrlKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
      event.preventDefault();
      if (event.ctrlKey) axis.zoom(event.deltaY > 0 ? 1.25 : 0.8);
      else axis.pan(event.deltaX / 1000);
    },
    { passive: false },
  );
}

let shownHint: HTMLElement | undefined;

/** Say it beside the pointer. */
function hint(element: HTMLElement, sentence: string): void {
  element.addEventListener('pointermove', ({ clientX, clientY }) => {
    shownHint ??= document.body.appendChild(el('div', { class: 'hint', 'aria-hidden': true }));
    shownHint.textContent = sentence;
    const left = Math.min(clientX + 14, innerWidth - 440);
    shownHint.style.left = `${Math.max(4, left)}px`;
    shownHint.style.top = `${clientY + (clientY > innerHeight - 140 ? -90 : 18)}px`;
  });
  element.addEventListener('pointerleave', hideHint);
}

/** What it was about is gone, or nobody points at it. */
export function hideHint(): void {
  shownHint?.remove();
  shownHint = undefined;
}

function legend(): HTMLElement {
  const said =
    'Blue: the host writes. Green: it reads. Red and striped, with !: it crosses a handoff. ' +
    '=: kept on purpose. ✕: written late. Lines: handoffs. ↑↓ lanes, ←→ + − 0 time, Enter details.';
  return el('div', { class: 'legend' }, said);
}

/** The time of an event, for other views. */
export const timeOf = ({ model }: App, at: number): string => time(model.events[at]?.ms ?? 0);
