// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * `hypxe/simulator`: the simulated host, and what the commands do with it, for programs. Runs
 * wherever JavaScript runs, in the thread that calls it.
 */

// The host, and the judge of the handoff
export * from '../simulator/index.ts';

// Guests: a WebAssembly module, or firmware that is loaded already
export {
  BadGuest,
  GuestThrew,
  type GuestInstance,
  type GuestKind,
  type GuestProgram,
} from '../guests/guest-program.ts';
export { machineFor, type GuestMemory } from '../guests/guest-machine.ts';
export { TrustedGuest, type TrustedModule } from '../guests/trusted-guest.ts';
export { WasmProgram } from '../guests/wasm-guest.ts';

// A boot with the whole verdict
export {
  bootGuest,
  syntheticServed,
  type BootSurroundings,
  type Pusher,
  type Served,
} from './boot.ts';
export { bootPlan, type BootChoices, type BootPlan } from './boot-plan.ts';
export {
  bootExit,
  checkState,
  summary,
  type BootOutcome,
  type CheckState,
  type OutcomeError,
  type OutcomeOs,
  type OutcomePush,
  type OutcomeStage,
} from './boot-outcome.ts';
export { bootJson, type BootRequested } from './boot-json.ts';
export { bootReport } from './boot-report.ts';
export { BadBootResult } from '../flow/boot-flow.ts';
export { FLOW_STEPS, isFlowStep, type FlowStep } from '../flow/flow-steps.ts';
export { Exit, type ExitCode } from './exit.ts';

// An unmodified program for a PC, on v86: who calls it hands the emulator in
export { bootPc, pcHeader, type PcServedFiles, type PcSet, type PcSurroundings } from './pc.ts';
export { pcPlan, type PcChoices, type PcPlan } from './pc-plan.ts';
export { pcExit, pcSummary, type PcOutcome } from './pc-outcome.ts';
export { BadScript, parseScript, type ScriptStep } from '../flow/pc-script.ts';
export { BadPcProgram, type PcKernel } from '../guests/pc/pc-kernel.ts';
export { BadEmulator } from '../guests/pc/wasm-patch.ts';

// What happened, written down: a line of a trace for each event, blocks of a pcapng file
export { bootHeader, type BootedNames } from './boot-trace.ts';
export { TRACE_VERSION, TraceLines, traceLine, type RunHeader } from '../report/trace-line.ts';
export { Capture, type CaptureOptions } from '../capture/capture.ts';

// Known bugs, and every fault at every step
export { SCENARIOS, scenarioNamed } from '../scenarios/index.ts';
export { runScenario, type Scenario, type ScenarioVerdict } from '../scenarios/scenario.ts';
export { explore, exploreOne, type ExploreChoices, type ExploreResult } from './explore.ts';
export { BrokenFlowError, RefusedHostError, type Shard } from '../explore/exploration.ts';
export { MEMORY as EXPLORED_MEMORY, type ExploredGuests } from '../explore/explored-guest.ts';
export { PlanError } from '../explore/plan.ts';
export type { RunFinding, RunOutcome } from '../explore/run.ts';
export type { TallyData } from '../explore/tally.ts';

// Recorded sessions
export {
  parseTrace,
  replayTrace,
  reportJson,
  reportText,
  verdict as replayVerdict,
  type ReplayResult,
  type TraceFile,
} from '../replay/index.ts';
export { ReplayError } from '../replay/replay-error.ts';
export { replayMemoryBytes } from '../replay/replay-machine.ts';
export { RECORD_MEMORY, recordHostSession, type HostSession } from '../record/host-session.ts';
