// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * hypxe with everything that an operating system adds: the firmware, the parts of `os/`, the
 * integration services and file copy, and what the errors mean.
 */

import { bootWith, type BootOptions as RomOptions, type BootPart } from './boot/boot.ts';
import { withAll } from './boot/whole.ts';
import { HypervDriver, anyPlatform } from './any.ts';
import type { DriverOptions as RomDriverOptions } from './driver.ts';
import { wantsBestClock } from './hyperv/platform.ts';
import type { Machine } from './machine.ts';
import { reportCrash } from './os/crash-report.ts';
import { ReferenceTsc } from './os/reference-tsc.ts';
import {
  BootServices,
  type ServedBootResult,
  type ServiceOptions,
} from './services/boot-services.ts';
import { serviceDrivers } from './services/driver.ts';
import type { IcService } from './services/service.ts';

export interface DriverOptions extends RomDriverOptions {
  /** Utility services: served while `HypervDriver.poll` is called. Default none. */
  readonly services?: readonly IcService[];
}

export interface BootOptions extends RomOptions, ServiceOptions {}

export type BootResult = ServedBootResult;

/** Make the drivers for a machine. @throws HypxeError for a machine that cannot be driven */
export function createDriver(machine: Machine, options: DriverOptions = {}): HypervDriver {
  const { services = [], drivers = [], ...rest } = options;
  const all = [...drivers, ...serviceDrivers(services)];
  const driver = new HypervDriver(anyPlatform(machine, rest), machine, { ...rest, drivers: all });
  if (wantsBestClock(rest)) new ReferenceTsc(driver.hv);
  return driver;
}

/** Boot, with services, and with a report to the host should the firmware itself fail. */
export function boot(machine: Machine, options: BootOptions = {}): BootResult {
  const {
    services: _names,
    push: _push,
    drivers = [],
    parts = [],
    ...rest
  } = withAll(machine, options);
  const services = new BootServices(machine, rest.allocator, options);
  return bootWith((machine, own) => createDriver(machine, own), machine, {
    ...rest,
    drivers: [...drivers, ...services.drivers],
    parts: [...parts, services, crashReport],
  });
}

/** Errors of the language: what a mistake in the firmware looks like. */
const OWN_FAILURES: readonly string[] = [
  ...['TypeError', 'RangeError', 'ReferenceError', 'InternalError'],
];

/**
 * Tells the host if the firmware itself has failed: what the language throws. Everything else is a
 * condition, or how the machine ended the guest.
 */
export const crashReport: BootPart = {
  failed(driver, error) {
    if (error instanceof Error && OWN_FAILURES.includes(error.name)) reportCrash(driver.hv, error);
    return undefined;
  },
};

// --- what the firmware exports ---

export type { BootImage, BootPart, BootWish, FailedAttempt } from './boot/boot.ts';
export type { ImageAllocator } from './boot/image.ts';
export { HypxeError, type ErrorName } from './error.ts';
export {
  Log,
  type BootStep,
  type EventSink,
  type FirmwareEvent,
  type Layer,
  type LogLevel,
} from './events.ts';
export type { HyperVOptions } from './hyperv/hyperv-options.ts';
export { HyperV } from './hyperv/hyperv.ts';
export {
  PAGE_SIZE,
  type Arm64Machine,
  type CpuidRegisters,
  type Machine,
  type MachineCommon,
  type MemoryRange,
  type X64Machine,
} from './machine.ts';
export { MapAllocator, type PageAllocator } from './memory/allocator.ts';
export { GuestMemory } from './memory/guest-memory.ts';
export { SharedMemory, type Purpose, type Region } from './memory/shared-memory.ts';
export {
  ETHERNET_FRAME_MAX,
  type FrameReceiver,
  type LinkState,
  type NetDevice,
  type NetObserver,
  type NetStatistics,
  type TransmitResult,
} from './net/device.ts';
export type { NetParts } from './net/part.ts';
export { NET_PARTS } from './net/parts.ts';
export { NetvscDriver } from './netvsc/driver.ts';
export { NETVSC_PRESETS, type NetvscPolicy, type PresetName } from './netvsc/policy.ts';
export type { Clock } from './time.ts';
export { VmbusBus, type BusOptions, type DriverInstance, type VmbusDriver } from './vmbus/bus.ts';
export type { ConnectionOptions } from './vmbus/connection.ts';
export { contactAsFirmware, type ContactPolicy } from './vmbus/contact.ts';
export type { NetvscHost, NetvscPart, NetvscPlug } from './netvsc/part.ts';
export { HypervDriver, anyPlatform } from './any.ts';

// --- what an OS adds ---

export { errnoOf, errorEntry, ERRORS, type Errno, type ErrorEntry } from './catalogue.ts';
export {
  PUSHED,
  BootServices,
  SERVICE_NAMES,
  type ServiceName,
  type ServiceOptions,
} from './services/boot-services.ts';
export { serviceDrivers } from './services/driver.ts';
export type { FileConsumer, FilePort, FileStart } from './services/file-consumer.ts';
export { FileCopyService, type FileCopyOptions } from './services/file-copy.ts';
export { FileStore, type StoredFile } from './services/file-store.ts';
export { HeartbeatService } from './services/heartbeat.ts';
export type { PushOptions } from './services/push-boot.ts';
export { LATER, type IcContext, type IcRequest, type IcService } from './services/service.ts';
export { ShutdownService, type ShutdownRequest } from './services/shutdown.ts';
export { TimeSyncService, wallTimeMs, type WallClock } from './services/time-sync.ts';
export {
  OS_VERSIONS,
  contactAsOs,
  contactAsSecondary,
  contactNewestOf,
  type OsConnectionOptions,
} from './os/contact.ts';
export { OsChannel, type OsChannelSizes } from './os/channel.ts';
export { reportCrash } from './os/crash-report.ts';
export { takeEventFlags } from './os/event-flags.ts';
export { channelById, dispatchEvents } from './os/events.ts';
export { modifyChannel } from './os/modify-channel.ts';
export { osNetvsc } from './os/netvsc-part.ts';
export { OS_NETVSC, type OsNetvscPolicy } from './os/netvsc-policy.ts';
export { OS_BUS, secondaryBus, type BusPreset } from './os/presets.ts';
export { PageBuffers, sendMultiPageBuffer, sendPageBuffers } from './os/sending.ts';
export { ReferenceTsc } from './os/reference-tsc.ts';
export { osSint } from './os/sint.ts';
export { subchannelsOf } from './os/subchannels.ts';
export { SyntheticTimers, type TimerExpiry, type TimerOptions } from './os/synthetic-timer.ts';
export {
  initiateUnload,
  type CrashOptions,
  type UnloadOptions,
  type UnloadResult,
} from './os/unload.ts';
