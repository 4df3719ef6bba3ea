// SPDX-License-Identifier: GPL-2.0-or-later

/** The port of the switch that a NIC of the guest is plugged into. */

import type { Link, LinkHost } from './link.ts';
import type { NetworkContext } from './context.ts';
import type { Frame, FrameSink } from './frame.ts';
import type { Lane } from './lane.ts';
import { ETH, ETH_LONGEST } from './protocol.ts';
import type { DropReason } from './statistics.ts';
import type { Switch, SwitchPort } from './switch.ts';
import type { Keeper, Saved } from '../base/snapshot.ts';

/** What a port is given when its NIC appears. */
export interface GuestWiring {
  readonly context: NetworkContext;
  readonly to: Switch;
  /** Makes the lane to or from the guest, which ends at `sink`. */
  readonly lane: (direction: 'toGuest' | 'fromGuest', sink: FrameSink) => Lane;
}

/** Everything that there is once the NIC is connected. */
interface Connection {
  readonly host: LinkHost;
  readonly context: NetworkContext;
  readonly toGuest: Lane;
  readonly fromGuest: Lane;
}

export class GuestPort implements Link, SwitchPort {
  readonly nic: number;
  readonly #network: Saved;
  readonly #wire: (host: LinkHost, port: GuestPort) => GuestWiring;
  #connection: Connection | undefined;
  #up = true;
  /** Frames lost at the port itself, and times that the cable was pulled. */
  #harmed = 0;

  /** `network`: all that it is a port of; `wire` is called when the NIC connects. */
  constructor(nic: number, network: Saved, wire: (host: LinkHost, port: GuestPort) => GuestWiring) {
    this.nic = nic;
    this.#network = network;
    this.#wire = wire;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#connection, this.#up], (v) => ([this.#connection, this.#up] = v));
    keeper.put([this.#harmed], (v) => ([this.#harmed] = v));
    keeper.keep(this.#network);
  }

  /** @throws Error if a NIC is connected already, or belongs to another machine. */
  connect(host: LinkHost): void {
    if (this.#connection !== undefined) {
      throw new Error(`link ${this.nic} of the network has a NIC already`);
    }
    const { context, to, lane } = this.#wire(host, this);
    this.#connection = {
      host,
      context,
      toGuest: lane('toGuest', { arrive: (frame) => this.#deliver(frame) }),
      fromGuest: lane('fromGuest', { arrive: (frame) => to.input(frame, this) }),
    };
    to.attach(this);
    if (!this.#up) host.setLinkState(false);
  }

  get harmed(): number {
    const { toGuest, fromGuest, context } = this.#connection ?? {};
    const lanes = (toGuest?.harmed ?? 0) + (fromGuest?.harmed ?? 0);
    const { drops, dhcp } = context?.statistics ?? {};
    // A network has one path, and its servers refuse for all
    return this.#harmed + lanes + (drops?.['path-mtu'] ?? 0) + (dhcp?.refusals ?? 0);
  }

  /** Pull the cable, or plug it in again. Frames on their way to the guest are lost. */
  setUp(up: boolean): void {
    if (up === this.#up) return;
    this.#up = up;
    if (!up) this.#harmed++;
    this.#connection?.host.setLinkState(up);
  }

  /** A frame from the guest. */
  transmit(frame: Uint8Array): void {
    const connection = this.#connection;
    if (connection === undefined) throw new Error(`link ${this.nic} of the network has no NIC`);
    const { context } = connection;
    context.statistics.bytesFromGuest += frame.length;
    if (!this.#up) this.#lost('link-down');
    else if (frame.length < ETH.end) context.count('runt');
    else if (frame.length > ETH_LONGEST) context.count('giant');
    else {
      const copy = context.pool.copy(frame);
      if (copy === undefined) this.#lost('no-frame');
      else connection.fromGuest.send(copy);
    }
  }

  /** A frame from the switch. */
  output(frame: Frame): void {
    const { context, toGuest } = this.#connection!;
    if (this.#up) toGuest.send(frame);
    else {
      this.#harmed++;
      context.drop('link-down', frame);
    }
  }

  #lost(reason: DropReason): void {
    this.#harmed++;
    this.#connection!.context.count(reason);
  }

  #deliver(frame: Frame): void {
    const { context, host } = this.#connection!;
    if (!this.#up) {
      this.#harmed++;
      context.drop('link-down', frame);
      return;
    }
    context.statistics.framesToGuest++;
    context.statistics.bytesToGuest += frame.length;
    host.deliver(frame.contents);
    context.pool.give(frame);
  }
}
