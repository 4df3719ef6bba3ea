// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One boot, in the thread that asks for it: the machine is built, the flow runs, and what happened
 * becomes plain data. Knows nothing of files and processes; `hypxe boot` runs it in a cell.
 */

import type { BootImage } from '../../src/boot/boot.ts';
import { errorEntry } from '../../src/catalogue.ts';
import type { HypxeError } from '../../src/error.ts';
import type { FirmwareEvent } from '../../src/events.ts';
import { PUSHED, type ServedBootResult as BootResult } from '../../src/services/boot-services.ts';
import { versionText } from '../../src/vmbus/protocol.ts';
import { runBootFlow, type Firmware, type FlowReport } from '../flow/boot-flow.ts';
import { machineFor } from '../guests/guest-machine.ts';
import { BadGuest, type GuestInstance } from '../guests/guest-program.ts';
import type { OsReport } from '../os/loaded-os.ts';
import { sha256 } from '../replay/sha256.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { memoryFiles, syntheticImage, type FileSource } from '../simulator/network/index.ts';
import type { Link } from '../simulator/network/link.ts';
import type { ChannelDevice } from '../simulator/vmbus-server/channel-interface.ts';
import type { BootOutcome, OutcomeError, OutcomeOs, OutcomePush } from './boot-outcome.ts';
import type { BootPlan } from './boot-plan.ts';
import { planHost } from './plan-host.ts';

/** What is served to the guest. */
export interface Served {
  /** The boot file. */
  readonly name: string;
  readonly files: FileSource;
  /** Its contents; undefined if nobody here knows them. */
  readonly image: Uint8Array | undefined;
  /** The guest is told the name, whatever else it would boot. Default false. */
  readonly named?: boolean;
}

/** Who pushes files into the guest. */
export interface Pusher {
  /** The host's ends of the services, for the machine. */
  readonly devices: readonly ChannelDevice[];
  /** A guest has handed over: what it was given lies in RAM now. */
  handedOver(result: BootResult, ram: Uint8Array): void;
  /** What became of the files. */
  readonly outcomes: readonly OutcomePush[];
}

/** What a boot is given besides its plan. */
export interface BootSurroundings {
  /** By default an image that is made here: 1 MiB, of the plan's seed, `hypxe.img`. */
  readonly served?: Served;
  readonly pusher?: Pusher;
  /** Further devices on the bus, besides those that the plan names. */
  readonly devices?: readonly ChannelDevice[];
  /** A real network, instead of the one that is made here. */
  readonly link?: Link | undefined;
  /** Counted up at each exit of the guest: a sign of life. */
  readonly heartbeat?: Int32Array;
  /** The machine is there, and nothing has run yet: who listens to its events begins here. */
  readonly onMachine?: (machine: SimulatedMachine) => void;
  /** What the guests say: the event, which guest, and when, in ticks. */
  readonly events?: (event: FirmwareEvent, guest: string, now: number) => void;
  /** SHA-256 as hexadecimal text. By default in JavaScript, which is slow for large images. */
  readonly digest?: (bytes: Uint8Array) => string;
}

/** The image that is booted if nothing else is served. */
const SYNTHETIC_NAME = 'hypxe.img';
const SYNTHETIC_SIZE = 1 << 20;

/** What is served if nothing else is. */
export function syntheticServed(
  seed: number,
  size = SYNTHETIC_SIZE,
  name = SYNTHETIC_NAME,
): Served {
  const image = syntheticImage(size, seed);
  return { name, files: memoryFiles({ [name]: image }), image };
}

/**
 * Boot a guest. It runs here, in this thread: one that loops without an exit is not ended.
 *
 * @param guest in RAM of as many MiB as the plan says; for a SAN boot it has drivers, too
 * @throws BadGuest for one that has no `boot`, or not the drivers
 * @throws BadBootResult for a `boot` that returns what is none
 * @throws RangeError for a plan that makes no machine
 */
