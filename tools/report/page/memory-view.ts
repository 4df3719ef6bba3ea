// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Address by time: each shared page as a bar at its address. Memory that nobody shares is left out.
 * Drawn on a canvas; by keyboard one goes from bar to bar, and the text says what it is.
 */

import { leaks, type Lane } from '../model/lanes.ts';
import type { App, View } from './app.ts';
import { laneSentence } from './details.ts';
import { beforeNextFrame, el } from './dom.ts';
import { axisKey, axisTools } from './ownership-view.ts';

/** Height of memory that nobody shares, in units of one page. */
const GAP = 2;

/** Width of the column with the addresses, in pixels. */
const LEGEND_WIDTH = 96;

interface Bar {
  readonly lane: Lane;
  readonly pfn: number;
  readonly count: number;
}

export class MemoryView implements View {
  readonly name = 'memory';
  readonly title = 'Addresses';
  readonly element = el('div');
  readonly #app: App;
  readonly #bars: readonly Bar[];
  readonly #cells: readonly Cell[];
  readonly #height: number;
  readonly #canvas = el('canvas', { tabindex: 0, role: 'img' });
  readonly #said = el('div', { class: 'legend', 'aria-live': 'polite' });
  #current = -1;
  readonly #later = beforeNextFrame(() => this.#draw());

