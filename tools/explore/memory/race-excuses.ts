// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a host on another processor sees, and is not the guest's doing: what faults beside the race
 * explain, once they have been carried out, and nothing else. A race alone explains nothing, nor
 * does an earlier owner, a network, a NIC that comes or goes, or memory that is short.
 */

import type { ViolationLayer } from './race-host.ts';
import type { Fault, Place } from '../plan.ts';

/** The layers that talk over rings. */
const OVER_RINGS: readonly ViolationLayer[] = ['ring', 'nvsp', 'rndis', 'utility'];

/** Where a fault at a place may make a sound guest break the protocol. */
const EXPLAINS: Partial<Record<Place, readonly ViolationLayer[]>> = {
  // A message of the guest's that is lost or refused is one that it believes in, or repeats
  call: ['vmbus'],
  // What it was told was not so: of the bus, and of what is open
  message: ['vmbus', ...OVER_RINGS],
  packet: OVER_RINGS,
  rndis: OVER_RINGS,
  transmit: OVER_RINGS,
  // A register that the host refuses: messages and signals do not reach the guest
  register: ['hypervisor', 'vmbus'],
  // Any shared page, the reference TSC page among them, which the trial itself writes to
  read: ['hypervisor', 'vmbus', ...OVER_RINGS],
};

/** Faults after which a packet may be the guest's for another reason than the host's word. */
const TOUCHES: readonly Place[] = ['message', 'packet', 'rndis', 'transmit', 'read'];

/** A boot that is cut ends what it has begun: a GPADL whose bodies were not all posted. */
const CUTS: readonly string[] = ['handoff', 'give-up'];

/** Whether faults that were carried out explain that the host sees the protocol broken. */
export function explainsViolation(fired: readonly Fault[], layer: ViolationLayer): boolean {
  return fired.some(({ place, kind }) => {
    if (place === 'step') return CUTS.includes(kind) && layer === 'vmbus';
    return EXPLAINS[place]?.includes(layer) === true;
  });
}

/** Whether they explain that the guest touches memory which the host has, or has taken back. */
export function explainsTouch(fired: readonly Fault[]): boolean {
  return fired.some(({ place }) => TOUCHES.includes(place));
}
