// SPDX-License-Identifier: GPL-2.0-or-later

/** The knobs of a host as data: what each may be, and what it means in a line. */

import { readNumber } from './facts.ts';
import { LATE_ANSWERS } from './late-answers.ts';
import type { HostKnobs } from './profile.ts';

/** One knob. What stands in `only`, or a whole number in `range` (both bounds included). */
export interface KnobDescription {
  readonly text: string;
  readonly only?: readonly (string | number | boolean)[];
  readonly range?: readonly [least: number, most: number];
}

const YES_NO = [true, false] as const;

/** An hour in ticks: longer than any guest waits. */
const TICKS_MAX = 36_000_000_000;

/** Most guest messages that wait (OpenVMM: 64; QEMU: 16). */
export const GUEST_MESSAGES_MAX = 64;

/** Most ranges in a transfer-page packet (OpenVMM `NVSP_MAX_PACKETS_PER_RECEIVE`). */
export const RANGES_MAX = 375;

/** Most receive sections for control messages alone (OpenVMM: 16). */
const CONTROL_SECTIONS_MAX = 64;

/** Most bytes between headers and data: what fits into every section. */
const RX_PADDING_MAX = 64;

/** Counts of events per unit of time. */
const RATE_MAX = 1_000_000;

/** All knobs, in the order of {@link HostKnobs}. */
export const KNOBS: { readonly [K in keyof HostKnobs]: KnobDescription } = {
  maskedSint: {
    text: 'a message for a masked SINT is lost, or kept in its slot',
    only: ['drop', 'keep'],
  },
  overlay: {
    text: 'RAM under an overlay page: comes back, or stays overwritten',
    only: ['preserve', 'overwrite'],
  },
  osIdZero: {
    text: 'what GUEST_OS_ID = 0 does to the hypercall page',
    only: ['disables-hypercall-page', 'independent'],
  },
  hypercallPageWithoutOsId: {
    text: 'enabling the hypercall page while GUEST_OS_ID is 0',
    only: ['ignored', 'accepted'],
  },
  slotScan: {
    text: 'when a waiting message moves into its slot: on EOM, or on any exit',
    only: ['eom', 'exit'],
  },
  eomScope: {
    text: 'whose waiting messages an EOM lets through: those of all VPs, or of the VP alone',
    only: ['partition', 'vp'],
  },
  scanOnEnable: {
    text: 'writes of SIMP, SCONTROL and SINTs let waiting messages through, too',
    only: YES_NO,
  },
  scanOnPost: { text: 'the next message lets the one that waits through, too', only: YES_NO },
  messageWithoutPage: {
    text: 'a message for a VP whose SIMP is off: lost, or kept until it is on',
    only: ['drop', 'keep'],
  },
  synicOff: {
    text: 'a message while SCONTROL is 0: waits, is delivered but EOM goes unheard, or as with 1',
    only: ['waits', 'delivers', 'ignored'],
  },
  scontrolReset: { text: 'SCONTROL at reset', only: [0, 1] },
  hypercallChecks: {
    text: 'input of HvPostMessage and HvSignalEvent: checked as by the hypervisor, or as by QEMU',
    only: ['hypervisor', 'vmm'],
  },
  messageLatencyTicks: {
    text: 'from a message to its answer, in units of 100 ns',
    range: [0, TICKS_MAX],
  },
  ringLatencyTicks: {
    text: 'from a signal to reading the ring, in units of 100 ns',
    range: [0, TICKS_MAX],
  },
  offerPacing: { text: 'offers: all at once, or one by one', only: ['burst', 'one-by-one'] },
  echoVersion: { text: 'VERSION_RESPONSE repeats the version, or says 0', only: YES_NO },
  returnedConnectionId: {
    text: 'connection for messages that the host returns from 5.0 on',
    only: [1],
    range: [3, 0x1fff],
  },
  unloadAnswer: {
    text: 'UNLOAD is answered after this time in units of 100 ns, or never',
    only: ['never'],
    range: [0, TICKS_MAX],
  },
  behindUnload: {
    text: 'messages that wait behind UNLOAD: handled, or dropped',
    only: ['handled', 'dropped'],
  },
  unloadRefused: {
    text: 'UNLOAD after a refused contact: not answered, or answered',
    only: ['ignored', 'answered'],
  },
  lostMessage: {
    text: 'a message that cannot reach the guest: lost, or the end of the connection',
    only: ['lost', 'resets-bus'],
  },
  lateAnswer: { text: 'answers that come late', only: LATE_ANSWERS },
  lateTicks: {
    text: 'how late they come, in units of 100 ns',
    range: [0, TICKS_MAX],
  },
  throttleMessages: {
    text: 'messages per ms before HvPostMessage is refused; 0 is never',
    range: [0, RATE_MAX],
  },
  throttleStatus: { text: 'status with which it is refused', range: [1, 0xffff] },
  backPressure: {
    text: 'while messages are undelivered the host stops reading, or queues',
    only: ['stop-reading', 'unbounded'],
  },
  contactBehindMessages: {
    text: 'INITIATE_CONTACT and UNLOAD while messages are undelivered: they wait, or are read',
    only: ['waits', 'read'],
  },
  reinitiate: {
    text: 'INITIATE_CONTACT of a connected guest: disconnects it, or is ignored',
    only: ['disconnect', 'ignore'],
  },
  versionMatch: {
    text: 'VMBus versions: those of the list, or all up to the newest',
    only: ['exact', 'at-most'],
  },
  contactVp: {
    text: 'when the target VP of INITIATE_CONTACT counts',
    only: ['from-3.0', 'always'],
  },
  refusalVp: {
    text: 'which VP is told that a version is refused: the requested, or the one of before',
    only: ['requested', 'previous'],
  },
  contactPages: {
    text: 'pages of INITIATE_CONTACT that are none: refused, or not looked at',
    only: ['checked', 'any'],
  },
  targetVps: {
    text: 'virtual processors that do not exist: refused, or what goes there is lost',
    only: ['checked', 'any'],
  },
  modifyMonitored: {
    text: 'MODIFY_CONNECTION with a monitored channel open: moves the pages, or is refused',
    only: ['moves', 'refused'],
  },
  secondRequest: {
    text: 'a second REQUEST_OFFERS: ignored, or ALL_OFFERS_DELIVERED again',
    only: ['ignored', 'all-offers'],
  },
  messageQueue: {
    text: 'messages that wait before HvPostMessage fails',
    range: [1, GUEST_MESSAGES_MAX],
  },
  secondClient: {
    text: 'a VMBus driver on another SINT: refused, or a connection of its own',
    only: ['refuse', 'allow'],
  },
  secondConnectionId: {
    text: 'connection for messages that the second client is told',
    range: [5, 0x1fff],
  },
  monitors: {
    text: 'what is offered with a monitor: NICs and disk controllers, or nothing',
    only: ['nic-and-scsi', 'none'],
  },
  noMonitor: {
    text: 'monitor number of an offer without a monitor',
    only: [0xff, 0],
  },
  channelNumbers: {
    text: 'channels are sorted and numbered when offered, or as they were created',
    only: ['at-offer', 'at-creation'],
  },
  relidReleased: {
    text: 'RELID_RELEASED of an offered channel: it is gone, or ignored',
    only: ['taken', 'ignored'],
  },
  shortOffers: { text: 'offers of 190 bytes below VMBus 1.1', only: YES_NO },
  channelConnections: {
    text: 'connection IDs of channels: number and SINT << 12, or number + 16',
    only: ['by-sint', 'from-16'],
  },
  signalFlag: {
    text: 'HvSignalEvent with a flag other than 0: ignored, or refused',
    only: ['ignore', 'refuse'],
  },
  oldInterrupts: {
    text: 'interrupts below 2.4: interrupt page and event flag 0, or the page alone',
    only: ['flag-0', 'page'],
  },
  gpadlChecks: {
    text: 'GPADLs: checked, and failures answered; or their shape alone, without answers',
    only: ['full', 'shape'],
  },
  emptyGpadls: {
    text: 'a GPADL without ranges: refused, or created',
    only: ['refused', 'created'],
  },
  oddGpadls: {
    text: 'a GPADL that is not one range of whole pages, if all is checked: accepted, or ignored',
    only: ['accept', 'ignore'],
  },
  failureStatus: {
    text: 'status of results that failed',
    range: [1, 0xffffffff],
  },
  deviceStatus: {
    text: 'an OPEN that the device refuses: its status, or the failure status',
    only: ['told', 'failure-status'],
  },
  emptyRings: {
    text: 'a ring of one page: refused, or opened and dead',
    only: ['refused', 'opened'],
  },
  refusedPort: {
    text: 'the connection ID of an OPEN that failed: forgotten, or kept for the next',
    only: ['forgotten', 'kept'],
  },
  torndownWhileOpen: {
    text: 'GPADL_TORNDOWN of an open channel: below 4.0 after the revoke, after the close, at once',
    only: ['by-version', 'deferred', 'immediate'],
  },
  teardownAfterClose: {
    text: 'GPADL_TEARDOWN after the close: answered, or not answered below VMBus 4.0',
    only: ['answered', 'ignored-below-4.0'],
  },
  ringUnstickTicks: {
    text: 'a look at the rings this long after the open, in units of 100 ns; 0 is never',
    range: [0, TICKS_MAX],
  },
  ringPollTicks: {
    text: 'a full ring is looked at again this often, in units of 100 ns; 0: on a signal only',
    range: [0, TICKS_MAX],
  },
  ringFaults: {
    text: 'a bad packet or index: the end of the channel, or it waits until mended',
    only: ['fatal', 'waits'],
  },
  readSignals: {
    text: 'the guest is signalled after a read: if it asked, or unless its ring has feature bit 0',
    only: ['asked', 'unless-asked'],
  },
  throttleSignals: {
    text: 'needless signals per s before the guest is suspended; 0 is never',
    range: [0, RATE_MAX],
  },
  emptyCompletion: {
    text: 'a completion without payload: tolerated, or the end of the channel',
    only: ['tolerate', 'fatal'],
  },
  revoke: {
    text: 'REVOKE_RECEIVE_BUFFER: completed, or followed by silence',
    only: ['complete', 'silent'],
  },
  cancelPacket: {
    text: 'a cancellation packet: accepted, or the end of the channel',
    only: ['accept', 'fatal'],
  },
  rndisReset: {
    text: 'RNDIS_RESET: answered, or the end of the channel',
    only: ['answer', 'fatal'],
  },
  malformedStatus: {
    text: 'send the malformed status 0x40020006 once',
    only: YES_NO,
  },
  vfAssociation: { text: 'announce a virtual function', only: YES_NO },
  tableOffset: {
    text: 'offset of the indirection table up to NVSP 6',
    only: ['too-small', 'right'],
  },
  rangesPerPacket: { text: 'most frames in one transfer-page packet', range: [1, RANGES_MAX] },
  rxMessageLength: {
    text: 'RNDIS length of received frames: exact, or the whole section',
    only: ['exact', 'sub-allocation'],
  },
  rxDataPadding: {
    text: 'bytes between the headers and the data of received frames',
    range: [0, RX_PADDING_MAX],
  },
  ppiEvery: {
    text: 'per-packet information on every nth received frame; 0 is never',
    range: [0, RATE_MAX],
  },
  linkAnnouncement: {
    text: 'the link is announced: after INITIALISE, with the first filter, or never',
    only: ['initialise', 'filter', 'never'],
  },
  controlSections: {
    text: 'receive sections that only control messages use; 0 is one pool for all',
    range: [0, CONTROL_SECTIONS_MAX],
  },
  failedBuffer: {
    text: 'a buffer that cannot be used: answered with a failure, or the end of the channel',
    only: ['answer', 'fatal'],
  },
  packetFilter: {
    text: 'the packet filter: each bit counts, or only whether it is zero',
    only: ['bits', 'any'],
  },
  hashlessScaling: {
    text: 'receive scaling without a hash: refused, or switched off',
    only: ['refuse', 'disable'],
  },
  shortInit: {
    text: 'NVSP INIT in less than 32 bytes: never answered, or answered',
    only: ['silent', 'answer'],
  },
  queryBuffer: {
    text: 'QUERY whose buffer is not behind the request: fails, or nobody looks',
    only: ['checked', 'ignored'],
  },
  malformedControl: {
    text: 'a control message that is too short: fails, or the end of the channel',
    only: ['fail', 'fatal'],
  },
  objects: {
    text: "objects of the network device: those of Windows' switch, or OpenVMM's",
    only: ['vmswitch', 'netvsp'],
  },
  offloads: {
    text: 'offloads that a guest may switch on: none, checksums, large sends, coalescing (RSC)',
    only: ['none', 'checksum', 'large-send', 'rsc'],
  },
  vlanTag: {
    text: 'the VLAN tag of a received frame: beside it for guests that ask, or always, or in it',
    only: ['info', 'always', 'frame'],
  },
  hashInfo: { text: 'tell the hash of received frames with receive scaling', only: YES_NO },
  shutdownFlags: {
    text: 'restart and hibernate in a shutdown request: by the version agreed, or always',
    only: ['by-version', 'always'],
  },
};

