// SPDX-License-Identifier: GPL-2.0-or-later

/** The firmware that is measured: a bundle, or the sources. */

import type { createDriver } from '../../src/index.ts';
import type { boot } from '../../src/os.ts';

export interface BenchFirmware {
  readonly createDriver: typeof createDriver;
  /** Knows pushes if it is the one with the services. */
  readonly boot: typeof boot;
}
