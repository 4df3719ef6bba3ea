// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe/simulator` as programs import it: the library, with a look at what it is handed. */

import { Guard } from '../../src/doors/guard.ts';
import { libraryRefusal, LIBRARY_SHAPES } from './library-shapes.ts';
import * as bare from './index.ts';

export {
  AUDIT_CHECKS,
  BadBootResult,
  BadEmulator,
  BadGuest,
  BadPcProgram,
  BadScript,
  BrokenFlowError,
  DEFAULT_PROFILE,
  DEVICES,
  EXPLORED_MEMORY,
  Exit,
  FACTS,
  FLOW_STEPS,
  GuestCrash,
  GuestHang,
  GuestThrew,
  HostProfileError,
  KEYBOARD,
  KNOBS,
  Keeper,
  KeyboardHost,
  NetworkOptionError,
  PROFILES,
  PlanError,
  RECORD_MEMORY,
  RefusedHostError,
  ReplayError,
  SCENARIOS,
  SnapshotError,
  TFTP_HABITS,
  TICKS_PER_MS,
  TICKS_PER_US,
  TRACE_VERSION,
} from './index.ts';

const guard = /* @__PURE__ */ new Guard(LIBRARY_SHAPES, libraryRefusal);

export const Capture = /* @__PURE__ */ guard.of('Capture', 'options:CaptureOptions', bare.Capture);
export const FileCopyHost = /* @__PURE__ */ guard.of(
  'FileCopyHost',
  'options?:FileCopyHostOptions',
  bare.FileCopyHost,
);
export const GrantLedger = /* @__PURE__ */ guard.of(
  'GrantLedger',
  'ram:GuestRam now:function',
  bare.GrantLedger,
);
export const HeartbeatHost = /* @__PURE__ */ guard.of(
  'HeartbeatHost',
  'intervalMs?:number',
  bare.HeartbeatHost,
);
export const HostEvents = /* @__PURE__ */ guard.of('HostEvents', 'now:function', bare.HostEvents);
export const MemoryPattern = /* @__PURE__ */ guard.of(
  'MemoryPattern',
  'ram:GuestRam memoryMap:MemoryRange[] grants?:GrantLedger',
  bare.MemoryPattern,
);
export const NetVsp = /* @__PURE__ */ guard.of('NetVsp', 'options:NetVspOptions', bare.NetVsp);
export const Network = /* @__PURE__ */ guard.of('Network', 'options:NetworkOptions', bare.Network);
export const Partition = /* @__PURE__ */ guard.of(
  'Partition',
  'options:PartitionOptions',
  bare.Partition,
);
export const Random = /* @__PURE__ */ guard.of('Random', 'seed:number stream?:number', bare.Random);
export const ShutdownHost = /* @__PURE__ */ guard.of(
  'ShutdownHost',
  'messageVersions?:list',
  bare.ShutdownHost,
);
export const SimulatedMachine = /* @__PURE__ */ guard.of(
  'SimulatedMachine',
  'options:SimulatedMachineOptions',
  bare.SimulatedMachine,
);
export const TimeSyncHost = /* @__PURE__ */ guard.of(
  'TimeSyncHost',
  'options?:TimeSyncHostOptions',
  bare.TimeSyncHost,
);
export const TraceLines = /* @__PURE__ */ guard.of(
  'TraceLines',
  'memory:CapturedMemory',
  bare.TraceLines,
);
export const TrustedGuest = /* @__PURE__ */ guard.of(
  'TrustedGuest',
  'module:TrustedModule memoryBytes:number',
  bare.TrustedGuest,
);
export const VirtualClock = /* @__PURE__ */ guard.of(
  'VirtualClock',
  'now?:number',
  bare.VirtualClock,
);
export const VmbusServer = /* @__PURE__ */ guard.of(
  'VmbusServer',
  'services:PartitionServices devices:ChannelDevice[] options?:object',
  bare.VmbusServer,
);
export const WallClock = /* @__PURE__ */ guard.of('WallClock', 'wall:WallSource', bare.WallClock);
export const WasmProgram = /* @__PURE__ */ guard.of(
  'WasmProgram',
  'name:string bytes:bytes guard?:object',
  bare.WasmProgram,
);
export const auditHandoff = /* @__PURE__ */ guard.of(
  'auditHandoff',
  'machine:SimulatedMachine memoryMap:MemoryRange[] options?:AuditOptions',
  bare.auditHandoff,
);
export const auditPattern = /* @__PURE__ */ guard.of(
  'auditPattern',
  'pattern:MemoryPattern when:string grants:Grant[] describe:function',
  bare.auditPattern,
);
export const bootExit = /* @__PURE__ */ guard.of('bootExit', 'outcome:Verdict', bare.bootExit);
export const bootGuest = /* @__PURE__ */ guard.of(
  'bootGuest',
  'guest:GuestInstance plan:BootPlan around?:BootSurroundings',
  bare.bootGuest,
);
export const bootHeader = /* @__PURE__ */ guard.of(
  'bootHeader',
  'plan:BootPlan names:BootedNames',
  bare.bootHeader,
);
export const bootJson = /* @__PURE__ */ guard.of(
  'bootJson',
  'plan:BootPlan outcome:BootOutcome exitCode:number requested?:object',
  bare.bootJson,
);
export const bootPc = /* @__PURE__ */ guard.of(
  'bootPc',
  'set:PcSet plan:PcPlan around?:PcSurroundings',
  bare.bootPc,
);
export const bootPlan = /* @__PURE__ */ guard.of('bootPlan', 'choices?:BootChoices', bare.bootPlan);
export const bootReport = /* @__PURE__ */ guard.of(
  'bootReport',
  'outcome:BootOutcome',
  bare.bootReport,
);
export const checkState = /* @__PURE__ */ guard.of(
  'checkState',
  'outcome:Audited check:string',
  bare.checkState,
);
export const describeGrant = /* @__PURE__ */ guard.of(
  'describeGrant',
  'grant:Grant memoryMap:MemoryRange[] inUse:list',
  bare.describeGrant,
);
export const describeMessage = /* @__PURE__ */ guard.of(
  'describeMessage',
  'protocol:DeviceProtocol payload:bytes',
  bare.describeMessage,
);
export const deviceNamed = /* @__PURE__ */ guard.of('deviceNamed', 'name:string', bare.deviceNamed);
export const explore = /* @__PURE__ */ guard.of(
  'explore',
  'guests:ExploredGuests choices?:ExploreChoices',
  bare.explore,
);
export const exploreOne = /* @__PURE__ */ guard.of(
  'exploreOne',
  'guests:ExploredGuests plan:string choices?:ExploreChoices',
  bare.exploreOne,
);
export const hostIdentity = /* @__PURE__ */ guard.of(
  'hostIdentity',
  'profile:HostProfile',
  bare.hostIdentity,
);
export const hostLabel = /* @__PURE__ */ guard.of(
  'hostLabel',
  'profile:HostProfile',
  bare.hostLabel,
);
export const hostProfileJson = /* @__PURE__ */ guard.of(
  'hostProfileJson',
  'profile:HostProfile',
  bare.hostProfileJson,
);
export const inertDevice = /* @__PURE__ */ guard.of(
  'inertDevice',
  'interfaceId:string instanceId:string monitored?:boolean',
  bare.inertDevice,
);
export const isFlowStep = /* @__PURE__ */ guard.of('isFlowStep', 'word:string', bare.isFlowStep);
export const isKnob = /* @__PURE__ */ guard.of('isKnob', 'name:string', bare.isKnob);
export const knobChoices = /* @__PURE__ */ guard.of('knobChoices', 'name:Knob', bare.knobChoices);
export const knobValue = /* @__PURE__ */ guard.of(
  'knobValue',
  'name:Knob text:string',
  bare.knobValue,
);
export const machineFor = /* @__PURE__ */ guard.of(
  'machineFor',
  'guest:GuestInstance options:MachineOptions',
  bare.machineFor,
);
export const memoryContents = /* @__PURE__ */ guard.of(
  'memoryContents',
  'bytes:bytes',
  bare.memoryContents,
);
export const memoryFiles = /* @__PURE__ */ guard.of(
  'memoryFiles',
  'files:object',
  bare.memoryFiles,
);
export const parseHostProfile = /* @__PURE__ */ guard.of(
  'parseHostProfile',
  'value:any name?:string',
  bare.parseHostProfile,
);
export const parseHostText = /* @__PURE__ */ guard.of(
  'parseHostText',
  'text:string name?:string',
  bare.parseHostText,
);
export const parseScript = /* @__PURE__ */ guard.of('parseScript', 'text:string', bare.parseScript);
export const parseTrace = /* @__PURE__ */ guard.of('parseTrace', 'text:string', bare.parseTrace);
export const pcExit = /* @__PURE__ */ guard.of('pcExit', 'outcome:Verdict', bare.pcExit);
export const pcHeader = /* @__PURE__ */ guard.of(
  'pcHeader',
  'plan:PcPlan names:PcNames',
  bare.pcHeader,
);
export const pcPlan = /* @__PURE__ */ guard.of('pcPlan', 'choices?:PcChoices', bare.pcPlan);
export const pcSummary = /* @__PURE__ */ guard.of('pcSummary', 'outcome:PcOutcome', bare.pcSummary);
export const profileNamed = /* @__PURE__ */ guard.of(
  'profileNamed',
  'name:string',
  bare.profileNamed,
);
export const recordHostSession = /* @__PURE__ */ guard.of(
  'recordHostSession',
  'session:HostSession',
  bare.recordHostSession,
);
export const replayMemoryBytes = /* @__PURE__ */ guard.of(
  'replayMemoryBytes',
  'trace:TraceFile',
  bare.replayMemoryBytes,
);
export const replayTrace = /* @__PURE__ */ guard.of(
  'replayTrace',
  'firmware:TrustedModule trace:TraceFile memory?:buffer rules?:list surroundings?:object',
  bare.replayTrace,
);
export const replayVerdict = /* @__PURE__ */ guard.of(
  'replayVerdict',
  'result:ReplayResult',
  bare.replayVerdict,
);
export const reportJson = /* @__PURE__ */ guard.of(
  'reportJson',
  'result:ReplayResult',
  bare.reportJson,
);
export const reportText = /* @__PURE__ */ guard.of(
  'reportText',
  'result:ReplayResult options?:object',
  bare.reportText,
);
export const runScenario = /* @__PURE__ */ guard.of(
  'runScenario',
  'scenario:Scenario guest?:GuestInstance',
  bare.runScenario,
);
export const scenarioNamed = /* @__PURE__ */ guard.of(
  'scenarioNamed',
  'name:string',
  bare.scenarioNamed,
);
export const summary = /* @__PURE__ */ guard.of('summary', 'outcome:BootOutcome', bare.summary);
export const syntheticImage = /* @__PURE__ */ guard.of(
  'syntheticImage',
  'length:0..2147483647 seed:number',
  bare.syntheticImage,
);
export const syntheticServed = /* @__PURE__ */ guard.of(
  'syntheticServed',
  'seed:number size?:0..2147483647 name?:string',
  bare.syntheticServed,
);
export const traceLine = /* @__PURE__ */ guard.of(
  'traceLine',
  'event:object now:number',
  bare.traceLine,
);
export const withKnobs = /* @__PURE__ */ guard.of(
  'withKnobs',
  'profile:HostProfile knobs:object',
  bare.withKnobs,
);
export const writeLate = /* @__PURE__ */ guard.of(
  'writeLate',
  'machine:SimulatedMachine',
  bare.writeLate,
);
