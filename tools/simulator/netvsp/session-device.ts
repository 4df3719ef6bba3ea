// SPDX-License-Identifier: GPL-2.0-or-later

import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import type { ControlDevice } from './control-path.ts';
import type { Blame } from './guest-completion.ts';
import type { ReceiveHost } from './receive-path.ts';
import type { QueueOwner } from './subchannel.ts';

/** What a session takes from the device. */
export interface SessionDevice extends ReceiveHost, ControlDevice {
  readonly services: PartitionServices;
  readonly mtu: number;
  /** GUIDs and the like, which sub-channels share. */
  readonly identity: QueueOwner['identity'];
  /** Queues that the device may have, the primary channel among them. */
  readonly queuesMax: number;
  /** Serial number of the virtual function, from 1. */
  readonly vfSerial: number;
  sendFrame(frame: Uint8Array): void;
  violation(layer: 'nvsp' | 'rndis', text: string): void;
  /** A queue was closed with packets that the guest had not completed. */
  abandoned(packets: number, skipped: number, blame: Blame): void;
}
