// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A list of any length, of which only what is visible is in the document. Used by keyboard: one row
 * has the focus, arrows, Page Up, Page Down, Home and End move it, Enter chooses it.
 */

import { beforeNextFrame, el } from './dom.ts';

/** Height of a row, in pixels, as the style has it; and of one that has its name above it. */
const ROW_HEIGHT = 24;
const TALL_HEIGHT = 44;

/** Where tall rows are tall: as the style has it. */
const NARROW = matchMedia('screen and (max-width: 760px)');

/** Rows beyond the visible ones that are drawn. */
const MARGIN = 8;

/** Most rows on paper. */
const PRINTED_MAX = 500;

export interface ListOptions {
  readonly label: string;
  /** Draw row `index`: its contents, and its name for who cannot see it. */
  readonly draw: (index: number, row: HTMLElement) => string;
  /** A row is shown in detail. */
  readonly choose: (index: number) => void;
  /** In a narrow window the name of a row stands above it. */
  readonly tall?: boolean;
  /** A key that is not the list's; true if it was used. */
  readonly key?: (event: KeyboardEvent, index: number) => boolean;
}

export class VirtualList {
  readonly element: HTMLElement;
  readonly #rows = el('div', { class: 'rows' });
  /** On paper: how much is not on it. */
  readonly #rest = el('p', { class: 'soft' });
  readonly #options: ListOptions;
  readonly #drawn = new Map<number, HTMLElement>();
  #count = 0;
  /** The row that has, or gets, the focus. */
  current = 0;
  readonly #later = beforeNextFrame(() => this.#draw());
  #printing = false;

  constructor(options: ListOptions) {
    this.#options = options;
    const attributes = { class: 'list', role: 'listbox', 'aria-label': options.label };
    this.element = el('div', attributes, this.#rows);
    this.element.addEventListener('scroll', () => this.#later());
    this.element.addEventListener('keydown', (event) => this.#key(event));
    new ResizeObserver(() => this.#later()).observe(this.element);
    if (options.tall === true) NARROW.addEventListener('change', () => this.reset(this.#count));
    addEventListener('beforeprint', () => this.#print(true));
    addEventListener('afterprint', () => this.#print(false));
  }

  get #height(): number {
    const tall = this.#options.tall === true && NARROW.matches && !this.#printing;
    return tall ? TALL_HEIGHT : ROW_HEIGHT;
  }

  /** There are other rows now. */
  reset(count: number): void {
    this.#count = count;
    this.current = Math.max(0, Math.min(this.current, count - 1));
    this.#rows.style.height = `${count * this.#height}px`;
    this.refresh();
  }

  /** Draw all that is visible anew. */
  refresh(): void {
    const focused = this.element.contains(document.activeElement);
    for (const row of this.#drawn.values()) row.remove();
    this.#drawn.clear();
    this.#draw();
    if (focused) this.#drawn.get(this.current)?.focus();
  }

  /** Go to a row, and choose it. */
  go(index: number, focus = true): void {
    if (this.#count === 0) return;
    const before = this.current;
    this.current = Math.max(0, Math.min(index, this.#count - 1));
    const top = this.current * this.#height;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop || top + this.#height > scrollTop + clientHeight) {
      this.element.scrollTop = Math.max(0, top - clientHeight / 2);
    }
    this.#draw();
    this.#mark(before);
    this.#mark(this.current);
    if (focus) this.#drawn.get(this.current)?.focus({ preventScroll: true });
    this.#options.choose(this.current);
  }

  #draw(): void {
    const { scrollTop, clientHeight } = this.element;
    let first = Math.max(0, Math.floor(scrollTop / this.#height) - MARGIN);
    let last = Math.min(this.#count, Math.ceil((scrollTop + clientHeight) / this.#height) + MARGIN);
    if (this.#printing) [first, last] = [0, Math.min(this.#count, PRINTED_MAX)];
    for (const [index, row] of this.#drawn) {
      // The row with the focus stays, or the focus would be nowhere
      if ((index >= first && index < last) || row === document.activeElement) continue;
      row.remove();
      this.#drawn.delete(index);
    }
    for (let index = first; index < last; index++) {
      if (!this.#drawn.has(index)) this.#add(index);
    }
    if (!this.#drawn.has(this.current) && this.#count > 0) this.#add(this.current);
  }

  #add(index: number): void {
    const row = el('div', {
      ...{
        class: 'row',
        role: 'option',
        id: `${this.#options.label}-${index}`.replace(/\W/g, '-'),
      },
      ...{ 'aria-setsize': this.#count, 'aria-posinset': index + 1 },
    });
    row.style.top = `${index * this.#height}px`;
    row.setAttribute('aria-label', this.#options.draw(index, row));
    row.addEventListener('click', () => this.go(index));
    this.#drawn.set(index, row);
    this.#rows.append(row);
    this.#mark(index);
  }

  #mark(index: number): void {
    const row = this.#drawn.get(index);
    if (row === undefined) return;
    row.tabIndex = index === this.current ? 0 : -1;
    row.setAttribute('aria-selected', String(index === this.current));
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.#height) - 1);
    const steps: Readonly<Record<string, number>> = {
      ...{ ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page },
      ...{ Home: -Infinity, End: Infinity, Enter: 0 },
    };
    const step = steps[event.key];
    if (step === undefined) {
      if (this.#options.key?.(event, this.current) === true) event.preventDefault();
      return;
    }
    event.preventDefault();
    this.go(Number.isFinite(step) ? this.current + step : step < 0 ? 0 : this.#count - 1);
  }

  #print(on: boolean): void {
    this.#printing = on;
    const shown = on ? Math.min(this.#count, PRINTED_MAX) : this.#count;
    this.#rows.style.height = `${shown * this.#height}px`;
    this.#rest.remove();
    for (const [index, row] of this.#drawn) row.style.top = `${index * this.#height}px`;
    if (shown < this.#count) {
      const first = `The first ${shown} of ${this.#count} rows`;
      this.#rest.textContent = `${first}; choose fewer to print all.`;
      this.element.append(this.#rest);
    }
    this.#draw();
  }
}
