// SPDX-License-Identifier: GPL-2.0-or-later
import type { Difference } from './compare.ts';
import type { TraceFile } from './trace-file.ts';
export interface ReplayContext {
  readonly trace: TraceFile;
  readonly differences: readonly Difference[];
}
export interface DeliberateDifference {
  readonly id: string;
  readonly title: string;
  readonly matches?: (difference: Difference, context: ReplayContext) => boolean;
}
export const DIFFERENCES: readonly DeliberateDifference[] = [];
