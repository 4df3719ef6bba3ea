// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * How families of hosts behave, knob by knob; the profiles are made of these. The defaults follow
 * the TLFS and what Windows hosts were seen to do; the others are read from their sources.
 */

import { HvStatus } from '../../../src/hyperv/protocol.ts';
import { STATUS_UNSUCCESSFUL } from '../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS, TICKS_PER_US } from '../base/clock.ts';
import type { HostKnobs } from './profile.ts';

/** Answers of a host without UNLOAD and without a second contact. */
export const BEFORE_2012_R2 = {
  unloadAnswer: 'never',
  reinitiate: 'ignore',
  malformedStatus: false,
} as const satisfies Partial<HostKnobs>;

/** How Windows hosts from 2012 R2 on behave. */
export const WINDOWS: HostKnobs = {
  maskedSint: 'drop',
  overlay: 'preserve',
  osIdZero: 'disables-hypercall-page',
  hypercallPageWithoutOsId: 'ignored',
  slotScan: 'eom',
  eomScope: 'partition',
  scanOnEnable: false,
  scanOnPost: false,
  messageWithoutPage: 'drop',
  scontrolReset: 1,
  messageLatencyTicks: 100 * TICKS_PER_US,
  ringLatencyTicks: 10 * TICKS_PER_US,
  offerPacing: 'burst',
  echoVersion: true,
  returnedConnectionId: 1,
  unloadAnswer: 0,
  throttleMessages: 0,
  throttleStatus: HvStatus.INVALID_CONNECTION_ID,
  backPressure: 'stop-reading',
  contactBehindMessages: 'waits',
  reinitiate: 'disconnect',
  versionMatch: 'exact',
  contactVp: 'from-3.0',
  refusalVp: 'requested',
  messageQueue: 64,
  secondClient: 'refuse',
  secondConnectionId: 5,
  monitors: 'nic-and-scsi',
  shortOffers: false,
  channelConnections: 'by-sint',
  signalFlag: 'ignore',
  oddGpadls: 'accept',
  failureStatus: STATUS_UNSUCCESSFUL,
  torndownWhileOpen: 'by-version',
  teardownAfterClose: 'answered',
  ringUnstickTicks: 0,
  ringPollTicks: 0,
  throttleSignals: 0,
  emptyCompletion: 'tolerate',
  revoke: 'complete',
  cancelPacket: 'accept',
  rndisReset: 'answer',
  malformedStatus: true,
  vfAssociation: false,
  tableOffset: 'too-small',
  rangesPerPacket: 32,
  rxMessageLength: 'exact',
  ppiEvery: 3,
};

/** QEMU's VMBus (`hw/hyperv`) on KVM: old and forgiving. */
export const QEMU: HostKnobs = {
  ...WINDOWS,
  maskedSint: 'keep',
  eomScope: 'vp',
  scontrolReset: 0,
  offerPacing: 'one-by-one',
  echoVersion: false,
  throttleStatus: HvStatus.INSUFFICIENT_BUFFERS,
  versionMatch: 'at-most',
  contactVp: 'always',
  messageQueue: 16,
  monitors: 'none',
  channelConnections: 'from-16',
  signalFlag: 'refuse',
  oddGpadls: 'ignore',
  failureStatus: 1,
  torndownWhileOpen: 'immediate',
  malformedStatus: false,
  rangesPerPacket: 1,
  ppiEvery: 0,
};

/** OpenVMM: strict where Windows is not, and without the courtesies of TLFS. */
export const OPENVMM: HostKnobs = {
  ...WINDOWS,
  overlay: 'overwrite',
  osIdZero: 'independent',
  hypercallPageWithoutOsId: 'accepted',
  slotScan: 'exit',
  eomScope: 'vp',
  messageWithoutPage: 'keep',
  ringUnstickTicks: 100 * TICKS_PER_MS,
  throttleStatus: HvStatus.INSUFFICIENT_BUFFERS,
  backPressure: 'unbounded',
  torndownWhileOpen: 'deferred',
  emptyCompletion: 'fatal',
  revoke: 'silent',
  refusalVp: 'previous',
  cancelPacket: 'fatal',
  rndisReset: 'fatal',
  malformedStatus: false,
  tableOffset: 'right',
  rangesPerPacket: 375,
  rxMessageLength: 'sub-allocation',
  ppiEvery: 1,
};
