// SPDX-License-Identifier: GPL-2.0-or-later

/** The manuals of what the command line runs: each example works as printed. It spawns them. */

import { suite } from 'uvu';
import { testExamples } from '../../rigs/manual-rig.ts';
import { readBooks } from '../../../tools/manual/books.ts';

const books = readBooks().filter(({ path }) => /^tools\/(?:explore|flow|scenarios)\//.test(path));
const rooms = suite('manual: runs');
testExamples(rooms, books);
rooms.run();
