// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Unloading without closing anything first, as an OS does before it starts another kernel (Linux
 * vmbus_initiate_unload): the host closes all channels and lets go of all memory by itself. In two
 * forms: for kexec, where everything still works, and after a crash, where nothing can be relied on
 * and the answer may lie in the message page of any processor (vmbus_wait_for_unload).
 */

import { HypxeError } from '../error.ts';
import type { HyperV } from '../hyperv/hyperv.ts';
import type { ReceivedMessage } from '../hyperv/synic.ts';
import { TICKS_PER_MS } from '../time.ts';
import type { VmbusConnection } from './connection.ts';
import {
  MessageHeader,
  MessageType,
  VMBUS_MESSAGE_TYPE,
  VmbusVersion,
  versionText,
} from './protocol.ts';

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
 * Unload a connection. Never throws. Afterwards there is no connection, whatever the host says: it
 * is done once only, so that a crash during a kexec does not ask twice. Unless it was `answered`
 * all that was shared with the host stays so in the ledger.
 */
export function initiateUnload(
  connection: VmbusConnection,
  options: UnloadOptions = {},
): UnloadResult {
  if (!connection.mustUnload) return 'not-connected';
  const { log } = connection.hv;

  // Hosts before 2012 R2 take UNLOAD for nothing (Linux: below VERSION_WIN8_1 it is not sent)
  const { version } = connection;
  if (version < VmbusVersion.V3_0) {
    connection.disconnected(undefined);
    log.warning('VMBUS', '', `host at version ${versionText(version)} cannot be unloaded`);
    return 'not-supported';
  }
  try {
    connection.postUnload();
  } catch (error) {
    if (!(error instanceof HypxeError)) throw error;
    connection.disconnected(undefined);
    log.error('VMBUS', '', `could not ask the host to unload: ${error.message}`);
    return 'not-posted';
  }

  // Wait for response
  const answered = waitForUnload(connection, options);
  connection.disconnected(answered ? 'UNLOAD_RESPONSE' : undefined);
  return answered ? 'answered' : 'unanswered';
}

function waitForUnload(connection: VmbusConnection, options: UnloadOptions): boolean {
  const { crash, timeoutMs } = options;
  try {
    if (crash !== undefined) {
      const { hv, sint } = connection;
      return waitInCrash(hv, sint, crash.messagePages, timeoutMs ?? CRASH_TIMEOUT_MS);
    }
    const limitMs = timeoutMs ?? connection.unloadTimeoutMs;
    connection.wait(MessageType.UNLOAD_RESPONSE, MessageHeader.size, undefined, limitMs);
    return true;
  } catch (error) {
    // A clock that stands still, a message too many: go on without the answer
    if (!(error instanceof HypxeError)) throw error;
    connection.hv.log.error('VMBUS', '', `host did not unload: ${error.message}`);
    return false;
  }
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
    const message = hv.receiveMessageFrom(page, sint);
    if (message === undefined) break;
    answered ||= isUnloadResponse(message);
  }
  return answered;
}

function isUnloadResponse({ type, view, length }: ReceivedMessage): boolean {
  if (type !== VMBUS_MESSAGE_TYPE || length < MessageHeader.size) return false;
  return view.getUint32(MessageHeader.at.type, true) === MessageType.UNLOAD_RESPONSE;
}
