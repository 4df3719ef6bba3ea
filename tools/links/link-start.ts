// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Starts a real link: `passt` as a child, on a socket that it inherits, or a connection to a Unix
 * socket that somebody else listens on. From here on failures are told with their cause and with
 * what to do.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import * as net from 'node:net';
import type { LinkCounts } from './link-counts.ts';
import { StreamPeer } from './stream-peer.ts';
import type { RingLinkEnds } from './ring-link.ts';

/** A link, as it was asked for. */
export type LinkRequest =
  { readonly kind: 'passt' } | { readonly kind: 'stream'; readonly path: string };

/** Why there is no link, or no link any more. */
export class LinkError extends Error {
  readonly advice: string;

  /** @param name ProgramMissing, LinkUnreachable, LinkLost */
  constructor(name: string, message: string, advice: string) {
    super(message);
    this.name = name;
    this.advice = advice;
  }
}

/** The network that passt makes here: the gateway is the loopback of this machine. */
export const PASST_GATEWAY = '10.9.9.1';
export const PASST_GUEST = '10.9.9.2';

/** How long a Unix socket may take to accept us, in ms. */
const CONNECT_MAX_MS = 5000;

/** How long is waited for the reason why a program has ended, in ms. */
const LAST_WORDS_MS = 500;

/** What is kept of what a program says. */
const WORDS_MAX = 4096;

/**
 * Addresses of its own, so that nothing depends on the networks of this machine; Ethernet's MTU
 * (its default does not fit into a NIC).
 */
export const PASST_NETWORK = [
  ...['-4', '-i', 'lo', '-m', '1500', '-M', '52:54:00:00:00:01'],
  ...['-a', PASST_GUEST, '-n', '24', '-g', PASST_GATEWAY],
];

/** One client, on a socket that it inherits, and then it ends. */
const PASST_OPTIONS = ['-f', '-q', '-1', ...PASST_NETWORK, '-F', '3'];

/** A link that runs. */
export class RunningLink {
  /** Why it is gone, if it is and nobody asked for it. */
  failure: LinkError | undefined;
  readonly #peer: StreamPeer;
  readonly #child: Program | undefined;

  constructor(socket: net.Socket, child?: Program) {
    this.#child = child;
    this.#peer = new StreamPeer(socket, (text) => {
      this.failure = lost(text);
    });
  }

  get ends(): RingLinkEnds {
    return this.#peer.ends;
  }

  get counts(): LinkCounts {
    return this.#peer.counts;
  }

  /** The guest's thread has frames for the peer. */
  drain(): void {
    this.#peer.drain();
  }

  /** End the link and the program behind it. A program that ended by itself says why. */
  async close(): Promise<void> {
    this.#peer.close();
    if (this.#child === undefined) return;
    if (this.failure !== undefined) {
      const words = await this.#child.lastWords();
      if (words !== undefined) this.failure = lost(words);
    }
    this.#child.end();
  }
}

/**
 * Start a link.
 *
 * @throws LinkError ProgramMissing, LinkUnreachable
 */
export function startLink(request: LinkRequest): Promise<RunningLink> {
  return request.kind === 'passt' ? startPasst() : connectTo(request.path);
}

function lost(text: string): LinkError {
  return new LinkError('LinkLost', text, 'Look at what the other end says, and start it again.');
}

async function startPasst(): Promise<RunningLink> {
  const stdio = ['ignore', 'ignore', 'pipe', 'pipe'] as const;
  const child = spawn('passt', PASST_OPTIONS, { stdio: [...stdio] });
  const program = new Program('passt', child);
  await program.started();
  return new RunningLink(child.stdio[3] as net.Socket, program);
}

function connectTo(path: string): Promise<RunningLink> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ path });
    const refuse = (text: string, advice: string): void => {
      socket.destroy();
      reject(new LinkError('LinkUnreachable', `${path}: ${text}`, advice));
    };
    const timer = setTimeout(
      () => refuse('nobody accepts', 'Start the program that listens there.'),
      CONNECT_MAX_MS,
    );
    socket.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      refuse(...connectFailure(error));
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(new RunningLink(socket));
    });
  });
}

/** What it means that a Unix socket cannot be connected to, and what to do. */
function connectFailure(error: NodeJS.ErrnoException): [string, string] {
  switch (error.code) {
    case 'ENOENT':
      return [
        'there is no such socket',
        'Start the program that listens there, or check the path.',
      ];
    case 'ECONNREFUSED':
    case 'ENOTSOCK':
      return ['nobody listens there', 'Start the program that listens there.'];
    case 'EACCES':
      return ['permission denied', 'Check the permissions of the socket and its directory.'];
    case 'EPROTOTYPE':
      return ['this is no stream socket', 'Frames come on a stream: SOCK_STREAM.'];
    default:
      return [error.message, 'Check the path.'];
  }
}

/** A child process, and what it says. */
class Program {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<string>;
  #words = '';

  constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.#child = child;
    child.stderr?.on('data', (text: Buffer) => {
      this.#words = (this.#words + String(text)).slice(-WORDS_MAX);
    });
    this.#ended = new Promise((resolve) => {
      child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
  }

  /** @throws LinkError ProgramMissing, LinkUnreachable */
  started(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#child.once('spawn', () => resolve());
      this.#child.on('error', (error: NodeJS.ErrnoException) => {
        const missing = error.code === 'ENOENT';
        const text = missing ? `${this.#name} is not installed` : error.message;
        const advice = `It is in Debian's package ${this.#name}: apt-get install ${this.#name}.`;
        reject(new LinkError(missing ? 'ProgramMissing' : 'LinkUnreachable', text, advice));
      });
    });
  }

  /** How the program ended, if it did, and the last line that it said. */
  async lastWords(): Promise<string | undefined> {
    const waited = new Promise<undefined>((resolve) => {
      setTimeout(() => resolve(undefined), LAST_WORDS_MS).unref();
    });
    const how = await Promise.race([this.#ended, waited]);
    if (how === undefined) return undefined;
    const line = this.#words.trim().split('\n').at(-1) ?? '';
    return `${this.#name} ended (${how})${line === '' ? '' : `: ${line}`}`;
  }

  end(): void {
    this.#child.kill();
    this.#child.stderr?.destroy();
    this.#child.unref();
  }
}
