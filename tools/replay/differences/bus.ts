// SPDX-License-Identifier: GPL-2.0-or-later

/** Deliberate differences from iPXE in the hypervisor and VMBus layers: messages, memory, life. */

import { fixed, inapplicable, kept, type DeliberateDifference } from './entry.ts';

const MEMORY: readonly DeliberateDifference[] = [
  fixed('ring-gpadl-torn-down', '5.4, observation 1', 'memory/shared-memory', {
    title: 'A failed open tears down the GPADL of its own ring',
    ipxe: 'Tears down the previous GPADL, or none, and frees the ring that the host still has.',
    hypxe: 'Tears down the new GPADL; a ring that the host does not give back stays reserved.',
    why: 'The host may write to memory that has become somebody else’s.',
  }),
  fixed('buffer-kept-without-answer', 'observation 2', 'memory/shared-memory', {
    title: 'A buffer whose GPADL was not confirmed is not freed',
    ipxe: 'Frees the receive buffer after a missing or mismatched GPADL_CREATED.',
    hypxe: 'Tries a teardown; without an answer the buffer stays reserved in the memory map.',
    why: 'The host may have accepted the GPADL without our hearing of it.',
  }),
  fixed('close-leaves-nothing-behind', '5.15, observation 3', 'memory/shared-memory', {
    title: 'A close that the host does not confirm leaves the device closed',
    ipxe: 'Leaves ring and packet buffer set: assertions fail, the next open loses them for good.',
    hypxe: 'Closes; the unconfirmed memory is reserved until UNLOAD gives it back.',
    why: 'The device must be usable again, and the memory must not be.',
  }),
  fixed('pages-kept-without-unload', 'observation 5', 'memory/shared-memory', {
    title: 'Interrupt and monitor pages are freed only when the host has let go',
    ipxe: 'Frees them when UNLOAD cannot be posted or the contact timed out.',
    hypxe: 'Sends UNLOAD after any contact, and keeps the pages reserved without an answer.',
    why: 'A late host may still connect, and then write to them.',
  }),
  fixed('quiesced-device-is-silent', 'observation 6', 'driver/reset', {
    title: 'Nothing is sent between quiesce and unquiesce',
    ipxe: 'A transmit or a remove calls the hypercall page that is not mapped any more.',
    hypxe: 'Frames are dropped and requests fail with a named error until unquiesce.',
    why: 'The call is an invalid opcode: the guest dies.',
  }),
  fixed('gpadl-of-any-size', '5.7', 'vmbus/gpadl', {
    title: 'GPADLs of more than 26 pages',
    ipxe: 'Overflows the message; only an assertion guards it.',
    hypxe: 'Sends GPADL_HEADER and as many GPADL_BODY messages as needed.',
    why: 'Robust sizes of rings and receive buffers need it.',
    unseen: 'The preset of a replay has no buffer of more than 26 pages.',
  }),
];

