// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Where a worker is that gives no sign of life: the functions of its guest, as the debugger of the
 * engine sees them. It is asked from within the process: no port is opened for it, nobody else can
 * attach, and a guest has no way to it.
 */

import { Session } from 'node:inspector';
import { ORIGIN } from '../guest-origin.ts';
import { afterOwnTime } from './own-time.ts';

/** Longest that it may take until the worker stands still, and until it goes on, in ms. */
const PAUSE_MAX_MS = 1500;
const RESUME_MAX_MS = 500;

/** Most functions that are told, from the innermost on. */
const FRAMES_MAX = 32;

/** Longest name of a function, and of a module. */
const NAME_MAX = 128;

/** What the debugger says, as far as it is read. */
interface Said {
  readonly id?: number;
  readonly method?: string;
  readonly params?: {
    readonly scriptId?: string;
    readonly url?: string;
    readonly scriptLanguage?: string;
    readonly callFrames?: readonly Frame[];
  };
}

interface Frame {
  readonly functionName: string;
  readonly location: {
    readonly scriptId: string;
    readonly lineNumber: number;
    readonly columnNumber?: number;
  };
}

interface Script {
  readonly url: string;
  readonly wasm: boolean;
}

/**
 * Stop the only worker of this process for a moment, and look.
 *
 * @returns a line for each function of the guest, as in the stack of an error; '' if there is none,
 *   or if the worker does not stop. ASCII
 */
export async function guestStack(): Promise<string> {
  const worker = new StoppedWorker();
  try {
    const frames = await worker.frames();
    return frames.flatMap((frame) => worker.line(frame)).join('\n');
  } catch {
    // It is worth a try, no more: that the guest hangs is known
    return '';
  } finally {
    await worker.release();
  }
}

class StoppedWorker {
  readonly #session = new Session();
  readonly #scripts = new Map<string, Script>();
  readonly #answered = new Map<number, () => void>();
  #sessionId = '';
  #last = 0;
  #paused: ((frames: readonly Frame[]) => void) | undefined;

  /** @throws Error if the debugger cannot be asked, or says nothing in time */
  async frames(): Promise<readonly Frame[]> {
    const session = this.#session;
    session.connect();
    session.on('NodeWorker.attachedToWorker', ({ params }) => (this.#sessionId = params.sessionId));
    session.on('NodeWorker.receivedMessageFromWorker', ({ params }) =>
      this.#take(JSON.parse(params.message) as Said),
    );
    const enabled = new Promise<void>((resolve, reject) => {
      session.post('NodeWorker.enable', { waitForDebuggerOnStart: false }, (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    await within(PAUSE_MAX_MS, enabled);
    const frames = new Promise<readonly Frame[]>((resolve) => (this.#paused = resolve));
    void this.#ask('Debugger.enable');
    void this.#ask('Debugger.pause');
    return within(PAUSE_MAX_MS, frames);
  }

  /** Let it go on, whatever came of it. */
  async release(): Promise<void> {
    try {
      this.#ask('Debugger.resume').catch(() => undefined);
      await within(RESUME_MAX_MS, this.#ask('Debugger.disable'));
    } catch {
      // Who has not stopped need not go on
    }
    try {
      this.#session.post('NodeWorker.disable');
      this.#session.disconnect();
    } catch {
      // What never was connected has nothing to end
    }
  }

  /** Nothing for what is the tool's own. */
  line({ functionName, location }: Frame): string[] {
    const { scriptId, lineNumber, columnNumber = 0 } = location;
    const script = this.#scripts.get(scriptId);
    if (script === undefined || !(script.wasm || script.url.startsWith(ORIGIN))) return [];
    // In WebAssembly the column is the byte of the module, and names begin with a sign
    const name = plain(script.wasm ? functionName.replace(/^\$/, '') : functionName);
    const place = script.wasm
      ? `0x${columnNumber.toString(16)}`
      : `${lineNumber + 1}:${columnNumber + 1}`;
    return [`    at ${name === '' ? '(no name)' : name} (${plain(script.url)}:${place})`];
  }

  #take({ id, method, params = {} }: Said): void {
    if (id !== undefined) this.#answered.get(id)?.();
    if (method === 'Debugger.scriptParsed') {
      const { scriptId = '', url = '', scriptLanguage } = params;
      this.#scripts.set(scriptId, { url, wasm: scriptLanguage === 'WebAssembly' });
    } else if (method === 'Debugger.paused') {
      this.#paused?.((params.callFrames ?? []).slice(0, FRAMES_MAX));
    }
  }

  /** Ends with the answer. */
  #ask(method: string): Promise<void> {
    const id = ++this.#last;
    const message = JSON.stringify({ id, method });
    return new Promise((resolve) => {
      this.#answered.set(id, resolve);
      const sessionId = this.#sessionId;
      this.#session.post('NodeWorker.sendMessageToWorker', { sessionId, message }, () => undefined);
    });
  }
}

/** A text of the guest's that is to stand in a line. */
function plain(text: string): string {
  return text.slice(0, NAME_MAX).replace(/[^\x20-\x7e]/g, '?');
}

/** @throws Error if it takes longer */
async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      promise,
      new Promise<never>((_, reject) => {
        timer = afterOwnTime(ms, () => reject(new Error('it took too long')));
      }),
    ]);
  } finally {
    clearInterval(timer);
  }
}
