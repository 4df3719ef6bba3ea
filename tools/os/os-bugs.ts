// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a kernel can get wrong when it starts, ends or crashes, by name: each is something that a
 * real guest got wrong once. Switched on one by one by the scenarios, to show that it is caught.
 */

export const OS_BUGS = {
  'timers-left': 'does not stop its synthetic timers',
  'no-unload': 'does not send UNLOAD',
  'unload-on-old-host': 'sends UNLOAD to hosts that do not know it, and waits for the answer',
  'unload-twice': 'sends UNLOAD a second time, and waits for a second answer',
  'unload-waits-for-interrupt': 'waits, in a crash, for an interrupt handler that has stopped',
  'unload-own-page-only': 'looks, in a crash, for the answer in its own message page alone',
  'unload-keeps-others': 'does not take other messages out of the way of the answer',
  'unload-short-wait': 'waits 10 seconds for the answer in a crash',
  'scans-absent-pages': 'looks into the message pages of processors that have none',
  'synic-of-others-left': 'cleans only the SynIC of the processor that it runs on, in a kexec',
  'synic-left': 'cleans no SynIC at all',
  'vp-assist-left': 'does not disable the VP assist pages',
  'identity-left': 'keeps its guest OS identity',
  'hypercall-page-left': 'does not disable the hypercall page',
  'hypercall-page-off-early': 'disables the hypercall page while other processors still use it',
  'tsc-page-left': 'does not disable the reference TSC page',
  'relid-unchecked': 'looks up the channel of an event before it has a table of channels',
  'answers-to-vp0': 'names VP 0 in INITIATE_CONTACT, wherever it runs',
  'no-post-retries': 'gives up when the host refuses a message for the moment',
} as const;

export type OsBug = keyof typeof OS_BUGS;
