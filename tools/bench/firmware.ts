// SPDX-License-Identifier: GPL-2.0-or-later

/** The firmware that is measured: the bundle, or the sources. */

import type { boot } from '../../src/boot/boot.ts';
import type { createDriver } from '../../src/index.ts';

export interface BenchFirmware {
  readonly createDriver: typeof createDriver;
  readonly boot: typeof boot;
}
