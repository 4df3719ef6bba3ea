// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The drivers and what they are built of, with a look at what they are handed: `hypxe` and
 * `hypxe/os` have them alike.
 */

import { guardFirmware } from './boot-shapes.ts';
import { FIRMWARE_SHAPES } from './firmware-shapes.ts';
import * as bare from '../index.ts';

const guard = /* @__PURE__ */ guardFirmware(FIRMWARE_SHAPES);

export const GuestMemory = /* @__PURE__ */ guard.of(
  'GuestMemory',
  'memory:buffer',
  bare.GuestMemory,
);
export const HyperV = /* @__PURE__ */ guard.of(
  'HyperV',
  'platform:Platform pages:SharedMemory log:Log options?:HyperVOptions',
  bare.HyperV,
);
export const HypervDriver = /* @__PURE__ */ guard.of(
  'HypervDriver',
  'platform:Platform machine:Machine options:DriverOptions',
  bare.HypervDriver,
);
export const Log = /* @__PURE__ */ guard.of('Log', 'sink?:function', bare.Log);
export const MapAllocator = /* @__PURE__ */ guard.of(
  'MapAllocator',
  'memoryMap:MemoryRange[] pageSize?:number',
  bare.MapAllocator,
);
export const NetvscDriver = /* @__PURE__ */ guard.of(
  'NetvscDriver',
  'policy:NetvscPolicy log:Log plug?:function',
  bare.NetvscDriver,
);
export const SharedMemory = /* @__PURE__ */ guard.of(
  'SharedMemory',
  'memory:GuestMemory allocator:Allocator log:Log pageSize?:number',
  bare.SharedMemory,
);
export const VmbusBus = /* @__PURE__ */ guard.of(
  'VmbusBus',
  'hv:HyperV options:BusOptions',
  bare.VmbusBus,
);
export const anyPlatform = /* @__PURE__ */ guard.of(
  'anyPlatform',
  'machine:Machine choice?:ClockChoice',
  bare.anyPlatform,
);
export const contactAsFirmware = /* @__PURE__ */ guard.of(
  'contactAsFirmware',
  'connection:VmbusConnection answered?:function',
  bare.contactAsFirmware,
);
