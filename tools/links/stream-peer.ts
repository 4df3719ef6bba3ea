// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The other end of a real link: owns the socket, and carries frames between it and the rings of a
 * guest that runs in another thread.
 */

import type { Socket } from 'node:net';
import { FrameRing } from './frame-ring.ts';
import type { LinkCounts } from './link-counts.ts';
import type { RingLinkEnds } from './ring-link.ts';
import { StreamFrames, encodeFrame } from './stream-frames.ts';

/** Bytes that may wait in the socket: what the guest sends beyond that is lost. */
const BACKLOG_MAX = 2 ** 20;

/** Shortest frame: the header. What is shorter is none, and lost. */
const FRAME_MIN = 14;

export class StreamPeer {
  readonly #socket: Socket;
  readonly #failed: (text: string) => void;
  readonly #toGuest = new FrameRing();
  readonly #toPeer = new FrameRing();
  readonly #frames = new StreamFrames((frame) => this.#fromPeer(frame));
  readonly #send = (frame: Uint8Array): void => this.#fromGuest(frame);
  #received = 0;
  #sent = 0;
  #dropped = 0;
  #open = true;

  /** @param failed is called once, unless {@link close} was called: why the link is gone */
  constructor(socket: Socket, failed: (text: string) => void) {
    this.#socket = socket;
    this.#failed = failed;
    socket.on('data', (chunk: Uint8Array) => this.#data(chunk));
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('close', () => {
      const { partial } = this.#frames;
      this.#fail(`the peer closed the socket${partial === undefined ? '' : `, ${partial}`}`);
    });
    this.#toPeer.sleep();
  }

  /** For the thread of the guest. */
  get ends(): RingLinkEnds {
    return { toGuest: this.#toGuest.buffer, toPeer: this.#toPeer.buffer };
  }

  get counts(): LinkCounts {
    return {
      framesToGuest: this.#received,
      framesToPeer: this.#sent,
      framesDropped: this.#dropped + this.#toGuest.dropped + this.#toPeer.dropped,
    };
  }

  /** The guest's thread says that there are frames. */
  drain(): void {
    // What comes between the last look and the wish to be told must be seen, too
    do {
      while (this.#toPeer.pull(this.#send));
      this.#toPeer.sleep();
    } while (!this.#toPeer.empty);
  }

  /** End the link. What the guest has sent still goes out. */
  close(): void {
    if (!this.#open) return;
    this.drain();
    this.#end();
  }

  #data(chunk: Uint8Array): void {
    if (!this.#open) return;
    try {
      this.#frames.write(chunk);
    } catch (error) {
      this.#fail((error as Error).message);
    }
    this.#toGuest.notify();
  }

  #fromPeer(frame: Uint8Array): void {
    if (frame.length < FRAME_MIN) this.#dropped++;
    else if (this.#toGuest.push(frame)) this.#received++;
  }

  #fromGuest(frame: Uint8Array): void {
    if (!this.#open || this.#socket.writableLength > BACKLOG_MAX) {
      this.#dropped++;
      return;
    }
    this.#sent++;
    this.#socket.write(encodeFrame(frame));
  }

  #fail(text: string): void {
    if (!this.#open) return;
    this.#end();
    this.#failed(text);
  }

  #end(): void {
    this.#open = false;
    this.#toGuest.close();
    this.#toGuest.notify();
    this.#socket.end();
    // A peer that does not read does not keep us
    this.#socket.unref();
  }
}
