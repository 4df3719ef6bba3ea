// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * RNDIS of the loaded OS (`rndis_filter.c`): what is asked of a device when it is added, in Linux's
 * order, with its limits; the packet filter; what the device tells by itself.
 */

import { HypxeError } from '../../src/error.ts';
import type { LinkState } from '../../src/net/device.ts';
import { NvspVersion } from '../../src/netvsc/protocol.ts';
import {
  MediaState,
  Oid,
  PacketFilter,
  RNDIS_BODY,
  RndisHeader,
  RndisIndicateStatus,
  RndisInitialise,
  RndisInitialiseComplete,
  RndisQueryComplete,
  RndisRequest,
  RndisStatus,
  RndisType,
} from '../../src/rndis/protocol.ts';
import { waitFor } from '../../src/time.ts';
import type { OsNetvsc } from './os-netvsc.ts';
import { CONTROL_SIZE } from './os-netvsc-transmit.ts';
import {
  OsOid,
  offloadParameters,
  offloadQuery,
  scaleParameters,
  scaleQuery,
  scaleQueues,
} from './os-rndis-bodies.ts';

/** How long the device may take to answer (5*HZ). */
const ANSWER_TIMEOUT_MS = 5000;

/** What INITIALISE says of transfers. */
const MAX_TRANSFER = 0x4000;

/** Most channels of a NIC (VRSS_CHANNEL_MAX). */
const CHANNELS_MAX = 64;

/** What a NIC receives while it is up. */
export const FILTER_UP =
  PacketFilter.BROADCAST | PacketFilter.ALL_MULTICAST | PacketFilter.DIRECTED;

/** Nothing is asked. */
const NOTHING = -1;

export class OsRndis {
  readonly netvsc: OsNetvsc;
  address = new Uint8Array(6);
  link: LinkState = 'unknown';
  mtu = 1500;
  #requestId = 0;
  /** ID of the request that is waited for, and its answer. */
  #awaited = NOTHING;
  #answer: DataView | undefined;
  #filter = 0;

  constructor(netvsc: OsNetvsc) {
    this.netvsc = netvsc;
  }

