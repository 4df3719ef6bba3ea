// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe/os` as programs import it: the ROM, with a look at what it is handed. */

import { guardBoot, guardFirmware } from './boot-shapes.ts';
import { OS_SHAPES } from './os-shapes.ts';
import * as bare from '../os.ts';

export {
  GuestMemory,
  HyperV,
  HypervDriver,
  Log,
  MapAllocator,
  NetvscDriver,
  SharedMemory,
  VmbusBus,
  anyPlatform,
  contactAsFirmware,
} from './drivers.ts';
export {
  ETHERNET_FRAME_MAX,
  HypxeError,
  NETVSC_PRESETS,
  NET_PARTS,
  PAGE_SIZE,
  ERRORS,
  HeartbeatService,
  LATER,
  OS_BUS,
  OS_NETVSC,
  OS_VERSIONS,
  PUSHED,
  PageBuffers,
  SERVICE_NAMES,
  ShutdownService,
  TimeSyncService,
  crashReport,
} from '../os.ts';

const guard = /* @__PURE__ */ guardFirmware(OS_SHAPES);

export const { boot, createDriver } = /* @__PURE__ */ guardBoot(OS_SHAPES, {
  boot: bare.boot,
  createDriver: bare.createDriver,
});
export const BootServices = /* @__PURE__ */ guard.of(
  'BootServices',
  'machine:Machine allocator:Allocator options:BootOptions',
  bare.BootServices,
);
export const FileCopyService = /* @__PURE__ */ guard.of(
  'FileCopyService',
  'consumer:FileConsumer options?:FileCopyOptions',
  bare.FileCopyService,
);
export const FileStore = /* @__PURE__ */ guard.of(
  'FileStore',
  'memory:GuestMemory allocator:Allocator log:Log limit:number',
  bare.FileStore,
);
export const OsChannel = /* @__PURE__ */ guard.of(
  'OsChannel',
  'channel:VmbusChannel memory:GuestMemory sizes:ChannelSizes',
  bare.OsChannel,
);
export const ReferenceTsc = /* @__PURE__ */ guard.of(
  'ReferenceTsc',
  'hv:HyperV',
  bare.ReferenceTsc,
);
export const SyntheticTimers = /* @__PURE__ */ guard.of(
  'SyntheticTimers',
  'hv:HyperV',
  bare.SyntheticTimers,
);
export const channelById = /* @__PURE__ */ guard.of(
  'channelById',
  'bus:VmbusBus id:number',
  bare.channelById,
);
export const contactAsOs = /* @__PURE__ */ guard.of(
  'contactAsOs',
  'connection:VmbusConnection answered?:function',
  bare.contactAsOs,
);
export const contactAsSecondary = /* @__PURE__ */ guard.of(
  'contactAsSecondary',
  'connection:VmbusConnection answered?:function',
  bare.contactAsSecondary,
);
export const contactNewestOf = /* @__PURE__ */ guard.of(
  'contactNewestOf',
  'versions:number[]',
  bare.contactNewestOf,
);
export const dispatchEvents = /* @__PURE__ */ guard.of(
  'dispatchEvents',
  'bus:VmbusBus',
  bare.dispatchEvents,
);
export const errnoOf = /* @__PURE__ */ guard.of('errnoOf', 'name?:string', bare.errnoOf);
export const errorEntry = /* @__PURE__ */ guard.of('errorEntry', 'name:string', bare.errorEntry);
export const initiateUnload = /* @__PURE__ */ guard.of(
  'initiateUnload',
  'bus:VmbusBus options?:UnloadOptions',
  bare.initiateUnload,
);
export const modifyChannel = /* @__PURE__ */ guard.of(
  'modifyChannel',
  'device:VmbusDevice targetVp:number',
  bare.modifyChannel,
);
export const osNetvsc = /* @__PURE__ */ guard.of(
  'osNetvsc',
  'policy:OsNetvscPolicy',
  bare.osNetvsc,
);
export const osSint = /* @__PURE__ */ guard.of('osSint', 'vector?:0..255', bare.osSint);
export const reportCrash = /* @__PURE__ */ guard.of(
  'reportCrash',
  'hv:HyperV error:any',
  bare.reportCrash,
);
export const secondaryBus = /* @__PURE__ */ guard.of(
  'secondaryBus',
  'sint:0..15',
  bare.secondaryBus,
);
export const sendMultiPageBuffer = /* @__PURE__ */ guard.of(
  'sendMultiPageBuffer',
  'channel:VmbusChannel id:number offset:number dataLength:number pfns:bytes ' +
    'payload:bytes length:number',
  bare.sendMultiPageBuffer,
);
export const sendPageBuffers = /* @__PURE__ */ guard.of(
  'sendPageBuffers',
  'channel:VmbusChannel id:number pages:PageBuffers payload:bytes length:number',
  bare.sendPageBuffers,
);
export const serviceDrivers = /* @__PURE__ */ guard.of(
  'serviceDrivers',
  'services:IcService[]',
  bare.serviceDrivers,
);
export const subchannelsOf = /* @__PURE__ */ guard.of(
  'subchannelsOf',
  'device:VmbusDevice',
  bare.subchannelsOf,
);
export const takeEventFlags = /* @__PURE__ */ guard.of(
  'takeEventFlags',
  'hv:HyperV sint:0..15 into:bytes',
  bare.takeEventFlags,
);
export const wallTimeMs = /* @__PURE__ */ guard.of(
  'wallTimeMs',
  'clock:WallClock ticks:number',
  bare.wallTimeMs,
);
