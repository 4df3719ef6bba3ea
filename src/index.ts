// SPDX-License-Identifier: GPL-2.0-or-later

/** hypxe's firmware, for both architectures: the public interface of the bundle. */

export { HypervDriver, anyPlatform, boot, createDriver } from './any.ts';
export type {
  BootImage,
  BootOptions,
  BootPart,
  BootResult,
  BootWish,
  FailedAttempt,
} from './boot/boot.ts';
export type { ImageAllocator } from './boot/image.ts';
export type { DriverOptions } from './driver.ts';
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
export type { NetvscHost, NetvscPart, NetvscPlug } from './netvsc/part.ts';
export { NETVSC_PRESETS, type NetvscPolicy, type PresetName } from './netvsc/policy.ts';
export type { Clock } from './time.ts';
export { VmbusBus, type BusOptions, type DriverInstance, type VmbusDriver } from './vmbus/bus.ts';
export type { ConnectionOptions } from './vmbus/connection.ts';
export { contactAsFirmware, type ContactPolicy } from './vmbus/contact.ts';
