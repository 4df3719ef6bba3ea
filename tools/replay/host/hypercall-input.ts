// SPDX-License-Identifier: GPL-2.0-or-later

/** The parameters of the hypercalls that drivers make. */

import { HvCall, PostMessage, SignalEvent } from '../../../src/hyperv/protocol.ts';

/** Parameters of a slow hypercall at `address` in guest memory; undefined if they lie badly. */
export function slowInput(
  memory: Uint8Array,
  code: number,
  address: number,
): Uint8Array | undefined {
  if (address % 8 !== 0 || address + PostMessage.size > memory.length) return undefined;
  if (code === HvCall.SIGNAL_EVENT) return memory.slice(address, address + SignalEvent.size);
  const { buffer, byteOffset } = memory;
  const at = byteOffset + address + PostMessage.at.length;
  const length = new DataView(buffer).getUint32(at, true);
  const data = address + PostMessage.at.data;
  return memory.slice(address, data + Math.min(length, PostMessage.sizes.data));
}

/** Parameters of a fast hypercall: the register itself. */
export function fastInput(input: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, input, true);
  return bytes;
}
