// SPDX-License-Identifier: GPL-2.0-or-later

/** What comes out of a guest's process: a text of any length, in parts that are each accepted. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { list, text } from '../../../tools/command/shape.ts';
import { textParts } from '../../../tools/guests/cell/cell-text.ts';

const shape = suite('shapes');

shape('a text that is too long for one is a list of texts', () => {
  const long = 'failure '.repeat(1 << 21);
  assert.throws(() => text(long, 'it'), /it is no text/);
  const parts = textParts(long);
  assert.ok(parts.length > 1);
  assert.ok(list(text)(parts, 'it').join('') === long);
  assert.equal(textParts(''), []);
});

shape.run();
