// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The two ways in which a kernel ends for another one, in Linux's exact order: kexec
 * (`hv_machine_shutdown`) and crash (`hv_machine_crash_shutdown`).
 */

import type { Platform } from '../../src/hyperv/platform.ts';
import { HV_ENABLE, Msr } from '../../src/hyperv/protocol.ts';
import type { MemoryRange } from '../../src/machine.ts';
import type { OsKernel } from './os-kernel.ts';
import { initiateUnload, initiateUnloadInCrash } from './os-unload.ts';

/**
 * End for a next kernel, which gets all memory.
 *
 * @returns its memory map
 */
export function kexec(kernel: OsKernel): readonly MemoryRange[] {
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
  return kernel.options.memoryMap;
}

/**
 * Crash on a processor: nothing can be relied on but this processor, and the others stop where they
 * are. That is a known hole: their pages stay as they were (Linux Documentation/virt/hyperv).
 *
 * @param vp processor that crashes
 * @returns the memory map of the crash kernel
 */
export function crash(kernel: OsKernel, vp: number): readonly MemoryRange[] {
  const cpu = kernel.processors.find(({ index }) => index === vp)!;
  initiateUnloadInCrash(kernel, cpu);
  if (!kernel.has('timers-left')) cpu.stopTimer();
  if (!kernel.has('synic-left')) cpu.disableSynic();
  if (!kernel.has('vp-assist-left')) cpu.disableAssistPage();
  cleanUp(kernel, cpu.platform);
  return kernel.ram.crashMap();
}

/** `hyperv_cleanup`: identity, hypercall page, reference TSC page. Only enable bits are cleared. */
function cleanUp(kernel: OsKernel, platform: Platform): void {
  if (!kernel.has('identity-left')) platform.write(Msr.GUEST_OS_ID, 0n);
  if (!kernel.has('hypercall-page-left')) disableHypercallPage(platform);
  if (!kernel.has('tsc-page-left')) kernel.tsc.unmap(platform);
}

/** arm64 has none. */
function disableHypercallPage(platform: Platform): void {
  if (platform.hypercallPage === undefined) return;
  platform.write(Msr.HYPERCALL, platform.read(Msr.HYPERCALL) & ~HV_ENABLE);
}

/** Another processor still runs, and calls the host, when the page is gone. */
function useHypercallPageTooLate(kernel: OsKernel): void {
  const { platform } = kernel.boot;
  if (platform.hypercallPage === undefined) return;
  const page = platform.read(Msr.HYPERCALL) & ~0xfffn;
  disableHypercallPage(platform);
  kernel.processors.at(-1)!.hypercall(0n, 0n, Number(page));
}
