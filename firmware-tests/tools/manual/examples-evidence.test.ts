// SPDX-License-Identifier: GPL-2.0-or-later

/** The manuals of what keeps and shows a run: each example works as printed. It spawns them. */

import { suite } from 'uvu';
import { testExamples } from '../../rigs/manual-rig.ts';
import { readBooks } from '../../../tools/manual/books.ts';

const EVIDENCE = /^tools\/(?:capture|record|replay|report)\//;

const books = readBooks().filter(({ path }) => EVIDENCE.test(path));
const rooms = suite('manual: evidence');
testExamples(rooms, books);
rooms.run();
