// SPDX-License-Identifier: GPL-2.0-or-later

/** Why no session shows a mutant: each that `replayed-by.ts` does not have, by list and name. */

const NO_CALL =
  'a race within one exit: there is no call of the machine in between at which the host acts';
const ARM64 = 'a race of arm64, and the machine of a replay is x64';
const LOADED_OS = 'a part of the loaded OS, which no replay of drivers runs';

/** The reasons. */
export const NOT_REPLAYED: ReadonlyMap<string, string> = new Map([
  ['RACE_MUTANTS: a packet is published before it is written', NO_CALL],
  ['RACE_MUTANTS: a signal is decided before the index is published', NO_CALL],
  [
    'RACE_MUTANTS: no barrier between the index and the question whether the host sleeps',
    'a race of the store buffer, which a machine of one thread does not have',
  ],
  ['RACE_MUTANTS: no barrier between the packet and its index', ARM64],
  ['RACE_MUTANTS: no acquire between the type of a message and its bytes', ARM64],
  ['RACE_MUTANTS: no acquire between the index of a ring and its packets', ARM64],
  ['RACE_MUTANTS: no barrier between the copy of a packet and the index that gives it back', ARM64],
  ['RACE_MUTANTS: no barrier between the copy of a message and the release of its slot', ARM64],
  [
    'RACE_MUTANTS: a ring is given back before the packet is copied out',
    'a call lies in between only where the host waits for room in its ring; none recorded does',
  ],
  ['RACE_MUTANTS: the pending flag is read before the slot is released', NO_CALL],
  ['RACE_MUTANTS: the last bytes of a message are copied behind the release of its slot', NO_CALL],
  ['RACE_MUTANTS: the length of a message is read again behind the release of its slot', NO_CALL],
  ['RACE_MUTANTS: a slot is released by a plain store', ARM64],
  ['RACE_MUTANTS: a slot is cleared behind its release', NO_CALL],
  ['RACE_MUTANTS: how far the host has read is looked at before the index is published', NO_CALL],
  ['RACE_MUTANTS: whether signals are masked is looked at before the index is published', NO_CALL],
  ['SILENT_OMISSIONS: the clock goes on from a page that is unmapped', LOADED_OS],
  ['SILENT_OMISSIONS: the configuration of a timer is not cleared', LOADED_OS],
  ['SILENT_OMISSIONS: the count of a timer is not cleared', LOADED_OS],
  [
    'SILENT_OMISSIONS: the pages of the connection are not zeroed when it is made anew',
    'a host looks at the bits of open channels alone, and none is open then',
  ],
  [
    'SILENT_OMISSIONS: a message behind the answer to UNLOAD is left in its slot',
    'the message page is emptied before it is unmapped, and what a slot holds is not compared',
  ],
  [
    'SILENT_OMISSIONS: the bit of a closed channel stays set in the interrupt page',
    'the interrupt page is not part of what is compared (row signal-bit-taken-back)',
  ],
  [
    'SILENT_OMISSIONS: what packets point to is not given back with the last of them',
    'it is with the rings',
  ],
  ['SILENT_OMISSIONS: the last answer of a service is not waited for', LOADED_OS],
  ['SILENT_OMISSIONS: sub-channels are not closed by themselves', LOADED_OS],
  ['SILENT_OMISSIONS: the reference TSC page is not given back', LOADED_OS],
  ['SILENT_OMISSIONS: the send buffer is not given back', LOADED_OS],
  [
    'TESTED_MUTANTS: bytes beyond the end of a short message are those of the message before',
    'a message that is shorter than what is read of it is refused (row short-messages-refused)',
  ],
  ['TESTED_MUTANTS: a header is copied and read again with its body', NO_CALL],
  [
    'TESTED_MUTANTS: completions overtake those that wait',
    'each completion names its packet: their order is not compared',
  ],
  [
    'TESTED_MUTANTS: DHCP replies for another MAC address are taken',
    'drivers have no DHCP, and no boot that is recorded here hears replies for others',
  ],
  [
    'TESTED_MUTANTS: the clock goes back with its counter',
    'the clock of a guest is not part of a session (row stopped-clock-is-named)',
  ],
]);
