// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The NICs of the loaded OS (`netvsc_drv.c`): probed with everything that Linux asks for, then
 * brought up; frames go to the queue of their flow.
 */

import type { Log } from '../../src/events.ts';
import {
  ETHERNET_HEADER,
  type FrameReceiver,
  type LinkState,
  type NetDevice,
  type NetStatistics,
  type TransmitResult,
} from '../../src/net/device.ts';
import { RNDIS_BODY, RndisPacket, RndisPacketInfo, RndisType } from '../../src/rndis/protocol.ts';
import type { DriverInstance, VmbusDriver } from '../../src/vmbus/bus-driver.ts';
import type { VmbusDevice } from '../../src/vmbus/device.ts';
import { DeviceClass } from '../../src/vmbus/protocol.ts';
import type { OsDevice } from './os-device.ts';
import { flowHash } from './os-flow.ts';
import { OsNetvsc, type NetvscReceiver } from './os-netvsc.ts';
import type { NetvscBuffers } from './os-netvsc-buffers.ts';
import { FILTER_UP, OsRndis } from './os-rndis.ts';

/** Frames that wait for room (the queue of the stack above). */
const DEFERRED_MAX = 64;

/** Hash of the flow beside a frame (NBL_HASH_VALUE): header and value. */
const PPI_HASH = 8;
const PPI_HASH_SIZE = RndisPacketInfo.size + 4;

/** Longest RNDIS message of a frame. */
const MESSAGE_MAX = RndisPacket.size + PPI_HASH_SIZE + ETHERNET_HEADER + 1500;

/** How NICs are probed. */
export interface NetdevOptions {
  /** Processors that are online. */
  readonly processors: number;
  readonly channels: number;
  readonly buffers: NetvscBuffers;
}

export class OsNetDevice implements NetDevice, NetvscReceiver {
  readonly name: string;
  readonly instance: string;
  readonly statistics: NetStatistics = { txGood: 0, txBad: 0, rxGood: 0, rxBad: 0 };
  receiver: FrameReceiver | undefined;
  isOpen = false;
  readonly #netvsc: OsNetvsc;
  readonly #rndis: OsRndis;
  readonly #message = new Uint8Array(MESSAGE_MAX);
  readonly #view = new DataView(this.#message.buffer);
  /** Frames that found no room. */
  readonly #deferred: Uint8Array[] = [];

  constructor(name: string, device: OsDevice, buffers: NetvscBuffers) {
    this.name = name;
    this.instance = device.name;
    this.#netvsc = new OsNetvsc(device, buffers);
    this.#rndis = new OsRndis(this.#netvsc);
    this.#netvsc.receiver = this;
  }

  get address(): Uint8Array {
    return this.#rndis.address;
  }

  get permanentAddress(): Uint8Array {
    return this.#rndis.address;
  }

  get link(): LinkState {
    return this.#rndis.link;
  }

  get maxFrame(): number {
    return ETHERNET_HEADER + this.#rndis.mtu;
  }

  /** Channels that are open. */
  get channels(): number {
    return this.#netvsc.queues.length;
  }

  /** Probe. @throws HypxeError with everything undone */
  probe({ processors, channels }: NetdevOptions): void {
    try {
      this.#rndis.add(processors, channels);
    } catch (error) {
      this.#netvsc.remove();
      throw error;
    }
  }

  /** Let go: HALT, buffers, channels. Never throws. */
  remove(): void {
    this.close();
    this.#rndis.halt();
    this.#netvsc.remove();
  }

  abandon(): void {
    this.isOpen = false;
    this.#netvsc.abandon();
  }

  open(): void {
    if (this.isOpen) return;
    this.#rndis.setFilter(FILTER_UP);
    this.isOpen = true;
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#deferred.length = 0;
    if (this.#netvsc.failure !== undefined) return;
    this.#netvsc.log.attempt('error', 'RNDIS', this.instance, 'filter', () =>
      this.#rndis.setFilter(0),
    );
  }

  // --- frames ---

