// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Where in a moment something comes. A replay goes by whole milliseconds; within one a guest may
 * take several turns of a wait and read the time several times, and sees in each what has come by
 * then. Both are counted since it has sent something, or a millisecond is over.
 */

/** A place in a moment. */
export interface Look {
  /** Turns of a wait that are over. */
  readonly turns: number;
  /** The how-manyth read of the time behind the last of them; 0: in none. */
  readonly reads: number;
}

/** What comes in no read, and behind no turn. */
export const NO_LOOK: Look = { turns: 0, reads: 0 };

/** Counts the looks of a guest. */
export class Looks implements Look {
  turns = 0;
  reads = 0;

  /** The guest has sent something, or a millisecond is over. */
  begin(): void {
    this.turns = this.reads = 0;
  }

  /** A turn is over, and the millisecond is not. */
  turnOver(): void {
    this.turns++;
    this.reads = 0;
  }

  /** Whether the guest has not come as far. */
  isBefore({ turns, reads }: Look): boolean {
    return this.turns < turns || (this.turns === turns && this.reads < reads);
  }
}
