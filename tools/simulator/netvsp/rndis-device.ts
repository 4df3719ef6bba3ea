// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The RNDIS device: answers control messages. It knows nothing of NVSP, rings or sections; whoever
 * carries the messages asks {@link RndisDevice.handle} and takes the answer from
 * {@link RndisDevice.answer}.
 */

import {
  Oid,
  RNDIS_BODY,
  RndisHalt,
  RndisHeader,
  RndisIndicateStatus,
  RndisInitialise,
  RndisInitialiseComplete,
  RndisKeepalive,
  RndisKeepaliveComplete,
  RndisQueryComplete,
  RndisRequest,
  RndisReset,
  RndisResetComplete,
  RndisSetComplete,
  RndisStatus,
  RndisType,
} from '../../../src/rndis/protocol.ts';
import type { Struct } from '../../../src/wire.ts';
import { putFields } from '../base/put-fields.ts';
import { HostOid, HostStatus, OFFLOAD_PARAMETERS_SIZE } from './host-protocol.ts';
import { PacketFilter } from './packet-filter.ts';
import { putOffload } from './offloads/offloads.ts';
import type { OidAnswer, OidState } from './oid-answer.ts';
import { OID_DATA_MAX, queryOid } from './oids.ts';
import type { Keeper } from '../base/snapshot.ts';

/** SET_EX, which NDIS has and nobody answers. */
const RNDIS_SET_EX = 9;

/** Longest answer or indication in bytes. */
export const RNDIS_ANSWER_MAX = RndisQueryComplete.size + OID_DATA_MAX;

/** INITIALISE_CMPLT as OpenVMM answers: connectionless, 802.3. */
const MAX_PACKETS_PER_MESSAGE = 8;
const MAX_TRANSFER = 0xefffffff;
const PACKET_ALIGNMENT = 3;

/** The least that each message must hold; a type that is not here has only its header. */
const MESSAGE_SIZES: Readonly<Record<number, number>> = {
  [RndisType.INITIALISE]: RndisInitialise.size,
  [RndisType.HALT]: RndisHalt.size,
  [RndisType.QUERY]: RndisRequest.size,
  [RndisType.SET]: RndisRequest.size,
  [RNDIS_SET_EX]: RndisRequest.size,
  [RndisType.RESET]: RndisReset.size,
  [RndisType.INDICATE_STATUS]: RndisIndicateStatus.size,
  [RndisType.KEEPALIVE]: RndisKeepalive.size,
  [RndisType.KEEPALIVE_CMPLT]: RndisKeepaliveComplete.size,
};

/** What the device tells its carrier, besides the answer. */
export interface RndisListener {
  /** INITIALISE was accepted; its answer goes out after the call. */
  initialised(): void;
  /** The packet filter went from zero to not zero or back, or changed otherwise. */
  filterChanged(): void;
  /** Offloads were set: the guest is told the current ones after the answer (OpenVMM). */
  offloadsSet(): void;
}

/** {@link RndisDevice.handle}: the message ends the channel; {@link RndisDevice.fatal} says why. */
export const RNDIS_FATAL = -1;

