// SPDX-License-Identifier: GPL-2.0-or-later

/** Mistakes of the examples that only a host which acts at the same time shows, on x64. */

import { suite } from 'uvu';
import { mistakesInC, standsAll } from '../../../rigs/guests/example-race-suite.ts';

const races = suite('explore: races of the examples');

for (const language of ['c', 'rust'] as const) standsAll(races, language, 'x64');
mistakesInC(races, 'x64');

races.run();
