// SPDX-License-Identifier: GPL-2.0-or-later

/** The same on arm64: the example in C with HVC in the place of what only x64 has. */

import { suite } from 'uvu';
import { mistakesInC, standsAll } from '../../../rigs/guests/example-race-suite.ts';

const races = suite('explore: races of the example on arm64');

standsAll(races, 'c', 'arm64');
mistakesInC(races, 'arm64');

races.run();
