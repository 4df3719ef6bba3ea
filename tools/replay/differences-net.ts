// SPDX-License-Identifier: GPL-2.0-or-later

/** Deliberate differences from iPXE in rings, NetVSC and RNDIS. */

import type { Difference } from './compare.ts';
import type { DeliberateDifference } from './difference-entry.ts';

/** A completion of a host's packet that the recorded driver did not send. */
function isExtraCompletion(d: Difference): boolean {
  return d.kind === 'packet' && d.type === 'extra' && d.actual!.label.startsWith('COMPLETION');
}

function isExtraError(d: Difference): boolean {
  return d.kind === 'receive-error' && d.type === 'extra';
}

/** Shortest Ethernet frame that has a header. */
const ETHERNET_HEADER = 14;

const RING: readonly DeliberateDifference[] = [
  {
    id: 'reserved-bytes-are-zero',
    title: 'No uninitialised bytes on the ring',
    sources: ['5.1', 'observation 13'],
    handling: 'fixed',
    ipxe: 'Leaves bytes 16 to 19 of GPA-direct headers as its packet buffer last held them.',
    hypxe: 'Sends zero. Where the recording marks bytes as stale, zero is what is compared with.',
    why: 'It tells the host what it should not know, and makes recordings differ.',
    test: 'src/netvsc/transmit.test.ts',
  },
  {
    id: 'ranges-in-order',
    title: 'Messages of one packet are handed up in the order of their ranges',
    sources: ['5.2', 'observation 12'],
    handling: 'fixed',
    ipxe: 'Reverses them: each is put at the head of the list.',
    hypxe: 'Keeps the order.',
    why: 'Reordered frames cost TCP and TFTP retransmissions.',
    test: 'src/netvsc/receive.test.ts',
    matches: (d, context) => {
      if (d.kind !== 'frame' || d.type === 'changed') return false;
      const item = d.expected ?? d.actual!;
      return context.hasOther(
        d,
        (other) =>
          other.kind === 'frame' &&
          other.type !== d.type &&
          (other.expected ?? other.actual!).key === item.key,
      );
    },
  },
  {
    id: 'bad-packets-are-consumed',
    title: 'No endless loop over a bad packet',
    sources: ['5.3', 'observation 9'],
    handling: 'fixed',
    ipxe:
      'Does not consume a packet with a short header, of a bad length, with an unknown page set ' +
      'or a range outside of the buffer, and polls it for ever.',
    hypxe:
      'Consumes and counts it, and completes it if the host waits for that. A range outside of ' +
      'the buffer spoils only itself. Where the framing is lost, all that is there is skipped.',
    why: 'One bad packet must not stop the machine.',
    test: 'src/vmbus/packet.test.ts',
    matches: (d, context) => {
      if (context.recorded(d, 'livelock').length === 0) return false;
      if (d.kind === 'livelock') return d.type === 'missing';
      return isExtraCompletion(d) || isExtraError(d);
    },
  },
  {
    id: 'range-count-checked',
    title: 'The number of ranges must fill the header',
    sources: ['5.6', 'observation 8'],
    handling: 'fixed',
    ipxe: 'Trusts it, and reads ranges from the payload or beyond the packet.',
    hypxe: 'Rejects and completes the packet if number and header length do not agree.',
    why: 'A read out of bounds, decided by the host.',
    test: 'src/vmbus/packet.test.ts',
  },
  {
    id: 'packet-limit-is-policy',
    title: 'The longest packet is a matter of policy',
    sources: ['observation 10'],
    handling: 'fixed',
    ipxe: 'Takes 512 bytes, 56 ranges; a longer packet is looped over.',
    hypxe:
      'The preset `ipxe` keeps 512 and consumes what is longer; the preset `default` takes 8192.',
    why: 'A legal packet of many ranges must be received.',
    test: 'src/vmbus/packet.test.ts',
  },
  {
    id: 'ring-indices-checked',
    title: 'The host’s ring indices are checked',
    sources: ['observation 11'],
    handling: 'fixed',
    ipxe: 'Reads beyond what was produced, and beyond the ring.',
    hypxe:
      'A packet that does not end within what was produced is skipped with all that is there; an ' +
      'index that is out of range or not aligned closes the channel with a named error.',
    why: 'Indices lie in memory that the host writes.',
    test: 'src/vmbus/packet.test.ts',
  },
  {
    id: 'packet-buffer-not-shared',
    title: 'Sending does not overwrite the packet being handled',
    sources: ['observation 14'],
    handling: 'fixed',
    ipxe: 'Builds headers in the buffer that holds the received packet.',
    hypxe: 'Writes headers straight into the ring.',
    why: 'Harmless only as long as nothing is read afterwards.',
    test: 'src/netvsc/transmit.test.ts',
  },
  {
    id: 'transactions-compared-whole',
    title: 'Transaction IDs are compared with all 64 bits',
    sources: ['observation 15'],
    handling: 'fixed',
    ipxe: 'Looks at the lower half only.',
    hypxe: 'The upper half must be zero.',
    why: 'Another transaction’s completion must not free a buffer in flight.',
    test: 'src/netvsc/transmit.test.ts',
  },
  {
    id: 'every-packet-completed',
    title: 'Every packet of the host that waits for a completion gets one',
    sources: ['5.17', 'observation 16'],
    handling: 'fixed',
    ipxe:
      'Sends none for bad NVSP messages and in-band data, nor when the ring is full, and drops ' +
      'the frame then.',
    hypxe: 'Completes each, later if the ring is full, and counts what it cannot use.',
    why: 'The host never gets its receive section back, until it has none left.',
    test: 'src/netvsc/completion.test.ts',
    matches: (d, context) => {
      const dropped = context.recorded(d, 'vmbus-poll').some((event) => event.consumed);
      return dropped && (isExtraCompletion(d) || isExtraError(d));
    },
  },
  {
    id: 'signals-are-retried',
    title: 'A signal that fails is repeated',
    sources: ['observation 17'],
    handling: 'fixed',
    ipxe: 'Logs it; later packets find the ring not empty and do not signal: the channel is dead.',
    hypxe: 'Signals again with each poll; after 100 failures the channel is given up by name.',
    why: 'A lost wake-up is a hang.',
    test: 'src/vmbus/signal.test.ts',
  },
  {
    id: 'signalling-rule',
    title: 'Signal only if the ring was empty and the host has not masked it',
    sources: ['observation 18'],
    handling: 'kept',
    ipxe: 'Sets the bit in the interrupt page, then makes the hypercall or sets the monitor bit.',
    hypxe: 'The same rule and order. Inbound bits and event flags are not looked at.',
    why: 'It is the protocol’s rule (Linux hv_need_to_signal); hosts throttle other signals.',
    test: 'src/vmbus/signal.test.ts',
  },
];

