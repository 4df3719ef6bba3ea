// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * How the OS disconnects (Linux `vmbus_initiate_unload`, `vmbus_wait_for_unload`): in an orderly
 * end the interrupt handler gets the answer, whenever it comes; in a crash the answer is looked for
 * in the message pages of all processors, since it goes to the one that once contacted the host.
 */

import { HvCall, HvMessageType, Msr, SynicMessage } from '../../src/hyperv/protocol.ts';
import { initiateUnload as unload } from '../../src/os/unload.ts';
import { TICKS_PER_MS } from '../../src/time.ts';
import {
  MessageHeader,
  MessageType,
  VMBUS_MESSAGE_TYPE,
  VmbusVersion,
} from '../../src/vmbus/protocol.ts';
import { wordBytes } from '../../src/wire.ts';
import { POST_LATER, fillMessage } from './os-hyperv.ts';
import type { OsKernel } from './os-kernel.ts';
import { OsOops } from './os-oops.ts';
import type { OsProcessor } from './os-processor.ts';

/** Pause between two looks at the message pages, and how often they are looked at: 100 s. */
const UNLOAD_DELAY_MS = 10;
const UNLOAD_LOOPS = 10_000;

/** The same when the time was 10 s (Linux 911e1987efc8). */
const UNLOAD_LOOPS_SHORT = 1000;

/** How often a message is posted that the host has no room for. */
const POST_TRIES_MAX = 100;

/**
 * Leave the connection, once (`xchg` of `conn_state`): whether UNLOAD is to be sent. Hosts before
 * 2012 R2 never answer (LIS 5ad123ae).
 */
function mustUnload(kernel: OsKernel): boolean {
  const { vmbusVersion, connectionState } = kernel;
  kernel.connectionState = 'disconnected';
  if (connectionState === 'disconnected' || kernel.has('no-unload')) return false;
  return vmbusVersion >= VmbusVersion.V3_0 || kernel.has('unload-on-old-host');
}

/** Disconnect in an orderly end, and wait for the answer for as long as it takes. */
export function initiateUnload(kernel: OsKernel): void {
  if (!mustUnload(kernel)) return;
  const { bus } = kernel;
  const { connection } = bus;
  const result = unload(bus, { timeoutMs: Infinity });
  if (result === 'not-supported') connection.unload(Infinity);
  // What Linux has a connection state for: nobody answers the second one
  if (kernel.has('unload-twice')) connection.unload(Infinity);
}

/** Disconnect in a crash on processor `cpu`, and wait for the answer for 100 s. */
export function initiateUnloadInCrash(kernel: OsKernel, cpu: OsProcessor): void {
  if (!mustUnload(kernel)) return;
  postUnload(kernel, cpu);
  if (kernel.has('unload-waits-for-interrupt')) for (;;) cpu.machine.pause();
  const loops = kernel.has('unload-short-wait') ? UNLOAD_LOOPS_SHORT : UNLOAD_LOOPS;
  const pages = messagePages(kernel, cpu);
  let answered = false;
  for (let i = 0; i < loops && !answered; i++) {
    answered = lookForAnswer(kernel, cpu, pages);
    if (!answered) delay(cpu);
  }
  if (!answered) kernel.log.error('VMBUS', '', 'timed out waiting for UNLOAD, continuing');

  // Whoever connects next can get messages again, wherever they come
  if (!kernel.has('unload-keeps-others')) {
    for (const page of pages) {
      kernel.memory.set32(page.slot + SynicMessage.at.type, HvMessageType.NONE);
    }
  }
}

/** The processors whose message pages are looked at: all that have one. */
function messagePages(kernel: OsKernel, cpu: OsProcessor): readonly OsProcessor[] {
  if (kernel.has('unload-own-page-only')) return [cpu];
  const present = kernel.options.processors.length;
  if (kernel.has('scans-absent-pages') && kernel.processors.length < present) {
    throw new OsOops(`vmbus_wait_for_unload: VP ${kernel.processors.length} has no message page`);
  }
  return kernel.processors.filter(({ messagePage }) => messagePage !== 0);
}

/** Look into all slots, and take what is there: the answer, or what is in its way. */
function lookForAnswer(kernel: OsKernel, cpu: OsProcessor, pages: readonly OsProcessor[]): boolean {
  let answered = false;
  for (const page of pages) {
    const { memory } = kernel;
    const type = memory.u32(page.slot + SynicMessage.at.type);
    if (type === HvMessageType.NONE) continue;
    const message = page.slot + SynicMessage.at.data + MessageHeader.at.type;
    const isAnswer =
      type === VMBUS_MESSAGE_TYPE && memory.u32(message) === MessageType.UNLOAD_RESPONSE;
    if (!isAnswer && kernel.has('unload-keeps-others')) continue;
    answered ||= isAnswer;
    page.takeMessage(cpu.platform);
  }
  return answered;
}

/** Post UNLOAD from the crashing processor, on the page that it has for that. */
function postUnload(kernel: OsKernel, { platform, inputPage, machine }: OsProcessor): void {
  const header = wordBytes(MessageHeader.size, MessageType.UNLOAD, 0);
  const { memory, hv } = kernel;
  for (let i = 0; i < POST_TRIES_MAX; i++) {
    fillMessage({ memory }, inputPage, hv.lastConnectionId, VMBUS_MESSAGE_TYPE, header);
    const status = platform.call(BigInt(HvCall.POST_MESSAGE), BigInt(inputPage));
    if (!POST_LATER.includes(status)) return;
    delay({ platform, machine });
  }
}

/** `mdelay`: time passes, and nothing else. */
function delay({ machine, platform }: Pick<OsProcessor, 'machine' | 'platform'>): void {
  const end = platform.read(Msr.TIME_REF_COUNT) + BigInt(UNLOAD_DELAY_MS * TICKS_PER_MS);
  do machine.pause();
  while (platform.read(Msr.TIME_REF_COUNT) < end);
}
