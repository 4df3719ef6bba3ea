// SPDX-License-Identifier: GPL-2.0-or-later

/** The manuals of the other tools: every example works as printed. It spawns each command. */

import { suite } from 'uvu';
import { testExamples } from '../../rigs/manual-rig.ts';
import { readBooks } from '../../../tools/manual/books.ts';

/** Those with a file of tests of their own. */
const ELSEWHERE = /^tools\/(?:command|explore|flow|scenarios|capture|record|replay|report)\//;

const books = readBooks().filter(({ path }) => path.startsWith('tools/') && !ELSEWHERE.test(path));

const rooms = suite('manual: tools');
testExamples(rooms, books);
rooms.run();
