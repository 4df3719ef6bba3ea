// SPDX-License-Identifier: GPL-2.0-or-later

/** The manuals of firmware and tests: every example works as printed. It spawns each command. */

import { suite } from 'uvu';
import { testExamples } from '../../rigs/manual-rig.ts';
import { readBooks } from '../../../tools/manual/books.ts';

const books = readBooks().filter(({ path }) => /^(?:src|firmware-tests)\//.test(path));
const rooms = suite('manual: houses');
testExamples(rooms, books);
rooms.run();