  constructor(app: App) {
    this.#app = app;
    const bars = app.model.lanes.flatMap((lane) =>
      lane.runs.map(([pfn, count]) => ({ lane, pfn, count })),
    );
    this.#bars = bars.sort((a, b) => a.pfn - b.pfn || a.lane.id - b.lane.id);
    this.#cells = cellsOf(this.#bars);
    const last = this.#cells.at(-1);
    this.#height = last === undefined ? 1 : last.top + last.height;
    const pages = this.#cells.reduce((sum, { count }) => sum + count, 0);
    this.#canvas.setAttribute(
      'aria-label',
      `Addresses by time: ${pages} pages that were shared. ` +
        'Up and down go from grant to grant, Enter shows its lane.',
    );
    this.#said.textContent =
      '↑↓ from grant to grant, Enter its lane, ←→ + − 0 time. ' +
      'Red with a thick edge: crosses a handoff.';
    const map = el('div', { class: 'map' }, this.#canvas);
    this.element.append(el('div', { class: 'tools' }, ...axisTools(app)), map, this.#said);
    this.#canvas.addEventListener('keydown', (event) => this.#key(event));
    this.#canvas.addEventListener('click', (event) => this.#click(event));
    app.axis.onChange.push(() => this.#later());
    new ResizeObserver(() => this.#later()).observe(map);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', () => this.#later(), { signal: app.gone });
  }

  shown(): void {
    this.#later();
  }

  #draw(): void {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const context = this.#canvas.getContext('2d');
    if (width === 0 || height === 0 || context === null) return;
    const scale = devicePixelRatio;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    context.scale(scale, scale);
    const colour = (name: string): string =>
      getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
    const { axis, model } = this.#app;
    const plot = width - LEGEND_WIDTH;
    const x = (place: number): number => LEGEND_WIDTH + Math.max(0, Math.min(1, place)) * plot;

    // Owners as bands, handoffs as lines
    for (const [index, { from, to }] of model.stages.entries()) {
      context.fillStyle = colour(index % 2 === 0 ? 'band-a' : 'band-b');
      const left = x(axis.place(from));
      context.fillRect(left, 0, x(axis.place(to)) - left, height);
    }
    this.#addresses(context, colour('soft'), height);
    for (const [index, bar] of this.#bars.entries()) this.#bar(context, colour, x, bar, index);
    context.fillStyle = colour('front');
    for (const { at } of model.handoffs) {
      const place = axis.place(at);
      if (place >= 0 && place <= 1) context.fillRect(x(place) - 0.5, 0, 1, height);
    }
  }

  #bar(
    context: CanvasRenderingContext2D,
    colour: (name: string) => string,
    x: (place: number) => number,
    { lane, pfn, count }: Bar,
    index: number,
  ): void {
    const { axis, model } = this.#app;
    const [top, bottom] = [this.#y(pfn), this.#end(pfn + count)];
    const bad = leaks(lane, model.handoffs);
    for (const { from, to } of lane.spans) {
      const [left, right] = [x(axis.place(from)), x(axis.place(to))];
      if (axis.place(to) < 0 || axis.place(from) > 1) continue;
      const size = [left, top, Math.max(1, right - left), Math.max(1, bottom - top)] as const;
      context.fillStyle = colour(bad ? 'bad' : lane.access === 'write' ? 'own' : 'read');
      context.globalAlpha = bad ? 0.8 : 0.6;
      context.fillRect(...size);
      context.globalAlpha = 1;
      context.lineWidth = index === this.#current ? 3 : 2;
      context.strokeStyle = colour(index === this.#current ? 'front' : 'bad');
      if (bad || index === this.#current) context.strokeRect(...size);
    }
  }

  #addresses(context: CanvasRenderingContext2D, fill: string, height: number): void {
    context.fillStyle = fill;
    context.font = '11px ui-monospace, monospace';
    let free = 0;
    for (const { pfn } of this.#cells) {
      const y = Math.max(this.#y(pfn) + 9, 10);
      if (y < free || y > height) continue;
      context.fillText(`0x${(pfn * 4096).toString(16)}`, 6, y);
      free = y + 12;
    }
  }

  /** Where the cell that begins with a page begins. */
  #y(pfn: number): number {
    const cell = this.#cells.find((each) => each.pfn === pfn);
    return ((cell?.top ?? 0) / this.#height) * this.#canvas.clientHeight;
  }

  /** Where the cell that ends before a page ends. */
  #end(pfn: number): number {
    const cell = this.#cells.find((each) => each.pfn + each.count === pfn);
    return (((cell?.top ?? 0) + (cell?.height ?? 0)) / this.#height) * this.#canvas.clientHeight;
  }

  #key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && this.#bars.length > 0) {
      const count = this.#bars.length;
      this.#select(Math.max(0, Math.min(count - 1, this.#current + step)));
    } else if (event.key === 'Enter' && this.#current >= 0) {
      this.#app.goLane(this.#bars[this.#current]!.lane.id);
    } else if (!axisKey(this.#app, event)) return;
    event.preventDefault();
  }

  #select(index: number): void {
    this.#current = index;
    const { lane } = this.#bars[index]!;
    this.#said.textContent = laneSentence(this.#app.model, lane);
    this.#app.tellLane(lane);
    this.#later();
  }

  #click({ offsetX, offsetY }: MouseEvent): void {
    const place = (offsetX - LEGEND_WIDTH) / (this.#canvas.clientWidth - LEGEND_WIDTH);
    const event = this.#app.axis.event(place);
    const hit = this.#bars.findIndex(
      ({ lane, pfn, count }) =>
        this.#y(pfn) <= offsetY &&
        offsetY <= this.#end(pfn + count) &&
        lane.spans.some(({ from, to }) => from <= event && event <= to),
    );
    if (hit >= 0) this.#select(hit);
  }
}

/** Pages that are always shared together, and where they are drawn. */
interface Cell {
  readonly pfn: number;
  readonly count: number;
  readonly top: number;
  readonly height: number;
}

/**
 * Shared memory, cut wherever a bar begins or ends; what nobody shares is left out. Large pieces
 * are drawn smaller than they are, or single pages would not be seen beside them.
 */
function cellsOf(bars: readonly Bar[]): Cell[] {
  const edges = [...new Set(bars.flatMap(({ pfn, count }) => [pfn, pfn + count]))];
  edges.sort((a, b) => a - b);
  const cells: Cell[] = [];
  let top = 0;
  let end = 0;
  let next = 0;
  for (const [i, pfn] of edges.entries()) {
    // The bars that begin at or before this edge: how far the shared memory reaches
    while (next < bars.length && bars[next]!.pfn <= pfn) {
      end = Math.max(end, bars[next]!.pfn + bars[next]!.count);
      next++;
    }
    if (pfn >= end) {
      top += GAP;
      continue;
    }
    const count = edges[i + 1]! - pfn;
    const height = 2 + 3 * Math.log2(count);
    cells.push({ pfn, count, top, height });
    top += height;
  }
  return cells;
}
