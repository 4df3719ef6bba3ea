// SPDX-License-Identifier: GPL-2.0-or-later

import type { Struct } from '../../../src/wire.ts';

/**
 * Write fields of a structure that begins at `from`, each in its own width: 1, 2 or 4 bytes,
 * little-endian. Fields that are not named stay as they are. Not for the data path.
 */
export function putFields<F extends string>(
  view: DataView,
  { at, sizes }: Struct<F>,
  values: Readonly<Partial<Record<F, number>>>,
  from = 0,
): void {
  for (const field of Object.keys(values) as F[]) {
    const place = from + at[field];
    const value = values[field] ?? 0;
    if (sizes[field] === 1) view.setUint8(place, value);
    else if (sizes[field] === 2) view.setUint16(place, value, true);
    else view.setUint32(place, value, true);
  }
}
