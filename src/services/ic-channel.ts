// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The channel of a utility service: takes the host's messages out of their pipe, checks the
 * headers, negotiates, and puts each request with its answer back in place, as long as it came
 * (Linux drivers/hv/hv_util.c and its services).
 *
 * One request at a time: while one is with the service, or its answer finds no room, nothing is
 * read; what else the host has sent waits in the ring.
 */

import { isNamed, type ErrorName } from '../error.ts';
import type { Log } from '../events.ts';
import { TICKS_PER_MS } from '../time.ts';
import type { ChannelHandler, VmbusChannel } from '../vmbus/channel.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import type { Packet } from '../vmbus/packet.ts';
import { PIPE_TYPE_DATA, PacketType, PipeHeader } from '../vmbus/protocol.ts';
import { icVersionText, negotiate } from './negotiation.ts';
import { IC_MESSAGE_MAX, IcFlag, IcHeader, IcNegotiate, IcStatus, IcType } from './protocol.ts';
import { LATER, type IcContext, type IcRequest, type IcService } from './service.ts';

/** Data pages of each ring (Linux hv_fcopy_uio: 16 KiB). */
const RING_PAGES = 4;

/** Longest packet: headers, a message of the longest kind, footer. */
const PACKET_MAX = 16 + PipeHeader.size + IC_MESSAGE_MAX + 8;

/** Requests handled in one poll: a host that never stops must not keep us from everything else. */
const REQUESTS_PER_POLL_MAX = 64;

/** How long a closing channel waits for the host to read the last answer, in ms. */
const LAST_ANSWER_MS = 20;

/** Where things are in a message. */
const HEADER = PipeHeader.size;
const BODY = HEADER + IcHeader.size;

/** What the flags of a request are. */
const REQUEST_FLAGS = IcFlag.TRANSACTION | IcFlag.REQUEST;
const ANSWER_FLAGS = IcFlag.TRANSACTION | IcFlag.RESPONSE;

export class IcChannel implements ChannelHandler, IcContext, IcRequest {
  readonly log: Log;
  readonly clock: IcContext['clock'];
  // The request that is being handled
  readonly bytes = new Uint8Array(PACKET_MAX);
  readonly view: DataView = new DataView(this.bytes.buffer);
  readonly body = BODY;
  bodyLength = 0;
  messageVersion = 0;
  leaving = false;

  readonly #device: VmbusDevice;
  readonly #service: IcService;
  readonly #name: string;
  #channel: VmbusChannel | undefined;
  /** `working`: the service has the request. `answering`: its answer waits for room in the ring. */
  #state: 'idle' | 'working' | 'answering' = 'idle';
  /** Length of the message as it was received, with the padding of its packet. */
  #length = 0;
  #idLow = 0;
  #idHigh = 0;

  constructor(device: VmbusDevice, service: IcService) {
    this.#device = device;
    this.#service = service;
    this.#name = service.name;
    this.log = device.log;
    this.clock = device.connection.hv.clock;
  }

  get isOpen(): boolean {
    return this.#channel !== undefined;
  }

  // --- open and close ---

