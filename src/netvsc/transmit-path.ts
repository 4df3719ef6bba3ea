// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Messages on their way to the host. Each lies in a buffer of guest memory and has an ID while it
 * is with the host. IDs are a FIFO: taken in order, given back in the order of completion (iPXE
 * netvsc_ring). Control messages have buffers and IDs in reserve, so that a device with all frames
 * pending can still be closed. Nothing here is allocated per message.
 */

import type { ErrorName } from '../error.ts';
import type { Region } from '../memory/shared-memory.ts';
import { RNDIS_BUFFER_SIZE, SEQUENCE_CONTROL, type RndisReceiver } from '../rndis/transport.ts';
import type { VmbusChannel } from '../vmbus/channel.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import type { Packet } from '../vmbus/packet.ts';
import { wordBytes } from '../wire.ts';
import type { NetvscPart } from './part.ts';
import { BASE_ID, type NetvscPolicy } from './policy.ts';
import {
  NVSP_NO_SEND_BUFFER,
  NvspRndisPacketComplete,
  NvspStatus,
  NvspType,
  RndisChannel,
} from './protocol.ts';

/** Messages that only control messages may have in flight beyond the frames. */
const CONTROL_RESERVE = 4;

/** First ID of the reserve: beyond iPXE's IDs for frames and requests. */
const CONTROL_FIRST_ID = 0x40;

/** No buffer, no ID. */
const NONE = -1;

/** The half of a NetVSC that transmits. */
export abstract class TransmitPath {
  abstract readonly device: VmbusDevice;
  abstract readonly channel: VmbusChannel | undefined;
  abstract readonly part: NetvscPart;
  /** Who hears what became of the messages. */
  abstract readonly receiver: RndisReceiver | undefined;
  /** Why nothing can be sent any more, or undefined. */
  abstract readonly failure: ErrorName | undefined;
  /** The memory of the buffers while there is any. */
  packets: Region | undefined;
  /** Messages that are with the host. */
  inFlight = 0;
  /** The NVSP messages beside a frame and beside a control message. */
  #messages: readonly Uint8Array[] = [];
  /** By buffer: length and sequence number of its message. A length of 0: it is free. */
  readonly #lengths: Int32Array;
  readonly #sequences: Int32Array;
  /** By ID: the buffer in flight, or NONE. */
  readonly #buffers = new Int32Array(CONTROL_FIRST_ID + CONTROL_RESERVE).fill(NONE);
  /** Free IDs of frames, a FIFO: how many were given back and taken since the open. */
  readonly #ids: Uint8Array;
  #given = 0;
  #taken = 0;

  constructor({ transmitSlots }: NetvscPolicy) {
    const buffers = transmitSlots + CONTROL_RESERVE;
    this.#lengths = new Int32Array(buffers);
    this.#sequences = new Int32Array(buffers);
    this.#ids = new Uint8Array(transmitSlots);
  }

  /**
   * Allocate the buffers.
   *
   * @param messageLength length of all NVSP messages
   * @throws HypxeError OutOfMemory
   */
  protected openTransmits(messageLength: number): void {
    const length = this.#lengths.length * RNDIS_BUFFER_SIZE;
    this.packets = this.device.pages.allocate('tx-buffer', length);
    this.#messages = [RndisChannel.DATA, RndisChannel.CONTROL].map((channel) =>
      wordBytes(messageLength, NvspType.SEND_RNDIS_PACKET, channel, NVSP_NO_SEND_BUFFER),
    );
    this.#ids.forEach((_, id, ids) => (ids[id] = id));
    this.#given = this.#ids.length;
    this.#taken = 0;
  }

  /**
   * Give up everything that is in flight, and give the buffers back. As long as the
   * host may still read them they stay reserved.
   */
  protected closeTransmits(): void {
    this.#buffers.fill(NONE);
    this.inFlight = 0;
    this.#lengths.forEach((length, buffer) => {
      if (length > 0) this.#free(buffer, 'TransmitCancelled');
    });
    if (this.packets) this.device.pages.free(this.packets);
    this.packets = undefined;
  }

  forEachInFlight(action: (id: number) => void): void {
    this.#buffers.forEach((buffer, id) => {
      if (buffer >= 0) action(id);
    });
  }

  // --- transmit ---

  /** The last buffers are for control messages only. */
  allocate(control: boolean): number {
    const reserve = control ? 0 : CONTROL_RESERVE;
    const buffer = this.#lengths.indexOf(0);
    const found = buffer >= 0 && buffer < this.#lengths.length - reserve;
    return found ? this.#addressOf(buffer) : 0;
  }

  /** Send a message. If there is no room its buffer is free again. */
  transmit(address: number, length: number, sequence: number): boolean {
    const buffer = (address - this.packets!.address) / RNDIS_BUFFER_SIZE;
    this.#lengths[buffer] = length;
    this.#sequences[buffer] = sequence;
    const sent = !this.failure && this.#send(buffer);
    if (!sent) this.#lengths[buffer] = 0;
    return sent;
  }

  #send(buffer: number): boolean {
    // The next ID
    const control = this.#sequences[buffer] === SEQUENCE_CONTROL;
    let id = NONE;
    if (this.#taken < this.#given) id = this.#ids[this.#taken % this.#ids.length]!;
    else if (control) id = this.#buffers.indexOf(NONE, CONTROL_FIRST_ID);
    if (id < 0) return false;

    // Send; only what was sent has taken its ID
    const { part } = this;
    const address = this.#addressOf(buffer);
    const length = this.#lengths[buffer]!;
    const sent =
      part.send && !control
        ? part.send(id, address, length)
        : this.sendDirect(this.channel!, id, address, length, control);
    if (sent) {
      if (id < CONTROL_FIRST_ID) this.#taken++;
      this.#buffers[id] = buffer;
      this.inFlight++;
    } else {
      this.#letGo('never sent');
    }
    return sent;
  }

  sendDirect(
    channel: VmbusChannel,
    id: number,
    address: number,
    length: number,
    control: boolean,
  ): boolean {
    const message = this.#messages[control ? RndisChannel.CONTROL : RndisChannel.DATA]!;
    this.device.pages.share(this.packets!, 'GPA direct packets');
    return channel.sendGpaDirect(BASE_ID + id, address, length, message);
  }

  #addressOf(buffer: number): number {
    return this.packets!.address + buffer * RNDIS_BUFFER_SIZE;
  }

  // --- completions ---

  /** A completion of the host. Returns false if there is no message with that ID. */
  protected transmitted(id: number, { view, payload, payloadLength }: Packet): boolean {
    const buffer = this.#buffers[id] ?? NONE;
    if (buffer < 0) return false;

    // A completion without payload is a success; iPXE never looks at it
    const failed =
      payloadLength >= NvspRndisPacketComplete.size &&
      view.getUint32(payload + NvspRndisPacketComplete.at.status, true) !== NvspStatus.SUCCESS;

    // Give the ID back, with its buffer
    if (id < CONTROL_FIRST_ID) this.#ids[this.#given++ % this.#ids.length] = id;
    this.#buffers[id] = NONE;
    this.inFlight--;
    this.#letGo('completion');
    this.#free(buffer, failed ? 'TransmitFailed' : undefined);
    this.receiver?.writable();
    return true;
  }

  /** The last message that the host lets go of takes the buffers out of the ledger. */
  #letGo(by: string): void {
    if (this.inFlight === 0) this.device.pages.revoke(this.packets!, by);
  }

  #free(buffer: number, error: ErrorName | undefined): void {
    this.#lengths[buffer] = 0;
    this.receiver?.transmitted(this.#sequences[buffer]!, error);
  }
}
