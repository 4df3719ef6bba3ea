// SPDX-License-Identifier: GPL-2.0-or-later

/** The options of `hypxe record`. */

import * as path from 'node:path';
import { PlanError, parsePlan, planText, type Plan } from '../../explore/plan.ts';
import { withFaults } from '../../explore/recorded-faults.ts';
import type { LinuxName } from '../../os/os-versions.ts';
import { DEFECTS, isDefect, type Defect } from '../../reference/index.ts';
import { PROCESSORS_MAX } from '../../simulator/hypervisor/partition.ts';
import { DEFAULT_PROFILE } from '../../simulator/profiles/profiles.ts';
import { parseArguments } from '../arguments.ts';
import { readRecord } from '../boot/boot-options.ts';
import { readFaults } from '../boot/fault-options.ts';
import { readNetwork } from '../boot/network-options.ts';
import { SETTING_OPTIONS } from '../boot/setting-options.ts';
import { requireFile } from '../files.ts';
import { GUEST_MEMORY_HELP, guestMemoryLimit } from '../guest-options.ts';
import { readHost, turnKnobs } from '../host-options.ts';
import { knownLinux } from '../os-options.ts';
import { EXIT_HELP, UsageError, didYouMean, quoted, wholeNumber } from '../usage.ts';
import type { RecordJob } from './record-worker.ts';

export const RECORD_HELP = `Usage: hypxe record -o FILE.json [options]

Record a session: drive a guest's drivers on a simulated host, and write down what crosses the
seam, for hypxe replay. The seed decides what is done: open, frames both ways, requests that the
DHCP server answers, quiesce, close.

  -o, --output FILE   where the session goes
  --firmware FILE     the guest: a bundle that exports createDriver(machine, options), or a driver
                      in WebAssembly; of a firmware that has only boot(machine, options) its boot
                      is recorded
  --with-defect NAME  record the reference guest instead, with this defect of iPXE (repeatable);
                      ipxe: with all of them
  --os NAME           record the loaded OS instead, on one processor: it boots, asks for an address
                      on each NIC, and shuts down. linux-6.1, linux-6.12, linux-6.19
  --only PLAN         what goes wrong, as hypxe explore --only PLAN: message.4/drop,
                      nic.0/arrives:500+call.7/status:19. Not what happens between two exits of the
                      guest: race, read, scribble
  --host NAME|FILE    host profile (see hypxe hosts; default ${DEFAULT_PROFILE})
  --knob NAME=VALUE   change a habit of the host (repeatable)
  --nics N            network adapters, 1 to 8 (default 1); the first is opened
  --processors N      virtual processors, 1 to ${PROCESSORS_MAX} (default 1)
  --arch NAME         x64: sessions are of no other machine
  --loss P, --duplicate P, --reorder P, --corrupt P, --delay MS, --vlan N, --mtu BYTES[:WAY], ...
                      what the network is like, as with hypxe boot (see its --help)
  --seed N            decides the steps (default 1)
  --watchdog S        seconds that it may take, after which the guest hangs (default 10)
${GUEST_MEMORY_HELP}
  -v, --verbose       of a mistake of hypxe itself, say where
  -h, --help          this text

${EXIT_HELP}

Examples
  hypxe record -o session.json
  hypxe record --with-defect ranges-in-order --seed 5 -o session.json
  hypxe record --host openvmm --loss 0.2 --nics 2 --only message.9/drop -o session.json
  hypxe record --os linux-6.12 -o os.json
`;

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  firmware: { type: 'string' },
  'with-defect': { type: 'string', multiple: true },
  os: { type: 'string' },
  only: { type: 'string' },
  processors: { type: 'string' },
  arch: { type: 'string' },
  ...SETTING_OPTIONS,
  watchdog: { type: 'string' },
  'guest-memory-limit': { type: 'string' },
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** What is recorded, and where it goes. */
export interface RecordRequest {
  readonly output: string;
  /** As it was given. */
  readonly host: string | undefined;
  readonly job: RecordJob;
  readonly watchdogSeconds: number;
  readonly memoryLimitMiB: number;
}

