// SPDX-License-Identifier: GPL-2.0-or-later

/** hypxe's firmware: the public interface of the bundle. */

export {
  boot,
  type BootImage,
  type BootOptions,
  type BootResult,
  type FailedAttempt,
} from './boot/boot.ts';
export type { StoredFile } from './boot/file-store.ts';
export type { PushOptions } from './boot/push-boot.ts';
export { SERVICE_NAMES, type ServiceName } from './boot/services.ts';
export { createDriver } from './any.ts';
export { HypervDriver, type DriverOptions } from './driver.ts';
export { HypxeError, type ErrorName } from './error.ts';
export {
  Log,
  type BootStep,
  type EventSink,
  type FirmwareEvent,
  type Layer,
  type LogLevel,
} from './events.ts';
export { HyperV, type HyperVOptions } from './hyperv/hyperv.ts';
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
export { NetvscDriver } from './netvsc/driver.ts';
export { NETVSC_PRESETS, type NetvscPolicy, type PresetName } from './netvsc/policy.ts';
export type { Clock } from './time.ts';
export type { FileConsumer, FilePort, FileStart } from './services/file-consumer.ts';
export { FileCopyService, type FileCopyOptions } from './services/file-copy.ts';
export { HeartbeatService } from './services/heartbeat.ts';
export { LATER, type IcContext, type IcRequest, type IcService } from './services/service.ts';
export { ShutdownService, type ShutdownRequest } from './services/shutdown.ts';
export { TimeSyncService, wallTimeMs, type WallClock } from './services/time-sync.ts';
export { VmbusBus, type BusOptions, type DriverInstance, type VmbusDriver } from './vmbus/bus.ts';
export type { ConnectionOptions } from './vmbus/connection.ts';
export { contactAsFirmware, type ContactPolicy } from './vmbus/contact.ts';
export { contactAsOs, contactAsSecondary, contactNewestOf } from './os/contact.ts';
export { OS_BUS, secondaryBus, type BusPreset } from './os/presets.ts';
export {
  initiateUnload,
  type CrashOptions,
  type UnloadOptions,
  type UnloadResult,
} from './os/unload.ts';
