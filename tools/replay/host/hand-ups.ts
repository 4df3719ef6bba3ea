// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Names the handings up of frames. Whoever takes a frame may read the time before the drivers go
 * on, and a host acts at any exit of its guest: what came then is anchored at the frame, because
 * nobody takes it in a replay.
 */

export class HandUps {
  /** How often each frame was handed up in this step. */
  readonly #counts = new Map<string, number>();

  /** A step begins. */
  begin(): void {
    this.#counts.clear();
  }

  /** Key of the next handing up of a frame. `frame`: in hexadecimal digits. */
  key(frame: string): string {
    const count = (this.#counts.get(frame) ?? 0) + 1;
    this.#counts.set(frame, count);
    return `above ${count} ${frame}`;
  }
}
