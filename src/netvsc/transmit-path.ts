// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Messages on their way to the host. Each has an ID while it is with the host, and lies in the
 * buffer of that ID. IDs are a FIFO: taken in order, given back in the order of completion (iPXE
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

/** No ID, and nothing under it: neither is the number of a frame. */
const NONE = -1;
const FREE = -2;

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
  /** By ID: number of the frame that is with the host, or FREE. */
  readonly #sequences = new Int32Array(CONTROL_FIRST_ID + CONTROL_RESERVE).fill(FREE);
  /** Free IDs of frames, a FIFO: how many were given back and taken since the open. */
  readonly #ids: Uint8Array;
  #given = 0;
  #taken = 0;
  /** ID of the buffer that was allocated last. */
  #id = 0;

  constructor({ transmitSlots }: NetvscPolicy) {
    this.#ids = new Uint8Array(transmitSlots);
  }

  /**
   * Allocate the buffers.
   *
   * @param messageLength length of all NVSP messages
   * @throws HypxeError OutOfMemory
   */
  protected openTransmits(messageLength: number): void {
    const length = (this.#ids.length + CONTROL_RESERVE) * RNDIS_BUFFER_SIZE;
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
    this.inFlight = 0;
    this.#sequences.forEach((sequence, id, sequences) => {
      if (sequence === FREE) return;
      sequences[id] = FREE;
      this.receiver?.transmitted(sequence, 'TransmitCancelled');
    });
    if (this.packets) this.device.pages.free(this.packets);
    this.packets = undefined;
  }

  forEachInFlight(action: (id: number) => void): void {
    this.#sequences.forEach((sequence, id) => {
      if (sequence !== FREE) action(id);
    });
  }

  // --- transmit ---

  /** The buffer of the next ID; control messages may also have those of the reserve. */
  allocate(control: boolean): number {
    const ids = this.#ids;
    let id = NONE;
    if (this.#taken < this.#given) id = ids[this.#taken % ids.length]!;
    else if (control) id = this.#sequences.indexOf(FREE, CONTROL_FIRST_ID);
    if (id < 0) return 0;
    this.#id = id;
    const buffer = id < CONTROL_FIRST_ID ? id : id - CONTROL_FIRST_ID + ids.length;
    return this.packets!.address + buffer * RNDIS_BUFFER_SIZE;
  }

  /** Send a message from the buffer that was allocated last. Only then is its ID taken. */
  transmit(address: number, length: number, sequence: number): boolean {
    if (this.failure) return false;
    const { part } = this;
    const id = this.#id;
    const control = sequence === SEQUENCE_CONTROL;
    const sent =
      part.send && !control
        ? part.send(id, address, length)
        : this.sendDirect(this.channel!, id, address, length, control);
    if (sent) {
      if (id < CONTROL_FIRST_ID) this.#taken++;
      this.#sequences[id] = sequence;
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

  // --- completions ---

  /** A completion of the host. Returns false if there is no message with that ID. */
  protected transmitted(id: number, { view, payload, payloadLength }: Packet): boolean {
    const sequence = this.#sequences[id] ?? FREE;
    if (sequence === FREE) return false;

    // A completion without payload is a success; iPXE never looks at it
    const failed =
      payloadLength >= NvspRndisPacketComplete.size &&
      view.getUint32(payload + NvspRndisPacketComplete.at.status, true) !== NvspStatus.SUCCESS;

    // Give the ID back, with its buffer
    if (id < CONTROL_FIRST_ID) this.#ids[this.#given++ % this.#ids.length] = id;
    this.#sequences[id] = FREE;
    this.inFlight--;
    this.#letGo('completion');
    this.receiver?.transmitted(sequence, failed ? 'TransmitFailed' : undefined);
    this.receiver?.writable();
    return true;
  }

  /** The last message that the host lets go of takes the buffers out of the ledger. */
  #letGo(by: string): void {
    if (this.inFlight === 0) this.device.pages.revoke(this.packets!, by);
  }
}