/**
 * Read the options. Undefined if only help was asked for.
 *
 * @param ownFirmware path of hypxe's own bundle
 * @throws UsageError
 */
export function parseRecord(
  args: readonly string[],
  ownFirmware: string,
): RecordRequest | undefined {
  const { values, positionals } = parseArguments('record', args, OPTIONS);
  if (values.help === true) return undefined;
  if (positionals.length > 0) {
    const text = `record takes no ${quoted(positionals[0]!)}`;
    throw new UsageError('BadArgument', text, 'See hypxe record --help.');
  }
  if (values.output === undefined) {
    throw new UsageError('NoOutput', 'no file to write to', 'Give one with -o FILE.json.');
  }
  if (values.arch !== undefined && values.arch !== 'x64') readRecord(values.output, values.arch);
  const defects = readDefects(values['with-defect'] ?? []);
  const linux = values.os === undefined ? undefined : knownLinux(values.os);
  const firmware = path.resolve(values.firmware ?? ownFirmware);
  const guests = [values.firmware && '--firmware', defects && '--with-defect', linux && '--os'];
  const [guest, another] = guests.filter(Boolean);
  if (another !== undefined) {
    const text = `${guest} and ${another} are two guests`;
    throw new UsageError('NotTogether', text, 'Record one guest at a time.');
  }
  if (defects === undefined && linux === undefined) requireFile(firmware, FIRMWARE_ADVICE);
  const processors = wholeNumber('--processors', values.processors ?? '1', 1, PROCESSORS_MAX);
  if (linux !== undefined && processors > 1) {
    const text = `${linux} would use ${processors} processors, and a session has one`;
    throw new UsageError('NotRecordable', text, 'Leave out --processors.');
  }
  const { profile } = turnKnobs(readHost(values.host ?? DEFAULT_PROFILE), values.knob ?? []);
  const faults = readFaults(values);
  const network = {
    ...readNetwork(values),
    ...(Object.values(faults).every((value) => value === 0) ? {} : { faults }),
  };
  return {
    output: values.output,
    host: values.host,
    job: {
      ...{ firmware, defects, linux, profile, processors, network },
      seed: wholeNumber('--seed', values.seed ?? '1', 1, 0xffffffff),
      nics: wholeNumber('--nics', values.nics ?? '1', 1, 8),
      plan: values.only === undefined ? undefined : readPlan(values.only, linux),
    },
    watchdogSeconds: wholeNumber('--watchdog', values.watchdog ?? '10', 1, 3600),
    memoryLimitMiB: guestMemoryLimit(values['guest-memory-limit']),
  };
}

export const FIRMWARE_ADVICE =
  'Run npm run build, or give --firmware a bundle that exports createDriver.';

/** Faults that are the guest's own doing: an OS asks nobody whether to go on, nor for memory. */
function isOfFirmware({ faults }: Plan): string | undefined {
  const own = faults.find(
    ({ place, kind }) => place === 'alloc' || kind === 'handoff' || kind === 'give-up',
  );
  return own && `${own.place}/${own.kind}`;
}

/** A plan, as its text. @throws UsageError BadPlan */
function readPlan(text: string, linux: LinuxName | undefined): string {
  try {
    const plan = parsePlan(text);
    withFaults(plan);
    const own = linux && isOfFirmware(plan);
    if (own !== undefined) throw new PlanError(`${linux} has no ${own}`, 'Leave it out.');
    return planText(plan);
  } catch (error) {
    if (!(error instanceof PlanError)) throw error;
    throw new UsageError('BadPlan', `--only ${quoted(text)}: ${error.message}`, error.advice);
  }
}

/** @throws UsageError UnknownDefect */
function readDefects(names: readonly string[]): readonly Defect[] | undefined {
  if (names.length === 0) return undefined;
  if (names.includes('ipxe')) return DEFECTS;
  return names.map((name) => {
    if (isDefect(name)) return name;
    const advice = didYouMean(name, [...DEFECTS, 'ipxe']);
    throw new UsageError('UnknownDefect', `there is no defect ${quoted(name)}`, advice);
  });
}
