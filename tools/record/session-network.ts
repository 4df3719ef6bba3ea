// SPDX-License-Identifier: GPL-2.0-or-later

/** The network of a recorded session: that of a boot, and a station that sends frames. */

import { Random } from '../simulator/base/random.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import {
  Network,
  memoryFiles,
  syntheticImage,
  type NetworkOptions,
} from '../simulator/network/index.ts';
import type { Link } from '../simulator/network/link.ts';

/** What such a network is like; what it serves is its own. Plain data. */
export type SessionNetworkOptions = Partial<Omit<NetworkOptions, 'files' | 'bootFile' | 'log'>>;

/** What it serves. */
const IMAGE_NAME = 'hypxe.img';
const IMAGE_LENGTH = 16_384;

/** MAC address of the station: locally administered. */
const STATION = Uint8Array.from([0x02, 0x68, 0x79, 0x70, 0x99, 1]);

/** The network, once the NICs of a machine are plugged into it. */
export class SessionNetwork {
  readonly network: Network;
  /** One for each NIC. */
  readonly links: readonly Link[];
  /** MAC address of the first NIC. */
  guestAddress = new Uint8Array(6);
  readonly #station: Link;

  /** @throws NetworkOptionError */
  constructor(nics: number, options: SessionNetworkOptions = {}) {
    const files = memoryFiles({ [IMAGE_NAME]: syntheticImage(IMAGE_LENGTH, 1) });
    this.network = new Network({ ...options, files, bootFile: IMAGE_NAME });
    this.links = Array.from({ length: nics }, (_, i) => this.#link(i));
    this.#station = this.network.link(nics);
  }

  /** The link of a NIC; the first one's address is written down. */
  #link(nic: number): Link {
    const link = this.network.link(nic);
    if (nic > 0) return link;
    return {
      get harmed() {
        return link.harmed ?? 0;
      },
      connect: (host) => {
        this.guestAddress = host.address.slice();
        link.connect(host);
      },
      transmit: (frame) => link.transmit(frame),
    };
  }

  /** Plug the station in. */
  start({ clock }: SimulatedMachine, seed: number): void {
    const random = new Random(seed, this.links.length);
    const nothing = (): void => undefined;
    const host = { clock, random, nic: this.links.length, address: STATION };
    this.#station.connect({ ...host, deliver: nothing, setLinkState: nothing });
  }

  /** The station sends a frame. */
  send(frame: Uint8Array): void {
    this.#station.transmit(frame);
  }
}
