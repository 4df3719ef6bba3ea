// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A page that runs something: what is chosen, a run in a worker, and the views of it, while it goes
 * on and when it is over. The page stays its user's: a run can be stopped at any time.
 */

import type { LiveMessage, LivePage, LiveRequest } from '../live.ts';
import type { TraceRecord } from '../model/record.ts';
import { text } from '../model/record.ts';
import { el } from './dom.ts';
import { LiveForm } from './live-form.ts';
import { hideHint } from './ownership-view.ts';
import { showReport } from './report-view.ts';

/** Between two drawings of a run that goes on, in ms; and events beyond which none are made. */
const DRAW_MS = 1500;
const DRAWN_MAX = 50_000;

/** Most lines of the console that are in the page. */
const LINES_MAX = 500;

/** What scripts beside the page have brought: bytes in base 64, by name. */
type Parts = Readonly<Record<string, string>>;

export class LiveView {
  readonly #page: LivePage;
  readonly #root: HTMLElement;
  readonly #form: LiveForm;
  readonly #run = el('button', { type: 'submit', class: 'main' }, 'Run');
  readonly #stop = el('button', { type: 'button', disabled: true }, 'Stop');
  readonly #status = el('p', { role: 'status', class: 'live-status' });
  readonly #alert = el('p', { role: 'alert', class: 'error live-status' });
  readonly #console = el('pre', { tabindex: 0, role: 'log', 'aria-label': 'Console' });
  readonly #shown = el('section', { id: 'run', 'aria-label': 'The run' });
  #worker: Worker | undefined;
  #source: string | undefined;
  #events: TraceRecord[] = [];
  #lines: string[] = [];
  #frame: number | undefined;
  /** Who has the machine. */
  #owner = 'reset';
  #drawnAt = 0;
  #view: () => string = () => '';
  #gone = new AbortController();

  constructor(page: LivePage, root: HTMLElement) {
    this.#page = page;
    this.#root = root;
    this.#form = new LiveForm(page.fields);
  }

  /** Draw the page; what needs nothing of the user runs at once. */
  start(): void {
    const { title, about, starts } = this.#page;
    const form = this.#form.element;
    form.append(el('div', { class: 'run' }, this.#run, this.#stop));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#begin();
    });
    this.#stop.addEventListener('click', () => this.#end('It was stopped.'));
    const heading = el('header', { class: 'live' }, el('h1', {}, title));
    heading.append(el('p', { class: 'facts' }, about));
    const consoles = this.#page.console ? [this.#console] : [];
    this.#root.classList.add('live');
    this.#root.replaceChildren(
      ...[heading, form, this.#status, this.#alert, ...consoles, this.#shown],
    );
    if (starts) void this.#begin();
  }

  async #begin(): Promise<void> {
    if (this.#run.disabled) return;
    this.#alert.textContent = '';
    this.#run.disabled = true;
    try {
      const values = this.#form.values();
      const file = await this.#form.file();
      const parts = partsBeside(this.#page.beside);
      this.#events = [];
      this.#lines = [];
      this.#owner = 'reset';
      this.#console.textContent = '';
      this.#drawnAt = performance.now();
      this.#say('It runs.', false);
      const request: LiveRequest = { values, file, parts };
      this.#ready(parts).postMessage(request);
      this.#stop.disabled = false;
    } catch (error) {
      this.#run.disabled = false;
      this.#status.textContent = '';
      this.#alert.textContent = (error as Error).message;
    }
  }

  /** The worker; a new one after one was stopped. */
  #ready(parts: Readonly<Record<string, Uint8Array>>): Worker {
    if (this.#worker !== undefined) return this.#worker;
    this.#source ??= URL.createObjectURL(
      new Blob([...scripts(parts), document.getElementById('worker')!.textContent], {
        type: 'text/javascript',
      }),
    );
    const worker = (this.#worker = new Worker(this.#source));
    worker.onmessage = ({ data }: MessageEvent<LiveMessage>) => this.#told(data);
    worker.onerror = ({ message }) => {
      this.#end('');
      this.#alert.textContent = `The worker has ended: ${message || 'the browser says no more'}.`;
    };
    return worker;
  }

  #told(message: LiveMessage): void {
    switch (message.kind) {
      case 'events':
        for (const event of message.events) {
          this.#events.push(event);
          if (event.kind === 'stage') this.#owner = text(event, 'stage');
        }
        this.#progress(message.ms);
        return;
      case 'line':
        this.#line(message.text);
        return;
      case 'done': {
        const { good, summary, clean, noClean } = message;
        this.#over();
        this.#say(summary, good, true);
        this.#draw(clean, noClean);
        return;
      }
      default:
        this.#over();
        this.#status.textContent = '';
        this.#alert.textContent = `${message.text}. ${message.advice}`;
        if (this.#events.length > 0) this.#draw(null, 'The run has failed.', 'it failed');
    }
  }

  #progress(ms: number): void {
    const time = `${ms.toFixed(0)} ms of virtual time`;
    this.#say(`It runs: ${this.#owner}, ${time}, ${this.#events.length} events.`, false);
    const now = performance.now();
    const used = this.#shown.contains(document.activeElement);
    if (used || now - this.#drawnAt < DRAW_MS || this.#events.length > DRAWN_MAX) return;
    this.#draw(null, 'The run goes on.', 'it goes on');
    this.#drawnAt = performance.now();
  }

  #line(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > LINES_MAX) this.#lines.shift();
    // Once for all lines of a frame
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      this.#console.textContent = this.#lines.join('\n');
      this.#console.scrollTop = this.#console.scrollHeight;
    });
  }

  /** Show all that has happened, in the view that was looked at. */
  #draw(clean: readonly TraceRecord[] | null, noClean: string, state?: string): void {
    hideHint();
    this.#gone.abort();
    this.#gone = new AbortController();
    const data = { title: '', events: this.#events, clean, noClean };
    const view = this.#view();
    this.#view = showReport(data, this.#shown, { view, state, gone: this.#gone.signal });
  }

  /** End a run that goes on; what has happened so far is shown. */
  #end(said: string): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#over();
    this.#say(said, false);
    if (this.#events.length > 0) this.#draw(null, 'The run was stopped.', 'it was stopped');
  }

  #over(): void {
    this.#run.disabled = false;
    this.#stop.disabled = true;
  }

  #say(said: string, good: boolean, verdict = false): void {
    const sign = verdict ? (good ? '✓ ' : '✕ ') : '';
    this.#status.className = `live-status ${verdict ? `verdict ${good ? 'ok' : 'error'}` : ''}`;
    this.#status.textContent = `${sign}${said}`;
  }
}

/**
 * The files that scripts beside the page have brought.
 *
 * @throws Error in words if they are not there
 */
function partsBeside(scripts: readonly string[] = []): Record<string, Uint8Array> {
  if (scripts.length === 0) return {};
  const { hypxeParts } = globalThis as { hypxeParts?: Parts };
  if (hypxeParts === undefined) {
    throw new Error(`${scripts.join(' and ')} must lie beside this page: keep them together.`);
  }
  return Object.fromEntries(
    Object.entries(hypxeParts).map(([name, part]) => [
      name,
      Uint8Array.from(atob(part), (character) => character.charCodeAt(0)),
    ]),
  );
}

/** Those of them that are scripts of the worker: its own comes behind them. */
function scripts(parts: Readonly<Record<string, Uint8Array>>): BlobPart[] {
  const names = Object.keys(parts).filter((name) => name.endsWith('.js'));
  // A line end: the last line may be a comment
  return names.flatMap((name) => [new Uint8Array(parts[name]!), '\n']);
}