const MESSAGES: readonly DeliberateDifference[] = [
  fixed('message-length-checked', '5.5, observation 7', 'vmbus/wait', {
    title: 'The length of a message slot is not trusted',
    ipxe: 'Copies up to 255 bytes into a buffer that has room for 240.',
    hypxe: 'Cuts at 240.',
    why: 'The length comes from memory that the host writes.',
    unseen: 'The bytes beyond the slot are copied, and never looked at.',
  }),
  fixed('connection-state-checked', '5.8', 'vmbus/contact', {
    title: 'A contact that the host says has failed is a failure',
    ipxe: 'Ignores byte 9 of VERSION_RESPONSE.',
    hypxe:
      'Fails if a host from 2.4 on reports a state that is not 0. Older ones leave it undefined.',
    why: '“Supported but failed” is not a connection.',
  }),
  fixed('prompt-waits', '5.9', 'vmbus/wait', {
    title: 'A wait ends as soon as the answer is there, and looks once more before it gives up',
    ipxe: 'Pauses 1 ms after each look, even after the answer; the last look is not counted.',
    hypxe:
      'Looks first, pauses only if there is nothing, and looks after the last pause. The next ' +
      'packet may so find the ring not yet empty, and is then not signalled. What lies in the ' +
      'slot when its SINT is switched on or off is thrown away.',
    why: 'Each request would take a millisecond longer, and a last answer would count as none.',
  }),
  fixed('late-answers-belong-to-their-request', '5.10, observation 4', 'vmbus/wait', {
    title: 'A late answer is not taken for another request’s',
    ipxe:
      'A late GPADL_TORNDOWN or GPADL_CREATED fails the next wait; a late RNDIS answer completes ' +
      'the next request for the same OID. Any VERSION_RESPONSE answers a contact.',
    hypxe:
      'Answers are matched by GPADL and channel; a late TORNDOWN frees what it is about. After a ' +
      'timeout RNDIS requests get other IDs. A contact takes no answer to another version and no ' +
      'refusal of an earlier owner’s, and is made again after an UNLOAD_RESPONSE.',
    why: 'One slow answer would spoil everything after it.',
  }),
  fixed('bus-survives', '5.12, observation 22', 'vmbus/wait', {
    title: 'Neither an unexpected message nor a failing device takes down the bus',
    ipxe:
      'Any message but an offer during enumeration fails the probe with EPROTO, any other SynIC ' +
      'message ends a wait with EINVAL, and one failing device fails all. Removes the first first.',
    hypxe:
      'Handles rescinds and late offers at any time, skips other messages, leaves a failing ' +
      'device out. Only if no device works does the probe fail, with the first error. Removes ' +
      'the last device first.',
    why: 'A host may hot-add and hot-remove when it likes.',
  }),
  fixed('waits-are-bounded', 'observation 21', 'vmbus/wait', {
    title: 'The time limit is for the whole wait',
    ipxe: 'Each message that is skipped restarts the second: a chatty host holds it for ever.',
    hypxe: 'One limit for the wait, and one for the number of other messages.',
    why: 'Nothing may hang.',
  }),
  fixed('posts-are-retried', '5.19, observation 19', 'vmbus/contact', {
    title: 'A post that the host has no room for is repeated',
    ipxe: 'Any status is final.',
    hypxe:
      'INSUFFICIENT_MEMORY (0x0b), INVALID_CONNECTION_ID (0x12: throttled), INSUFFICIENT_BUFFERS ' +
      '(0x13) and TIME_OUT (0x78) are retried a bounded number of times with growing pauses; any ' +
      'other status is final.',
    why: 'Hosts throttle guests that post fast (Linux hv_post_message).',
  }),
  fixed('eom-only-when-pending', 'observation 20', 'hyperv/detection', {
    title: 'EOM is written when the pending flag is set, and once after a SINT is enabled',
    ipxe: 'Writes EOM in every idle millisecond of a wait, and never looks at the flag.',
    hypxe:
      'Releases the slot, then writes EOM if the flag is set (TLFS 11.9); also for a flag in an ' +
      'empty slot, for one that an earlier owner may have left, and again if EOM is refused.',
    why: 'Each write may leave the virtual machine. EOM writes are not compared.',
    unseen: 'How often a guest writes EOM is not compared.',
  }),
];

