// SPDX-License-Identifier: GPL-2.0-or-later

/** A message as it is taken out of its slot, at the bytes. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { newMessage, takeMessage } from '../../../src/hyperv/message.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';

const message = suite('messages in their slot');

/** Where the slot lies, and the fields of a message there (TLFS, HV_MESSAGE). */
const SLOT = 0x1200;
const LENGTH = 4;
const DATA = 16;
const DATA_MAX = 240;

message(
  'a short message leaves no stale bytes behind: not of the one before, not of the slot',
  () => {
    const memory = new GuestMemory(new ArrayBuffer(1 << 16));
    const taken = newMessage();
    for (const length of [240, 8, 255, 0, 100, 9]) {
      memory.bytes.fill(0xee, SLOT + DATA, SLOT + DATA + DATA_MAX);
      memory.set32(SLOT, 1);
      memory.set8(SLOT + LENGTH, length);
      assert.ok(takeMessage(memory, SLOT, taken));
      const whole = Math.min(length, DATA_MAX);
      const expected = new Uint8Array(DATA_MAX).fill(0xee, 0, whole);
      assert.equal([taken.length, taken.bytes], [whole, expected], `length ${length}`);
      assert.is(memory.u32(SLOT), 0);
    }
  },
);

message.run();
