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

/**
 * Run the loader. Throws what no loader can do anything about: a crash, a mistake. `quiesced` is
 * called while somebody else has the machine, with the map that this one gets.
 */
export function runLoader(
  driver: GuestDriver,
  cancel: () => boolean,
  quiesced: (memoryMap: readonly MemoryRange[]) => void,
): LoaderResult {
  let error: unknown;
  try {
    drive(driver, cancel, quiesced);
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

function drive(
  driver: GuestDriver,
  cancel: () => boolean,
  quiesced: (memoryMap: readonly MemoryRange[]) => void,
): void {
  const goOn = (): void => {
    if (cancel()) throw new GaveUp('the loader gives up');
  };
  driver.probe();
  goOn();
  const device = driver.devices[0];
  if (device === undefined) return;
  device.open();
  goOn();
  const net = new NetworkInterface(device, driver.clock, driver.log);
  dhcp(net, driver.random, { preferBootFile: false, totalMs: LEASE_TIMEOUT_MS });
  goOn();

  // Somebody else has the machine for a while
  driver.quiesce();
  quiesced(driver.memoryMap());
  goOn();
  driver.unquiesce();
  goOn();
  burst(device, driver, goOn);
}

function burst(device: NetDevice, driver: GuestDriver, goOn: () => void): void {
  const frame = new Uint8Array(FRAME_LENGTH).fill(0xff, 0, 6);
  for (let i = 0; i < BURST_FRAMES; i++) device.transmit(frame, frame.length);
  for (let i = 0; i < TURNS; i++) {
    device.poll();
    driver.poll();
    driver.clock.pause();
    goOn();
  }
  for (let i = 0; i < BURST_FRAMES; i++) device.transmit(frame, frame.length);
}

/** A HypxeError, of whichever copy of the firmware. */
export function isNamed(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return errorEntry(error.name) !== undefined;
}
