// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The one list of deliberate differences from iPXE: every defect and every observation that is
 * known of its Hyper-V drivers, what hypxe makes of it, and why.
 */

import type { DeliberateDifference } from './entry.ts';
import { BUS_DIFFERENCES } from './bus.ts';
import { FOUND_DIFFERENCES } from './found.ts';
import { NET_DIFFERENCES } from './net.ts';
import { UNSEEN_DIFFERENCES } from './unseen.ts';

export type { DeliberateDifference, Handling } from './entry.ts';
export { BY_READING } from './found.ts';

/** Defects that section 5 of the driver's description lists. */
export const DEFECT_COUNT = 20;

/** Observations in the README of the golden traces. */
export const OBSERVATION_COUNT = 37;

/** All entries. Each defect and each observation is the source of at least one. */
export const DIFFERENCES: readonly DeliberateDifference[] = [
  ...BUS_DIFFERENCES,
  ...NET_DIFFERENCES,
  ...FOUND_DIFFERENCES,
  ...UNSEEN_DIFFERENCES,
];
