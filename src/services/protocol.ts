// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The utility services (integration components): small messages in pipe mode, each behind a
 * `PipeHeader` of VMBus. Names follow Linux (`hyperv.h`); the tests pin each to the golden layouts.
 * Nothing but definitions.
 */

import { struct } from '../wire.ts';

/** Message types of the services. */
export const IcType = {
  NEGOTIATE: 0,
  HEARTBEAT: 1,
  KVP_EXCHANGE: 2,
  SHUTDOWN: 3,
  TIME_SYNC: 4,
  VSS: 5,
  FILE_COPY: 7,
} as const;

/** IcHeader.flags. */
export const IcFlag = {
  TRANSACTION: 1,
  REQUEST: 2,
  RESPONSE: 4,
} as const;

/** IcHeader.status: HRESULTs. */
export const IcStatus = {
  SUCCESS: 0x00000000,
  FAIL: 0x80004005,
  NOT_SUPPORTED: 0x80070032,
  ALREADY_EXISTS: 0x80070050,
  INVALID_ARGUMENT: 0x80070057,
  DISK_FULL: 0x80070070,
  MORE_DATA: 0x80070103,
  NOT_FOUND: 0x80041002,
} as const;

/** Most bytes of a message with its IcHeader (OpenVMM `MAX_MESSAGE_SIZE`). */
export const IC_MESSAGE_MAX = 0x3400;

/** Interface GUIDs of services that exist and that nobody here serves. */
export const UnservedClass = {
  KVP_EXCHANGE: 'a9a0f4e7-5a45-4d96-b827-8a841e8c03e6',
  VSS: '35fa2e29-ea23-4236-96ae-3a6ebacba440',
  RDV: '276aacf4-ac15-426c-98dd-7521ad3f01fe',
} as const;

/** A version as the services write it. */
export const IcVersion = struct('IC_VERSION', 4, {
  major: [0, 2],
  minor: [2, 2],
});

/** Header of every message, after the pipe header (Linux `icmsg_hdr`). */
export const IcHeader = struct('IC_MESSAGE_HEADER', 20, {
  /** Version of the framework. */
  frameworkMajor: [0, 2],
  frameworkMinor: [2, 2],
  type: [4, 2],
  /** Version of the service's messages. */
  messageMajor: [6, 2],
  messageMinor: [8, 2],
  /** Bytes after this header. */
  length: [10, 2],
  status: [12, 4],
  transactionId: [16, 1],
  flags: [17, 1],
  reserved: [18, 2],
});

/** Body of NEGOTIATE; the versions (IcVersion) of framework and messages follow. */
export const IcNegotiate = struct('IC_NEGOTIATE', 8, {
  frameworkCount: [0, 2],
  messageCount: [2, 2],
  reserved: [4, 4],
  versions: [8, 0],
});

export const HeartbeatMessage = struct('IC_HEARTBEAT', 40, {
  sequence: [0, 8],
  reserved: [8, 32],
});

export const ShutdownMessage = struct('IC_SHUTDOWN', 2060, {
  reasonCode: [0, 4],
  timeoutSeconds: [4, 4],
  flags: [8, 4],
  displayMessage: [12, 2048],
});

/** ShutdownMessage.flags. */
export const ShutdownFlag = {
  FORCE: 1,
  RESTART: 2,
  HIBERNATE: 4,
} as const;

/** TIME_SYNC before message version 4.0. Times are in units of 100 ns since 1601. */
export const TimeSyncMessage = struct('IC_TIME_SYNC', 25, {
  parentTime: [0, 8],
  childTime: [8, 8],
  roundTripTime: [16, 8],
  flags: [24, 1],
});

/** TIME_SYNC from message version 4.0 on. */
export const TimeSyncReferenceMessage = struct('IC_TIME_SYNC_REFERENCE', 22, {
  parentTime: [0, 8],
  referenceTime: [8, 8],
  flags: [16, 1],
  leapFlags: [17, 1],
  stratum: [18, 1],
  reserved: [19, 3],
});

/** Flags of both TIME_SYNC messages. */
export const TimeSyncFlag = {
  PROBE: 0,
  SYNC: 1,
  SAMPLE: 2,
} as const;

/** Operations of the file copy service. */
export const FileCopyOperation = {
  START: 0,
  WRITE: 1,
  COMPLETE: 2,
  CANCEL: 3,
} as const;

/** Header of each file copy message. */
export const FileCopyHeader = struct('HV_FCOPY_HEADER', 36, {
  operation: [0, 4],
  serviceId0: [4, 16],
  serviceId1: [20, 16],
});

export const FileCopyStart = struct('HV_FCOPY_START', 1088, {
  operation: [0, 4],
  serviceId0: [4, 16],
  serviceId1: [20, 16],
  /** UTF-16, terminated by a zero. */
  fileName: [36, 520],
  pathName: [556, 520],
  copyFlags: [1076, 4],
  fileSize: [1080, 8],
});

export const FileCopyData = struct('HV_FCOPY_DATA', 6196, {
  operation: [0, 4],
  serviceId0: [4, 16],
  serviceId1: [20, 16],
  padding: [36, 4],
  offset: [40, 8],
  length: [48, 4],
  data: [52, 6144],
});

/** FileCopyStart.copyFlags. */
export const FileCopyFlag = {
  OVERWRITE: 1,
  CREATE_PATH: 2,
} as const;

/** Version of the interface between the service and whoever takes the files. */
export const FILE_CONSUMER_VERSION = 1;
