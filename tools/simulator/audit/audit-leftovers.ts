// SPDX-License-Identifier: GPL-2.0-or-later

/** Check 10: messages and event flags that nobody took, and messages that still come. */

import { VMBUS_MESSAGE_SINT, VMBUS_MESSAGE_TYPE } from '../../../src/vmbus/protocol.ts';
import { hex } from '../base/hex.ts';
import type { SimulatedMachine } from '../machine.ts';
import type { ClientInspection } from '../vmbus-server/inspection.ts';
import type { Finding } from './audit-findings.ts';

/** A second driver of the guest has a connection of its own, and must end it as well. */
export function ofClient({ client }: ClientInspection, text: string): string {
  return client === 'primary' ? text : `second VMBus client: ${text}`;
}

/** Message slots that are not empty. */
export function fullSlots(machine: SimulatedMachine) {
  const { inspection } = machine.partition;
  const vps = Array.from({ length: inspection.processorCount }, (_, vp) => vp);
  return vps.flatMap((vp) =>
    inspection.slots(vp).flatMap((slot) => (slot.type === 0 ? [] : [{ vp, ...slot }])),
  );
}

/** A message that was left in its slot. */
export function leftMessage({ vp, sint, type }: ReturnType<typeof fullSlots>[number]) {
  const text = `a message of type ${hex(type)} is left in the slot of SINT${sint} of VP ${vp}`;
  return { check: 'leftovers', severity: 'warning', text, vp } as const satisfies Finding;
}

/** Audit slots, queues and event flags of all virtual processors. */
export function leftovers(
  machine: SimulatedMachine,
  clients: readonly ClientInspection[],
): Finding[] {
  const { inspection } = machine.partition;
  const findings: Finding[] = [];
  const report = (text: string, vp?: number): void => {
    const where = vp === undefined ? {} : { vp };
    findings.push({ check: 'leftovers', severity: 'warning', text, ...where });
  };
  for (let vp = 0; vp < inspection.processorCount; vp++) {
    for (const { sint, queued, pending } of inspection.slots(vp)) {
      if (queued > 0) report(`${messages(queued)} behind SINT${sint} of VP ${vp}`, vp);
      else if (pending) report(`the pending flag of SINT${sint} of VP ${vp} is set`, vp);
    }
    for (const { sint, flag } of inspection.eventFlags(vp)) {
      report(`event flag ${flag} of SINT${sint} of VP ${vp} is set`, vp);
    }
  }
  for (const slot of fullSlots(machine)) {
    const ofVmbus = slot.sint === VMBUS_MESSAGE_SINT && slot.type === VMBUS_MESSAGE_TYPE;
    if (!ofVmbus) findings.push(leftMessage(slot));
  }
  for (const client of clients) {
    const { hostMessagesQueued: queued } = client;
    if (queued > 0) report(ofClient(client, `${messages(queued)} of VMBus not delivered yet`));
  }
  return findings;
}

/** `1 message`, `2 messages`. */
export function messages(count: number): string {
  return `${count} message${count === 1 ? '' : 's'}`;
}
