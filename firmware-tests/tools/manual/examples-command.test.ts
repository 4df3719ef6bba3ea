// SPDX-License-Identifier: GPL-2.0-or-later

/** The manual of the command line: every example works as printed. It spawns each command. */

import { suite } from 'uvu';
import { testExamples } from '../../rigs/manual-rig.ts';
import { readBooks } from '../../../tools/manual/books.ts';

const books = readBooks().filter(({ path }) => /^tools\/command\//.test(path));
const rooms = suite('manual: command');
testExamples(rooms, books);
rooms.run();
