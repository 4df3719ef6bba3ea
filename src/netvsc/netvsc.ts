// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * NetVSC: carries RNDIS messages over a VMBus channel. Knows NVSP and moves RNDIS messages without
 * looking into them (iPXE drivers/net/netvsc.c).
 */

import { HypxeError, type ErrorName } from '../error.ts';
import type { Log } from '../events.ts';
import { copyBytes, type GuestMemory } from '../memory/guest-memory.ts';
import type { Region } from '../memory/shared-memory.ts';
import { waitAnswer, type RndisReceiver, type RndisTransport } from '../rndis/transport.ts';
import { waitFor, type Clock } from '../time.ts';
import type { VmbusChannel } from '../vmbus/channel.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import type { Gpadl } from '../vmbus/gpadl.ts';
import type { Packet } from '../vmbus/packet.ts';
import { XferPageHeader, XferPageRange } from '../vmbus/protocol.ts';
import { hex, wordBytes } from '../wire.ts';
import type { NetvscHost, NetvscPart, NetvscPlug } from './part.ts';
import { BASE_ID, PAGE_SET, type NetvscPolicy } from './policy.ts';
import {
  NVSP_MESSAGE_SIZE,
  NVSP_RECEIVE_BUFFER_COMPLETE_MIN,
  NvspReceiveBufferComplete,
  NvspRndisPacket,
  NvspStatus,
  NvspType,
} from './protocol.ts';
import { TransmitPath } from './transmit-path.ts';

/** Transaction ID of the request, relative to the base; a part has others. */
const RECEIVE_BUFFER_ID = 0x22;

/** Packets handled in one poll: a host that never stops must not keep us from everything else. */
const PACKETS_PER_POLL_MAX = 4096;

/** What a completion of received data may carry: NVSP type 108 with status 1. */
const STATUS = [NvspType.SEND_RNDIS_PACKET_COMPLETE, NvspStatus.SUCCESS];
const COMPLETION_PAYLOAD = wordBytes(NVSP_MESSAGE_SIZE, ...STATUS);

/** No request is waited for. */
const NOTHING = -1;

export class Netvsc extends TransmitPath implements RndisTransport, NetvscHost {
  readonly name: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly memory: GuestMemory;
  readonly device: VmbusDevice;
  receiver: RndisReceiver | undefined;
  channel: VmbusChannel | undefined;
  pageSet = PAGE_SET;
  readonly part: NetvscPart;
  /** Flow control and events, where the part has them. */
  writable?: () => void;
  interrupted?: () => void;
  readonly policy: NetvscPolicy;
  #receiveBuffer: Region | undefined;
  #receiveGpadl: Gpadl | undefined;
  /** Copies of the ranges of a packet, one after the other, and their lengths. */
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #lengths: Int32Array;
  /** Request that is waited for, and its completion. */
  #awaited = NOTHING;
  #completion: DataView | undefined;
  #polling = false;

  constructor(device: VmbusDevice, policy: NetvscPolicy, plug: NetvscPlug) {
    super(policy);
    this.name = device.name;
    this.log = device.log;
    this.clock = device.connection.hv.clock;
    this.memory = device.pages.memory;
    this.device = device;
    this.policy = policy;

    // The ranges of one packet do not overlap on any correct host: so many bytes hold their copies
    this.#bytes = new Uint8Array(policy.receiveBufferLength);
    this.#view = new DataView(this.#bytes.buffer);
    this.#lengths = new Int32Array(
      (policy.packetLength - XferPageHeader.size) / XferPageRange.size,
    );

