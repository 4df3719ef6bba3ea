// SPDX-License-Identifier: GPL-2.0-or-later

/** The options of what a guest runs in: its host, its NICs, and what their network is like. */

import { FAULT_OPTIONS } from './fault-options.ts';
import { NETWORK_OPTIONS } from './network-options.ts';

/** Options that every command has that boots a guest. */
export const SETTING_OPTIONS = {
  host: { type: 'string' },
  knob: { type: 'string', multiple: true },
  nics: { type: 'string' },
  seed: { type: 'string' },
  ...FAULT_OPTIONS,
  ...NETWORK_OPTIONS,
} as const;
