// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Which queue a frame for the guest goes to: by its hash and a table, which is the guest's if it
 * has set one (OID_GEN_RECEIVE_SCALE_PARAMETERS), else spreads over all queues.
 */

import { RndisStatus } from '../../../src/rndis/protocol.ts';
import { putFields } from '../base/put-fields.ts';
import type { HostKnobs } from '../profiles/profile.ts';
import { ALL_HASH_TYPES, FrameHash } from './frame-hash.ts';
import {
  HASH_FUNCTION_MASK,
  HASH_TOEPLITZ,
  HASH_TYPES,
  HostStatus,
  NdisObject,
  RECEIVE_TABLE_MAX,
  ReceiveScaleCapabilities,
  ReceiveScaleFlag,
  ReceiveScaleParameters,
} from './host-protocol.ts';
import type { Keeper } from '../base/snapshot.ts';

export class ReceiveScaling {
  readonly #hash = new FrameHash();
  /** As the guest has set it; 0: it has set none. */
  #hashInformation = 0;
  /** Queues by hash; empty: the guest has set none. */
  #table: Uint16Array = new Uint16Array(0);

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#hashInformation], (v) => ([this.#hashInformation] = v));
    keeper.put([this.#table], (v) => ([this.#table] = v));
    keeper.keep(this.#hash);
  }

  /** Whether the guest has set parameters. */
  get isSet(): boolean {
    return this.#hashInformation !== 0;
  }

  /** Hash of a frame; 0 if it is not hashed. */
  hashOf(frame: Uint8Array): number {
    return this.#hash.of(frame);
  }

  /** Queue of a frame out of `queues`, from 0. */
  queueOf(frame: Uint8Array, queues: number): number {
    if (queues === 1) return 0;
    const hash = this.#hash.of(frame);
    const table = this.#table;
    // A queue that is not open has nothing to say: its frames go to the first
    if (table.length === 0) return hash % queues;
    const queue = table[hash % table.length]!;
    return queue < queues ? queue : 0;
  }

  /**
   * Set parameters. Returns the status of the answer.
   *
   * @param queues queues that the device could have
   * @param hashless what becomes of parameters without a hash
   */
  set(info: DataView, queues: number, hashless: HostKnobs['hashlessScaling']): number {
    const { at, size } = ReceiveScaleParameters;
    if (info.byteLength < size) return HostStatus.INVALID_DATA;
    if (info.getUint8(at.objectType) !== NdisObject.RSS_PARAMETERS) return HostStatus.INVALID_DATA;
    const flags = info.getUint16(at.flags, true);
    if ((flags & ReceiveScaleFlag.DISABLE) !== 0) return this.#disable();

    // Without a function nothing is hashed (OpenVMM looks at that alone), nor without a type
    const keepsHash =
      (flags & ReceiveScaleFlag.HASH_UNCHANGED) !== 0 && this.#hashInformation !== 0;
    const hash = keepsHash ? this.#hashInformation : info.getUint32(at.hashInformation, true);
    const types = hash & ~HASH_FUNCTION_MASK;
    if (hashless === 'refuse') {
      if ((hash & HASH_FUNCTION_MASK) === 0 || types === 0) return HostStatus.INVALID_PARAMETER;
    } else if ((hash & HASH_FUNCTION_MASK) === 0) return this.#disable();

    // Check all before anything is changed
    const keySize = info.getUint16(at.keySize, true);
    const keyAt = info.getUint32(at.keyOffset, true);
    const keepsKey = (flags & ReceiveScaleFlag.KEY_UNCHANGED) !== 0 || keySize === 0;
    if (!keepsKey && keyAt + keySize > info.byteLength) return HostStatus.INVALID_DATA;
    if ((flags & ReceiveScaleFlag.TABLE_UNCHANGED) === 0) {
      const table = readTable(info, queues);
      if (table === undefined) return HostStatus.INVALID_DATA;
      this.#table = table;
    }
    if (!keepsKey) this.#hash.setKey(new Uint8Array(info.buffer, info.byteOffset + keyAt, keySize));
    this.#hashInformation = hash;
    this.#hash.types = types;
    return RndisStatus.SUCCESS;
  }

  /** The host spreads frames as it likes. */
  #disable(): number {
    this.#table = new Uint16Array(0);
    this.#hashInformation = 0;
    this.#hash.types = ALL_HASH_TYPES;
    return RndisStatus.SUCCESS;
  }
}

/** The guest's table, or undefined if it is empty, too long or names a queue that cannot be. */
function readTable(info: DataView, queues: number): Uint16Array | undefined {
  const { at } = ReceiveScaleParameters;
  const size = info.getUint16(at.tableSize, true);
  const begin = info.getUint32(at.tableOffset, true);
  if (size === 0 || size % 4 !== 0 || size / 4 > RECEIVE_TABLE_MAX) return undefined;
  if (begin + size > info.byteLength) return undefined;
  const table = new Uint16Array(size / 4);
  for (let i = 0; i < table.length; i++) {
    const queue = info.getUint32(begin + i * 4, true);
    if (queue >= queues) return undefined;
    table[i] = queue;
  }
  return table;
}

/** The answer to OID_GEN_RECEIVE_SCALE_CAPABILITIES. Returns its length. */
export function putScaleCapabilities(view: DataView, queues: number): number {
  const { size } = ReceiveScaleCapabilities;
  putFields(view, ReceiveScaleCapabilities, {
    objectType: NdisObject.RSS_CAPABILITIES,
    revision: 2,
    size,
    capabilities: HASH_TOEPLITZ | HASH_TYPES,
    messages: 1,
    queues,
    tableEntries: RECEIVE_TABLE_MAX,
  });
  return size;
}
