// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The virtual function (SR-IOV) behind a NIC, as far as NVSP tells of it: announced after RNDIS is
 * initialised, there as a device a second later, and the guest says which path carries its frames.
 * The device itself is not modelled: what goes to it is lost (OpenVMM netvsp; Linux
 * `netvsc_vf_setup`).
 */

import {
  NVSP_MESSAGE_SIZE_V6_1,
  NvspType,
  NvspVersion,
  NvspVfAssociation,
} from '../../../src/netvsc/protocol.ts';
import { COMPLETION_REQUESTED, PacketType } from '../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS, type Alarm } from '../base/clock.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import { putFields } from '../base/put-fields.ts';
import { NO_ROOM, type Outbox } from './faults.ts';
import { DataPath, NvspSwitchDataPath } from './host-protocol.ts';
import type { Negotiation } from './negotiation.ts';
import type { Keeper } from '../base/snapshot.ts';

/** High half of the transaction IDs of what the host says of the virtual function. */
export const VF_TRANSACTION_HIGH = 0x80000000;

/** Low halves: VF_ASSOCIATION, and the host's own SWITCH_DATA_PATH. */
export const VF_ASSOCIATION_TRANSACTION = 0;
export const SWITCH_TRANSACTION = 1;

/** From the announcement to the device (OpenVMM). */
export const VF_ARRIVAL_TICKS = 1000 * TICKS_PER_MS;

/** `announced`: the guest was told; `arrived`: its PCI device would be there. */
export type VfState = 'none' | 'announced' | 'arrived';

const NOTHING = new Uint8Array(0);

/** What waits for room in the ring. */
interface Message {
  readonly transaction: number;
  readonly payload: Uint8Array;
}

export class VirtualFunction {
  readonly #services: PartitionServices;
  readonly #outbox: Outbox;
  readonly #negotiation: Negotiation;
  readonly #serial: number;
  readonly #due: Message[] = [];
  #arrival: Alarm | undefined;
  state: VfState = 'none';
  /** The path that the guest has chosen. */
  path: number = DataPath.SYNTHETIC;

  /** `serial` is that of the function, which the guest looks for among its PCI devices. */
  constructor(
    services: PartitionServices,
    outbox: Outbox,
    negotiation: Negotiation,
    serial: number,
  ) {
    this.#services = services;
    this.#outbox = outbox;
    this.#negotiation = negotiation;
    this.#serial = serial;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#arrival, this.state], (v) => ([this.#arrival, this.state] = v));
    keeper.put([this.path], (v) => ([this.path] = v));
    keeper.keep(this.#services, this.#outbox, this.#negotiation, this.#due);
  }

  /** Tell the guest of it, if its NVSP has the message and it can use one. False if not. */
  announce(): boolean {
    const { sriov, version } = this.#negotiation;
    if (this.state !== 'none' || !sriov || version < NvspVersion.V4) return false;
    this.state = 'announced';
    this.#associate(1);
    this.#arrival = this.#services.clock.schedule(VF_ARRIVAL_TICKS, () => this.#arrive());
    this.pump();
    return true;
  }

  /** It is taken away: the guest's frames go the synthetic way again, and it is told. */
  withdraw(): boolean {
    if (this.state === 'none') return false;
    if (this.path === DataPath.VF) {
      const view = new DataView(new ArrayBuffer(NVSP_MESSAGE_SIZE_V6_1));
      const fields = { type: NvspType.SWITCH_DATA_PATH, dataPath: DataPath.SYNTHETIC };
      putFields(view, NvspSwitchDataPath, fields);
      this.#push(SWITCH_TRANSACTION, view);
    }
    this.#forget();
    this.#associate(0);
    this.pump();
    return true;
  }

  /** The guest chooses a path. Returns what is wrong with it, which has no other consequence. */
  choose(path: number): string | undefined {
    if (path !== DataPath.SYNTHETIC && path !== DataPath.VF) return `data path ${path}`;
    if (path === DataPath.VF && this.state === 'none')
      return 'switch to a virtual function that is not there';
    this.path = path;
    return undefined;
  }

  /** Send what waits. False if the ring has no room. */
  pump(): boolean {
    while (this.#due.length > 0) {
      const { transaction, payload } = this.#due[0]!;
      const copies = this.#outbox.send(
        PacketType.DATA_INBAND,
        COMPLETION_REQUESTED,
        transaction,
        VF_TRANSACTION_HIGH,
        NOTHING,
        0,
        payload,
        this.#negotiation.messageSize,
      );
      if (copies === NO_ROOM) return false;
      this.#due.shift();
    }
    return true;
  }

  /** The channel closes. The function stays, and is announced anew when the guest comes back. */
  close(): void {
    this.#forget();
    this.#due.length = 0;
  }

  #arrive(): void {
    this.state = 'arrived';
    const { events } = this.#services;
    if (events.on)
      events.emit({ kind: 'unmodelled', what: `PCI device of virtual function ${this.#serial}` });
  }

  #forget(): void {
    if (this.#arrival !== undefined) this.#services.clock.cancel(this.#arrival);
    this.#arrival = undefined;
    this.state = 'none';
    this.path = DataPath.SYNTHETIC;
  }

  #associate(allocated: 0 | 1): void {
    const view = new DataView(new ArrayBuffer(NVSP_MESSAGE_SIZE_V6_1));
    const fields = { type: NvspType.SEND_VF_ASSOCIATION, allocated, serial: this.#serial };
    putFields(view, NvspVfAssociation, fields);
    this.#push(VF_ASSOCIATION_TRANSACTION, view);
  }

  #push(transaction: number, view: DataView): void {
    this.#due.push({ transaction, payload: new Uint8Array(view.buffer) });
  }
}
