// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * How a kernel finds the hypervisor and makes it ready, in Linux's order: clock, identity,
 * hypercall page, the pages of each processor, then the SynIC of all.
 */

import { HypxeError, type ErrorName } from '../../src/error.ts';
import { crashRegisters } from '../../src/os/crash-report.ts';
import { referenceTsc } from '../../src/os/reference-tsc.ts';
import {
  Cpuid,
  HV_ENABLE,
  HV_PAGE_REGISTER_MASK,
  HvFeature,
  HvMiscFeature,
  HvPrivilege,
  Msr,
} from '../../src/hyperv/protocol.ts';
import type { Log } from '../../src/events.ts';
import type { Machine } from '../../src/machine.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { OsHyperV } from './os-hyperv.ts';
import type { OsProcessor, TakePage } from './os-processor.ts';
import type { LinuxVersion } from './os-versions.ts';
import type { ReferenceTsc } from './reference-tsc.ts';

/** A kernel that starts. */
export interface StartingKernel {
  readonly options: { readonly processors: readonly Machine[] };
  readonly linux: LinuxVersion;
  readonly vp: number;
  readonly log: Log;
  readonly memory: GuestMemory;
  readonly takePage: TakePage;
  readonly hv: OsHyperV;
  readonly tsc: ReferenceTsc;
  readonly processors: readonly OsProcessor[];
  /** The processor that it starts on. */
  readonly boot: OsProcessor;
  /** What it finds out, and sets up: hypercall page, panic page, what the host takes of reports. */
  hypercallPage: number;
  panicPage: number;
  crashControl: bigint;
}

/** What Linux cannot do without (`ms_hyperv_platform`, `hv_acpi_init`). */
const NEEDED: readonly (readonly ['eax' | 'ebx', number, ErrorName])[] = [
  ['eax', HvFeature.HYPERCALL, 'NoHypercallRegister'],
  ['eax', HvFeature.SYNIC, 'NoSynic'],
  ['ebx', HvPrivilege.POST_MESSAGES, 'NoPostMessages'],
  ['ebx', HvPrivilege.SIGNAL_EVENTS, 'NoSignalEvents'],
  ['eax', HvFeature.TIME_REF_COUNT, 'NoReferenceTime'],
];

/** CPUID 0x40000003 EAX bit 11: the frequencies can be read. */
const FREQUENCY_ACCESS = 1 << 11;

/** Look for Hyper-V. @throws HypxeError with no register written */
export function detect({ boot: { platform } }: StartingKernel): void {
  platform.identify();
  const facts = platform.facts(Cpuid.HV_FEATURES);
  for (const [word, bit, name] of NEEDED.slice(platform.hypercallPage === undefined ? 1 : 0)) {
    if (facts[word] & bit) continue;
    throw new HypxeError(name, `features are ${facts.eax}:${facts.ebx}`);
  }
}

/** `ms_hyperv_init_platform`, `hv_init_tsc_clocksource`; arm64 has a counter of its own. */
export function startClock(kernel: StartingKernel): void {
  const { tsc, log, memory, options, vp } = kernel;
  const { platform } = kernel.boot;
  const { clock } = kernel.hv;
  if (platform.hypercallPage === undefined) {
    clock.use(platform.clock?.(log));
    return;
  }
  const facts = platform.facts(Cpuid.HV_FEATURES);
  const frequencies =
    (facts.eax & FREQUENCY_ACCESS) !== 0 && (facts.edx & HvMiscFeature.FREQUENCY_MSRS) !== 0;
  if (frequencies) platform.read(Msr.APIC_FREQUENCY);
  tsc.map(kernel.takePage);
  if (frequencies) for (let i = 0; i < 2; i++) platform.read(Msr.TSC_FREQUENCY);
  const machine = options.processors[vp]!;
  const counter = machine.architecture === 'x64' ? machine.rdtsc?.bind(machine) : undefined;
  if (tsc.page !== 0 && counter !== undefined) {
    clock.use(referenceTsc(memory, tsc.page, counter, log));
  }
}

/** `hyperv_init`: what the processor that boots does, then what the others do. */
export function startHypervisor(kernel: StartingKernel): void {
  const { boot, linux, takePage } = kernel;
  const { platform } = boot;
  const arm64 = platform.hypercallPage === undefined;
  const facts = platform.facts(Cpuid.HV_FEATURES);
  if (arm64) platform.write(Msr.GUEST_OS_ID, linux.guestOsId);
  if (facts.edx & HvMiscFeature.GUEST_CRASH) {
    kernel.crashControl = platform.read(crashRegisters(platform).CRASH_CTL);
    kernel.panicPage = takePage('panic message');
  }
  boot.start(takePage);
  if (!arm64) {
    platform.write(Msr.GUEST_OS_ID, linux.guestOsId);
    mapHypercallPage(kernel);
    kernel.hv.queryExtendedCapabilities(facts.ebx, boot.inputPage);
  }
  boot.startTimer('interrupt');
  for (const processor of kernel.processors) {
    if (processor === boot) continue;
    processor.start(takePage);
    processor.startTimer('interrupt');
  }
}

function mapHypercallPage(kernel: StartingKernel): void {
  const { platform } = kernel.boot;
  const page = (kernel.hypercallPage = kernel.takePage('hypercall page'));
  const kept = platform.read(Msr.HYPERCALL) & HV_PAGE_REGISTER_MASK;
  platform.write(Msr.HYPERCALL, kept | BigInt(page) | HV_ENABLE);
  kernel.hv.platform.useHypercallPage?.(page);
  for (const processor of kernel.processors) processor.platform.useHypercallPage?.(page);
}

/** `vmbus_bus_init`: the SynIC of every processor. From here on interrupts come. */
export function startSynic(kernel: StartingKernel): void {
  const { boot, takePage, tsc, log } = kernel;
  if (boot.platform.hypercallPage !== undefined) boot.platform.read(Msr.HYPERCALL);
  for (const processor of kernel.processors) {
    processor.mapSynic(takePage);
    processor.startTimer('message');
  }
  kernel.hv.start(boot.messagePage, boot.eventPage, boot.inputPage);
  const wrong = tsc.check();
  if (wrong !== undefined) log.error('HV', '', wrong);
}
