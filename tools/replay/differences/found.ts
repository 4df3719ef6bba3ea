// SPDX-License-Identifier: GPL-2.0-or-later

/** Deliberate differences from iPXE that were found by reading its files beside ours. */

import type { DeliberateDifference } from './entry.ts';

/** The source of an entry that no list has: both sides were read. */
export const BY_READING = 'by reading';

/** What an entry says. */
type Row = readonly [
  id: string,
  title: string,
  texts: { readonly ipxe: string; readonly hypxe: string; readonly why: string },
];

const ROWS: readonly Row[] = [
  [
    'hypercall-page-checked',
    'A hypercall page that is locked or does not come is refused',
    {
      ipxe: 'Writes the register and believes that the page is there.',
      hypxe:
        'Refuses a locked register before anything is written, also where it takes the machine ' +
        'back, and reads back what it wrote.',
      why: 'A write of a locked register faults, and a call of a page that is not there, too.',
    },
  ],
  [
    'reference-time-required',
    'A host without a reference counter is refused',
    {
      ipxe: 'Uses another timer.',
      hypxe: 'Fails with NoReferenceTime (ENODEV) before anything is written.',
      why: 'Every wait is measured in it; there is no other clock.',
    },
  ],
  [
    'short-messages-refused',
    'A message that is shorter than its type is malformed',
    {
      ipxe: 'Reads zeros beyond its end, so that a cut status is a success.',
      hypxe: 'Fails the request with MessageTooShort (EPROTO); skips what has no whole header.',
      why: 'What was not said must not be taken for a success.',
    },
  ],
  [
    'rescinds-are-heard',
    'A device that is taken away is let go of at once',
    {
      ipxe: 'Knows no rescind, and talks to the device that is gone: each request times out.',
      hypxe: 'Fails what goes on with ChannelRescinded (EPIPE), and tears down what it shared.',
      why: 'The host may take a device away when it likes.',
    },
  ],
  [
    'offers-checked',
    'Offers that are short, out of range, twice there or of sub-channels are ignored',
    {
      ipxe:
        'Takes each offer as it is: a sub-channel as a device, a channel number as any number, a ' +
        'monitor beyond 127 as a bit beyond the triggers.',
      hypxe: 'Ignores them with a line of the log; looks at seven bits of a monitor.',
      why: 'A channel number is an index; a sub-channel is no device.',
    },
  ],
  [
    'offers-may-not-end',
    'Offers without an end are offers',
    {
      ipxe: 'Fails the probe if ALL_OFFERS_DELIVERED does not come.',
      hypxe: 'Goes on with what was offered within the time.',
      why: 'What is there can be used.',
    },
  ],
  [
    'open-of-unknown-end-closed',
    'An open that was never answered is closed',
    {
      ipxe: 'Frees the rings.',
      hypxe: 'Posts CLOSE_CHANNEL before it tears the rings down.',
      why: 'The host may have opened the channel without our hearing of it.',
    },
  ],
  [
    'unclosed-channel-keeps-memory',
    'What a channel uses that could not be closed is not asked back',
    {
      ipxe: 'Tears down the GPADLs of rings and buffer all the same, and frees them.',
      hypxe: 'Keeps both reserved until UNLOAD, with a line of the log.',
      why: 'A host goes on using what belongs to an open channel, whatever it says of the GPADL.',
    },
  ],
  [
    'remove-while-quiesced',
    'A removal while quiesced takes the machine back first',
    {
      ipxe: 'Calls the hypercall page that is not mapped any more.',
      hypxe: 'Unquiesces, then removes; if that fails, what the host has stays reserved.',
      why: 'Otherwise the host would keep everything.',
    },
  ],
  [
    'drops-are-counted',
    'Everything that is dropped counts as a receive error',
    {
      ipxe: 'Only logs unexpected completions, in-band packets, cancellations and bad packets.',
      hypxe: 'Counts each, with the class of its error.',
      why: 'The counters should be true.',
    },
  ],
  [
    'deferral-is-bounded',
    'The number of deferred frames is bounded',
    {
      ipxe: 'Defers without a bound; each completed frame makes room for one.',
      hypxe: 'Defers 512, drops more, and sends as many as there is room for.',
      why: 'Every queue has a bound.',
    },
  ],
  [
    'full-ring-defers',
    'A frame that finds the ring full is deferred',
    {
      ipxe: 'Drops it with ENOBUFS, and all that are deferred with it.',
      hypxe: 'Defers it as if all slots were taken.',
      why: 'There will be room in a moment.',
    },
  ],
  [
    'drop-is-named',
    'A frame that cannot be sent is dropped without a completion',
    {
      ipxe: 'Completes it with an error code.',
      hypxe: 'Returns `dropped`; the log has the reason.',
      why: 'What was not taken is not completed: the caller knows at once.',
    },
  ],
  [
    'frame-length-limited',
    'A frame that is longer than Ethernet’s is dropped',
    {
      ipxe: 'Sends any length.',
      hypxe: 'Drops what is longer than 1514 bytes.',
      why: 'Each message has a buffer of 2048 bytes, which never crosses a page.',
    },
  ],
  [
    'short-init-completion-taken',
    'A completion of NVSP INIT needs 16 bytes',
    {
      ipxe: 'Requires all 32 of them.',
      hypxe: 'Requires the fields that there are: up to the status.',
      why: 'What follows is padding.',
    },
  ],
  [
    'packet-info-checked',
    'Per-packet information is checked',
    {
      ipxe: 'Does not look at it.',
      hypxe: 'Reads the VLAN from it; a frame whose information is malformed is a receive error.',
      why: 'A tagged frame must not be taken for an untagged one.',
    },
  ],
  [
    'answers-have-their-type',
    'An answer has the type that was asked for',
    {
      ipxe: 'Goes by the request ID alone, and acts on answers that nobody waits for.',
      hypxe: 'Ignores answers of another type, and those that come unasked.',
      why: 'A SET that is taken for the answer to a QUERY leaves an address of zeros.',
    },
  ],
  [
    'error-classes',
    'Each failure has its own name, and with it a class',
    {
      ipxe: 'EINVAL for short completions and for transfer pages that carry no RNDIS message.',
      hypxe: 'EPROTO for malformed completions, ENOTSUP for other messages, EINVAL for a bad link.',
      why: 'The class follows from the name, and one name means one thing.',
    },
  ],
  [
    'failed-open-clears-filter',
    'An open that fails after the filter was set clears it',
    {
      ipxe: 'Only halts the device.',
      hypxe:
        'Clears the receive filter first, as a close does; does not wait for a device that has ' +
        'just not answered.',
      why: 'Without this, receiving may be dead after the next open.',
    },
  ],
  [
    'no-allocation-per-message',
    'No memory is allocated for a message',
    {
      ipxe: 'Allocates a buffer for each message; a request fails if there is none.',
      hypxe:
        'Allocates all buffers when the device is opened, and its queue when a frame first waits.',
      why: 'A close must not fail for want of memory.',
    },
  ],
];

/** Differences that no list of others has. */
export const FOUND_DIFFERENCES: readonly DeliberateDifference[] = ROWS.map(
  ([id, title, texts]) => ({
    id,
    title,
    sources: [BY_READING],
    handling: 'fixed',
    ...texts,
    test: 'tools/replay/rules.test.ts',
  }),
);
