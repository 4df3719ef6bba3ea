// SPDX-License-Identifier: GPL-2.0-or-later

/** The messages of a device as data, and a message in words: for traces and captures. */

import type { Struct } from '../../../src/wire.ts';

/** Messages that begin with their type. */
export interface DeviceProtocol {
  /** Name of the device, in front of its messages: `keyboard`. */
  readonly name: string;
  /** Structure of the beginning of every message; `type` is 32 bits. */
  readonly header: Struct<'type'>;
  /** Types of messages by name. */
  readonly types: Readonly<Record<string, number>>;
  /** Structures of the messages by type, the header included. */
  readonly messages: Readonly<Record<number, Struct<string>>>;
}

/** Longest field that is shown as a number, in bytes. */
const NUMBER_MAX = 4;

/**
 * A message in words, for people: `keyboard PROTOCOL_REQUEST version=0x10000`.
 *
 * @param payload the message, with the padding of its packet
 */
export function describeMessage(
  { name, header, types, messages }: DeviceProtocol,
  payload: Uint8Array,
): string {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (payload.length < header.size) return `${name} message of ${payload.length} bytes`;
  const type = view.getUint32(header.at.type, true);
  const typeName = Object.keys(types).find((key) => types[key] === type) ?? `message ${type}`;
  const struct = messages[type];
  if (struct === undefined) return `${name} ${typeName}`;
  const fields = Object.keys(struct.at).flatMap((field) => {
    const [at, size] = [struct.at[field]!, struct.sizes[field]!];
    if (at < header.size || size === 0 || size > NUMBER_MAX) return [];
    if (at + size > payload.length) return [`${field} missing`];
    return [`${field}=0x${readNumber(view, at, size).toString(16)}`];
  });
  return [name, typeName, ...fields].join(' ');
}

/** A little-endian number of up to {@link NUMBER_MAX} bytes. */
function readNumber(view: DataView, at: number, size: number): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + view.getUint8(at + i);
  return value;
}
