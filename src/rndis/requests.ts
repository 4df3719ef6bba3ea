// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * RNDIS requests: INITIALISE and HALT, QUERY and SET of an object, one at a time, each with a time
 * limit. What was asked and what came back, and nothing of network devices.
 */

import { HypxeError } from '../error.ts';
import { TICKS_PER_MS } from '../time.ts';
import {
  RNDIS_BODY,
  RndisHalt,
  RndisHeader,
  RndisInitialise,
  RndisInitialiseComplete,
  RndisKeepalive,
  RndisKeepaliveComplete,
  RndisQueryComplete,
  RndisRequest,
  RndisSetComplete,
  RndisStatus,
  RndisType,
} from './protocol.ts';
import { SEQUENCE_CONTROL, type RndisTransport } from './transport.ts';

/** How long the device may take to answer a request, in ms. */
const REQUEST_TIMEOUT_MS = 1000;

/** Request ID of INITIALISE (iPXE RNDIS_INIT_ID); requests for an OID have the OID as their ID. */
const INITIALISE_ID = 0xe110e110;

/** RNDIS version, and the longest transfer that is announced (iPXE RNDIS_MTU). */
const VERSION_MAJOR = 1;
const VERSION_MINOR = 0;
const MAX_TRANSFER = 2048;

/** Added to the ID of a request whose like has timed out: its late answer is not this one's. */
const RETRY_ID_STEP = 0x01000000;

/** Longest information that a QUERY may bring. */
const INFO_MAX = 64;

/** No request is waited for; no status has come. */
const NOTHING = -1;

export class RndisRequests {
  /** Information of the last QUERY, and its length. */
  readonly info: Uint8Array = new Uint8Array(INFO_MAX);
  infoLength = 0;
  readonly #transport: RndisTransport;
  #initialised = false;
  /** Requests that have timed out since the device was made. */
  #timeouts = 0;
  /** Request that is waited for, its answer's type, and its status once answered. */
  #awaitedId = NOTHING;
  #awaitedType = 0;
  #status = NOTHING;

  constructor(transport: RndisTransport) {
    this.#transport = transport;
  }

  // --- initialise and halt ---

  /** @throws HypxeError NoAnswer, RequestFailed, NoBuffer, or what broke the transport */
  initialise(): void {
    const { size } = RndisInitialise;
    const { memory } = this.#transport;
    const buffer = this.#begin(RndisType.INITIALISE, size);
    memory.set32(buffer + RndisInitialise.at.requestId, INITIALISE_ID);
    memory.set32(buffer + RndisInitialise.at.major, VERSION_MAJOR);
    memory.set32(buffer + RndisInitialise.at.minor, VERSION_MINOR);
    memory.set32(buffer + RndisInitialise.at.maxTransfer, MAX_TRANSFER);
    this.#request(buffer, size, INITIALISE_ID, RndisType.INITIALISE_CMPLT, 'INITIALISE');
    this.#initialised = true;
  }