/** Whether there is a knob of this name. */
export function isKnob(name: string): name is keyof HostKnobs {
  return Object.hasOwn(KNOBS, name);
}

/** The value that a text stands for, or undefined if the knob has no such value. */
export function knobValue(
  name: keyof HostKnobs,
  text: string,
): string | number | boolean | undefined {
  const { only, range } = KNOBS[name];
  const fixed = only?.find((value) => String(value) === text);
  if (fixed !== undefined || range === undefined) return fixed;
  const value = /^(0x[0-9a-f]+|[0-9]+)$/i.test(text) ? Number(text) : NaN;
  return value >= range[0] && value <= range[1] ? value : undefined;
}

/** The value that a value of a file stands for, or undefined if the knob has no such value. */
export function readKnob(
  name: keyof HostKnobs,
  value: unknown,
): string | number | boolean | undefined {
  const { only, range } = KNOBS[name];
  const fixed = only?.find((each) => each === value);
  if (fixed !== undefined || range === undefined) return fixed;
  const number = readNumber(value, range[1]);
  return number !== undefined && number >= range[0] ? number : undefined;
}

/** What a knob may be, in words: `drop or keep`. */
export function knobChoices(name: keyof HostKnobs): string {
  const { only, range } = KNOBS[name];
  const choices = (only ?? []).map(String);
  if (range !== undefined) choices.push(`${range[0]} to ${range[1]}`);
  return choices.join(' or ');
}
