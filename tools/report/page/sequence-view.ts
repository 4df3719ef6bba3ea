// SPDX-License-Identifier: GPL-2.0-or-later

/** Guest and host as two lines, and what goes between them. */

import {
  HIDDEN_AT_FIRST,
  LAYERS,
  channelOfEvent,
  decode,
  layerOf,
  messageOf,
  type LayerName,
  type Message,
} from '../model/message.ts';
import type { App, View } from './app.ts';
import { el, svg, time } from './dom.ts';
import { VirtualList } from './virtual-list.ts';

/** Rows that a search looks at before it lets the page breathe. */
const SEARCH_CHUNK = 2000;

export class SequenceView implements View {
  readonly name = 'sequence';
  readonly title = 'Sequence';
  readonly element = el('div');
  readonly #app: App;
  readonly #list: VirtualList;
  readonly #layers = new Set<LayerName>();
  #channel = '';
  /** Numbers of events; of an answer that never came, that of its request as `-1 - number`. */
  #rows: Int32Array = new Int32Array(0);
  readonly #status = el('span', { class: 'soft', role: 'status' });
  readonly #search = el('input', {
    type: 'search',
    id: 'search',
    placeholder: 'name, field, value',
  });
  #searching = 0;

  constructor(app: App) {
    this.#app = app;
    for (const name of Object.keys(LAYERS) as LayerName[]) {
      if (!HIDDEN_AT_FIRST.includes(name)) this.#layers.add(name);
    }
    this.#list = new VirtualList({
      label: 'Messages between guest and host',
      draw: (index, row) => this.#draw(this.#rows[index]!, row),
      choose: (index) => app.tellEvent(eventOf(this.#rows[index]!)),
      key: (event) => this.#key(event),
    });
    this.element.append(this.#tools(), this.#list.element);
    this.#filter();
  }

  shown(): void {
    this.#list.refresh();
  }

  focusSearch(): void {
    this.#search.focus();
    this.#search.select();
  }

  /** Go to an event, whatever the filters are. */
  go(at: number): void {
    const layer = layerOf(this.#app.model.events[at]!);
    const hidden = layer !== undefined && !this.#layers.has(layer);
    if (hidden) this.#set(layer, true);
    if (hidden || this.#indexOf(at) < 0) this.#channelIs('');
    // An event without a row of its own: the next one that has
    const index = this.#rows.findIndex((row) => row >= at);
    if (index >= 0) this.#list.go(index);
  }

  #indexOf(at: number): number {
    return this.#rows.indexOf(at);
  }

  #tools(): HTMLElement {
    const { channels } = this.#app.model;
    const layers = el('fieldset', { 'aria-label': 'Layers' });
    for (const [name, label] of Object.entries(LAYERS) as [LayerName, string][]) {
      const box = el('input', { type: 'checkbox', name, checked: this.#layers.has(name) });
      box.addEventListener('change', () => this.#set(name, box.checked));
      layers.append(el('label', {}, box, ` ${label}`));
    }
    const select = el('select', { 'aria-label': 'Channel', id: 'channel' });
    select.append(el('option', { value: '' }, 'all channels'));
    for (const [number, device] of channels) {
      select.append(el('option', { value: number }, `channel ${number}: ${device}`));
    }
    select.addEventListener('change', () => this.#channelIs(select.value));
    const find = el('label', {}, 'Search ', this.#search);
    this.#search.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') void this.#find(event.shiftKey ? -1 : 1);
    });
    const next = el('button', { type: 'button' }, 'Next');
    next.addEventListener('click', () => void this.#find(1));
    return el('div', { class: 'tools' }, find, next, select, this.#status, layers);
  }

  #set(layer: LayerName, on: boolean): void {
    if (on) this.#layers.add(layer);
    else this.#layers.delete(layer);
    const box = this.element.querySelector<HTMLInputElement>(`input[name=${layer}]`);
    if (box !== null) box.checked = on;
    this.#filter();
  }

  #channelIs(channel: string): void {
    this.#channel = channel;
    this.element.querySelector<HTMLSelectElement>('#channel')!.value = channel;
    this.#filter();
  }

  #filter(): void {
    const { events, answers } = this.#app.model;
    const at = this.#rows[this.#list.current];
    const rows: number[] = [];
    const channel = this.#channel === '' ? undefined : Number(this.#channel);
    for (const [index, event] of events.entries()) {
      const layer = layerOf(event);
      if (layer === undefined || !this.#layers.has(layer)) continue;
      if (channel !== undefined && channelOfEvent(event) !== channel && layer !== 'audit') continue;
      rows.push(index);
      if (answers.has(index) && answers.get(index) === undefined) rows.push(-1 - index);
    }
    this.#rows = Int32Array.from(rows);
    if (at !== undefined) {
      const index = this.#rows.findIndex((row) => eventOf(row) >= eventOf(at));
      this.#list.current = Math.max(0, index);
    }
    const missing = rows.filter((row) => row < 0).length;
    const lost = missing === 0 ? '' : `, ${missing} without an answer`;
    this.#status.textContent = `${rows.length - missing} of ${events.length} events${lost}`;
    this.#list.reset(rows.length);
  }

  #draw(row: number, into: HTMLElement): string {
    const { model } = this.#app;
    const at = eventOf(row);
    const event = model.events[at]!;
    const message = messageOf(event, model.channels)!;
    const when = time(event.ms);
    const device = message.channel === undefined ? '' : (model.channels.get(message.channel) ?? '');
    const channel = message.channel === undefined ? '' : `${message.channel} ${device}`;
    const lost = row < 0;
    const said = lost ? `no answer to ${message.name}` : `${message.name} ${message.detail}`;
    if (message.layer === 'audit') into.classList.add('break');
    into.append(
      el('span', { class: 'time' }, when),
      lost ? lostArrow(message.way) : arrow(message),
      el('span', { class: 'channel' }, channel),
      el('span', { class: lost || message.bad ? 'what bad' : 'what' }, said),
    );
    const way = lost ? 'never came: ' : `${WAYS[message.way]}: `;
    return `${when} ms, ${way}${said}${channel === '' ? '' : `, channel ${channel}`}`;
  }

  #key(event: KeyboardEvent): boolean {
    if (event.key === 'n' || event.key === 'N') {
      void this.#find(event.key === 'n' ? 1 : -1);
      return true;
    }
    return false;
  }

  /** Go to the next row, or the one before, that has what is searched for. */
  async #find(step: 1 | -1): Promise<void> {
    const wanted = this.#search.value.toLowerCase();
    const search = ++this.#searching;
    const count = this.#rows.length;
    if (wanted === '' || count === 0) return;
    for (let i = 1; i <= count; i++) {
      const index = (this.#list.current + step * i + count * 2) % count;
      if (this.#text(this.#rows[index]!).includes(wanted)) {
        this.#status.textContent = `found in row ${index + 1} of ${count}`;
        return this.#list.go(index, document.activeElement !== this.#search);
      }
      if (i % SEARCH_CHUNK !== 0) continue;
      this.#status.textContent = `searching, ${Math.floor((100 * i) / count)} %`;
      await new Promise((resolve) => setTimeout(resolve));
      if (search !== this.#searching) return;
    }
    this.#status.textContent = 'not found';
  }

  #text(row: number): string {
    const { events, channels } = this.#app.model;
    const event = events[eventOf(row)]!;
    const { name, detail } = messageOf(event, channels)!;
    const fields = decode(event, channels).flatMap((layer) =>
      layer.fields.map((field) => `${field.name} ${field.text}`),
    );
    return `${row < 0 ? 'no answer ' : ''}${name} ${detail} ${fields.join(' ')}`.toLowerCase();
  }
}

const eventOf = (row: number): number => (row < 0 ? -1 - row : row);

const WAYS: Readonly<Record<Message['way'], string>> = {
  'to-host': 'guest to host',
  'to-guest': 'host to guest',
  'at-guest': 'guest',
  'at-host': 'host',
  both: 'guest and host',
};

const [LEFT, RIGHT] = ['6%', '94%'];

function lines(): SVGElement[] {
  return [LEFT, RIGHT].map((x) =>
    svg('line', { x1: x, x2: x, y1: 0, y2: 24, stroke: 'var(--soft)' }),
  );
}

function arrow({ way, bad, layer }: Message): SVGElement {
  const picture = svg('svg', { class: 'arrow', 'aria-hidden': true }, ...lines());
  const stroke = bad ? 'var(--bad)' : way === 'to-host' ? 'var(--own)' : 'var(--read)';
  if (way === 'at-guest' || way === 'at-host') {
    const cx = way === 'at-guest' ? LEFT : RIGHT;
    picture.append(svg('circle', { cx, cy: 12, r: 4, fill: bad ? stroke : 'var(--soft)' }));
    return picture;
  }
  const [from, to] = way === 'to-guest' ? [RIGHT, LEFT] : [LEFT, RIGHT];
  // What is lost does not arrive
  const end = bad ? '50%' : to;
  const dash = layer === 'audit' ? '2 3' : bad ? '5 3' : undefined;
  const line = { x1: from, x2: end, y1: 12, y2: 12, stroke, 'stroke-width': 1.5 };
  picture.append(svg('line', { ...line, 'stroke-dasharray': dash }));
  if (way !== 'both') picture.append(head(end, way, stroke, bad));
  return picture;
}

/** The answer that never came: from where it should have come, broken off. */
function lostArrow(asked: Message['way']): SVGElement {
  const picture = svg('svg', { class: 'arrow', 'aria-hidden': true }, ...lines());
  const stroke = 'var(--bad)';
  const line = { x1: asked === 'to-host' ? RIGHT : LEFT, x2: '50%', y1: 12, y2: 12, stroke };
  picture.append(svg('line', { ...line, 'stroke-width': 1.5, 'stroke-dasharray': '5 3' }));
  picture.append(head('50%', 'to-guest', stroke, true));
  return picture;
}

function head(x: string, way: Message['way'], fill: string, broken: boolean): SVGElement {
  const sign = broken ? '✕' : way === 'to-host' ? '▶' : '◀';
  const anchor = broken ? 'middle' : way === 'to-host' ? 'end' : 'start';
  return svg('text', { x, y: 16, fill, 'font-size': 11, 'text-anchor': anchor }, sign);
}