export function bootGuest(
  guest: GuestInstance,
  plan: BootPlan,
  around: BootSurroundings = {},
): BootOutcome {
  if (guest.boot === undefined) throw new BadGuest('it exports no function boot', '');
  if (plan.steps.includes('san') && guest.createDriver === undefined) {
    throw new BadGuest('it exports no function createDriver, which a SAN boot needs', '');
  }
  const { served = syntheticServed(plan.seed), pusher, events, digest = sha256 } = around;
  const machine = createMachine(guest, plan, served, around);
  around.onMachine?.(machine);
  const tell = (event: FirmwareEvent, who: string): void => events?.(event, who, machine.clock.now);

  const { name, image } = served;
  const servedFacts = { name, length: image?.length ?? 0, sha256: image && digest(image) };
  let loaded: BootOutcome['image'];
  const report = runBootFlow({
    machine,
    firmware: guest as Firmware,
    bootOptions: bootOptions(plan, served),
    previousOwner: plan.previousOwner,
    nicTimes: plan.nicTimes,
    steps: plan.steps,
    linux: plan.linux,
    events: tell,
    osEvents: (event, stage) => tell(event, stage === 'OS' ? 'os' : stage),
    os: plan.os,
    secondBoot: plan.secondBoot,
    strict: plan.strict,
    onHandoff: (result) => {
      pusher?.handedOver(result, new Uint8Array(machine.bootSeam.memory));
      const { image: booted } = result;
      if (booted === undefined) return;
      const pushed = pusher?.outcomes.find((each) => each.name === booted.name);
      const expected = booted.device === PUSHED ? pushed?.sha256 : servedFacts.sha256;
      loaded = inRam(machine, booted, expected, digest);
    },
  });
  return outcomeOf(report, servedFacts, loaded, pusher?.outcomes ?? []);
}

/** What the firmware is told. */
function bootOptions(plan: BootPlan, served: Served): Record<string, unknown> {
  const { preset, services, bootFile, nextServer } = plan;
  return {
    preset,
    ...(services.length === 0 ? {} : { services }),
    ...(served.named === true ? { bootFile: served.name } : {}),
    ...(bootFile === undefined ? {} : { bootFile }),
    ...(nextServer === undefined ? {} : { nextServer }),
  };
}

/** @throws RangeError */
function createMachine(
  guest: GuestInstance,
  plan: BootPlan,
  { files, name }: Served,
  { link, heartbeat, pusher, devices = [] }: BootSurroundings,
): SimulatedMachine {
  const { processors, architecture, pageSize } = plan;
  const host = { served: { files, bootFile: name }, link, first: pusher?.devices ?? [] };
  return machineFor(guest, {
    ...planHost(plan, { ...host, last: devices }),
    ...{ processors, architecture, pageSize },
    hypercallConvention: plan.hypercallConvention,
    ...(heartbeat === undefined ? {} : { heartbeat }),
  });
}

/** The image that a firmware says it has loaded, as it lies in guest RAM. */
function inRam(
  machine: SimulatedMachine,
  { name, address, length, device }: BootImage,
  expected: string | undefined,
  digest: (bytes: Uint8Array) => string,
): NonNullable<BootOutcome['image']> {
  const bytes = new Uint8Array(machine.bootSeam.memory, address, length);
  const found = digest(bytes);
  const equal = expected === undefined ? undefined : found === expected;
  return { name, address, length, device, sha256: found, equal };
}

/** The report of the flow as plain data. */
function outcomeOf(
  report: FlowReport,
  served: BootOutcome['served'],
  image: BootOutcome['image'],
  pushes: readonly OutcomePush[],
): BootOutcome {
  const { boot, os, ended, findings, notRun, counts } = report;
  const lost = pushes.some(({ outcome, equal }) => outcome !== 'copied' || equal === false);
  const mismatch = lost || image?.equal === false;
  return {
    verdict: mismatch && report.verdict === 'clean' ? 'findings' : report.verdict,
    served,
    image,
    pushes,
    error: boot?.error && plainError(boot.error),
    attempts: (boot?.attempts ?? []).map(({ device, error }) => ({
      device,
      ...plainError(error),
    })),
    ended,
    vmbusVersions: report.vmbusVersions.map(versionText),
    findings,
    notRun,
    memoryMap: boot?.memoryMap ?? [],
    stages: report.stages.map(({ name, end, endedAt, findings: own, os: kernel }) => ({
      ...{ name, end, endedMs: endedAt / TICKS_PER_MS },
      findings: own,
      os: kernel && plainOs(kernel),
    })),
    os: os && plainOs(os),
    secondBoot: report.secondBoot?.status,
    counts,
    link: undefined,
    handoffMs: report.handoffAt / TICKS_PER_MS,
    endMs: report.endedAt / TICKS_PER_MS,
    traceFailure: undefined,
    captureFailure: undefined,
    sessionFailure: undefined,
  };
}

/** What an OS reports, as plain data. */
function plainOs({ vmbusVersion, error, nics, vp, processors }: OsReport): OutcomeOs {
  const version = vmbusVersion === 0 ? undefined : versionText(vmbusVersion);
  return { vmbusVersion: version, error, nics, vp, processors };
}

/** An error of a firmware: a HypxeError, or whatever another firmware has instead. */
function plainError(error: Partial<HypxeError>): OutcomeError {
  const { name = 'Error', message = String(error) } = error;
  return { name, text: message, advice: errorEntry(name)?.[1] ?? '' };
}
