// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The child of bench.test.ts, in a process of its own because it must be able to collect: prints
 * what the driver alone and the whole path allocate for each frame, as JSON.
 */

import * as firmware from '../../../src/index.ts';
import { frameRigs, FRAMES_QUICK, measureFrames } from '../../../tools/bench/frames.ts';

const short = { frames: 800, rounds: 1, allocationFrames: 2_400, allocationRounds: 2 };
const figures = measureFrames(frameRigs(firmware, 'default'), { ...FRAMES_QUICK, ...short });
process.stdout.write(JSON.stringify(figures));