  /**
   * Add the device (`rndis_filter_device_add`), with its sub-channels.
   *
   * @param processors that are online
   * @param channels that are wanted at most
   * @throws HypxeError with nothing undone
   */
  add(processors: number, channels: number): void {
    this.netvsc.add();
    this.#initialise();
    this.#queryWord(Oid.GEN_MAXIMUM_FRAME_SIZE, (mtu) => (this.mtu = Math.min(this.mtu, mtu)));
    const address = this.#query(Oid.OID_802_3_PERMANENT_ADDRESS);
    if (address === undefined || address.byteLength < 6) {
      throw new HypxeError('BadAddress', 'the device has no address');
    }
    this.address = new Uint8Array(address.buffer, address.byteOffset, 6).slice();
    this.#query(OsOid.GEN_FRIENDLY_NAME);
    this.#setOffloads();
    this.#queryWord(Oid.GEN_MEDIA_CONNECT_STATUS, (state) => {
      this.link = state === MediaState.CONNECTED ? 'up' : 'down';
    });
    if (this.netvsc.version < NvspVersion.V5) return;
    this.#query(Oid.GEN_LINK_SPEED);
    const scale = this.#query(OsOid.GEN_RECEIVE_SCALE_CAPABILITIES, scaleQuery());
    const queues = scale === undefined ? 0 : scaleQueues(scale);
    if (queues < 2) return;
    const count = Math.min(processors, queues, CHANNELS_MAX, channels);
    if (count > 1) this.#openSubchannels(count - 1);
  }

  #initialise(): void {
    const answer = this.#request(RndisType.INITIALISE, RndisInitialise.size, (view) => {
      view.setUint32(RndisInitialise.at.major, 1, true);
      view.setUint32(RndisInitialise.at.minor, 0, true);
      view.setUint32(RndisInitialise.at.maxTransfer, MAX_TRANSFER, true);
    });
    const { at, size } = RndisInitialiseComplete;
    const status = answer.byteLength < size ? -1 : answer.getUint32(at.status, true);
    if (status === RndisStatus.SUCCESS) return;
    throw new HypxeError('RequestFailed', `INITIALISE: status 0x${(status >>> 0).toString(16)}`);
  }

  /** Offloads: what the hardware has of them is switched on (`rndis_netdev_set_hwcaps`). */
  #setOffloads(): void {
    const { version } = this.netvsc;
    const oid = OsOid.TCP_OFFLOAD_HARDWARE_CAPABILITIES;
    const hardware = this.#query(oid, offloadQuery(version));
    if (hardware === undefined) throw new HypxeError('RequestFailed', 'no offloads are told');
    const status = this.#set(OsOid.TCP_OFFLOAD_PARAMETERS, offloadParameters(hardware, version));
    if (status === RndisStatus.SUCCESS) return;
    throw new HypxeError('RequestFailed', `offloads: status 0x${status.toString(16)}`);
  }

  /** Without sub-channels everything works, if slower. */
  #openSubchannels(count: number): void {
    const { netvsc } = this;
    const failure = netvsc.log.attempt('error', 'NETVSC', netvsc.device.name, 'sub-channels', () =>
      netvsc.openSubchannels(count),
    );
    if (failure) return;
    // Off before anything is changed; failures are ignored
    for (const disable of [true, false]) {
      const parameters = scaleParameters(netvsc.queues.length, disable);
      this.#set(OsOid.GEN_RECEIVE_SCALE_PARAMETERS, parameters);
    }
  }

  /** @throws HypxeError */
  setFilter(filter: number): void {
    if (this.#filter === filter) return;
    const value = new Uint8Array(4);
    value[0] = filter;
    this.#set(Oid.GEN_CURRENT_PACKET_FILTER, value);
    this.#filter = filter;
  }

  /** Say goodbye, and wait for what is in flight (`rndis_filter_halt_device`). Never throws. */
  halt(): void {
    const { netvsc } = this;
    if (netvsc.failure !== undefined) return;
    // The request counts twice
    this.#requestId++;
    netvsc.log.attempt('error', 'RNDIS', netvsc.device.name, 'HALT', () => {
      this.#send(RndisType.HALT, RNDIS_BODY + 4, () => {});
      waitFor(netvsc.clock, ANSWER_TIMEOUT_MS, () => {
        netvsc.poll();
        return netvsc.transmit.idle;
      });
    });
  }

  // --- requests ---

  /** The answer's information, or undefined if the device refuses. @throws HypxeError NoAnswer */
  #query(oid: number, information: Uint8Array = new Uint8Array(0)): DataView | undefined {
    const answer = this.#requestOid(RndisType.QUERY, oid, information);
    const { at, size } = RndisQueryComplete;
    if (answer.byteLength < size) return undefined;
    if (answer.getUint32(at.status, true) !== RndisStatus.SUCCESS) return undefined;
    const length = answer.getUint32(at.infoLength, true);
    const offset = RNDIS_BODY + answer.getUint32(at.infoOffset, true);
    if (offset > answer.byteLength || length > answer.byteLength - offset) return undefined;
    return new DataView(answer.buffer, answer.byteOffset + offset, length);
  }

  #queryWord(oid: number, use: (value: number) => void): void {
    const answer = this.#query(oid);
    if (answer !== undefined && answer.byteLength === 4) use(answer.getUint32(0, true));
  }

  /** @returns the status. @throws HypxeError NoAnswer */
  #set(oid: number, information: Uint8Array): number {
    const answer = this.#requestOid(RndisType.SET, oid, information);
    const { at } = RndisQueryComplete;
    return answer.byteLength < at.status + 4
      ? RndisStatus.FAILURE
      : answer.getUint32(at.status, true);
  }

  #requestOid(type: number, oid: number, information: Uint8Array): DataView {
    const { at, size } = RndisRequest;
    return this.#request(type, size + information.length, (view) => {
      view.setUint32(at.oid, oid, true);
      view.setUint32(at.infoLength, information.length, true);
      view.setUint32(at.infoOffset, size - RNDIS_BODY, true);
      for (let i = 0; i < information.length; i++) view.setUint8(size + i, information[i]!);
    });
  }

  /** @throws HypxeError NoAnswer, TransportFailed */
  #request(type: number, length: number, fill: (view: DataView) => void): DataView {
    const { netvsc } = this;
    this.#answer = undefined;
    try {
      this.#awaited = this.#requestId + 1;
      this.#send(type, length, fill);
      waitFor(netvsc.clock, ANSWER_TIMEOUT_MS, () => {
        netvsc.device.connection.poll();
        netvsc.poll();
        const { failure } = netvsc;
        if (failure) throw new HypxeError(failure, `device gone during RNDIS type ${type}`);
        return this.#answer !== undefined;
      });
    } finally {
      this.#awaited = NOTHING;
    }
    const answer = this.#answer as DataView | undefined;
    if (answer) return answer;
    throw new HypxeError('NoAnswer', `no answer to RNDIS type ${type} within 5 s`);
  }

  #send(type: number, length: number, fill: (view: DataView) => void): void {
    const { netvsc } = this;
    const { memory } = netvsc.device.pages;
    const start = netvsc.transmit.control;
    memory.zero(start, CONTROL_SIZE);
    const view = new DataView(memory.bytes.buffer, memory.bytes.byteOffset + start, length);
    view.setUint32(RndisHeader.at.type, type, true);
    view.setUint32(RndisHeader.at.length, length, true);
    view.setUint32(RNDIS_BODY, ++this.#requestId, true);
    fill(view);
    if (netvsc.transmit.sendControl(netvsc.queues[0]!, length)) return;
    throw new HypxeError('TransportFailed', `could not send RNDIS type ${type}`);
  }

  // --- what comes ---

  /** A message that is no frame. */
  received(view: DataView, length: number): void {
    const type = view.getUint32(RndisHeader.at.type, true);
    switch (type) {
      case RndisType.INITIALISE_CMPLT:
      case RndisType.QUERY_CMPLT:
      case RndisType.SET_CMPLT:
        if (length >= RNDIS_BODY + 4 && view.getUint32(RNDIS_BODY, true) === this.#awaited) {
          this.#answer = new DataView(view.buffer, view.byteOffset, length);
        }
        break;
      case RndisType.INDICATE_STATUS:
        this.#indicated(view, length);
        break;
      default:
        // A KEEPALIVE too: Linux does not know it
        this.netvsc.log.error('RNDIS', this.netvsc.device.name, `type 0x${type.toString(16)}`);
    }
  }

  #indicated(view: DataView, length: number): void {
    if (length < RndisIndicateStatus.size) return;
    const status = view.getUint32(RndisIndicateStatus.at.status, true);
    if (status === RndisStatus.MEDIA_CONNECT) this.link = 'up';
    else if (status === RndisStatus.MEDIA_DISCONNECT) this.link = 'down';
  }
}
