// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A cell: the process in which a guest runs together with the simulated host, seen from the
 * command. What comes out of it is data that somebody else has made: whoever takes it checks it.
 */

import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Phase, type CellStart, type FromCell } from './cell-words.ts';

/**
 * Flags of Node: modules in realms of their own; and, should a guest ever get hold of an object of
 * the tool's realm, nothing in that realm makes code of text. Nor can the language in it be
 * changed, but for one thing: the worker has frozen it ({@link freezeRealm} says which).
 */
const FLAGS = [
  ...['--experimental-vm-modules', '--disallow-code-generation-from-strings', '--no-warnings'],
];

/** What of the environment a cell gets: to find programs and places, nothing else. */
const ENVIRONMENT = ['PATH', 'HOME', 'TMPDIR', 'XDG_RUNTIME_DIR', 'SystemRoot', 'TEMP'];

/** Most of what a cell prints that is kept, in characters. */
const PRINTED_MAX = 8192;

/** What a cell tells besides messages. */
export type CellEnd =
  | Extract<FromCell, { readonly kind: 'lost' }>
  | Extract<FromCell, { readonly kind: 'failed' }>
  | { readonly kind: 'ended' };

export interface CellListener {
  /**
   * The worker has posted something. Returns a promise if whoever reads it is slow: nothing more
   * is asked for until then.
   */
  message(message: unknown): void | Promise<void>;
  /** What came of the link. */
  link?(link: unknown): void;
  /** It is over. Called once; messages that came before were told. */
  end(end: CellEnd): void;
  /** It has said what is no message: the listener threw this. */
  broken(error: Error): void;
}

/** Name of the failure of a cell that was interrupted before it was ready for that. */
export const INTERRUPTED = 'Interrupted';

export class Cell {
  readonly #child: ChildProcess;
  readonly #listener: CellListener;
  #printed = '';
  #over = false;

  /**
   * @param script of the process: guest-cell
   * @param flags of Node, besides
   */
  constructor(
    script: URL,
    start: CellStart,
    listener: CellListener,
    flags: readonly string[] = [],
  ) {
    this.#listener = listener;
    const environment: Record<string, string> = {};
    for (const name of ENVIRONMENT) {
      const value = process.env[name];
      if (value !== undefined) environment[name] = value;
    }
    this.#child = fork(fileURLToPath(script), [], {
      execArgv: [...process.execArgv, ...FLAGS, ...flags],
      env: environment,
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const child = this.#child;
    const print = (text: Buffer): void => {
      this.#printed = (this.#printed + String(text)).slice(-PRINTED_MAX);
    };
    child.stdout?.on('data', print);
    child.stderr?.on('data', print);
    child.on('message', (message) => this.#take(message as FromCell));
    child.on('error', (error) => this.#fail(error));
    child.on('close', (code, signal) => this.#closed(code, signal));
    child.send({ kind: 'start', start }, (error) => {
      // Whose process is gone already tells more when it is closed
      if (error !== null && codeOf(error) !== 'EPIPE') this.#fail(error);
    });
  }

  /** Let the worker finish what it is at, and report. */
  stop(): void {
    if (this.#child.connected) this.#child.send({ kind: 'stop' }, () => undefined);
  }

  /** Let the worker end here, and the link be closed. */
  finish(): void {
    if (this.#child.connected) this.#child.send({ kind: 'end' }, () => undefined);
  }

  /** End it at once. Nothing is told any more. */
  async kill(): Promise<void> {
    this.#over = true;
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.kill('SIGKILL');
    });
  }

  #take(message: FromCell): void {
    if (this.#over) return;
    switch (message.kind) {
      case 'message':
        void this.#told(message.message);
        return;
      case 'link':
        try {
          this.#listener.link?.(message.link);
        } catch (error) {
          this.#listener.broken(error as Error);
        }
        return;
      case 'lost':
      case 'failed':
      case 'ended':
        this.#end(message);
        return;
      default:
        this.#fail(new Error('a cell has said what none says'));
    }
  }

  async #told(message: unknown): Promise<void> {
    try {
      await this.#listener.message(message);
    } catch (error) {
      this.#over = true;
      this.#listener.broken(error as Error);
      return;
    }
    if (this.#child.connected) this.#child.send({ kind: 'taken', count: 1 }, () => undefined);
  }

  /** The process is gone: if it has not said why, it was ended. */
  #closed(code: number | null, signal: string | null): void {
    if (this.#over) return;
    // Nobody here: the kernel, for want of memory, which the guest has taken
    const killed = signal === 'SIGKILL';
    if (killed || /out of memory/i.test(this.#printed)) {
      const place = { silentMs: 0, phase: Phase.RUNNING, position: 0, note: '', stack: '' };
      this.#end({ kind: 'lost', reason: killed ? 'killed' : 'out-of-memory', ...place });
      return;
    }
    // Ctrl-C is for all processes of a terminal, also for one that is not yet ready for it
    if (signal === 'SIGINT') {
      const text = 'the process of the guest was interrupted';
      this.#end({ kind: 'failed', name: INTERRUPTED, text, advice: '', stack: '' });
      return;
    }
    this.#fail(new Error(`the process of the guest has ended: ${signal ?? code}`));
  }

  #fail({ name, message, stack = '' }: Error): void {
    const more = this.#printed === '' ? '' : `\n${this.#printed}`;
    this.#end({ kind: 'failed', name, text: message, advice: '', stack: `${stack}${more}` });
  }

  #end(end: CellEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#listener.end(end);
  }
}

/** The code of an error of the system, where it has one. */
function codeOf(error: Error): unknown {
  return (error as NodeJS.ErrnoException).code;
}
