// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Events as lines of a trace: one JSON object each, with the virtual time in ms. Packets of network
 * channels get what they only refer to, where that is a control message of RNDIS. Knows nothing of
 * files. The lines are described in the README of this room.
 */

import { HvCall } from '../../src/hyperv/protocol.ts';
import { RndisType } from '../../src/rndis/protocol.ts';
import { VMBUS_MESSAGE_TYPE } from '../../src/vmbus/protocol.ts';
import { OfferedChannels } from '../capture/channels.ts';
import { CaptureDevice } from '../capture/protocol.ts';
import { RndisMessages, type CapturedMemory } from '../capture/rndis-messages.ts';
import { decodeMessage, decodePost, decodeRndis, type DecodedLayer } from '../replay/decode.ts';
import { toHex } from '../replay/hex.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { HostEvent } from '../simulator/ledger/events.ts';

/** Version of the form of traces: a reader of another one says so. */
export const TRACE_VERSION = 1;

/** First line of a trace: what was asked for. Values are for people, except `trace`. */
export interface RunHeader {
  readonly kind: 'run';
  readonly trace: typeof TRACE_VERSION;
  readonly command: string;
  readonly [name: string]: string | number | boolean;
}

/** Most bytes of RNDIS that a line has. */
const RNDIS_MAX = 1024;

/**
 * An event as a line of a trace, without the line end. {@link TraceLines} makes those of a machine.
 *
 * @param now virtual time in ticks
 */
export function traceLine(event: object, now: number): string {
  return JSON.stringify({ ms: now / TICKS_PER_MS, ...event }, plain);
}

/** What JSON has no form for: bytes as hexadecimal text, 64-bit numbers as `0x…`. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  return value instanceof Uint8Array ? toHex(value) : value;
}

/** An event with what its VMBus message says: its name and its fields, in words. */
function withWords(event: HostEvent): object {
  if (event.kind === 'hypercall' && event.code === HvCall.POST_MESSAGE)
    return { ...event, ...saying(decodePost(event.input).slice(1)) };
  if (event.kind === 'host-message' && event.type === VMBUS_MESSAGE_TYPE)
    return { ...event, ...saying(decodeMessage(event.payload)) };
  return event;
}

/** Fields that say no more than the name of the message, or nothing. */
const UNTOLD = /^(type|reserved|padding)/i;

function saying(layers: readonly DecodedLayer[]): { readonly says?: string } {
  const says = layers.map((layer) => {
    const told = layer.fields.filter(({ name }) => !UNTOLD.test(name));
    const fields = told.map(({ name, text }) => `${name} ${text}`);
    return [layer.name, ...fields].join(', ');
  });
  return says.length === 0 ? {} : { says: says.join('; ') };
}

/** Makes the lines of one run: follows the bus, to know what packets refer to. */
export class TraceLines {
  readonly #channels = new OfferedChannels();
  readonly #rndis: RndisMessages;

  constructor(memory: CapturedMemory) {
    this.#rndis = new RndisMessages(memory);
  }

  /** An event of the machine, at `now` in ticks. */
  host(event: HostEvent, now: number): string {
    if (event.kind === 'host-message') this.#channels.read(event.payload);
    if (event.kind === 'grant' || event.kind === 'revoke')
      this.#rndis.granted(event.kind, event.grant);
    if (event.kind === 'vmbus' && event.change === 'closed' && event.client === undefined)
      this.#rndis.closed(event.channel ?? 0);
    if (event.kind !== 'ring-packet') return traceLine(withWords(event), now);
    const rndis = this.#control(event);
    if (rndis === undefined) return traceLine(event, now);
    return traceLine({ ...event, rndis, ...saying(decodeRndis(rndis)) }, now);
  }

  /** The RNDIS messages of a packet, if the first is no data. */
  #control(packet: Extract<HostEvent, { kind: 'ring-packet' }>): Uint8Array | undefined {
    const { channel, client } = packet;
    const { device, primary } = this.#channels.get(client === undefined ? channel : 0);
    if (device !== CaptureDevice.NETWORK) return undefined;
    const bytes = this.#rndis.of(packet, primary);
    if (bytes.length < 8) return undefined;
    const type = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    return type === RndisType.PACKET ? undefined : bytes.subarray(0, RNDIS_MAX);
  }
}