const NETVSC: readonly DeliberateDifference[] = [
  {
    id: 'control-messages-have-slots',
    title: 'Control messages do not starve behind frames',
    sources: ['observation 31'],
    handling: 'fixed',
    ipxe: 'With 32 frames in flight a close can neither clear the filter nor send HALT.',
    hypxe: 'Keeps room for control messages, and sends them before deferred frames.',
    why: 'A close must be orderly also under load. Slots are FIFO and start at 0, as in iPXE.',
    test: 'src/netvsc/transmit.test.ts',
  },
  {
    id: 'deferral-is-no-error',
    title: 'A deferred frame is not counted as an error',
    sources: ['observation 32'],
    handling: 'fixed',
    ipxe: 'Counts ENOBUFS for a frame that it sends later.',
    hypxe: 'Counts a frame once, when it is completed or given up.',
    why: 'The counters should be true.',
    test: 'src/netvsc/transmit.test.ts',
  },
  {
    id: 'completion-status-checked',
    title: 'A failed transmission is noticed',
    sources: ['observation 36'],
    handling: 'fixed',
    ipxe: 'Looks at no completion of a frame, nor at the sections of the receive buffer.',
    hypxe: 'A completion of a frame with a status other than success counts as an error.',
    why: 'The counters should be true. Sections are not needed: each range is checked.',
    test: 'src/netvsc/transmit.test.ts',
  },
  {
    id: 'full-open-at-probe',
    title: 'A probe opens and closes the device',
    sources: ['observation 34'],
    handling: 'kept',
    ipxe: 'Opens completely, asks for addresses and link, closes. No HALT if INITIALISE failed.',
    hypxe: 'The same.',
    why: 'The addresses are needed before the device is registered (iPXE 16d749530).',
    test: 'src/rndis/requests.test.ts',
  },
];

