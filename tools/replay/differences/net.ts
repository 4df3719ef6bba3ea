// SPDX-License-Identifier: GPL-2.0-or-later

/** Deliberate differences from iPXE in rings, NetVSC and RNDIS. */

import { fixed, inapplicable, kept, type DeliberateDifference } from './entry.ts';

const RING: readonly DeliberateDifference[] = [
  fixed('reserved-bytes-are-zero', '5.1, observation 13', 'netvsc/transmit', {
    title: 'No uninitialised bytes on the ring',
    ipxe: 'Leaves bytes 16 to 19 of GPA-direct headers as its packet buffer last held them.',
    hypxe: 'Sends zero. Where the recording marks bytes as stale, zero is what is compared with.',
    why: 'It tells the host what it should not know, and makes recordings differ.',
    unseen: 'The recording marks these bytes as stale, and zero is required of the guest.',
  }),
  fixed('ranges-in-order', '5.2, observation 12', 'netvsc/receive', {
    title: 'Messages of one packet are handed up in the order of their ranges',
    ipxe: 'Reverses them: each is put at the head of the list.',
    hypxe: 'Keeps the order.',
    why: 'Reordered frames cost TCP and TFTP retransmissions.',
  }),
  fixed('bad-packets-are-consumed', '5.3, observation 9', 'vmbus/packet', {
    title: 'No endless loop over a bad packet',
    ipxe:
      'Does not consume a packet with a short header, of a bad length, with an unknown page set ' +
      'or a range outside of the buffer, and polls it for ever.',
    hypxe:
      'Consumes and counts it, and completes it if the host waits for that. A range outside of ' +
      'the buffer, or beyond as many bytes as it holds, spoils only itself. Where the framing is ' +
      'lost, all that is there is skipped.',
    why: 'One bad packet must not stop the machine.',
  }),
  fixed('range-count-checked', '5.6, observation 8', 'vmbus/packet', {
    title: 'The number of ranges must fill the header',
    ipxe: 'Trusts it, and reads ranges from the payload or beyond the packet.',
    hypxe: 'Rejects and completes the packet if number and header length do not agree.',
    why: 'A read out of bounds, decided by the host.',
  }),
  fixed('packet-limit-is-policy', 'observation 10', 'vmbus/packet', {
    title: 'The longest packet is a matter of policy',
    ipxe: 'Takes 512 bytes, 56 ranges; a longer packet is looped over.',
    hypxe:
      'The preset `ipxe` keeps 512 and consumes what is longer; the preset `default` takes 8192.',
    why: 'A legal packet of many ranges must be received.',
    unseen: 'The preset of a replay keeps the limit; what is longer is a bad packet.',
  }),
  fixed('ring-indices-checked', 'observation 11', 'vmbus/packet', {
    title: 'The host’s ring indices are checked',
    ipxe: 'Reads beyond what was produced, and beyond the ring.',
    hypxe:
      'A packet that does not end within what was produced is skipped with all that is there; an ' +
      'index that is out of range or not aligned closes the channel with a named error. Indices ' +
      'of our own are not read back.',
    why: 'Indices lie in memory that the host writes.',
  }),
  fixed('packet-buffer-not-shared', 'observation 14', 'netvsc/transmit', {
    title: 'Sending does not overwrite the packet being handled',
    ipxe: 'Builds headers in the buffer that holds the received packet.',
    hypxe: 'Writes headers straight into the ring.',
    why: 'Harmless only as long as nothing is read afterwards.',
    unseen: 'Nothing is read of the buffer afterwards.',
  }),
  fixed('transactions-compared-whole', 'observation 15', 'netvsc/transmit', {
    title: 'Transaction IDs are compared with all 64 bits',
    ipxe: 'Looks at the lower half only.',
    hypxe: 'The upper half must be zero.',
    why: 'Another transaction’s completion must not free a buffer in flight.',
  }),
  fixed('every-packet-completed', '5.17, observation 16', 'netvsc/completion', {
    title: 'Every packet of the host that waits for a completion gets one',
    ipxe:
      'Sends none for bad NVSP messages and in-band data, nor when the ring is full, and drops ' +
      'the frame then.',
    hypxe: 'Completes each, later if the ring is full, and counts what it cannot use.',
    why: 'The host never gets its receive section back, until it has none left.',
  }),
  fixed('signals-are-retried', 'observation 17', 'vmbus/signal', {
    title: 'A signal that fails is repeated',
    ipxe: 'Logs it; later packets find the ring not empty and do not signal: the channel is dead.',
    hypxe: 'Signals again with each poll; after 100 failures the channel is given up by name.',
    why: 'A lost wake-up is a hang.',
  }),
  kept('signalling-rule', 'observation 18', 'vmbus/signal', {
    title: 'Signal only if the ring was empty and the host has not masked it',
    ipxe: 'Sets the bit in the interrupt page, then makes the hypercall or sets the monitor bit.',
    hypxe: 'The same rule and order. Inbound bits and event flags are not looked at.',
    why: 'It is the protocol’s rule (Linux hv_need_to_signal); hosts throttle other signals.',
  }),
];

