// SPDX-License-Identifier: GPL-2.0-or-later

/** A machine at a moment: what its objects have, and its guest's RAM by page. */

import type { Partition } from './partition.ts';
import { imageBytes, type PageImage } from '../base/page-image.ts';
import { Keeper, SnapshotError, type Restore, type Saved } from '../base/snapshot.ts';

/** A moment of a machine. It is good for that machine alone, as often as one likes. */
export interface MachineSnapshot {
  /** When it was taken, in ticks. */
  readonly now: number;
  /** Bytes of guest RAM that it keeps, and no snapshot before it. */
  readonly memoryBytes: number;
}

/** Takes snapshots of one machine. A page of RAM that is as in the last one is kept once. */
export class SnapshotKeeper {
  readonly #partition: Partition;
  readonly #parts: readonly Saved[];
  readonly #taken = new WeakMap<MachineSnapshot, { state: Restore; image: PageImage }>();
  /** What RAM was when a snapshot was taken or put back last. */
  #image: PageImage = [];

  constructor(partition: Partition, ...parts: readonly Saved[]) {
    this.#partition = partition;
    this.#parts = parts;
  }

  /** @throws SnapshotError if something in it cannot be saved */
  take(others: readonly Saved[]): MachineSnapshot {
    const { ram, clock } = this.#partition;
    const state = this.#state(others);
    const image = ram.takeImage(this.#image);
    const snapshot = { now: clock.now, memoryBytes: imageBytes(image, this.#image) };
    this.#taken.set(snapshot, { state, image });
    this.#image = image;
    return snapshot;
  }

  /** All but the contents of RAM: for who keeps those himself. @throws SnapshotError */
  state(others: readonly Saved[]): Restore {
    const state = this.#state(others);
    return () => this.#put(state);
  }

  /** @throws SnapshotError for a snapshot that was not taken here */
  restore(snapshot: MachineSnapshot): void {
    const taken = this.#taken.get(snapshot);
    if (taken === undefined) throw new SnapshotError('this is no snapshot of this machine');
    this.#put(taken.state);
    const { ram } = this.#partition;
    ram.putImage(taken.image);
    this.#image = taken.image;
  }

  #state(others: readonly Saved[]): Restore {
    const keeper = new Keeper(this.#partition.ram.memory);
    keeper.keep(this.#partition, ...this.#parts, ...others);
    return keeper.finish();
  }

  #put(state: Restore): void {
    state();
    // RAM may have moved since: what has views of it takes them again
    this.#partition.retakeMemory(this.#partition.ram.memory);
  }
}
