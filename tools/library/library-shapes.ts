// SPDX-License-Identifier: GPL-2.0-or-later

/** What the library is handed, for its guard: the shapes of the types. */

import type { Shapes } from '../../src/doors/guard.ts';
import { KNOBS } from '../simulator/profiles/knob-values.ts';

const MACHINE =
  "seed:number memoryMap?:MemoryRange[] architecture?:'x64'|'arm64' " +
  "hypercallConvention?:'smccc'|'immediate' pageSize?:number processors?:number limits?:Limits " +
  'cpuidOverride?:any counter?:object hypercallCode?:number[] interrupts?:function ' +
  'heartbeat?:bytes';

const MACHINE_OPTIONS =
  '!profile:HostProfile links:Link[] nics?:list devices?:ChannelDevice[] ' + MACHINE;

/** What a boot and a PC have in common of what may be chosen. */
const HOST_CHOICES =
  '!host?:string/HostProfile knobs?:object seed?:number nics?:0..8 memoryMiB?:4..2048 ' +
  'devices?:string[] faults?:FrameFaults network?:object strict?:boolean';

const HOST_PLAN =
  'profile:HostProfile seed:number nics:number memoryMiB:number faults:FrameFaults ' +
  'network:object devices:string[]';

export const LIBRARY_SHAPES: Shapes = {
  MemoryRange: "a range;address:number length:number type:'usable'|'reserved'",

  // The host and its parts
  HostProfile:
    'a host profile: PROFILES has them, profileNamed() finds one;' +
    'name:string knobs:object vmbusVersions:number[] nvspVersions:number[]',
  Knob: `='${Object.keys(KNOBS).join("'|'")}'`,
  SimulatedMachineOptions: `${MACHINE_OPTIONS} memory:buffer window?:Window`,
  MachineOptions: MACHINE_OPTIONS,
  PartitionOptions: `memory:buffer window?:Window profile:HostProfile wall?:WallSource ${MACHINE}`,
  Limits: '!virtualTicks?:number seamCalls?:number pauses?:number',
  Window: 'offset:number length:number',
  SimulatedMachine: 'a SimulatedMachine;partition:object vmbus:object nics:list seams:list',
  AuditOptions:
    'kind?:string inUse?:list given?:MemoryRange[] vp?:number since?:object ' +
    'nextSetsScontrol?:boolean',
  GuestRam: "a machine's RAM: machine.partition.ram;has:function read:function write:function",
  GrantLedger: 'a GrantLedger;grant:function live:function history:function',
  MemoryPattern: 'a MemoryPattern;keep:function damaged:function',
  Grant: 'id:number kind:string purpose:string pfns:list offset:number length:number',
  PartitionServices:
    'the services of a partition: machine.partition.services;ram:GuestRam clock:object ' +
    'random:object events:object grants:GrantLedger profile:HostProfile postMessage:function',
  ChannelDevice: 'a device;interfaceId:string instanceId:string attach:function open:function',
  DeviceProtocol: 'name:string header:object types:object messages:object',
  FileCopyHostOptions:
    'atOpen?:list onProgress?:function onReport?:function answerMs?:number fragmentTries?:number',
  TimeSyncHostOptions: 'epoch?:bigint intervalMs?:number messageVersions?:number[] ageMs?:number',
  Link: 'a link: a Network, for example;connect:function transmit:function',
  NetVspOptions:
    'nic:number link:Link address?:bytes permanentAddress?:bytes instanceId?:string ' +
    'monitored?:boolean client?:string queues?:number mtu?:number',
  NetworkOptions:
    '!files:FileSource bootFile:string faults?:object dhcp?:object tftp?:object ' +
    'dhcpServers?:list proxyDhcp?:object dns?:object aoe?:object latencyTicks?:number ' +
    "address?:string prefix?:number path?:object vlan?:number arp?:'learn'|'ask' log?:any",
  FileSource: 'files: memoryFiles() makes them;read:function',
  WallSource: 'now:function poll:function wait:function',

  // Guests
  TrustedModule: 'a module;boot?:function createDriver?:function',
  GuestInstance:
    'a guest in its RAM: a TrustedGuest, or WasmProgram.instantiate();memory:buffer image:list',
  ExploredGuests: 'boot:GuestInstance push?:GuestInstance',

  // A boot, and a PC
  BootChoices:
    `${HOST_CHOICES} processors?:1..240 architecture?:'x64'|'arm64' pageSize?:number ` +
    "hypercallConvention?:'smccc'|'immediate' services?:string[] previousOwner?:string[] " +
    "nicTimes?:NicTimes preset?:'default'|'ipxe' linux?:string steps?:string[] os?:boolean " +
    'secondBoot?:boolean bootFile?:string nextServer?:string',
  NicTimes: '!arrives?:number leaves?:number returns?:number',
  FrameFaults:
    '!loss?:number duplication?:number reordering?:number corruption?:number delayTicks?:number',
  BootPlan:
    `a plan: bootPlan() makes one;${HOST_PLAN} steps:string[] services:string[] ` +
    'processors:number previousOwner:list nicTimes:NicTimes',
  BootSurroundings:
    '!served?:Served pusher?:object devices?:ChannelDevice[] link?:Link heartbeat?:bytes ' +
    'onMachine?:function events?:function digest?:function',
  Served: 'name:string files:FileSource image?:bytes named?:boolean',
  BootedNames: 'image:string firmware?:string',
  BootOutcome:
    'an outcome: bootGuest() returns one;verdict:string findings:object[] notRun:list ' +
    'stages:object[] served:object memoryMap:MemoryRange[] pushes:list attempts:list',
  Verdict: 'an outcome;verdict:string',
  Audited: 'an outcome;findings:object[] notRun:list',
  PcChoices: `${HOST_CHOICES} keys?:string script?:object[] seconds?:number resets?:number`,
  PcPlan: `a plan: pcPlan() makes one;${HOST_PLAN} keys:string script:object[] seconds:number`,
  PcSet:
    '!V86:function wasm:bytes bios:bytes vgaBios:bytes cdrom?:bytes disk?:bytes ' +
    'kernel?:PcKernel compile?:boolean',
  PcKernel: '!image:bytes initrd?:bytes commandLine?:string',
  PcSurroundings:
    '!served?:object devices?:ChannelDevice[] link?:Link onMachine?:function onLine?:function ' +
    'onStage?:function alive?:function',
  PcNames: 'program:string image:string',
  PcOutcome:
    'an outcome: bootPc() resolves to one;verdict:string end:any text:string findings:object[] ' +
    'stages:object[]',

  // What happened, written down
  CaptureOptions: 'nics:number memory:CapturedMemory application:string write:function',
  CapturedMemory: '=function/buffer',

  // Explorations, scenarios, sessions
  ExploreChoices:
    "!host?:string/HostProfile knobs?:object network?:object architecture?:'x64'|'arm64' " +
    'seed?:number walks?:number only?:string shard?:Shard onRun?:function',
  Shard: 'index:number count:number',
  Scenario: 'a scenario: SCENARIOS has them;name:string run:function',
  HostSession:
    'firmware:TrustedModule memory:buffer profile:HostProfile seed:number driver:string ' +
    'processors?:number nics?:number network?:object plan?:string faults?:function burst?:boolean',
  TraceFile: 'a trace: parseTrace() reads one;scenario:string ram:Ram events:object[]',
  Ram: 'base:number size:number',
  ReplayResult:
    'a result: replayTrace() returns one;scenario:string steps:number counts:object[] ' +
    'failures:object[] deliberate:object[] explained:object[] unsupported:list notes:list',
};

/** An error of the library: what was called, and what of its arguments is not as it should be. */
export function libraryRefusal(_path: string, text: string): RangeError {
  return new RangeError(text);
}