const RNDIS: readonly DeliberateDifference[] = [
  {
    id: 'short-answers-wake',
    title: 'A malformed answer ends the wait',
    sources: ['5.11'],
    handling: 'fixed',
    ipxe: 'Drops it, and the waiter waits out its second.',
    hypxe: 'Fails the request at once.',
    why: 'The answer will not become better.',
    test: 'src/rndis/requests.test.ts',
  },
  {
    id: 'byte-order',
    title: 'A status is compared in host byte order',
    sources: ['5.18'],
    handling: 'inapplicable',
    ipxe: 'Uses the unconverted field in a switch; harmless on little-endian machines.',
    hypxe: 'All fields are read as little-endian, on any machine.',
    why: 'A matter of C.',
    test: 'src/rndis/requests.test.ts',
  },
  {
    id: 'ranges-bound-messages',
    title: 'A range is one message, whatever its header says',
    sources: ['observation 29'],
    handling: 'kept',
    ipxe: 'Never looks at the message length; a second message in a range is lost.',
    hypxe: 'The same.',
    why: 'Windows Server 2012 R2 sends a length that does not cover its data (iPXE 639632b05).',
    test: 'src/netvsc/receive.test.ts',
  },
  {
    id: 'keepalive-answered',
    title: 'KEEPALIVE is answered',
    sources: ['observation 30'],
    handling: 'fixed',
    ipxe: 'Counts it as a receive error (EPROTO).',
    hypxe: 'Sends KEEPALIVE_CMPLT. Unknown status codes still count as receive errors.',
    why: 'A device may take a silent host driver for dead and reset.',
    test: 'src/netvsc/receive.test.ts',
    matches: (d, context) => {
      const answer = (other: Difference): boolean =>
        other.type === 'extra' && other.actual!.label.endsWith('KEEPALIVE_CMPLT');
      if (d.kind === 'packet' || d.kind === 'range') return answer(d);
      const counted = d.kind === 'receive-error' && d.type === 'missing';
      return counted && d.expected!.fields[0]!.text === 'EPROTO' && context.hasOther(d, answer);
    },
  },
  {
    id: 'short-frames-rejected',
    title: 'A frame without an Ethernet header is not handed up',
    sources: ['observation 30'],
    handling: 'fixed',
    ipxe: 'Hands up a frame of no bytes as a good one.',
    hypxe: 'Counts a frame of less than 14 bytes as a receive error.',
    why: 'Nobody above can do anything with it.',
    test: 'src/netvsc/receive.test.ts',
    matches: (d, context) => {
      const short = (other: Difference): boolean =>
        other.kind === 'frame' &&
        other.type === 'missing' &&
        Number(other.expected!.fields[0]!.text) < ETHERNET_HEADER;
      return short(d) || (isExtraError(d) && context.hasOther(d, short));
    },
  },
  {
    id: 'addresses-checked',
    title: 'A MAC address has six bytes',
    sources: ['observation 33'],
    handling: 'fixed',
    ipxe: 'Accepts a shorter or longer one; dispatches answers by the request ID alone.',
    hypxe: 'Fails the open with a named error; answers must have the type that was asked for.',
    why: 'A device with half an address does not work, and nobody would see why.',
    test: 'src/rndis/requests.test.ts',
  },
  {
    id: 'frames-not-padded',
    title: 'Short frames are sent as they are',
    sources: ['observation 35'],
    handling: 'kept',
    ipxe: 'Does not pad to 60 bytes. The frame begins 44 bytes into the RNDIS message.',
    hypxe: 'The same.',
    why: 'The host’s switch pads where it must (Linux does not pad either).',
    test: 'src/netvsc/transmit.test.ts',
  },
  {
    id: 'headroom-comment',
    title: 'A comment about the headroom of a frame is out of date',
    sources: ['5.20'],
    handling: 'inapplicable',
    ipxe: 'A comment still says that the RNDIS header has 32 bytes; the sum is right.',
    hypxe: 'Frames are copied behind their headers: there is no headroom to add up.',
    why: 'A comment only.',
    test: 'src/netvsc/transmit.test.ts',
  },
];

/** Differences of rings, NetVSC and RNDIS. */
export const NET_DIFFERENCES: readonly DeliberateDifference[] = [...RING, ...NETVSC, ...RNDIS];