const NETVSC: readonly DeliberateDifference[] = [
  fixed('control-messages-have-slots', 'observation 31', 'netvsc/transmit', {
    title: 'Control messages do not starve behind frames',
    ipxe: 'With 32 frames in flight a close can neither clear the filter nor send HALT.',
    hypxe: 'Keeps room for control messages, and sends them before deferred frames.',
    why: 'A close must be orderly also under load. Slots are FIFO and start at 0, as in iPXE.',
  }),
  fixed('deferral-is-no-error', 'observation 32', 'netvsc/transmit', {
    title: 'A deferred frame is not counted as an error',
    ipxe: 'Counts ENOBUFS for a frame that it sends later.',
    hypxe: 'Counts a frame once, when it is completed or given up.',
    why: 'The counters should be true.',
  }),
  fixed('completion-status-checked', 'observation 36', 'netvsc/transmit', {
    title: 'A failed transmission is noticed',
    ipxe: 'Looks at no completion of a frame, nor at the sections of the receive buffer.',
    hypxe: 'A completion of a frame with a status other than success counts as an error.',
    why: 'The counters should be true. Sections are not needed: each range is checked.',
  }),
  kept('full-open-at-probe', 'observation 34', 'rndis/requests', {
    title: 'A probe opens and closes the device',
    ipxe: 'Opens completely, asks for addresses and link, closes. No HALT if INITIALISE failed.',
    hypxe: 'The same.',
    why: 'The addresses are needed before the device is registered (iPXE 16d749530).',
  }),
];

const RNDIS: readonly DeliberateDifference[] = [
  fixed('short-answers-wake', '5.11', 'rndis/requests', {
    title: 'A malformed answer ends the wait',
    ipxe: 'Drops it, and the waiter waits out its second.',
    hypxe: 'Fails the request at once.',
    why: 'The answer will not become better.',
  }),
  inapplicable('byte-order', '5.18', 'rndis/requests', {
    title: 'A status is compared in host byte order',
    ipxe: 'Uses the unconverted field in a switch; harmless on little-endian machines.',
    hypxe: 'All fields are read as little-endian, on any machine.',
    why: 'A matter of C.',
  }),
  kept('ranges-bound-messages', 'observation 29', 'netvsc/receive', {
    title: 'A range is one message, whatever its header says',
    ipxe: 'Never looks at the message length; a second message in a range is lost.',
    hypxe: 'The same.',
    why: 'Windows Server 2012 R2 sends a length that does not cover its data (iPXE 639632b05).',
  }),
  fixed('keepalive-answered', 'observation 30', 'netvsc/receive', {
    title: 'KEEPALIVE is answered',
    ipxe: 'Counts it as a receive error (EPROTO).',
    hypxe: 'Sends KEEPALIVE_CMPLT. Unknown status codes still count as receive errors.',
    why: 'A device may take a silent host driver for dead and reset.',
  }),
  fixed('short-frames-rejected', 'observation 30', 'netvsc/receive', {
    title: 'A frame without an Ethernet header is not handed up',
    ipxe: 'Hands up a frame of no bytes as a good one.',
    hypxe: 'Counts a frame of less than 14 bytes as a receive error.',
    why: 'Nobody above can do anything with it.',
  }),
  fixed('addresses-checked', 'observation 33', 'rndis/requests', {
    title: 'A MAC address has six bytes',
    ipxe: 'Accepts a shorter or longer one; dispatches answers by the request ID alone.',
    hypxe: 'Fails the open with a named error; answers must have the type that was asked for.',
    why: 'A device with half an address does not work, and nobody would see why.',
  }),
  kept('frames-not-padded', 'observation 35', 'netvsc/transmit', {
    title: 'Short frames are sent as they are',
    ipxe: 'Does not pad to 60 bytes. The frame begins 44 bytes into the RNDIS message.',
    hypxe: 'The same.',
    why: 'The host’s switch pads where it must (Linux does not pad either).',
  }),
  inapplicable('headroom-comment', '5.20', 'netvsc/transmit', {
    title: 'A comment about the headroom of a frame is out of date',
    ipxe: 'A comment still says that the RNDIS header has 32 bytes; the sum is right.',
    hypxe: 'Frames are copied behind their headers: there is no headroom to add up.',
    why: 'A comment only.',
  }),
];

/** Differences of rings, NetVSC and RNDIS. */
export const NET_DIFFERENCES: readonly DeliberateDifference[] = [...RING, ...NETVSC, ...RNDIS];
