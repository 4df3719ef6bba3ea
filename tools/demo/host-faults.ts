// SPDX-License-Identifier: GPL-2.0-or-later

/** What the host of a page can do wrong, until the firmware hands over for the first time. */

import { HvCall, HvStatus } from '../../src/hyperv/protocol.ts';
import { MessageType, VMBUS_MESSAGE_SINT } from '../../src/vmbus/protocol.ts';
import type { LiveOption } from '../report/live.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { MessageFault } from '../simulator/hypervisor/partition-faults.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { BadChoice } from './choice.ts';

/** How late an answer is, in ms: more than a firmware waits for one. */
const LATE_MS = 30_000;

/** Posts that a busy host refuses, of three that come one after the other two. */
const BUSY = { refused: 2, of: 3 };

/** Puts a fault into a machine. */
type Fault = (machine: SimulatedMachine) => void;

interface Choice {
  readonly text: string;
  readonly fault: Fault;
}

const FAULTS: Readonly<Record<string, Choice>> = {
  'unload-lost': lost(MessageType.UNLOAD_RESPONSE, 'never answers UNLOAD'),
  'teardown-lost': lost(MessageType.GPADL_TORNDOWN, 'never answers GPADL_TEARDOWN'),
  'teardown-late': {
    text: `answers GPADL_TEARDOWN ${LATE_MS / 1000} s late`,
    fault: onMessage(MessageType.GPADL_TORNDOWN, { delayTicks: LATE_MS * TICKS_PER_MS }),
  },
  'open-lost': lost(MessageType.OPEN_CHANNEL_RESULT, 'never answers OPEN_CHANNEL'),
  'contact-lost': lost(MessageType.VERSION_RESPONSE, 'never answers INITIATE_CONTACT'),
  'offers-lost': lost(MessageType.OFFER_CHANNEL, 'loses the offers of channels'),
  twice: {
    text: 'says everything twice',
    fault: ({ partition }) => {
      partition.faults.message = (_vp, sint) =>
        sint === VMBUS_MESSAGE_SINT ? { copies: 2 } : undefined;
    },
  },
  busy: {
    text: 'is out of buffers for two of three messages',
    fault: ({ partition }) => {
      let posts = 0;
      partition.faults.hypercall = (code) =>
        code === HvCall.POST_MESSAGE && posts++ % BUSY.of < BUSY.refused
          ? HvStatus.INSUFFICIENT_BUFFERS
          : undefined;
    },
  },
  withheld: {
    text: 'completes no frame of the guest',
    fault: ({ nics }) => {
      for (const { faults } of nics) faults.withhold = () => true;
    },
  },
};

/** No fault. */
export const NO_FAULT = 'none';

/** All faults, and none. */
export const FAULT_OPTIONS: readonly LiveOption[] = [
  { value: NO_FAULT, text: 'does what it should' },
  ...Object.entries(FAULTS).map(([value, { text }]) => ({ value, text })),
];

/** Put a fault into a machine. @throws BadChoice for what is not in {@link FAULT_OPTIONS} */
export function injectFault(machine: SimulatedMachine, name: string): void {
  if (name === NO_FAULT) return;
  const found = Object.hasOwn(FAULTS, name) ? FAULTS[name] : undefined;
  if (found === undefined) throw new BadChoice(`there is no fault named ${name}`);
  found.fault(machine);
}

/** From now on the host does nothing wrong. */
export function endFault({ partition, nics }: SimulatedMachine): void {
  partition.faults.message = partition.faults.hypercall = undefined;
  for (const nic of nics) {
    delete nic.faults.withhold;
    nic.releaseTransmits();
  }
}

/** A host that never sends messages of a type. */
function lost(type: number, text: string): Choice {
  return { text, fault: onMessage(type, { drop: true }) };
}

/** What becomes of all VMBus messages of a type. */
function onMessage(type: number, fault: MessageFault): Fault {
  return ({ partition }) => {
    partition.faults.message = (_vp, sint, _type, payload) => {
      if (sint !== VMBUS_MESSAGE_SINT || payload.length < 4) return undefined;
      const { buffer, byteOffset } = payload;
      return new DataView(buffer, byteOffset).getUint32(0, true) === type ? fault : undefined;
    };
  };
}
