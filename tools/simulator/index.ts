// SPDX-License-Identifier: GPL-2.0-or-later

/** hypxe's simulator: the public interface. Runs wherever JavaScript runs. */

export {
  AUDIT_CHECKS,
  type AuditCheck,
  type Finding,
  type FindingPages,
  type HandoffKind,
  type Severity,
} from './audit/audit-findings.ts';
export { describeGrant } from './audit/audit-pages.ts';
export { auditHandoff, type AuditOptions } from './audit/audit.ts';
export type {
  ChannelDevice,
  ClientName,
  DeviceChannel,
  GuestPacket,
} from './vmbus-server/channel-interface.ts';
export {
  TICKS_PER_MS,
  TICKS_PER_US,
  VirtualClock,
  WallClock,
  type Alarm,
  type WallSource,
} from './base/clock.ts';
export type { CpuidOverride } from './hypervisor/cpuid.ts';
export { HostEvents, type HostEvent, type HostEventSink } from './ledger/events.ts';
export { GrantLedger, type Grant, type GrantKind } from './ledger/grants.ts';
export { GuestCrash, GuestHang, type GuestFault } from './hypervisor/guest-end.ts';
export { MemoryPattern, auditPattern, writeLate, type DamagedPage } from './audit/late-writes.ts';
export {
  KNOBS,
  isKnob,
  knobChoices,
  knobValue,
  type KnobDescription,
} from './profiles/knob-values.ts';
export type { Link, LinkHost } from './network/link.ts';
export { SimulatedMachine, type SimulatedMachineOptions } from './machine.ts';
export { NetVsp, type NetVspOptions } from './netvsp/netvsp.ts';
export {
  Network,
  NetworkOptionError,
  memoryFiles,
  syntheticImage,
  TFTP_HABITS,
  type DhcpServerOptions,
  type FileSource,
  type NetworkFaults,
  type NetworkOptions,
  type PathOptions,
  type TftpHabit,
  type TftpServerOptions,
} from './network/index.ts';
export { Partition, type PartitionOptions } from './hypervisor/partition.ts';
export { FACTS, type Fact, type FactName, type JsonValue } from './profiles/facts.ts';
export {
  HostProfileError,
  hostIdentity,
  hostLabel,
  hostProfileJson,
  parseHostProfile,
  parseHostText,
} from './profiles/profile-file.ts';
export type { HostKnobs, HostProfile } from './profiles/profile.ts';
export { DEFAULT_PROFILE, PROFILES, profileNamed, withKnobs } from './profiles/profiles.ts';
export { Random } from './base/random.ts';
export { Keeper, SnapshotError, type Restore, type Saved } from './base/snapshot.ts';
export type { MachineSnapshot } from './hypervisor/machine-snapshot.ts';
export type { SimulatedProcessor } from './hypervisor/simulated-processor.ts';
export {
  DEVICES,
  FileCopyHost,
  HeartbeatHost,
  KEYBOARD,
  KeyboardHost,
  ShutdownHost,
  TimeSyncHost,
  deviceNamed,
  memoryContents,
  type FileContents,
  type FileCopyHostOptions,
  type KeyboardState,
  type Push,
  type PushReport,
  type ShutdownWish,
  type TimeSyncHostOptions,
} from './services/index.ts';
export type { DeviceDescription } from './vmbus-server/device-description.ts';
export { describeMessage, type DeviceProtocol } from './vmbus-server/device-protocol.ts';
export { inertDevice } from './vmbus-server/inert-device.ts';
export type { ClientInspection, VmbusInspection } from './vmbus-server/inspection.ts';
export { VmbusServer } from './vmbus-server/server.ts';
export type { PartitionLimits } from './hypervisor/watchdog.ts';
