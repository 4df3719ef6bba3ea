// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a guest did, as items that compare: the same item from the recording and from the guest has
 * the same key, whatever addresses and ring offsets the two used.
 */

/** What an item is about. Items are compared per kind and in order. */
export const ITEM_KINDS = [
  'register',
  'message',
  'packet',
  'answer',
  'sent',
  'frame',
  'completion',
  'receive-error',
  'link',
  'device',
  'statistics',
  'memory',
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

/** One thing that a guest did. */
export interface Item {
  readonly kind: ItemKind;
  /** What it is: `OPEN_CHANNEL`, `SINT2`, `DATA_GPA_DIRECT QUERY`. */
  readonly label: string;
  readonly fields: readonly ItemField[];
  /** Two items are the same if their keys are. */
  readonly key: string;
  /** Index of the recorded event, or for the guest the index that the replay had reached. */
  readonly event: number;
  /** Of a message: what it takes back the host does not have. Not compared. */
  readonly needless?: boolean;
  /** Of a message: the host has not taken it. Not compared. */
  readonly refused?: boolean;
}

/** The effects of a guest: the items of each step. */
export type Effects = readonly (readonly Item[])[];

/** Make an item. */
export function makeItem(
  kind: ItemKind,
  label: string,
  fields: readonly ItemField[],
  event: number,
): Item {
  const key = [label, ...fields.map((field) => `${field.name}=${field.text}`)].join(' ');
  return { kind, label, fields, key, event };
}
