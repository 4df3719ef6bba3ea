// SPDX-License-Identifier: GPL-2.0-or-later

/** One boot for the command: its files are read and written here, the rest is the library's. */

import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { FirmwareEvent } from '../../../src/events.ts';
import { BadBootResult } from '../../flow/boot-flow.ts';
import {
  BadGuest,
  type GuestInstance,
  type GuestProgram,
  type Guard,
} from '../../guests/guest-program.ts';
import { loadGuest } from '../../guests/load-guest.ts';
import { bootGuest, syntheticServed, type Served } from '../../library/boot.ts';
import type { BootOutcome } from '../../library/boot-outcome.ts';
import { bootHeader } from '../../library/boot-trace.ts';
import type { SessionHead } from '../../record/session-text.ts';
import type { RunHeader } from '../../report/trace-line.ts';
import type { HostEventSink } from '../../simulator/ledger/events.ts';
import { memoryFiles } from '../../simulator/network/index.ts';
import type { Link } from '../../simulator/network/link.ts';
import { readBytes } from '../files.ts';
import { withoutDrivers } from '../guest-options.ts';
import { EnvironmentError, UsageError } from '../usage.ts';
import type { BootRequest } from './boot-options.ts';
import { directoryFiles } from './directory-files.ts';
import { Pushes } from './push-run.ts';
import { RunFiles } from './run-files.ts';
import { SessionWriter } from './session-writer.ts';

/** What a boot tells while it runs. */
export interface BootListener {
  /** The firmware's module is being loaded; it has been, and the time is the firmware's. */
  phase(phase: 'loading' | 'running'): void;
  firmware(event: FirmwareEvent, now: number): void;
  /** An event of the machine, of a boot that goes on beyond the usual OS. */
  readonly machine: HostEventSink;
}

/** How whoever watches from outside knows that the guest lives, and ends it if not. */
export interface Watch {
  readonly heartbeat: Int32Array;
  readonly guard: Guard;
}

/**
 * Boot.
 *
 * @param link the real network of a request that asks for one
 * @throws UsageError for a firmware bundle that is none
 * @throws EnvironmentError for guest RAM without room, a file that cannot be read, or a trace that
 *   cannot be written
 */
export async function runBoot(
  request: BootRequest,
  { heartbeat, guard }: Watch,
  listener: BootListener,
  link?: Link,
): Promise<BootOutcome> {
  listener.phase('loading');
  const program = await loadFirmware(request.firmware, request.steps.includes('san'), guard);
  const firmware = await instantiate(program, request.memoryMiB);
  listener.phase('running');
  const pusher = new Pushes(request.pushes, request.services);
  let files: RunFiles | undefined;
  const session = request.record === undefined ? undefined : new SessionWriter(request.record);
  try {
    const outcome = bootGuest(session?.recorder.wrap(firmware) ?? firmware, request, {
      ...{ served: serve(request), pusher, link, heartbeat, digest },
      onMachine: (machine) => {
        session?.recorder.on(machine);
        files = new RunFiles(request, machine, () => headerOf(request));
        // Where nothing is shown nobody looks
        const told = request.steps.length > 0 || request.verbose;
        const shown = told && !request.json && !request.tap;
        if (shown) machine.events.listen(listener.machine);
      },
      events: (event, guest, now) => {
        files?.guest(event, guest, now);
        // Later boots are the same again: they are traced, not shown
        if (guest === 'firmware') listener.firmware(event, now);
      },
    });
    files?.close();
    session?.write(...sessionOf(request, outcome), request.steps.length > 0);
    return { ...outcome, ...files?.failures, sessionFailure: session?.failure };
  } catch (error) {
    files?.abandon();
    if (!(error instanceof BadBootResult)) throw error;
    throw new UsageError('BadFirmware', `${request.firmware}: ${error.message}`, RESULT_ADVICE);
  } finally {
    session?.close();
    pusher.close();
  }
}

const RESULT_ADVICE =
  "boot() returns { status: 'booted' or 'failed', image: { name, address, length, device }, " +
  'error, memoryMap }.';

