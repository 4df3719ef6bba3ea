// SPDX-License-Identifier: GPL-2.0-or-later

/** What that is handed which an OS adds: the shapes of the types. */

import { BOOT_OPTIONS, DRIVER_OPTIONS } from './boot-shapes.ts';
import { FIRMWARE_SHAPES } from './firmware-shapes.ts';
import type { Shapes } from './guard.ts';

export const OS_SHAPES: Shapes = {
  ...FIRMWARE_SHAPES,
  DriverOptions: `${DRIVER_OPTIONS} services?:IcService[]`,
  BootOptions: `${BOOT_OPTIONS} services?:string[] push?:PushOptions`,
  FileCopyOptions: 'operationMs?:number silenceMs?:number handshakeMs?:number',
  PushOptions: "limit?:number waitMs?:number quietMs?:number others?:'keep'|'free'",
  UnloadOptions: 'timeoutMs?:number crash?:object',
  ChannelSizes:
    'outPages:number inPages:number packetLength:number packets?:object targetVp?:number ' +
    'flowControl?:boolean',
  OsNetvscPolicy:
    'receiveBufferId:number sendBufferLength:number nvspVersions:number[] mtu:number ' +
    'subchannels:number targetVps:number[] flowControl:boolean',
  VmbusDevice: 'a device of VmbusBus;offer:object connection:object log:Log open:function',
  VmbusChannel: 'a channel of an open device;offer:object send:function out:object',
  IcService:
    'a service;name:string interfaceId:string type:number messageVersions:list opened:function ' +
    'handle:function poll:function',
  FileConsumer:
    'attach:function start:function write:function complete:function cancel:function ' +
    'abandon:function',
  PageBuffers: 'a PageBuffers;count:number',
  WallClock: 'unixMs:number ticks:number',
};