  /** Undo {@link initialise}, if it was done. There is no answer to it. Never throws. */
  halt(): void {
    if (!this.#initialised) return;
    this.#initialised = false;
    this.#attempt('could not halt', () => {
      const buffer = this.#begin(RndisType.HALT, RndisHalt.size);
      this.#send(buffer, RndisHalt.size, 'HALT');
    });
  }

  /** The device has forgotten us: nothing to halt. */
  forget(): void {
    this.#initialised = false;
  }

  // --- query and set ---

  /** Read an object into {@link info}. @throws HypxeError as {@link initialise} */
  query(oid: number): void {
    this.#requestOid(RndisType.QUERY, RndisType.QUERY_CMPLT, oid, undefined);
  }

  /** Set an object that is a 32-bit word. @throws HypxeError as {@link initialise} */
  set(oid: number, value: number): void {
    this.#requestOid(RndisType.SET, RndisType.SET_CMPLT, oid, value);
  }

  #requestOid(type: number, answer: number, oid: number, value: number | undefined): void {
    const { memory } = this.#transport;
    const infoLength = value === undefined ? 0 : 4;
    const length = RndisRequest.size + infoLength;
    const id = (oid ^ (this.#timeouts * RETRY_ID_STEP)) >>> 0;
    const buffer = this.#begin(type, length);
    memory.set32(buffer + RndisRequest.at.requestId, id);
    memory.set32(buffer + RndisRequest.at.oid, oid);
    memory.set32(buffer + RndisRequest.at.infoLength, infoLength);
    memory.set32(buffer + RndisRequest.at.infoOffset, RndisRequest.size - RNDIS_BODY);
    if (value !== undefined) memory.set32(buffer + RndisRequest.size, value);
    const what = `${value === undefined ? 'QUERY' : 'SET'} 0x${oid.toString(16)}`;
    this.#request(buffer, length, id, answer, what);
  }

  /** Answer a keep-alive, so that the device does not take us for dead. Never throws. */
  answerKeepalive(view: DataView, offset: number): void {
    if (this.#transport.failure !== undefined) return;
    const id = view.getUint32(offset + RndisKeepalive.at.requestId, true);
    this.#attempt('keep-alive not answered', () => {
      const { size } = RndisKeepaliveComplete;
      const { memory } = this.#transport;
      const buffer = this.#begin(RndisType.KEEPALIVE_CMPLT, size);
      memory.set32(buffer + RndisKeepaliveComplete.at.requestId, id);
      memory.set32(buffer + RndisKeepaliveComplete.at.status, RndisStatus.SUCCESS);
      this.#send(buffer, size, 'KEEPALIVE_CMPLT');
    });
  }

  // --- sending and waiting ---

  /** A zeroed control message. @throws HypxeError NoBuffer */
  #begin(type: number, length: number): number {
    const { memory } = this.#transport;
    const buffer = this.#transport.allocate(true);
    if (buffer === 0) throw new HypxeError('NoBuffer', 'no buffer for a control message');
    memory.zero(buffer, length);
    memory.set32(buffer + RndisHeader.at.type, type);
    memory.set32(buffer + RndisHeader.at.length, length);
    return buffer;
  }

  #send(buffer: number, length: number, what: string): void {
    if (this.#transport.transmit(buffer, length, true, SEQUENCE_CONTROL) === 'sent') return;
    const kind = this.#transport.failure ?? 'NoBuffer';
    throw new HypxeError(kind, `could not send ${what}`);
  }

  /** Send a request and wait for its answer. @throws HypxeError NoAnswer, RequestFailed */
  #request(buffer: number, length: number, id: number, type: number, what: string): void {
    const { clock } = this.#transport;
    this.#awaitedId = id;
    this.#awaitedType = type;
    this.#status = NOTHING;
    try {
      this.#send(buffer, length, what);
      const deadline = clock.now() + REQUEST_TIMEOUT_MS * TICKS_PER_MS;
      // What came with the last turn still counts: look once more before giving up
      for (let expired = false; ; expired = clock.now() >= deadline) {
        this.#transport.poll();
        if (this.#status !== NOTHING) break;
        const { failure } = this.#transport;
        if (failure !== undefined) throw new HypxeError(failure, `device gone during ${what}`);
        if (expired) {
          this.#timeouts++;
          const text = `no answer to ${what} within ${REQUEST_TIMEOUT_MS} ms`;
          throw new HypxeError('NoAnswer', text);
        }
        clock.pause();
      }
    } finally {
      this.#awaitedId = NOTHING;
    }
    if (this.#status === RndisStatus.SUCCESS) return;
    const text = `${what} failed with status 0x${this.#status.toString(16)}`;
    throw new HypxeError('RequestFailed', text, this.#status);
  }

  #attempt(what: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof HypxeError)) throw error;
      this.#transport.log.warning('RNDIS', this.#transport.name, `${what}: ${error.message}`);
    }
  }

  // --- answers ---

  /** An INITIALISE_CMPLT or SET_CMPLT. */
  answered(view: DataView, offset: number, length: number, type: number): void {
    const complete = type === RndisType.SET_CMPLT ? RndisSetComplete : RndisInitialiseComplete;
    this.#answered(view, offset, length, type, complete.size);
  }

  /** A QUERY_CMPLT: its information is copied out. */
  answeredQuery(bytes: Uint8Array, view: DataView, offset: number, length: number): void {
    const { size } = RndisQueryComplete;
    if (!this.#answered(view, offset, length, RndisType.QUERY_CMPLT, size)) return;

    // Locate and check the information
    const body = length - RNDIS_BODY;
    const infoOffset = view.getUint32(offset + RndisQueryComplete.at.infoOffset, true);
    const infoLength = view.getUint32(offset + RndisQueryComplete.at.infoLength, true);
    const inside = infoOffset <= body && infoLength <= body - infoOffset;
    if (!inside || infoLength > INFO_MAX) {
      const text = `information [${infoOffset},+${infoLength}) in ${body} bytes`;
      this.#transport.log.warning('RNDIS', this.#transport.name, text);
      this.#status = RndisStatus.FAILURE;
      return;
    }
    this.infoLength = infoLength;
    const from = offset + RNDIS_BODY + infoOffset;
    for (let i = 0; i < infoLength; i++) this.info[i] = bytes[from + i]!;
  }

  /** Wake whoever waits for an answer. Malformed ones wake too (iPXE's defect 11). */
  #answered(view: DataView, offset: number, length: number, type: number, min: number): boolean {
    const { log, name } = this.#transport;
    // One that is too short to say what it answers can only answer what was asked
    const awaited = this.#awaitedId !== NOTHING && type === this.#awaitedType;
    const hasId = length >= RNDIS_BODY + 4;
    const id = hasId ? view.getUint32(offset + RNDIS_BODY, true) : this.#awaitedId;
    if (!awaited || id !== this.#awaitedId) {
      const text = `unexpected answer 0x${type.toString(16)} to 0x${(id >>> 0).toString(16)}`;
      log.info('RNDIS', name, text);
      return false;
    }
    if (length < min) {
      log.warning('RNDIS', name, `answer 0x${type.toString(16)} of ${length} bytes`);
      this.#status = RndisStatus.FAILURE;
      return false;
    }
    this.#status = view.getUint32(offset + RndisSetComplete.at.status, true);
    return this.#status === RndisStatus.SUCCESS;
  }
}
