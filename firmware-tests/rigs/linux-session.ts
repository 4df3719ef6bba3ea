// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Sessions of Linux as lines that can be compared: what a guest does, without what no two boots
 * have in common. What is normalised:
 *
 * - time, signals, reads of clocks, and when a timer is to expire: they are the machine's pace
 * - addresses: of registers the low 12 bits stay, with `page`; page lists become their length
 * - numbers of channels: by what is on them (`net`, `net/1` for its first sub-channel)
 * - messages that the host had no room for: they are posted again
 * - GPADL_BODY messages of one GPADL in a row: one line with their number
 * - EOM writes in a row: one line; the host's own transaction IDs
 * - once a NIC is up: its frames, and the completions of what it received; of services everything
 *   but the negotiation
 * - the address and length of a panic's message
 */

import { HvCall, Msr } from '../../src/hyperv/protocol.ts';
import { MessageType, OfferChannel, PacketType } from '../../src/vmbus/protocol.ts';
import { guidText } from '../../src/wire.ts';

/** An event of a guest, as the recordings have it. */
export interface SessionEvent {
  readonly kind: string;
  readonly msr?: number;
  readonly value?: string;
  readonly code?: number;
  readonly input?: string;
  readonly status?: number;
  readonly channel?: number;
  readonly type?: number;
  readonly transactionId?: string;
  readonly bytes?: string;
  readonly payload?: string;
}

/** Types of messages and registers by number. */
const TYPES = new Map<number, string>(Object.entries(MessageType).map(([name, n]) => [n, name]));
const REGISTERS = new Map<number, string>(Object.entries(Msr).map(([name, n]) => [n, name]));
REGISTERS.set(Msr.SINT0 + 2, 'SINT2');

/** Registers that hold the address of a page. */
const PAGES: readonly string[] = [
  ...['HYPERCALL', 'REFERENCE_TSC', 'VP_ASSIST_PAGE', 'SIMP', 'SIEFP', 'CRASH_P3'],
];

/** Interfaces by the first bytes of their GUIDs. */
const INTERFACES: Readonly<Record<string, string>> = {
  f8615163: 'net',
  ba6163d9: 'scsi',
  '57164f39': 'heartbeat',
  '0e0b6031': 'shutdown',
  '9527e630': 'timesync',
};

/** Places in messages: after the 16 bytes of the hypercall's own. */
const MESSAGE = 16;

/** NVSP types, and where a packet says what it carries. */
const NVSP_RNDIS_PACKET = 107;
const FILTER_LENGTH = 32;

export class SessionReader {
  readonly lines: string[] = [];
  readonly #channels = new Map<number, string>();
  /** A NIC is up: its frames come and go. */
  #up = false;
  /** GPADL_BODY messages in a row. */
  #bodies = 0;

  add(event: SessionEvent): void {
    switch (event.kind) {
      case 'host-message':
        this.#offer(event.payload!);
        break;
      case 'rdmsr':
      case 'wrmsr':
        this.#register(event.kind === 'rdmsr' ? 'read' : 'write', event.msr!, event.value!);
        break;
      case 'hypercall':
        if (event.status !== 0 && event.code === HvCall.POST_MESSAGE) break;
        if (event.code === HvCall.POST_MESSAGE) this.#message(bytesOf(event.input!));
        else if (event.code !== HvCall.SIGNAL_EVENT) this.#push(`call 0x${hex(event.code!)}`);
        break;
      case 'ring-packet':
        this.#packet(event);
    }
  }

  /** What was seen, with everything that was held back. */
  end(): string[] {
    this.#flush();
    return this.lines;
  }

