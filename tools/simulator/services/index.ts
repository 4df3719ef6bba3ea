// SPDX-License-Identifier: GPL-2.0-or-later

/** The utility services of the simulated host. */

export { DEVICES, deviceNamed } from './devices.ts';
export {
  FRAGMENT_SIZE,
  FileCopyHost,
  memoryContents,
  type FileContents,
  type FileCopyHostOptions,
  type Push,
  type PushOutcome,
  type PushReport,
} from './file-copy-host.ts';
export { HeartbeatHost } from './heartbeat-host.ts';
export { IC_BODY_AT, IC_HEADER_AT, IcHost, type IcHostFaults } from './ic-host.ts';
export { KEYBOARD, KeyboardHost, type KeyboardState } from './keyboard-host.ts';
export { ShutdownHost, type ShutdownWish } from './shutdown-host.ts';
export { TimeSyncHost, type TimeSyncHostOptions } from './time-sync-host.ts';
