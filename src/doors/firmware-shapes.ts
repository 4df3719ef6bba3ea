// SPDX-License-Identifier: GPL-2.0-or-later

/** What the parts of the firmware are handed besides: the shapes of the types. */

import { BOOT_SHAPES } from './boot-shapes.ts';
import type { Shapes } from './guard.ts';

export const FIRMWARE_SHAPES: Shapes = {
  ...BOOT_SHAPES,
  ClockChoice: "clock?:'best'|'counter' preset?:string",
  HyperVOptions: 'guestOsId?:bigint sint?:function cancel?:function',
  BusOptions:
    'contact:function drivers:VmbusDriver[] random:function connection?:object part?:function ' +
    'openId?:function firstGpadl?:number',
  NetvscPolicy:
    'outPages:number inPages:number packetLength:number receiveBufferLength:number ' +
    "transmitSlots:number deferredFrames:number completionPayload:'empty'|'status' " +
    'drainMs:number answerMs:number tries:number',
  GuestMemory: 'a GuestMemory;bytes:bytes view:bytes',
  SharedMemory: 'a SharedMemory;memory:GuestMemory share:function revoke:function',
  Log: 'a Log;emit:function attempt:function',
  Platform:
    'a platform: anyPlatform() makes one;machine:Machine sint:bigint identify:function ' +
    'facts:function read:function write:function call:function',
  HyperV: 'a HyperV;platform:object clock:object pages:object parts:list postMessage:function',
  VmbusBus: 'a VmbusBus;hv:HyperV connection:VmbusConnection devices:list bind:function',
  VmbusConnection: 'a connection to VMBus;initiateContact:function unload:function',
};
