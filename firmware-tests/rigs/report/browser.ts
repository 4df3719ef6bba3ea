// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A browser that tests use: headless Chromium, over its DevTools protocol. The protocol goes over
 * two pipes (`--remote-debugging-pipe`): messages of JSON, each ended by a NUL.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { removeDirectory } from '../tool-rig.ts';

const FLAGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  '--remote-debugging-pipe',
];

/** Longest that one answer may take, in ms. */
const ANSWER_MAX_MS = 300_000;

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** An element as a screen reader has it. */
export interface Accessible {
  readonly role: string;
  readonly name: string;
}

export class Browser {
  #child: ChildProcess | undefined;
  #directory = '';
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #next = 1;
  #rest = '';
  #session: string | undefined;
  /** What pages have complained of, and what they have tried to load. */
  readonly complaints: string[] = [];
  readonly requests: string[] = [];

  /** The browser, started with the first thing that is asked of it. */
  #started(): ChildProcess {
    if (this.#child !== undefined) return this.#child;
    this.#directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-browser-'));
    const profile = `--user-data-dir=${path.join(this.#directory, 'profile')}`;
    const child = (this.#child = spawn('chromium', [...FLAGS, profile, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    }));
    (child.stdio[4] as Readable).on('data', (data: Buffer) => this.#read(String(data)));
    child.on('exit', () => this.#fail('the browser has ended'));
    child.on('error', (error) => this.#fail(error.message));
    return child;
  }

  /** Open a page in a window of this size, and wait until it is drawn. */
  async open(url: string, width = 1280, height = 800, dark = false): Promise<void> {
    if (this.#session === undefined) {
      const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
      const attached = await this.send('Target.attachToTarget', { targetId, flatten: true });
      this.#session = attached.sessionId as string;
      for (const domain of ['Page', 'Runtime', 'Network', 'Log'])
        await this.send(`${domain}.enable`);
    }
    const size = { width, height, deviceScaleFactor: 1, mobile: false };
    await this.send('Emulation.setDeviceMetricsOverride', size);
    const features = [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }];
    await this.send('Emulation.setEmulatedMedia', { features });
    await this.send('Page.navigate', { url });
    await this.until('document.readyState === "complete" && location.href !== "about:blank"');
  }

  /** The value of an expression in the page; promises are waited for. @throws Error */
  async evaluate<T>(expression: string): Promise<T> {
    const options = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', options);
    const thrown = exceptionDetails as { exception?: { description?: string } } | undefined;
    if (thrown !== undefined) throw new Error(thrown.exception?.description ?? 'it threw');
    return (result as { value: T }).value;
  }

  /** Wait until an expression is true. @throws Error if it never is */
  async until(expression: string): Promise<void> {
    const end = Date.now() + ANSWER_MAX_MS;
    while (Date.now() < end) {
      if (await this.evaluate<boolean>(`Boolean(${expression})`)) return;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    throw new Error(`never true: ${expression}`);
  }

  /** Press keys, one after the other: `ArrowDown`, `Tab`, `a`. Waits until each is drawn. */
  async press(...keys: string[]): Promise<void> {
    for (const key of keys) {
      const text = key.length === 1 ? key : key === 'Enter' ? '\r' : undefined;
      const event = { key, windowsVirtualKeyCode: CODES[key] ?? key.toUpperCase().charCodeAt(0) };
      await this.send('Input.dispatchKeyEvent', { type: 'keyDown', ...event, text });
      await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
      await this.evaluate('new Promise((done) => requestAnimationFrame(() => done(0)))');
    }
  }

  /** What a screen reader finds in the page: roles and names, in order. */
  async accessible(): Promise<Accessible[]> {
    const { nodes } = await this.send('Accessibility.getFullAXTree');
    return (nodes as AxNode[])
      .filter(({ ignored }) => !ignored)
      .map(({ role, name }) => ({ role: role?.value ?? '', name: name?.value ?? '' }));
  }

  /** The page as a picture: a PNG. */
  async screenshot(file: string): Promise<void> {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png' });
    fs.writeFileSync(file, Buffer.from(data as string, 'base64'));
  }

  async send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const child = this.#started();
    const id = this.#next++;
    const sessionId = method.startsWith('Target.') ? undefined : this.#session;
    const answer = await new Promise<Answer>((resolve) => {
      const late = setTimeout(
        () => this.#answer({ id, error: { message: 'late' } }),
        ANSWER_MAX_MS,
      );
      this.#waiting.set(id, (given) => {
        clearTimeout(late);
        resolve(given);
      });
      const message = JSON.stringify({ id, method, params, sessionId });
      (child.stdio[3] as Writable).write(`${message}\0`);
    });
    if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result ?? {};
  }

  async close(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once('close', resolve));
    if (child.exitCode === null) child.kill();
    await ended;
    await removeDirectory(this.#directory);
  }

  #read(data: string): void {
    const messages = (this.#rest + data).split('\0');
    this.#rest = messages.pop() ?? '';
    for (const message of messages) this.#answer(JSON.parse(message) as Answer);
  }

  #answer(answer: Answer): void {
    const { id, method, params = {} } = answer;
    if (id !== undefined) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      return waiting?.(answer);
    }
    if (method === 'Runtime.exceptionThrown' || method === 'Log.entryAdded')
      this.complaints.push(JSON.stringify(params));
    if (method === 'Network.requestWillBeSent')
      this.requests.push((params.request as { url: string }).url);
  }

  #fail(message: string): void {
    for (const waiting of this.#waiting.values()) waiting({ error: { message } });
    this.#waiting.clear();
  }
}

interface AxNode {
  readonly ignored: boolean;
  readonly role?: { readonly value: string };
  readonly name?: { readonly value: string };
}

/** Windows' numbers of keys that are no characters. */
const CODES: Readonly<Record<string, number>> = {
  ...{ Tab: 9, Enter: 13, Escape: 27, PageUp: 33, PageDown: 34, End: 35, Home: 36 },
  ...{ ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40, '/': 191, '+': 187, '-': 189 },
};
