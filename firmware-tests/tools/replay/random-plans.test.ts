// SPDX-License-Identifier: GPL-2.0-or-later

/** A fresh recording replays without a difference against the same guest, whatever the plan. */

import { suite } from 'uvu';
import * as sources from '../../../src/index.ts';
import { asFirmware } from '../../../tools/replay/index.ts';
import { assertReplays, javascriptGuest } from '../../rigs/lab/random-plans.ts';

const GUEST = javascriptGuest(asFirmware(sources));

/** Plans that are drawn, the first from this seed on; SEED=N and PLANS=N try others. */
const SEED = Number(process.env['SEED'] ?? 1);
const PLANS = Number(process.env['PLANS'] ?? 12);

const plans = suite('recordings of random plans');

plans('drawn', () => {
  for (let i = 0; i < PLANS; i++) assertReplays(GUEST, SEED + i);
});

/** What once was not the same, by the seed that has it. */
const ONCE: readonly (readonly [what: string, seed: number])[] = [
  ['the answer to a contact is garbled, and UNLOAD is answered all the same', 4],
  ['the answer to a contact is late', 127],
  ['a guest is told to give up while it waits for the host to read', 135],
  ['a guest is told to give up behind an answer that it has asked about twice', 233],
  ['what lies before a packet that the host read was read, too', 474],
  ['the host sets the index of what it has read to anything', 243],
  ['it says unasked that it has let go of a GPADL, and writes there', 122],
  ['it sets the index of what it has written while it takes a packet', 164],
  ['it refuses to be told that a message is read', 184],
  ['it sets the index of what it has read when it has taken a packet', 309],
  ['it says again, later, what it has answered', 658],
  ['it answers unasked, with an ID that another channel has', 317],
  ['it offers a channel with the number of a monitor that no page has', 6085],
  ['in one moment the host takes a packet behind what the guest did after it', 7061],
  ['a packet comes in the second turn of a millisecond, while the guest reads the time', 20151],
  ['a message comes before it and waits: what comes in a later turn does not overtake it', 20520],
  ['a guest is told to give up when its wait is over, long behind what came', 22268],
  ['a rescind comes in the second turn of a millisecond', 20393],
];

for (const [what, seed] of ONCE) plans(what, () => assertReplays(GUEST, seed));

plans.run();
