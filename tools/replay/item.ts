// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a guest did, as items that compare: the same item from the recording and from the guest has
 * the same key, whatever addresses and ring offsets the two used.
 */

/** What an item is about. Items are compared per kind and in order. */
export const ITEM_KINDS = [
  'register',
  'message',
  'signal',
  'packet',
  'range',
  'frame',
  'completion',
  'receive-error',
  'link',
  'device',
  'statistics',
  'livelock',
  'violation',
  'result',
] as const;

export type ItemKind = (typeof ITEM_KINDS)[number];

/** One field of an item, by name, as it compares and as it is shown. */
export interface ItemField {
  readonly name: string;
  readonly text: string;
}

/** The packet that was written last before a signal. */
export interface SignalCause {
  /** Index of the recorded packet; undefined for a packet that the recording does not have. */
  readonly event: number | undefined;
  /** Of the guest: the packet as it compares. */
  readonly packet: Item | undefined;
  /** Of the guest: the ring was empty and not masked, so that the packet is to be signalled. */
  readonly due: boolean;
}

/** One thing that a guest did. */
export interface Item {
  readonly kind: ItemKind;
  /** What it is: `OPEN_CHANNEL`, `SINT2`, `DATA_GPA_DIRECT QUERY`. */
  readonly label: string;
  readonly fields: readonly ItemField[];
  /** Two items are the same if their keys are. */
  readonly key: string;
  /** How the replay finds the item in the recording: as the key, but without a transmit slot. */
  readonly match: string;
  /** Transaction of a packet. */
  readonly transaction: bigint | undefined;
  /** What it is about, apart from its label: a GPADL, a transaction. */
  readonly identity: string;
  /** Of a signal: the packet that it announces. */
  readonly cause: SignalCause | undefined;
  /** Index of the recorded event, or for the guest the index that the replay had reached. */
  readonly event: number;
}

/** What an item may have besides its fields. */
export interface ItemDetails {
  readonly transaction?: bigint;
  readonly match?: string;
  readonly identity?: string;
  readonly cause?: SignalCause | undefined;
}

/** Make an item. Without a `match` of its own it is found by its key. */
export function makeItem(
  kind: ItemKind,
  label: string,
  fields: readonly ItemField[],
  event: number,
  details: ItemDetails = {},
): Item {
  const key = [label, ...fields.map((field) => `${field.name}=${field.text}`)].join(' ');
  const { transaction, match = key, identity = '', cause } = details;
  return { kind, label, fields, key, match, transaction, identity, cause, event };
}