  #push(line: string): void {
    this.#flush();
    this.lines.push(line);
  }

  #flush(): void {
    if (this.#bodies > 0) this.lines.push(`GPADL_BODY, ${this.#bodies} of number 0`);
    this.#bodies = 0;
  }

  #offer(payload: string): void {
    const bytes = bytesOf(payload);
    if (view(bytes).getUint32(0, true) !== MessageType.OFFER_CHANNEL) return;
    const name = INTERFACES[guidText(bytes, OfferChannel.at.interfaceId).slice(0, 8)] ?? 'other';
    const subchannel = view(bytes).getUint16(OfferChannel.at.subchannelIndex, true);
    const channel = view(bytes).getUint32(OfferChannel.at.channel, true);
    this.#channels.set(channel, subchannel === 0 ? name : `${name}/${subchannel}`);
  }

  #name(channel: number): string {
    return this.#channels.get(channel) ?? `channel ${channel}`;
  }

  #register(what: string, msr: number, text: string): void {
    const name = REGISTERS.get(msr) ?? hex(msr);
    const value = BigInt(text);
    if (name === 'TIME_REF_COUNT') return;
    if (name === 'STIMER0_COUNT' && value !== 0n) return;
    if (name === 'EOM') {
      this.#flush();
      if (this.lines.at(-1) !== 'write EOM') this.lines.push('write EOM');
      return;
    }
    if (what === 'read') this.#push(`read ${name}`);
    else if (name === 'CRASH_P4') this.#push(`write ${name} length`);
    else if (PAGES.includes(name) && value > 0xfffn) {
      this.#push(`write ${name} page+${value & 0xfffn}`);
    } else this.#push(`write ${name} 0x${value.toString(16)}`);
  }

  #message(input: Uint8Array): void {
    const message = view(input);
    const word = (at: number): number => message.getUint32(MESSAGE + at, true);
    const to = message.getUint32(0, true);
    const type = word(0);
    const name = TYPES.get(type) ?? String(type);
    if (type === MessageType.GPADL_BODY && word(8) === 0) {
      this.#bodies++;
      return;
    }
    const details: string[] = [];
    if (type === MessageType.INITIATE_CONTACT) {
      details.push(`version 0x${hex(word(8))} VP ${word(12)}`);
      details.push(`sint ${hex(word(16))} flags ${hex(word(20))}`);
      details.push(word(24) === 0 ? 'no monitors' : 'monitors');
    } else if (type === MessageType.GPADL_HEADER) {
      details.push(`${this.#name(word(8))} ${hex(word(12))} ranges ${hex(word(16))}`);
      details.push(`${word(20)} bytes at ${word(24)}`);
    } else if (type === MessageType.GPADL_BODY) {
      details.push(`number ${word(8)}`);
    } else if (type === MessageType.OPEN_CHANNEL) {
      const id = word(12) === word(8) ? 'own' : hex(word(12));
      details.push(`${this.#name(word(8))} id ${id} gpadl ${hex(word(16))} VP ${word(20)}`);
      details.push(`downstream ${word(24)}`);
    } else if (type === MessageType.GPADL_TEARDOWN) {
      details.push(`${this.#name(word(8))} ${hex(word(12))}`);
    } else if (input.length > MESSAGE + 8) {
      details.push(this.#name(word(8)));
    }
    const length = message.getUint32(12, true);
    this.#push([`${to} <- ${name} (${length})`, ...details].join(' '));
  }

  #packet({ channel, type, transactionId, bytes: text }: SessionEvent): void {
    const name = this.#name(channel!);
    const bytes = bytesOf(text!);
    const packet = view(bytes);
    const header = packet.getUint16(2, true) * 8;
    const flags = packet.getUint16(6, true);
    if (!name.startsWith('net')) {
      // Pipe header, then type of the message, 16 bits each: 0 is the negotiation
      if (packet.getUint16(header + 8 + 4, true) !== 0) return;
      this.#push(`${name}: negotiation ${hexBytes(bytes.subarray(header))}`);
      return;
    }
    const payload = bytes.subarray(header);
    const id = `id ${transactionId} flags ${flags}`;
    if (type === PacketType.COMPLETION) {
      if (!this.#up) this.#push(`${name}: completion ${hexBytes(payload)}`);
      return;
    }
    const nvsp = view(payload).getUint32(0, true);
    const rndis = nvsp === NVSP_RNDIS_PACKET;
    if (rndis && view(payload).getUint32(4, true) === 0) return;
    if (type === PacketType.DATA_GPA_DIRECT) {
      const ranges = packet.getUint32(20, true);
      let length = 0;
      for (let i = 0, at = 24; i < ranges; i++, at += 16) length += packet.getUint32(at, true);
      if (length === FILTER_LENGTH) this.#up = true;
      this.#push(`${name}: ${id} RNDIS of ${length} bytes ${hexBytes(payload)}`);
      return;
    }
    this.#push(`${name}: ${id} NVSP ${hexBytes(payload)}`);
  }
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hex(value: number): string {
  return value.toString(16);
}

/** Words, without the zeros at the end. */
function hexBytes(bytes: Uint8Array): string {
  const words: string[] = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4)
    words.push(hex(view(bytes).getUint32(at, true)));
  const length = words.length;
  while (words.at(-1) === '0') words.pop();
  return `[${words.join(' ')}] of ${4 * length}`;
}
