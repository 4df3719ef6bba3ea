// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The connections of the drivers in one guest, by their SINTs: several may be on the same
 * {@link HyperV} beside each other, from VMBus 5.0 on.
 */

import { HypxeError } from '../error.ts';
import type { HvPart } from '../hyperv/hyperv-options.ts';
import type { HyperV } from '../hyperv/hyperv.ts';
import { Msr, SINT_COUNT, Sint } from '../hyperv/protocol.ts';
import type { VmbusConnection } from '../vmbus/connection.ts';
import { VMBUS_MESSAGE_SINT } from '../vmbus/protocol.ts';

/** Plugs into the hypervisor layer, so that all who use it find the same one. */
interface ConnectionTable extends HvPart {
  /** All connections, each with the feature flags that it has agreed on, 0 below 6.0. */
  readonly connections: Map<VmbusConnection, number>;
}

/** The connections on a hypervisor layer, of whatever bundle. */
export function connectionsOf({ parts }: HyperV): Map<VmbusConnection, number> {
  for (const part of parts) {
    if ('connections' in part) return (part as ConnectionTable).connections;
  }
  const table: ConnectionTable = { connections: new Map(), unmapping() {} };
  parts.push(table);
  return table.connections;
}

/** Whether another driver has VMBus's own SINT, and this one a SINT beside it. */
export function isSecondary({ sint }: VmbusConnection): boolean {
  return sint !== VMBUS_MESSAGE_SINT;
}

/**
 * Take a connection's SINT for it. That of a secondary driver must be masked before: somebody else
 * in the guest may use it, a timer or a driver of its own. VMBus's own is taken over from whoever
 * had it.
 *
 * @throws HypxeError BadSint, SintInUse
 */
export function claimSint(connection: VmbusConnection): void {
  const { hv, sint } = connection;
  // SINT 0 is the hypervisor's
  if (!Number.isInteger(sint) || sint < 1 || sint >= SINT_COUNT) {
    throw new HypxeError('BadSint', `there is no SINT ${sint} for a driver`);
  }
  const connections = connectionsOf(hv);
  const others = [...connections.keys()].filter((other) => other !== connection);
  const unmasked = (): boolean => (hv.platform.read(Msr.SINT0 + sint) & Sint.MASKED) === 0n;
  if (
    others.some((other) => other.sint === sint) ||
    (isSecondary(connection) && !connections.has(connection) && unmasked())
  ) {
    throw new HypxeError('SintInUse', `SINT ${sint} is in use`);
  }
  connections.set(connection, 0);
}

/** Whether another driver posts to a message port: no host tells them apart then. */
export function isPortOfOther(connection: VmbusConnection, port: number): boolean {
  for (const other of connectionsOf(connection.hv).keys()) {
    if (other !== connection && other.version !== 0 && other.port === port) return true;
  }
  return false;
}