  /** @throws HypxeError as VmbusDevice.open, with nothing left open */
  open(): void {
    const sizes = { outPages: RING_PAGES, inPages: RING_PAGES, packetLength: PACKET_MAX };
    this.#channel = this.#device.open(this, sizes);
    this.#state = 'idle';
    this.messageVersion = 0;
    this.leaving = false;
    this.#service.opened(this);
    this.log.debug('UTIL', this.#name, `waiting on channel ${this.#device.channelId}`);
  }

  /**
   * Close in an orderly way: what has come is answered first, the last answer is given time to be
   * read. Never throws.
   */
  finish(): void {
    if (this.#channel === undefined) return;
    this.leaving = true;
    this.poll();
    this.#awaitLastAnswer();
    this.close('the firmware closes it');
  }

  /** Close at once. Never throws: what the host does not give back stays reserved. */
  close(reason: string): void {
    if (this.#channel === undefined) return;
    this.#channel = undefined;
    this.#service.closed(reason);
    this.#device.close();
  }

  /** The channel is gone with its connection. */
  abandon(): void {
    if (this.#channel === undefined) return;
    this.#channel = undefined;
    this.#service.closed('the connection was made anew');
  }

  #awaitLastAnswer(): void {
    const channel = this.#channel;
    if (channel === undefined || this.#device.rescinded) return;
    const until = this.clock.now() + LAST_ANSWER_MS * TICKS_PER_MS;
    try {
      while (channel.out.writable !== channel.out.mask && this.clock.now() < until)
        this.clock.pause();
    } catch (error) {
      // Cancelled: there is no time for this
      if (!isNamed(error) || error.name !== 'Cancelled') throw error;
    }
  }

  // --- polling ---

  /** Handle what there is. */
  poll(): void {
    for (let i = 0; i < REQUESTS_PER_POLL_MAX; i++) {
      const channel = this.#channel;
      if (channel === undefined || this.#device.rescinded) return;
      if (channel.broken !== undefined) {
        this.close('its ring is broken');
        return;
      }
      // The service first: its time limits count, whatever the host does
      if (i === 0 || this.#state === 'working') this.#service.poll();
      if (this.#state === 'answering') this.#sendAnswer();
      if (this.#state !== 'idle' || !this.#service.ready) return;
      if (!channel.poll()) return;
    }
  }

  receivedInband(packet: Packet): void {
    // Into a buffer of our own: the answer is written over it
    const length = packet.payloadLength;
    this.bytes.set(packet.bytes.subarray(packet.payload, packet.payload + length));
    this.#length = length;
    this.#idLow = packet.idLow;
    this.#idHigh = packet.idHigh;
    const wrong = this.#checkFrame(length);
    if (wrong !== undefined) {
      this.#drop(wrong);
      return;
    }

    // Headers are there: whatever is wrong from here on gets an answer
    const type = this.view.getUint16(HEADER + IcHeader.at.type, true);
    this.bodyLength = this.view.getUint16(HEADER + IcHeader.at.length, true);
    const framed = this.view.getUint32(PipeHeader.at.length, true);
    if (IcHeader.size + this.bodyLength > framed) {
      this.#refuse(`a body of ${this.bodyLength} bytes in a message of ${framed}`);
    } else if (type === IcType.NEGOTIATE) {
      this.#negotiate();
    } else if (type !== this.#service.type) {
      this.#refuse(`message type ${type} is not served`, IcStatus.NOT_SUPPORTED);
    } else if (this.messageVersion === 0) {
      this.#refuse('a request before the negotiation');
    } else {
      this.#state = 'working';
      const status = this.#service.handle(this);
      if (status !== LATER) this.answer(status);
    }
  }

  /** What is wrong with the frame of a message, so that nobody knows what to answer to. */
  #checkFrame(length: number): string | undefined {
    if (length < BODY) return `a message of ${length} bytes, its headers have ${BODY}`;
    const type = this.view.getUint32(PipeHeader.at.type, true);
    if (type !== PIPE_TYPE_DATA) return `pipe message of type ${type}`;
    const framed = this.view.getUint32(PipeHeader.at.length, true);
    if (framed < IcHeader.size || framed > length - PipeHeader.size) {
      return `a pipe message of ${framed} bytes in a packet of ${length}`;
    }
    const flags = this.view.getUint8(HEADER + IcHeader.at.flags);
    if ((flags & (REQUEST_FLAGS | IcFlag.RESPONSE)) !== REQUEST_FLAGS) {
      return `flags 0x${flags.toString(16)}: no request of a transaction`;
    }
    return undefined;
  }

  #negotiate(): void {
    const { view } = this;
    const room = this.#length - BODY;
    if (this.bodyLength < IcNegotiate.size) {
      this.#refuse(`a negotiation of ${this.bodyLength} bytes`);
      return;
    }
    const answer = negotiate(view, BODY, this.bodyLength, room, this.#service.messageVersions);
    const { agreement } = answer;
    view.setUint16(HEADER + IcHeader.at.length, answer.length, true);
    this.messageVersion = agreement?.message ?? 0;
    if (agreement === undefined) {
      this.log.error('UTIL', this.#name, `negotiation failed: ${answer.reason}`);
    } else if (this.log.on) {
      const versions = `framework ${icVersionText(agreement.framework)}, messages `;
      this.log.info(
        'UTIL',
        this.#name,
        `negotiated ${versions}${icVersionText(agreement.message)}`,
      );
    }
    // Linux leaves the status as it came
    this.#putAnswer(view.getUint32(HEADER + IcHeader.at.status, true));
  }

  // --- answers ---

  answer(status: number): void {
    if (this.#state !== 'working' || this.#channel === undefined) return;
    this.#putAnswer(status);
  }

  /** The message goes back as it came, with status and flags changed. */
  #putAnswer(status: number): void {
    this.view.setUint32(HEADER + IcHeader.at.status, status, true);
    this.view.setUint8(HEADER + IcHeader.at.flags, ANSWER_FLAGS);
    this.#state = 'answering';
    this.#sendAnswer();
  }

  #sendAnswer(): void {
    // Under the transaction ID of the host, and without asking for a completion
    const type = PacketType.DATA_INBAND;
    const { bytes } = this;
    const length = this.#length;
    const sent = this.#channel!.send(type, 0, this.#idLow, this.#idHigh, bytes, length);
    if (!sent) return;
    this.#state = 'idle';
    this.#service.answered();
  }

  #refuse(what: string, status: number = IcStatus.FAIL): void {
    this.log.error('UTIL', this.#name, `refusing ${what}`);
    this.#putAnswer(status);
  }

  #drop(what: string): void {
    this.log.error('UTIL', this.#name, `dropping ${what}`);
  }

  // --- packets that no service gets ---

  completed(): void {
    this.#drop('a completion: nothing asked for one');
  }

  receivedPages(packet: Packet): void {
    this.#drop('a packet with transfer pages');
    this.#channel?.complete(packet.idLow, packet.idHigh);
  }

  cancelled(): void {
    this.#drop('a cancellation');
  }

  malformed(error: ErrorName, text: string): void {
    this.#drop(`a packet (${error}): ${text}`);
  }
}