export class RndisDevice {
  readonly #state: OidState;
  readonly #listener: RndisListener;
  /** The last answer or indication. */
  readonly answer = new Uint8Array(RNDIS_ANSWER_MAX);
  readonly #view = new DataView(this.answer.buffer);
  readonly #oid: OidAnswer = {
    view: new DataView(this.answer.buffer, RndisQueryComplete.size),
    length: 0,
    status: 0,
  };
  initialised = false;
  /** OID_GEN_CURRENT_PACKET_FILTER as the guest has set it. */
  readonly filter: PacketFilter;
  /** Why {@link handle} returned {@link RNDIS_FATAL}. */
  fatal = '';
  /** Answers to the host's own keepalives. */
  keepaliveAnswers = 0;
  #keepalives = 0;

  constructor(state: OidState, listener: RndisListener) {
    this.#state = state;
    this.#listener = listener;
    this.filter = new PacketFilter(state.address, () => state.knobs.packetFilter === 'bits');
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.initialised, this.fatal], (v) => ([this.initialised, this.fatal] = v));
    keeper.put([this.keepaliveAnswers], (v) => ([this.keepaliveAnswers] = v));
    keeper.put([this.#keepalives], (v) => ([this.#keepalives] = v));
    keeper.keep(this.#state, this.#listener, this.answer, this.#view, this.#oid, this.filter);
  }

  /** As after opening the channel. */
  reset(): void {
    this.initialised = false;
    this.filter.bits = 0;
    this.keepaliveAnswers = 0;
    this.#keepalives = 0;
  }

  /** What is wrong with a control message on arrival, or undefined: a bad one is not queued. */
  check(message: Uint8Array): string | undefined {
    if (message.length < RndisHeader.size) return `${message.length} bytes are no RNDIS message`;
    const view = new DataView(message.buffer, message.byteOffset, message.length);
    const type = view.getUint32(RndisHeader.at.type, true);
    const length = view.getUint32(RndisHeader.at.length, true);
    const least = MESSAGE_SIZES[type] ?? RndisHeader.size;
    if (length > message.length)
      return `RNDIS length ${length} in a message of ${message.length} bytes`;
    if (length < least) return `RNDIS message type 0x${type.toString(16)} has ${length} bytes`;
    return undefined;
  }

  /** Whether a message is too short for its type, whatever length it claims. */
  isShort(message: Uint8Array): boolean {
    if (message.length < RndisHeader.size) return true;
    const view = new DataView(message.buffer, message.byteOffset, message.length);
    const type = view.getUint32(RndisHeader.at.type, true);
    return message.length < (MESSAGE_SIZES[type] ?? RndisHeader.size);
  }

  /**
   * Handle a control message that {@link check} let pass. Returns the length of the answer, 0 for
   * none, or {@link RNDIS_FATAL}.
   */
  handle(message: Uint8Array): number {
    const view = new DataView(message.buffer, message.byteOffset, message.length);
    const type = view.getUint32(RndisHeader.at.type, true);
    switch (type) {
      case RndisType.INITIALISE:
        return this.#initialise(view);
      case RndisType.QUERY:
        return this.#query(view);
      case RndisType.SET:
        return this.#set(view);
      case RndisType.RESET:
        return this.#reset();
      case RndisType.KEEPALIVE:
        return this.#simple(view, RndisType.KEEPALIVE_CMPLT, RndisKeepaliveComplete, 0);
      case RndisType.KEEPALIVE_CMPLT:
        this.keepaliveAnswers++;
        return 0;
      default:
        return this.#die(
          `the guest sent RNDIS message type 0x${type.toString(16)}, which hosts do not take`,
        );
    }
  }

  /** RNDIS_INDICATE_STATUS without a buffer, into {@link answer}. Returns its length. */
  indicate(status: number): number {
    this.#begin(RndisType.INDICATE_STATUS, RndisIndicateStatus.size);
    this.#view.setUint32(RndisIndicateStatus.at.status, status, true);
    return RndisIndicateStatus.size;
  }

  /**
   * RNDIS_INDICATE_STATUS with the current offloads. Windows Server 2012 R2's is `malformed`: the
   * message's length leaves its buffer out (iPXE 639632b05). Returns the number of bytes to send.
   */
  indicateOffloads(malformed: boolean): number {
    const at = RndisIndicateStatus.size;
    this.indicate(RndisStatus.TASK_OFFLOAD_CURRENT_CONFIG);
    const length = putOffload(this.#state, this.#view, at, 'current');
    this.#view.setUint32(RndisIndicateStatus.at.bufferLength, length, true);
    this.#view.setUint32(RndisIndicateStatus.at.bufferOffset, at - RNDIS_BODY, true);
    if (!malformed) this.#view.setUint32(RndisHeader.at.length, at + length, true);
    return at + length;
  }

  /** The host's own RNDIS_KEEPALIVE. Returns its length. */
  keepalive(): number {
    this.#begin(RndisType.KEEPALIVE, RndisKeepalive.size);
    this.#view.setUint32(RndisKeepalive.at.requestId, ++this.#keepalives, true);
    return RndisKeepalive.size;
  }

  #initialise(view: DataView): number {
    if (this.initialised) return this.#die('RNDIS INITIALISE twice');
    this.initialised = true;
    this.#simple(view, RndisType.INITIALISE_CMPLT, RndisInitialiseComplete, RndisStatus.SUCCESS);
    putFields(this.#view, RndisInitialiseComplete, {
      major: 1,
      deviceFlags: 1,
      maxPackets: MAX_PACKETS_PER_MESSAGE,
      maxTransfer: MAX_TRANSFER,
      packetAlignment: PACKET_ALIGNMENT,
    });
    this.#listener.initialised();
    return RndisInitialiseComplete.size;
  }

  #query(view: DataView): number {
    if (this.#state.knobs.queryBuffer === 'checked' && !bufferFits(view)) {
      this.#oid.length = 0;
      this.#oid.status = RndisStatus.FAILURE;
    } else queryOid(view.getUint32(RndisRequest.at.oid, true), this.#state, this.#oid);
    const length = RndisQueryComplete.size + this.#oid.length;
    this.#begin(RndisType.QUERY_CMPLT, RndisQueryComplete.size);
    this.#view.setUint32(RndisHeader.at.length, length, true);
    this.#copyId(view);
    putFields(this.#view, RndisQueryComplete, {
      status: this.#oid.status,
      infoLength: this.#oid.length,
      // Always there, even if there is nothing
      infoOffset: RndisQueryComplete.size - RNDIS_BODY,
    });
    return length;
  }

  #set(view: DataView): number {
    const oid = view.getUint32(RndisRequest.at.oid, true);
    const length = view.getUint32(RndisRequest.at.infoLength, true);
    const begin = RNDIS_BODY + view.getUint32(RndisRequest.at.infoOffset, true);
    let status: number;
    if (begin + length > view.getUint32(RndisHeader.at.length, true)) status = RndisStatus.FAILURE;
    else status = this.#setOid(oid, new DataView(view.buffer, view.byteOffset + begin, length));
    return this.#simple(view, RndisType.SET_CMPLT, RndisSetComplete, status);
  }

  #setOid(oid: number, info: DataView): number {
    switch (oid) {
      case Oid.GEN_CURRENT_PACKET_FILTER:
        if (info.byteLength < 4) return HostStatus.INVALID_DATA;
        this.filter.bits = info.getUint32(0, true);
        this.#listener.filterChanged();
        return RndisStatus.SUCCESS;
      case HostOid.GEN_RECEIVE_SCALE_PARAMETERS:
        if (this.#state.ndisMajor < 6 && this.#state.knobs.objects === 'vmswitch')
          return RndisStatus.NOT_SUPPORTED;
        return this.#state.setScaling(info);
      case HostOid.GEN_NETWORK_LAYER_ADDRESSES:
        return RndisStatus.SUCCESS;
      // RNDIS_CONFIG_PARAMETER_INFO: where the name and the value lie, no parameter is used
      case HostOid.GEN_RNDIS_CONFIG_PARAMETER:
        return configParameterFits(info) ? RndisStatus.SUCCESS : HostStatus.INVALID_DATA;
      // NDIS_OFFLOAD_PARAMETERS: what the host does not have stays off
      case HostOid.TCP_OFFLOAD_PARAMETERS:
        if (!offloadParametersFit(info)) return HostStatus.INVALID_DATA;
        this.#state.offloads.set(info);
        this.#listener.offloadsSet();
        return RndisStatus.SUCCESS;
      default:
        return RndisStatus.NOT_SUPPORTED;
    }
  }

  #reset(): number {
    if (this.#state.knobs.rndisReset === 'fatal')
      return this.#die('this host takes no RNDIS RESET (knob rndisReset)');
    // Addresses and filter survive, so there is nothing that the guest has to say again
    this.#begin(RndisType.RESET_CMPLT, RndisResetComplete.size);
    return RndisResetComplete.size;
  }

  /** An answer that begins with request ID and status. */
  #simple(request: DataView, type: number, shape: Struct<'status'>, status: number): number {
    this.#begin(type, shape.size);
    this.#copyId(request);
    this.#view.setUint32(shape.at.status, status, true);
    return shape.size;
  }

  /** Clear the first `length` bytes of the answer and write its header. */
  #begin(type: number, length: number): void {
    this.answer.fill(0, 0, length);
    this.#view.setUint32(RndisHeader.at.type, type, true);
    this.#view.setUint32(RndisHeader.at.length, length, true);
  }

  #copyId(request: DataView): void {
    this.#view.setUint32(RNDIS_BODY, request.getUint32(RNDIS_BODY, true), true);
  }

  #die(reason: string): number {
    this.fatal = reason;
    return RNDIS_FATAL;
  }
}

/** Name and value of a configuration parameter lie within the information buffer. */
function configParameterFits(info: DataView): boolean {
  if (info.byteLength < 20) return false;
  const end = (offset: number, length: number) =>
    info.getUint32(offset, true) + info.getUint32(length, true);
  return end(0, 4) <= info.byteLength && end(12, 16) <= info.byteLength;
}

/** The information buffer of a QUERY lies behind the request and within the message. */
function bufferFits(view: DataView): boolean {
  const { at, size } = RndisRequest;
  const begin = RNDIS_BODY + view.getUint32(at.infoOffset, true);
  const end = begin + view.getUint32(at.infoLength, true);
  return begin >= size && end <= view.getUint32(RndisHeader.at.length, true);
}

/** Header and all fields of revision 1 are there (OpenVMM `read_ndis_object`). */
function offloadParametersFit(info: DataView): boolean {
  if (info.byteLength < OFFLOAD_PARAMETERS_SIZE) return false;
  const size = info.getUint16(2, true);
  return size >= OFFLOAD_PARAMETERS_SIZE && size <= info.byteLength;
}
