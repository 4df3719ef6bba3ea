// SPDX-License-Identifier: GPL-2.0-or-later

/** The example in Rust: compiled, it boots clean everywhere; with a step left out it is caught. */

import { exampleSuite } from '../../rigs/guests/example-guest.ts';

exampleSuite('rust').run();
