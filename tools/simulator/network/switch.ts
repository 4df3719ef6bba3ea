// SPDX-License-Identifier: GPL-2.0-or-later

/** A learning switch (IEEE 802.1D, without spanning tree: there are no loops to be made). */

import type { NetworkContext } from './context.ts';
import type { Frame } from './frame.ts';
import { ETH } from './protocol.ts';
import type { Keeper } from '../base/snapshot.ts';

/** What is on a port. */
export interface SwitchPort {
  /** A frame leaves the switch here; the port owns it from here. */
  output(frame: Frame): void;
}

/** What a host of the network is plugged into: the switch, or something on the way to it. */
export interface SwitchEntry {
  attach(port: SwitchPort): void;
  /** A frame of `from`; who takes it owns it from here. */
  input(frame: Frame, from: SwitchPort): void;
}

/** Most stations that are known at a time; the one learnt first is forgotten first. */
export const STATIONS_MAX = 256;

/** A station: its MAC address in two halves of 24 bits, and its port. */
interface Station {
  high: number;
  low: number;
  port: SwitchPort;
}

export class Switch implements SwitchEntry {
  readonly #context: NetworkContext;
  readonly #ports: SwitchPort[] = [];
  readonly #stations: Station[] = [];
  #oldest = 0;

  constructor(context: NetworkContext) {
    this.#context = context;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#oldest], (v) => ([this.#oldest] = v));
    keeper.keep(this.#context, this.#ports, this.#stations);
  }

  attach(port: SwitchPort): void {
    this.#ports.push(port);
  }

  /** A frame comes in from a port; the switch owns it from here. */
  input(frame: Frame, from: SwitchPort): void {
    const { bytes } = frame;
    this.#learn(half(bytes, ETH.source), half(bytes, ETH.source + 3), from);

    // To the port of the station, or to everybody
    if ((bytes[ETH.destination]! & 1) === 0) {
      const station = this.#find(half(bytes, ETH.destination), half(bytes, ETH.destination + 3));
      if (station !== undefined) {
        if (station.port === from) this.#context.drop('same-port', frame);
        else station.port.output(frame);
        return;
      }
    }
    this.#flood(frame, from);
  }

  #flood(frame: Frame, from: SwitchPort): void {
    for (const port of this.#ports) {
      if (port === from) continue;
      const copy = this.#context.pool.copy(frame.contents);
      if (copy === undefined) this.#context.count('no-frame');
      else port.output(copy);
    }
    this.#context.pool.give(frame);
  }

  #find(high: number, low: number): Station | undefined {
    for (const station of this.#stations) {
      if (station.low === low && station.high === high) return station;
    }
    return undefined;
  }

  /** A station is where its latest frame came from. Nobody is a group address. */
  #learn(high: number, low: number, port: SwitchPort): void {
    if ((high & 0x010000) !== 0) return;
    const known = this.#find(high, low);
    if (known !== undefined) {
      known.port = port;
    } else if (this.#stations.length < STATIONS_MAX) {
      this.#stations.push({ high, low, port });
    } else {
      const station = this.#stations[this.#oldest]!;
      this.#oldest = (this.#oldest + 1) % STATIONS_MAX;
      station.high = high;
      station.low = low;
      station.port = port;
    }
  }
}

/** Three bytes as a number. */
function half(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
}