  transmit(frame: Uint8Array, length: number): TransmitResult {
    if (!this.isOpen || length > this.maxFrame || this.#netvsc.failure !== undefined) {
      this.statistics.txBad++;
      return 'dropped';
    }
    if (this.#deferred.length === 0 && this.#send(frame, length)) return 'sent';
    if (this.#deferred.length === DEFERRED_MAX) {
      this.statistics.txBad++;
      return 'dropped';
    }
    this.#deferred.push(frame.slice(0, length));
    return 'deferred';
  }

  /** Put the frame into its RNDIS message, with its hash if there are several queues. */
  #send(frame: Uint8Array, length: number): boolean {
    const { queues, transmit } = this.#netvsc;
    const hash = queues.length === 1 ? 0 : flowHash(frame, length);
    const info = hash === 0 ? 0 : PPI_HASH_SIZE;
    const start = RndisPacket.size + info;
    const view = this.#view;
    this.#message.fill(0, 0, start);
    view.setUint32(RndisPacket.at.type, RndisType.PACKET, true);
    view.setUint32(RndisPacket.at.length, start + length, true);
    view.setUint32(RndisPacket.at.dataOffset, start - RNDIS_BODY, true);
    view.setUint32(RndisPacket.at.dataLength, length, true);
    view.setUint32(RndisPacket.at.ppiOffset, RndisPacket.size - RNDIS_BODY, true);
    if (info > 0) {
      const at = RndisPacket.size;
      view.setUint32(RndisPacket.at.ppiLength, info, true);
      view.setUint32(at + RndisPacketInfo.at.size, info, true);
      view.setUint32(at + RndisPacketInfo.at.type, PPI_HASH, true);
      view.setUint32(at + RndisPacketInfo.at.dataOffset, RndisPacketInfo.size, true);
      view.setUint32(at + RndisPacketInfo.size, hash, true);
    }
    this.#message.set(frame.subarray(0, length), start);
    const queue = queues[transmit.queueOf(hash, queues.length)]!;
    return transmit.sendFrame(queue, this.#message, start + length);
  }

  transmitted(frame: boolean, good: boolean): void {
    if (!frame) return;
    this.statistics[good ? 'txGood' : 'txBad']++;
    while (this.#deferred.length > 0) {
      const [next] = this.#deferred as [Uint8Array];
      if (!this.#send(next, next.length)) return;
      this.#deferred.shift();
    }
  }

  poll(): void {
    this.#netvsc.device.connection.poll();
    this.#netvsc.poll();
  }

  /** A message of the device: a frame, or RNDIS's own. */
  received(view: DataView, length: number): void {
    if (length < RNDIS_BODY) return;
    if (view.getUint32(RndisPacket.at.type, true) !== RndisType.PACKET) {
      this.#rndis.received(view, length);
      return;
    }
    const complete = length >= RndisPacket.size;
    const offset = complete ? RNDIS_BODY + view.getUint32(RndisPacket.at.dataOffset, true) : 0;
    const size = complete ? view.getUint32(RndisPacket.at.dataLength, true) : 0;
    const fits = complete && offset <= length && size <= length - offset;
    if (!fits || size < ETHERNET_HEADER || !this.isOpen) {
      this.statistics.rxBad++;
      return;
    }
    this.statistics.rxGood++;
    this.receiver?.receive(new Uint8Array(view.buffer), offset, size);
  }
}

/** The driver of NICs. */
export class OsNetDriver implements VmbusDriver {
  readonly interfaceId = DeviceClass.NETWORK;
  readonly devices: OsNetDevice[] = [];
  readonly #options: NetdevOptions;
  readonly #log: Log;

  constructor(options: NetdevOptions, log: Log) {
    this.#options = options;
    this.#log = log;
  }

  probe(vmbus: VmbusDevice): DriverInstance {
    const { buffers } = this.#options;
    const device = new OsNetDevice(`net${this.devices.length}`, vmbus as OsDevice, buffers);
    device.probe(this.#options);
    this.devices.push(device);
    this.#log.emit({ kind: 'netdev', change: 'register', name: device.name });
    const gone = (): void => {
      this.devices.splice(this.devices.indexOf(device), 1);
      this.#log.emit({ kind: 'netdev', change: 'unregister', name: device.name });
    };
    const remove = (): void => {
      device.remove();
      gone();
    };
    return {
      reset: () => {},
      remove,
      rescinded: remove,
      abandoned: () => {
        device.abandon();
        gone();
      },
    };
  }
}
