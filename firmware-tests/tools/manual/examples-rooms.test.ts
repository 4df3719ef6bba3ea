// SPDX-License-Identifier: GPL-2.0-or-later

/** The manuals of all other rooms: every example works as printed. */

import { suite } from 'uvu';
import { testExamples } from '../../rigs/manual-rig.ts';
import { readBooks } from '../../../tools/manual/books.ts';

/** Files that have tests of their own. */
const ELSEWHERE = /^(?:README\.md$|tools\/(?:command|flow)\/)/;

const books = readBooks().filter(({ path }) => !ELSEWHERE.test(path));

const rooms = suite('manual: rooms');
testExamples(rooms, books);
rooms.run();
