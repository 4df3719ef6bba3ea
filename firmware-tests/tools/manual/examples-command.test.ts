// SPDX-License-Identifier: GPL-2.0-or-later

/** The manuals of the command line and of what it runs: every example works as printed. */

import { suite } from 'uvu';
import { testExamples } from '../../rigs/manual-rig.ts';
import { readBooks } from '../../../tools/manual/books.ts';

const books = readBooks().filter(({ path }) => /^tools\/(?:command|flow)\//.test(path));
const rooms = suite('manual: command');
testExamples(rooms, books);
rooms.run();