const LIFE: readonly DeliberateDifference[] = [
  fixed('scontrol-as-found', 'observation 27', 'hyperv/detection', {
    title: 'SCONTROL is left as it was found',
    ipxe: 'Clears the enable bit on its way out, whatever it was.',
    hypxe: 'Leaves the SynIC on where the probe found it on, and off where it was off.',
    why:
      'It is on at reset on Windows hosts and OpenVMM; Microsoft’s firmware and the Windows ' +
      'loader never write it, and wait for ever where it is off (mu_msvm, iPXE b91cc983d).',
  }),
  fixed('sints-as-at-reset', 'observation 27', 'hyperv/detection', {
    title: 'A SINT that is given back is as it is at reset',
    ipxe: 'Masks it and clears AutoEOI; the vector stays. Switches it on with its polling bit.',
    hypxe:
      'Writes the value that it has at reset: masked, and nothing else. Of one that it switches ' +
      'on it keeps reserved bits alone.',
    why: 'Who comes next must find nothing of us, and nothing of who was before us.',
  }),
  fixed('event-page-cleared', 'observation 27', 'hyperv/detection', {
    title: 'No event flag is left set',
    ipxe: 'Unmaps the event page as it is: flag 0 of SINT 2 is set at every handoff.',
    hypxe: 'Empties message page and event page before it unmaps them.',
    why: 'Where the pages are mapped again the next owner finds events that are not its own.',
    unseen: 'Memory that is not shared any more is no part of a session.',
  }),
  fixed('earlier-owner-switched-off', 'observation 27', 'hyperv/owner', {
    title: 'What an earlier owner has left on is switched off first',
    ipxe: 'Overwrites identity and page registers, and looks at no others.',
    hypxe:
      'Stops timers, masks SINTs, unmaps all pages, before any memory is used, also where it ' +
      'takes the machine back; empties message and event page once they are mapped.',
    why: 'Timers and pages of a kernel before us would go on to the next, or hit our memory.',
  }),
  fixed('offers-matched-after-reset', '5.13, observation 23', 'driver/reset', {
    title: 'After unquiesce devices are found again by their instance',
    ipxe: 'Assumes that each device has the channel that it had.',
    hypxe: 'Matches the new offers by instance GUID, and drops devices that are not offered.',
    why: 'The host may number the channels anew.',
  }),
  fixed('reset-is-retried', '5.14, observation 26', 'driver/reset', {
    title: 'A reset that failed is tried again',
    ipxe: 'Leaves SIMP enabled, so that the next unquiesce believes that all is well.',
    hypxe: 'Remembers the failure; the next unquiesce resets again. Devices are closed meanwhile.',
    why: 'Otherwise the network is dead until the next boot.',
  }),
  fixed('old-channel-not-closed', '5.16, observation 25', 'driver/reset', {
    title: 'After a reset nothing is said about the old channel',
    ipxe: 'Writes cancellations into the dead ring, and posts CLOSE_CHANNEL on the new connection.',
    hypxe: 'Gives up the old channel without a word. GPADL IDs count on, as in iPXE.',
    why: 'The new connection has never opened it: the host sees a protocol error.',
  }),
  kept('version-negotiation', 'observation 24', 'vmbus/contact', {
    title: '3.0, UNLOAD, then 0.13; a host without 3.0 is refused',
    ipxe: 'Proves that the host knows 3.0, disconnects, and uses 0.13. No fallback.',
    hypxe: 'The same. What the loader stays on is an option of the driver.',
    why: 'Older hosts ignore UNLOAD: a loaded OS could never connect (iPXE 0166a6835).',
  }),
  kept('foreign-identity-overwritten', 'observation 27', 'hyperv/detection', {
    title: 'Only the identity of the Gen 2 UEFI firmware is respected',
    ipxe: 'Refuses exactly 1 << 40; any other guest OS ID is overwritten, and 0 at the end.',
    hypxe: 'The same, and refuses the identity that this firmware has on arm64.',
    why: 'An identity that a chain-loading loader has left must not stop us (iPXE a0f6e7553).',
  }),
  inapplicable('no-clobber-list', 'observation 28', 'vmbus/contact', {
    title: 'The hypercall has no list of clobbered memory',
    ipxe: 'The inline assembly does not name memory as changed.',
    hypxe: 'No compiler moves accesses over a call of the machine.',
    why: 'A matter of C.',
  }),
  fixed('exact-clock', 'observation 37', 'hyperv/detection', {
    title: 'The clock does not lose 3 %',
    ipxe: 'Counts 26 ticks for each 2^18 of the reference time: 988 instead of 1024 in a second.',
    hypxe: 'Counts in the reference time itself, in units of 100 ns.',
    why: 'Timeouts should take as long as they say.',
    unseen: 'The clock of a guest is not part of a session.',
  }),
];

/** Differences of hypervisor and VMBus. */
export const BUS_DIFFERENCES: readonly DeliberateDifference[] = [...MEMORY, ...MESSAGES, ...LIFE];
