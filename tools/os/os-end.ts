// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The two ways in which a kernel ends for another one, in Linux's exact order: kexec
 * (`hv_machine_shutdown`) and crash (`panic`, then `hv_machine_crash_shutdown`). On arm64 nobody
 * registers the handlers of either (`hv_setup_kexec_handler` and its likes are weak and do
 * nothing), so that only what a panic says is said there.
 */

import type { Platform } from '../../src/hyperv/platform.ts';
import { CrashControl, HvStatus, Msr } from '../../src/hyperv/protocol.ts';
import { PAGE_SIZE, type MemoryRange } from '../../src/machine.ts';
import { crashRegisters } from '../../src/os/crash-report.ts';
import type { OsKernel } from './os-kernel.ts';
import type { OsProcessor } from './os-processor.ts';
import { initiateUnload, initiateUnloadInCrash } from './os-unload.ts';

/** What a kernel leaves for the next one. */
export interface KernelEnd {
  readonly memoryMap: readonly MemoryRange[];
  /** Where it could clean up only in part. Undefined if it did all. */
  readonly hole: KernelHole | undefined;
}

/** What Linux is known to leave. */
export interface KernelHole {
  /** Why, in words. */
  readonly reason: string;
  /** Whether that goes for the connection, too; if not, it is unloaded. */
  readonly connected: boolean;
}

/**
 * End for a next kernel, which gets all memory.
 *
 * @param orderly on every architecture: as a loader that gives the machine back
 */
export function kexec(kernel: OsKernel, orderly = false): KernelEnd {
  const { memoryMap } = kernel.options;
  if (kernel.boot.machine.architecture === 'arm64' && !orderly) {
    const reason = 'Linux on arm64 has no handler for kexec';
    return { memoryMap, hole: { reason, connected: true } };
  }
  // hv_kexec_handler: timers, connection, the SynIC of every processor
  if (!kernel.has('timers-left')) for (const cpu of kernel.processors) cpu.stopTimer();
  if (kernel.has('hypercall-page-off-early')) useHypercallPageTooLate(kernel);
  initiateUnload(kernel);
  for (const cpu of kernel.processors) {
    const others = kernel.has('synic-of-others-left') && cpu !== kernel.boot;
    if (!others && !kernel.has('synic-left')) cpu.disableSynic();
  }

  // hv_cpu_die on every processor, then the others stop
  if (!kernel.has('vp-assist-left')) for (const cpu of kernel.processors) cpu.disableAssistPage();
  cleanUp(kernel, kernel.boot.platform);
  return { memoryMap, hole: undefined };
}

/**
 * Crash on a processor, at any time: nothing can be relied on but this processor, and the others
 * stop where they are. That is a known hole: their pages stay as they were, and so does the VP
 * assist page of the crashing one (Linux Documentation/virt/hyperv).
 *
 * @param vp processor that crashes
 */
export function crash(kernel: OsKernel, vp: number): KernelEnd {
  const { gate } = kernel;
  gate?.open();
  const cpu = kernel.processors.find(({ index }) => index === vp)!;
  const memoryMap = kernel.ram.crashMap();
  const connecting = kernel.connectionState === 'connecting';

  // panic: the notifier unloads, then the log is told to the host
  if (!connecting) initiateUnloadInCrash(kernel, cpu);
  reportPanic(kernel, cpu);
  if (cpu.machine.architecture === 'arm64') {
    const reason = 'Linux on arm64 has no handler for crashes';
    return { memoryMap, hole: { reason, connected: connecting } };
  }

  // hv_crash_handler, then hyperv_cleanup
  if (kernel.handlers) {
    if (!kernel.has('timers-left')) cpu.stopTimer();
    if (!kernel.has('synic-left')) cpu.disableSynic();
  }
  cleanUp(kernel, cpu.platform);
  if (connecting) {
    return {
      memoryMap,
      hole: { reason: 'Linux does not unload while it connects', connected: true },
    };
  }
  const reason = 'Linux registers its crash handler after it connects';
  return { memoryMap, hole: kernel.handlers ? undefined : { reason, connected: false } };
}

/** `hyperv_cleanup`: identity, hypercall page, reference TSC page. Only enable bits are cleared. */
function cleanUp(kernel: OsKernel, platform: Platform): void {
  if (!kernel.has('identity-left')) platform.write(Msr.GUEST_OS_ID, 0n);
  if (!kernel.has('hypercall-page-left')) kernel.disableHypercallPage(platform);
  if (!kernel.has('tsc-page-left')) kernel.tsc.unmap(platform);
}

/** What the log of the crash says (`hyperv_report_panic_msg`): the host reads it at once. */
function reportPanic(kernel: OsKernel, { platform }: OsProcessor): void {
  const { panicPage, crashControl, memory } = kernel;
  if (panicPage === 0 || !(crashControl & CrashControl.NOTIFY)) return;
  const withMessage = (crashControl & CrashControl.MESSAGE) !== 0n;
  const text = 'Kernel panic - not syncing: sysrq triggered crash';
  for (let i = 0; i < Math.min(text.length, PAGE_SIZE); i++) {
    memory.set8(panicPage + i, text.charCodeAt(i));
  }
  const crash = crashRegisters(platform);
  for (const parameter of [0, 1, 2]) platform.write(crash.CRASH_P0 + parameter, 0n);
  platform.write(crash.CRASH_P3, withMessage ? BigInt(panicPage) : 0n);
  platform.write(crash.CRASH_P4, withMessage ? BigInt(text.length) : 0n);
  platform.write(crash.CRASH_CTL, CrashControl.NOTIFY | (withMessage ? CrashControl.MESSAGE : 0n));
}

/** Another processor still runs, and calls the host, when the page is gone. */
function useHypercallPageTooLate(kernel: OsKernel): void {
  if (kernel.hypercallPage === 0) return;
  kernel.disableHypercallPage(kernel.boot.platform);
  const status = kernel.processors.at(-1)!.platform.call(0n, 0n);
  if (status === HvStatus.SUCCESS) kernel.log.error('HV', '', 'a call without a page succeeded');
}