    this.part = plug(this);
  }

  // --- open and close ---

  open(): void {
    const { part } = this;
    try {
      // Buffers first: hosts want the receive buffer's GPADL torn down after the channel is closed,
      // so it is established before the channel is opened (iPXE cd68d93b6)
      this.#receiveBuffer = this.device.pages.allocate('rx-buffer', this.#bytes.length);
      this.#receiveGpadl = this.device.establishGpadl(this.#receiveBuffer);
      this.openTransmits(this.#messageLength);
      part.opening?.();

      // Open channel
      const { packets } = this;
      this.channel = this.device.open(this, { packets, ...this.policy, ...part.sizes });
      if (this.policy.completionPayload === 'status')
        this.channel.completionPayload = COMPLETION_PAYLOAD;

      // Initialise NVSP, and give the host the receive buffer
      part.negotiate();
      this.#sendReceiveBuffer(this.#receiveGpadl.id);
      part.opened?.();
    } catch (error) {
      this.#tearDown();
      throw error;
    }
  }

  initialised(): void {
    this.part.initialised?.();
  }

  close(): void {
    // Nothing is said to a host that does not listen. The channel of a device that was taken away
    // is closed already, and its rings may be gone
    if (!this.failure) {
      this.#drain();
      this.part.closing();
    }
    this.#tearDown();
  }

  /** Undo what of {@link open} was done, in reverse. */
  #tearDown(): void {
    // Close channel
    this.device.close();
    this.channel = undefined;

    // Free buffers. Continue in any case: what is not torn down stays reserved
    this.closeTransmits();
    this.part.closed?.();
    if (this.#receiveGpadl) this.device.teardownGpadl(this.#receiveGpadl);
    if (this.#receiveBuffer) this.device.pages.free(this.#receiveBuffer);
    this.#receiveGpadl = this.#receiveBuffer = undefined;
  }

  /** Give frames in flight a moment to be completed: then nothing needs to be cancelled. */
  #drain(): void {
    const { drainMs } = this.policy;
    if (drainMs === 0) return;
    this.log.attempt('error', 'NETVSC', this.name, 'frames in flight are given up', () => {
      waitFor(this.clock, drainMs, () => {
        this.poll();
        return this.inFlight === 0;
      });
    });
  }

  // --- requests ---

  /** @throws HypxeError ReceiveBufferRefused, and as {@link request} */
  #sendReceiveBuffer(gpadl: number): void {
    const buffer = [NvspType.SEND_RECEIVE_BUFFER, gpadl, this.pageSet];
    const type = NvspType.SEND_RECEIVE_BUFFER_COMPLETE;
    const length = NVSP_RECEIVE_BUFFER_COMPLETE_MIN;
    const answer = this.request(RECEIVE_BUFFER_ID, 'receive buffer', buffer, type, length);
    const status = answer.getUint32(NvspReceiveBufferComplete.at.status, true);
    if (status === NvspStatus.SUCCESS) return;
    throw new HypxeError('ReceiveBufferRefused', `NVSP receive buffer: status ${status}`);
  }

  request(
    id: number,
    what: string,
    words: readonly number[],
    type = 0,
    length = 0,
    timeoutMs = this.policy.answerMs,
  ): DataView {
    this.#awaited = id;
    try {
      this.tell(what, words, BASE_ID + id);
      waitAnswer(this, timeoutMs, `NVSP ${what}`, 'NoCompletion', () => {
        // Messages too: they may say that the device is gone
        this.device.connection.poll();
        this.pollPackets();
        return this.#completion !== undefined;
      });

      // Check completion
      const completion = this.#completion!;
      const { byteLength } = completion;
      const found = byteLength < 4 ? 0 : completion.getUint32(0, true);
      if (byteLength >= length && (type === 0 || found === type)) return completion;
      const text = `NVSP ${what}: type ${found} of ${byteLength} bytes`;
      throw new HypxeError('BadCompletion', text);
    } finally {
      // A late answer must not be taken for another request's (iPXE's defect 10)
      this.#awaited = NOTHING;
      this.#completion = undefined;
    }
  }

  tell(what: string, words: readonly number[], transactionId = 0): void {
    const message = wordBytes(this.#messageLength, ...words);
    if (this.channel!.sendInband(transactionId, message)) return;
    throw new HypxeError(this.failure ?? 'RingFull', `could not send NVSP ${what}`);
  }

  get #messageLength(): number {
    return this.part.messageLength ?? NVSP_MESSAGE_SIZE;
  }

  get failure(): ErrorName | undefined {
    if (this.device.rescinded) return 'ChannelRescinded';
    if (!this.device.connection.hv.isRunning) return 'Quiesced';
    return !this.channel ? 'ChannelBroken' : this.channel.broken;
  }

  // --- completions ---

  completed(packet: Packet): void {
    const { bytes, idLow, idHigh, payload, payloadLength } = packet;
    const id = idHigh === 0 ? idLow - BASE_ID : NOTHING;
    if (this.transmitted(id, packet)) return;
    if (id === this.#awaited && id !== NOTHING) {
      this.#completion = new DataView(bytes.slice(payload, payload + payloadLength).buffer);
      return;
    }
    const text = `unexpected completion ${hex(idHigh)}:${hex(idLow)}`;
    this.malformed('UnexpectedCompletion', text);
  }

  // --- receive ---

  poll(): void {
    // Messages first: they may say that the device is gone
    this.device.connection.poll();
    if (this.failure) return;
    this.pollPackets();
    this.receiver?.writable();
  }

  pollPackets(): void {
    // A receiver that polls again finds the rest; no packet is handled inside another
    if (this.#polling || !this.channel) return;
    this.#polling = true;
    try {
      if (this.part.poll) this.part.poll(this.channel);
      else this.pollChannel(this.channel);
    } finally {
      this.#polling = false;
    }
  }

  get isStopped(): boolean {
    return this.#completion !== undefined || !this.channel;
  }

  pollChannel(channel: VmbusChannel): void {
    for (let i = 0; i < PACKETS_PER_POLL_MAX; i++) {
      if (this.isStopped || !channel.poll()) return;
    }
  }

  receivedPages(packet: Packet, channel = this.channel): void {
    // Copy all messages, so that the host has its pages back before anything is done with them
    const { idLow, idHigh } = packet;
    const count = this.#checkPages(packet) ? this.#copyRanges(packet) : 0;
    channel?.complete(idLow, idHigh);

    // Hand them over, in the order of their ranges (iPXE reverses it: defect 2)
    let offset = 0;
    for (let i = 0; i < count; i++) {
      const length = this.#lengths[i]!;
      this.receiver?.received(this.#bytes, this.#view, offset, length);
      offset += length;
    }
  }

  #checkPages({ view, payload, payloadLength, pageSet }: Packet): boolean {
    const whole = payloadLength >= NvspRndisPacket.size;
    const type = view.getUint32(payload + NvspRndisPacket.at.type, true);
    let error: ErrorName = 'UnsupportedMessage';
    if (pageSet !== this.pageSet) error = 'UnknownPageSet';
    else if (!whole) error = 'BadNvspMessage';
    else if (type === NvspType.SEND_RNDIS_PACKET) return true;
    const text = `page set ${hex(pageSet)}, NVSP type ${type} of ${payloadLength} bytes`;
    this.malformed(error, text);
    return false;
  }

  /**
   * Copy the ranges of a packet out of the receive buffer. Each is one RNDIS message: the ranges
   * are the only message boundaries (iPXE 639632b05; the RNDIS length lies on Windows Server 2012
   * R2 and on OpenVMM). Returns how many there are that are good.
   */
  #copyRanges({ view, rangeCount }: Packet): number {
    const { address, length: size } = this.#receiveBuffer!;
    const { memory } = this;
    let count = 0;
    let used = 0;
    for (let i = 0; i < rangeCount; i++) {
      const at = XferPageHeader.size + i * XferPageRange.size;
      const length = view.getUint32(at + XferPageRange.at.length, true);
      const offset = view.getUint32(at + XferPageRange.at.offset, true);

      // A range outside of the buffer, or more than the buffer holds, is left out
      const inside = offset <= size && length <= size - offset;
      if (!inside || length > size - used) {
        const text = `range ${i}: ${length} bytes at ${offset}`;
        this.malformed(inside ? 'RangesTooLong' : 'RangeOutsideBuffer', text);
        continue;
      }
      copyBytes(memory.view, address + offset, this.#view, used, length);
      this.#lengths[count++] = length;
      used += length;
    }
    return count;
  }

  receivedInband(packet: Packet): void {
    if (this.part.receivedInband?.(packet)) return;
    // Announcements of virtual functions and the like: nothing that a firmware could use. There
    // are always bytes to read: those of the footer, if there are no others
    const type = packet.view.getUint32(packet.payload, true);
    this.malformed('UnsupportedMessage', `NVSP type ${type} ignored`);
  }

  cancelled(packet: Packet): void {
    this.malformed('UnsupportedMessage', `cancellation of ${hex(packet.idLow)} ignored`);
  }

  malformed(kind: ErrorName, text: string): void {
    this.receiver?.receiveFailed(kind, text);
  }
}
