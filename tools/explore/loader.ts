// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A loader on top of the firmware's drivers, as a boot manager would be: it opens the network, asks
 * for a lease, leaves the machine for a while and takes it back, sends a burst, and removes the
 * drivers without closing anything first. It gives up as soon as it may: at the next thing that it
 * does itself, or, inside of the drivers, at their next question whether to go on.
 */

import { errorEntry } from '../../src/catalogue.ts';
import type { MemoryRange } from '../../src/machine.ts';
import { dhcp } from '../../src/net/dhcp.ts';
import type { NetDevice } from '../../src/net/device.ts';
import { NetworkInterface } from '../../src/net/network-interface.ts';
import type { GuestDriver } from '../guests/guest-program.ts';
import type { Keeper, Saved } from '../simulator/base/snapshot.ts';

/** Frames of the burst: more than fit, so that some wait. */
const BURST_FRAMES = 80;

/** Length of each frame. */
const FRAME_LENGTH = 60;

/** Turns of the loader's own polling loop after the burst. */
const TURNS = 4;

/** How long the loader asks for a lease, in ms. */
const LEASE_TIMEOUT_MS = 8000;

export interface LoaderResult {
  readonly status: 'booted' | 'failed';
  /** Why the loader could not do all that it does. */
  readonly error: unknown;
  readonly memoryMap: readonly MemoryRange[];
}

/** The loader has stopped of its own accord. */
class GaveUp extends Error {}

/** Called while somebody else has the machine, with the map that this one gets. */
export type Quiesced = (memoryMap: readonly MemoryRange[]) => void;

/**
 * A loader in stages: between two of them nothing of it is on the stack, so that it goes with a
 * snapshot of its machine if its driver does.
 */
export class Loader implements Saved {
  readonly #driver: GuestDriver;
  readonly #cancel: () => boolean;
  readonly #quiesced: Quiesced;
  #next = 0;
  #device: NetDevice | undefined;
  /** Called before each stage, and before the end. */
  atBorder: (() => void) | undefined;

  constructor(driver: GuestDriver, cancel: () => boolean, quiesced: Quiesced) {
    this.#driver = driver;
    this.#cancel = cancel;
    this.#quiesced = quiesced;
  }

  /** For a snapshot: all that may change. @throws SnapshotError if the driver has not said how */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#next, this.#device], (v) => ([this.#next, this.#device] = v));
    keeper.demand('the driver', this.#driver);
  }

  /**
   * Run, or go on with the stage that is next. Throws what no loader can do anything about: a
   * crash, a mistake.
   */
  run(): LoaderResult {
    const driver = this.#driver;
    let error: unknown;
    try {
      for (;;) {
        this.atBorder?.();
        const stage = this.#stages[this.#next++];
        if (stage === undefined) break;
        stage();
      }
    } catch (caught) {
      error = caught;
    }
    // Whatever was going on, nothing is closed first
    driver.remove();
    if (error !== undefined && !(error instanceof GaveUp) && !isNamed(error)) throw error;
    const status = error === undefined ? 'booted' : 'failed';
    return {
      status,
      error: error instanceof GaveUp ? undefined : error,
      memoryMap: driver.memoryMap(),
    };
  }

  readonly #stages: readonly (() => void)[] = [
    () => this.#probe(),
    () => this.#open(),
    () => this.#configure(),
    () => this.#leave(),
    () => this.#takeBack(),
    () => this.#burst(),
  ];

  #goOn(): void {
    if (this.#cancel()) throw new GaveUp('the loader gives up');
  }

  #probe(): void {
    this.#driver.probe();
    this.#goOn();
    [this.#device] = this.#driver.devices;
    if (this.#device === undefined) this.#next = this.#stages.length;
  }

  #open(): void {
    this.#device!.open();
    this.#goOn();
  }

  /** Behind it the interface only counts what comes: what it has nobody asks for any more. */
  #configure(): void {
    const { clock, log, random } = this.#driver;
    const net = new NetworkInterface(this.#device!, clock, log);
    dhcp(net, random, { preferBootFile: false, totalMs: LEASE_TIMEOUT_MS });
    this.#goOn();
  }

  /** Somebody else has the machine for a while. */
  #leave(): void {
    const driver = this.#driver;
    driver.quiesce();
    this.#quiesced(driver.memoryMap());
    this.#goOn();
  }

  #takeBack(): void {
    this.#driver.unquiesce();
    this.#goOn();
  }

  #burst(): void {
    const driver = this.#driver;
    const device = this.#device!;
    const frame = new Uint8Array(FRAME_LENGTH).fill(0xff, 0, 6);
    for (let i = 0; i < BURST_FRAMES; i++) device.transmit(frame, frame.length);
    for (let i = 0; i < TURNS; i++) {
      device.poll();
      driver.poll();
      driver.clock.pause();
      this.#goOn();
    }
    for (let i = 0; i < BURST_FRAMES; i++) device.transmit(frame, frame.length);
  }
}

/** A HypxeError, of whichever copy of the firmware. */
export function isNamed(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return errorEntry(error.name) !== undefined;
}