/** @throws UsageError BadFirmware */
async function loadFirmware(path: string, san: boolean, guard: Guard): Promise<GuestProgram> {
  let program: GuestProgram;
  try {
    program = await loadGuest(path, guard);
  } catch (error) {
    if (!(error instanceof BadGuest)) throw error;
    throw new UsageError('BadFirmware', error.message, error.advice);
  }
  if (san && !program.drives) {
    const text = `${withoutDrivers(program)}; a SAN boot needs that`;
    throw new UsageError('BadFirmware', text, 'Leave san out of --then.');
  }
  if (san && program.kind === 'wasm' && !program.exports.includes('hypxe_quiesce')) {
    const text = `${path} does not export hypxe_quiesce, which a SAN boot needs`;
    throw new UsageError('BadFirmware', text, 'Leave san out of --then.');
  }
  if (program.boots) return program;
  const advice = 'A firmware bundle is an ES module that exports boot(machine, options).';
  throw new UsageError('BadFirmware', `${path} exports no function boot`, advice);
}

/** The guest in its RAM. @throws EnvironmentError NoMemory */
async function instantiate(program: GuestProgram, memoryMiB: number): Promise<GuestInstance> {
  try {
    return await program.instantiate(memoryMiB * 2 ** 20);
  } catch (error) {
    if (error instanceof BadGuest) {
      throw new UsageError('BadFirmware', error.message, error.advice);
    }
    if (!(error instanceof RangeError)) throw error;
    const text = `no ${memoryMiB} MiB of memory for the guest: ${error.message}`;
    throw new EnvironmentError('NoMemory', text, 'Give the guest less: --memory MIB.');
  }
}

function serve(request: BootRequest): Served {
  const { served, seed, pushes } = request;
  const { name } = served;
  // What does not fit into the guest needs not be read
  const most = request.memoryMiB * 2 ** 20;
  // A FILE of the network is booted in spite of what is pushed
  const named = pushes.length > 0;
  switch (served.kind) {
    case 'elsewhere':
      return { name, files: memoryFiles({}), image: undefined, named };
    case 'synthetic':
      return syntheticServed(seed, served.size, name);
    case 'pushed':
      return { name, files: memoryFiles({}), image: readBytes(served.path, most) };
    case 'file': {
      const image = readBytes(served.path, most);
      return { name, files: memoryFiles({ [name]: image }), image, named };
    }
  }
  const files = directoryFiles(served.root, most);
  const image = files.read(name);
  if (image instanceof Uint8Array) return { name, files, image, named };
  const text = `${name} ${image?.error ?? 'is not there any more'}`;
  throw new EnvironmentError(
    'FileUnreadable',
    text,
    'Check the path below the directory of --serve.',
  );
}

/** Checks of the second boot: what it did is in its own session. */
const OF_SECOND_BOOT: readonly string[] = ['second-boot', 'rescind'];

/** Which boot is written down, and what the file says of it. */
function sessionOf(
  { profile, seed, firmware }: BootRequest,
  { ended, findings, verdict }: BootOutcome,
): ['first' | 'last', SessionHead] {
  const errors = findings.filter(({ severity }) => severity === 'error');
  const later = errors.length > 0 && errors.every(({ check }) => OF_SECOND_BOOT.includes(check));
  const which = ended?.guest === 'second boot' || later ? 'last' : 'first';
  const why = ended?.text ?? errors[0]?.text;
  const about = `${which} boot, seed ${seed} on host ${profile.name}: ${verdict}`;
  const head = {
    name: `boot-${profile.name}-${seed}`,
    description: why === undefined ? about : `${about}: ${why}`,
    driver: basename(firmware),
    host: { profile: profile.name, seed },
  };
  return [which, head];
}

/** The first line of the trace. */
function headerOf(request: BootRequest): RunHeader {
  const { served, ownFirmware, firmware } = request;
  const name = ownFirmware ? undefined : basename(firmware);
  return bootHeader(request, { image: served.name, firmware: name });
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
