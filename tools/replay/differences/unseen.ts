// SPDX-License-Identifier: GPL-2.0-or-later

/** Differences from iPXE that were found branch by branch, and that no session shows. */

import { fixed, type DeliberateDifference } from './entry.ts';
import { BY_READING } from './found.ts';

/** Differences that neither a list of others nor a session has. */
export const UNSEEN_DIFFERENCES: readonly DeliberateDifference[] = [
  fixed('receive-buffer-zeroed', BY_READING, 'vmbus/ring', {
    title: 'What the host has not written is zero',
    ipxe: 'Gives the host a receive buffer as it is, and hands up what lay there before.',
    hypxe: 'Zeroes all memory before it is shared.',
    why: 'What lay there is nobody’s frame, whatever the host says of it.',
    unseen: 'What lay in the memory of a guest before is not in its session.',
  }),
  fixed('late-offers-are-devices', BY_READING, 'os/channels', {
    title: 'A device that is offered later is probed',
    ipxe: 'Ignores offers that come outside of an enumeration.',
    hypxe: 'Keeps them, and probes the device when the bus is polled.',
    why: 'A host may add a device when it likes, and some are slow to offer one.',
    unseen: 'The bus of iPXE is never polled, and no session of its drivers has such a step.',
  }),
  fixed('slow-devices-are-tried-again', BY_READING, 'driver/slow-host', {
    title: 'A device that has not answered in time is opened once more',
    ipxe: 'Waits a second for each answer, and gives the device up.',
    hypxe:
      'Waits ten, thirty for a contact, a hundred for UNLOAD; contacts and opens again. Preset ' +
      'ipxe does as iPXE does.',
    why: 'A busy host answers late: Linux waited five seconds, and waits for ever today.',
    unseen: 'The preset of a replay is ipxe.',
  }),
  fixed('host-is-told-of-room', BY_READING, 'vmbus/signal', {
    title: 'A host that waits for room in its ring is told of it',
    ipxe: 'Reads the ring and says nothing.',
    hypxe: 'Signals once there is as much room as the host has asked for.',
    why: 'A host that has asked need not look again by itself.',
    unseen: 'How often a guest signals is not compared.',
  }),
  fixed('polls-are-bounded', BY_READING, 'netvsc/receive', {
    title: 'A poll handles 4096 packets at most',
    ipxe: 'Polls until the ring is empty: a host that goes on sending is never left again.',
    hypxe: 'Leaves what is beyond 4096 to the next poll.',
    why: 'Whoever polls has other things to do.',
    unseen: 'How often a guest polls is not compared: the next poll handles the rest.',
  }),
  fixed('refused-registers-are-errors', BY_READING, 'driver/refused-registers', {
    title: 'A register that the host refuses to write is a named error',
    ipxe: 'Dies of the fault: WRMSR has no handler.',
    hypxe:
      'Writes it up to four times, fails with RegisterRefused (EIO), and undoes the rest; a page ' +
      'that cannot be unmapped stays reserved. A refused end of message is made up for.',
    why: 'A host that is short of something refuses once, and an undoing must reach its end.',
    unseen: 'A guest that dies of a fault leaves no session.',
  }),
  fixed('stopped-clock-is-named', BY_READING, 'hyperv/detection', {
    title: 'A clock that stands or leaps neither holds a wait nor ends it',
    ipxe: 'Spins until the counter has moved on, however far.',
    hypxe:
      'Fails with ClockStopped after a million pauses; what goes back or leaps by more than a ' +
      'minute is where the time goes on from.',
    why: 'Nothing may hang, and a migrated guest has another counter.',
    unseen: 'The clock of a guest is not part of a session.',
  }),
  fixed('waits-can-be-cancelled', BY_READING, 'vmbus/unload', {
    title: 'Whoever calls can end a wait',
    ipxe: 'Waits out the time.',
    hypxe: 'Asks in each turn and before each message; fails with Cancelled, once, and undoes all.',
    why: 'A boot that takes too long must be ended with nothing left behind.',
    unseen:
      'No iPXE can be told to give up. A removal, which nobody may end, is tried all the same: ' +
      'whoever asks meanwhile is told to.',
  }),
  fixed('signal-bit-taken-back', BY_READING, 'vmbus/signal', {
    title: 'A closed channel has no signal left in the interrupt page',
    ipxe: 'Leaves the bit of a channel that the host has not looked at.',
    hypxe: 'Clears it once CLOSE_CHANNEL is posted.',
    why: 'The next channel of that number would be signalled before it has said anything.',
    unseen: 'The interrupt page is not part of what is compared.',
  }),
  fixed('frames-given-up-last', BY_READING, 'netvsc/transmit', {
    title: 'Frames in flight are given up when the channel is closed',
    ipxe: 'Completes each with ECANCELED before CLOSE_CHANNEL, while the host may still read it.',
    hypxe: 'Closes the channel, then reports them.',
    why: 'Whoever hears of it may use the memory for something else.',
    unseen: 'Frames and messages of one step are compared each for themselves.',
  }),
  fixed('robust-by-default', BY_READING, 'driver/preset', {
    title: 'Sizes, completions and the end of a device are a matter of policy',
    ipxe: 'Rings of a page, a buffer of 64 KiB, empty completions; a close cancels all frames.',
    hypxe:
      'Preset ipxe does the same; default has rings of 64 KiB, a buffer of 256 KiB, a status in ' +
      'each completion, and gives frames in flight 20 ms before it closes.',
    why: 'A strict host ends a channel over an empty completion (OpenVMM).',
    unseen: 'The preset of a replay is ipxe.',
  }),
];
