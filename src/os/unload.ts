// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Unloading without closing anything first, as an OS does before it starts another kernel (Linux
 * vmbus_initiate_unload): the host closes all channels and lets go of all memory by itself. In two
 * forms: for kexec, where everything still works, and after a crash, where nothing can be relied on
 * and the answer may lie in the message page of any processor (vmbus_wait_for_unload).
 */

import type { HyperV } from '../hyperv/hyperv.ts';
import type { ReceivedMessage } from '../hyperv/message.ts';
import { TICKS_PER_MS } from '../time.ts';
import type { VmbusBus } from '../vmbus/bus.ts';
import type { VmbusConnection } from '../vmbus/connection.ts';
import {
  MessageHeader,
  MessageType,
  VMBUS_MESSAGE_TYPE,
  VmbusVersion,
  versionText,
} from '../vmbus/protocol.ts';

/**
 * How long a crash waits, in ms: a host on Azure first writes its disk caches, for up to 50 s
 * (Linux UNLOAD_WAIT_MS, 77db0ec8b776).
 */
const CRASH_TIMEOUT_MS = 100_000;

/** Time between two looks at the message pages, in ms (Linux UNLOAD_DELAY_UNIT_MS). */
const CRASH_POLL_MS = 10;

/** How often the wait says that it is still waiting, in ms (Linux UNLOAD_MSG_MS). */
const CRASH_REPORT_MS = 5000;

/** Messages taken from one slot in one look: a host that never stops must not keep us. */
const MESSAGES_PER_LOOK_MAX = 64;

/** How to unload. */
export interface UnloadOptions {
  /** How long the host may take, in ms; by default the connection's limit, 100 s in a crash. */
  readonly timeoutMs?: number | undefined;
  /** The guest has crashed: no message but the answer is looked at, wherever it may lie. */
  readonly crash?: CrashOptions | undefined;
}

export interface CrashOptions {
  /**
   * Guest physical addresses of the message pages of all processors. Those of processors that never
   * came up are undefined or 0 (Linux scans the present ones only).
   */
  readonly messagePages: readonly (number | undefined)[];
}

/**
 * What became of it:
 *
 * - `answered`: the host has let go of everything
 * - `unanswered`: it has not said so in time
 * - `not-posted`: it could not even be asked
 * - `not-supported`: nothing was sent: the connection is older than 3.0, such hosts never answer
 * - `not-connected`: there was nothing to unload, or it was done already
 */
export type UnloadResult =
  'answered' | 'unanswered' | 'not-posted' | 'not-supported' | 'not-connected';

/**
 * Leave without closing anything: the host is asked to let go of all at once, then everything is
 * forgotten. {@link VmbusBus.remove} afterwards only gives back SINT and pages. Never throws.
 *
 * Afterwards there is no connection, whatever the host says: it is done once only, so that a crash
 * during a kexec does not ask twice.
 *
 * @returns what became of it; unless it was `answered`, the ledger keeps all that was shared
 */
export function initiateUnload(bus: VmbusBus, options: UnloadOptions = {}): UnloadResult {
  const { connection, gpadls } = bus;
  if (!connection.mustUnload) return 'not-connected';
  const result = unload(connection, options);
  const by = result === 'answered' ? 'UNLOAD_RESPONSE' : undefined;
  connection.disconnected(by);
  gpadls.forgetAll(by);
  for (const device of [...bus.devices].reverse()) {
    device.abandon();
    device.instance?.abandoned?.(by !== undefined);
  }
  bus.lost();
  return result;
}

function unload(connection: VmbusConnection, options: UnloadOptions): UnloadResult {
  const { hv, version, sint } = connection;
  const { log } = hv;

  // Hosts before 2012 R2 take UNLOAD for nothing (Linux: below VERSION_WIN8_1 it is not sent)
  if (version < VmbusVersion.V3_0) {
    log.warning('VMBUS', '', `host at version ${versionText(version)} cannot be unloaded`);
    return 'not-supported';
  }
  const unposted = log.attempt('error', 'VMBUS', '', 'could not ask the host to unload', () => {
    // One that was interrupted while it waited is on its way already
    if (connection.mustUnload !== 'sent') connection.post(MessageType.UNLOAD);
    connection.mustUnload = 'sent';
  });
  if (unposted) return 'not-posted';

  // Wait for response. A clock that stands still, a message too many: go on without it
  let answered = true;
  const { crash, timeoutMs } = options;
  const failed = log.attempt('error', 'VMBUS', '', 'host did not unload', () => {
    if (crash !== undefined) {
      answered = waitInCrash(hv, sint, crash.messagePages, timeoutMs ?? CRASH_TIMEOUT_MS);
      return;
    }
    const limitMs = timeoutMs ?? connection.options.unloadTimeoutMs;
    connection.wait(MessageType.UNLOAD_RESPONSE, MessageHeader.size, undefined, limitMs);
  });
  return !failed && answered ? 'answered' : 'unanswered';
}

/** Look into every processor's slot until one holds the answer. All slots are empty afterwards. */
function waitInCrash(
  hv: HyperV,
  sint: number,
  pages: readonly (number | undefined)[],
  timeoutMs: number,
): boolean {
  const { clock } = hv;
  const begin = clock.now();
  let answered = false;
  let reported = 0;
  for (;;) {
    for (const page of pages) {
      if (page !== undefined && page !== 0) answered = lookInto(hv, page, sint) || answered;
    }
    if (answered) return true;
    const elapsedMs = (clock.now() - begin) / TICKS_PER_MS;
    if (elapsedMs >= timeoutMs) break;
    if (elapsedMs - reported >= CRASH_REPORT_MS) {
      reported = elapsedMs;
      hv.log.info('VMBUS', '', 'waiting for the host to unload');
    }
    hv.delay(CRASH_POLL_MS);
  }
  hv.log.error('VMBUS', '', `host did not unload within ${timeoutMs} ms: going on`);
  return false;
}

/** Empty a slot. Returns whether the answer was in it; all else is of no use any more. */
function lookInto(hv: HyperV, page: number, sint: number): boolean {
  let answered = false;
  for (let i = 0; i < MESSAGES_PER_LOOK_MAX; i++) {
    const message = hv.receiveMessage(sint, page);
    if (message === undefined) break;
    answered ||= isUnloadResponse(message);
  }
  return answered;
}

function isUnloadResponse({ type, view, length }: ReceivedMessage): boolean {
  if (type !== VMBUS_MESSAGE_TYPE || length < MessageHeader.size) return false;
  return view.getUint32(MessageHeader.at.type, true) === MessageType.UNLOAD_RESPONSE;
}
