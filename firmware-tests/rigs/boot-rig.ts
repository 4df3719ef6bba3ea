// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A rig for the tests of whole boots: the firmware from its sources and from its bundles, a machine
 * with a network, and the trace that the command line would write.
 */

import * as sources from '../../src/index.ts';
import type { FirmwareEvent } from '../../src/events.ts';
import { TraceLines, traceLine } from '../../tools/report/trace-line.ts';
import {
  runBootFlow,
  type Firmware,
  type FlowOptions,
  type FlowReport,
} from '../../tools/flow/boot-flow.ts';
import { SimulatedMachine } from '../../tools/simulator/machine.ts';
import type { SimulatedMachineOptions } from '../../tools/simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../../tools/simulator/network/index.ts';
import type { NetworkOptions } from '../../tools/simulator/network/index.ts';
import {
  DEFAULT_PROFILE,
  profileNamed,
  withKnobs,
} from '../../tools/simulator/profiles/profiles.ts';
import type { HostKnobs } from '../../tools/simulator/profiles/profile.ts';
import { leftScontrolOff } from './flow-rig.ts';

/** A bundle. Not a plain import: the types must not depend on what was built. */
async function load(file: string): Promise<Firmware> {
  return (await import(new URL(`../../dist/${file}`, import.meta.url).href)) as Firmware;
}

/** The firmware in each form in which it exists, for either architecture, and with all parts. */
const EITHER = {
  sources: sources as Firmware,
  bundle: await load('hypxe.js'),
  minified: await load('hypxe.min.js'),
  os: await load('os.js'),
  'os minified': await load('os.min.js'),
} as const;

/** ... and for x64: the default machine's. */
export const FIRMWARES = {
  ...EITHER,
  x64: await load('x64.js'),
  'x64 minified': await load('x64.min.js'),
} as const;

/** ... and for arm64. */
export const ARM64_FIRMWARES = {
  ...EITHER,
  arm64: await load('arm64.js'),
  'arm64 minified': await load('arm64.min.js'),
} as const;

const MIB = 2 ** 20;

/** What differs from a boot of 4 KiB on the default host. */
export interface Setting {
  readonly firmware?: Firmware;
  readonly host?: string;
  readonly knobs?: Partial<HostKnobs>;
  readonly seed?: number;
  readonly size?: number;
  readonly nics?: number;
  readonly memoryMiB?: number;
  readonly network?: Partial<NetworkOptions>;
  readonly machine?: Partial<SimulatedMachineOptions>;
  readonly flow?: Partial<FlowOptions>;
  /** Called with machine and network before the firmware runs. */
  readonly prepare?: (machine: SimulatedMachine, network: Network) => void;
  /** Gather the trace. */
  readonly trace?: boolean;
}

export interface Boot {
  readonly machine: SimulatedMachine;
  readonly network: Network;
  readonly report: FlowReport;
  readonly image: Uint8Array;
  /** What lay at the image's address at the handoff. */
  readonly inRam: Uint8Array | undefined;
  /** What the firmware said up to the handoff. */
  readonly events: readonly FirmwareEvent[];
  readonly trace: readonly string[];
}

/** Boot. */
export function runBoot(setting: Setting = {}): Boot {
  const { host = DEFAULT_PROFILE, seed = 1, size = 4096, nics = 1, memoryMiB = 4 } = setting;
  const image = syntheticImage(size, seed);
  const files = memoryFiles({ 'hypxe.img': image });
  const network = new Network({ files, bootFile: 'hypxe.img', ...setting.network });
  const machine = new SimulatedMachine({
    memory: new ArrayBuffer(memoryMiB * MIB),
    profile: withKnobs(profileNamed(host)!, setting.knobs ?? {}),
    links: Array.from({ length: nics }, (_, nic) => network.link(nic)),
    seed,
    ...setting.machine,
  });
  setting.prepare?.(machine, network);

  const trace: string[] = [];
  const events: FirmwareEvent[] = [];
  const write = (event: object, now: number): void => void trace.push(traceLine(event, now));
  const lines = new TraceLines(machine.partition.ram.memory);
  if (setting.trace === true) {
    machine.events.listen((event, now) => void trace.push(lines.host(event, now)));
  }
  const tell = (guest: string) => (event: FirmwareEvent) => {
    if (guest === 'firmware' && !handedOver) events.push(event);
    if (setting.trace === true) write({ guest, ...event }, machine.clock.now);
  };
  let inRam: Uint8Array | undefined;
  let handedOver = false;
  const report = runBootFlow({
    machine,
    firmware: setting.firmware ?? sources,
    events: tell('firmware'),
    osEvents: tell('os'),
    ...setting.flow,
    onHandoff: ({ image: loaded }) => {
      handedOver = true;
      if (loaded === undefined) return;
      const end = loaded.address + loaded.length;
      inRam = machine.partition.ram.contents.slice(loaded.address, end);
    },
  });
  return { machine, network, report, image, inRam, events, trace };
}

/** Whether two arrays hold the same bytes: much quicker than a deep comparison. */
export function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a !== undefined && b !== undefined && Buffer.compare(a, b) === 0;
}

/** The findings that are no mere information and not {@link leftScontrolOff}, as texts. */
export function complaints({ findings }: FlowReport): string[] {
  return findings
    .filter((finding) => finding.severity !== 'info' && !leftScontrolOff(finding))
    .map(({ check, severity, text }) => `${check} ${severity}: ${text}`);
}
