// SPDX-License-Identifier: GPL-2.0-or-later

/** hypxe's firmware: the public interface of the bundle. */

export {
  boot,
  type BootImage,
  type BootOptions,
  type BootResult,
  type FailedAttempt,
} from './boot/boot.ts';
export { HypervDriver, createDriver, type DriverOptions } from './driver.ts';
export { HypxeError, type ErrorKind, type Errno } from './error.ts';
export type { BootStep, EventSink, FirmwareEvent, Layer, LogLevel } from './events.ts';
export {
  PAGE_SIZE,
  type Arm64Machine,
  type CpuidRegisters,
  type Machine,
  type MachineCommon,
  type MemoryRange,
  type X64Machine,
} from './machine.ts';
export type { PageAllocator } from './memory/allocator.ts';
export type { Purpose, Region } from './memory/shared-memory.ts';
export {
  ETHERNET_FRAME_MAX,
  type FrameReceiver,
  type LinkState,
  type NetDevice,
  type NetObserver,
  type NetStatistics,
  type TransmitResult,
} from './net/device.ts';
export { NETVSC_PRESETS, type NetvscPolicy, type PresetName } from './netvsc/policy.ts';
export type { Clock } from './time.ts';
export { contactAsFirmware, contactAsOs, type ContactPolicy } from './vmbus/contact.ts';
