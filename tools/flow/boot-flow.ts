// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A boot from reset to the loaded OS: the firmware boots and hands over, the audit looks at what the
 * host still holds, the OS takes over, and the firmware boots once more (chain-loading).
 *
 * Runs any firmware that exports `boot`; knows nothing of Node.
 */

import type { BootResult } from '../../src/boot/boot.ts';
import type { EventSink } from '../../src/events.ts';
import type { Machine, MemoryRange } from '../../src/machine.ts';
import { runLoadedOs, type OsReport } from '../os/loaded-os.ts';
import { auditHandoff, type Finding } from '../simulator/audit.ts';
import { GuestCrash, GuestHang } from '../simulator/guest-end.ts';
import { MemoryPattern, writeLate } from '../simulator/late-writes.ts';
import { TICKS_PER_MS } from '../simulator/clock.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { ChannelNumbers } from './channel-numbers.ts';

/** What a firmware bundle must export. */
export interface Firmware {
  boot(machine: Machine, options?: { readonly events?: EventSink }): BootResult;
}

/** How long the host goes on after its late writes, in ms. */
const SETTLE_MS = 1000;

/** Limits of one guest: a boot that takes longer hangs. */
const GUEST_LIMITS = {
  /** Virtual time: a slow network with every retry stays far below an hour. */
  virtualTicks: 3600 * 1000 * TICKS_PER_MS,
  pauses: 20_000_000,
};

export interface FlowOptions {
  readonly machine: SimulatedMachine;
  readonly firmware: Firmware;
  /** Passed to the firmware: `events` and whatever it knows besides. */
  readonly bootOptions?: Readonly<Record<string, unknown>>;
  /** Reader of the firmware's events, and of the OS's. */
  readonly events?: EventSink;
  readonly osEvents?: EventSink;
  /** Let the OS take over, and the firmware boot again afterwards. Default both. */
  readonly os?: boolean;
  readonly secondBoot?: boolean;
  /** Called right after the handoff, before anything touches memory: to compare the image. */
  readonly onHandoff?: (result: BootResult) => void;
}

export type Verdict =
  /** Nothing is left behind. */
  | 'clean'
  /** The audit has errors, or the boot has failed. */
  | 'findings'
  /** The firmware refuses this host, and left it alone. */
  | 'refused'
  | 'crash'
  | 'hang';

export interface FlowReport {
  readonly verdict: Verdict;
  /** What the firmware returned; undefined if it did not. */
  readonly boot: BootResult | undefined;
  /** The crash or hang that ended a guest, and which guest it was. */
  readonly ended: { readonly guest: string; readonly text: string } | undefined;
  readonly findings: readonly Finding[];
  readonly os: OsReport | undefined;
  readonly secondBoot: BootResult | undefined;
  /** Virtual time at the handoff and at the end, in ticks. */
  readonly handoffAt: number;
  readonly endedAt: number;
}

/** Errors with which a firmware refuses a host: it cannot run there at all. */
const REFUSALS: readonly string[] = ['ENODEV', 'EACCES', 'ENOTSUP'];

/** Run the flow. Throws only what is a mistake in firmware or simulator. */
export function runBootFlow(options: FlowOptions): FlowReport {
  return new BootFlow(options).run();
}

class BootFlow {
  readonly #options: FlowOptions;
  readonly #machine: SimulatedMachine;
  readonly #findings: Finding[] = [];
  readonly #channels: ChannelNumbers;
  #boot: BootResult | undefined;
  #secondBoot: BootResult | undefined;
  #os: OsReport | undefined;
  #ended: FlowReport['ended'];
  #hung = false;
  #handoffAt = 0;

  constructor(options: FlowOptions) {
    this.#options = options;
    this.#machine = options.machine;
    this.#channels = new ChannelNumbers(options.machine);
  }

  run(): FlowReport {
    const { machine, os = true, secondBoot = true } = { ...this.#options };
    this.#boot = this.#guest('firmware', () => this.#runFirmware());
    this.#handoffAt = machine.clock.now;
    const map = this.#boot?.memoryMap ?? machine.bootProcessor.memoryMap;
    this.#audit(map);
    if (this.#boot !== undefined) this.#options.onHandoff?.(this.#boot);

    // Whoever comes next: on the memory that the firmware said is free
    const unharmed = this.#ended === undefined;
    if (os && unharmed) this.#runOs(map);
    if (secondBoot && unharmed && this.#boot?.status === 'booted') this.#runAgain();
    this.#channels.stop();
    return {
      verdict: this.#verdict(),
      boot: this.#boot,
      ended: this.#ended,
      findings: this.#findings,
      os: this.#os,
      secondBoot: this.#secondBoot,
      handoffAt: this.#handoffAt,
      endedAt: machine.clock.now,
    };
  }

  #runFirmware(): BootResult {
    const { firmware, bootOptions, events } = this.#options;
    const options = { ...bootOptions, ...(events === undefined ? {} : { events }) };
    return firmware.boot(this.#machine.bootProcessor, options);
  }

  /** Run a guest within its limits. Undefined if it crashed or hung. */
  #guest<T>(name: string, run: () => T): T | undefined {
    this.#machine.partition.recover(GUEST_LIMITS);
    try {
      const result = run();
      // A guest that catches its own crash has crashed all the same
      const ended = this.#machine.partition.ended;
      if (ended === undefined) return result;
      this.#end(name, ended);
    } catch (error) {
      if (!(error instanceof GuestCrash) && !(error instanceof GuestHang)) throw error;
      this.#end(name, error);
    }
    return undefined;
  }

  #end(guest: string, error: GuestCrash | GuestHang): void {
    this.#ended = { guest, text: `${error.name}: ${error.message}` };
    this.#hung = error instanceof GuestHang;
  }

  #audit(map: readonly MemoryRange[]): void {
    this.#findings.push(...auditHandoff(this.#machine, map));
    for (const nic of this.#machine.nics) {
      const { uncompletedAtClose } = nic.statistics;
      if (uncompletedAtClose === 0) continue;
      const text = `NIC ${nic.nic}: ${uncompletedAtClose} received packets were not completed`;
      this.#findings.push({ check: 'completions', severity: 'warning', text });
    }
  }

  // --- the loaded OS ---

  #runOs(map: readonly MemoryRange[]): void {
    const machine = this.#machine;
    const { osEvents } = this.#options;
    const before = this.#channels.take();

    // All free memory is the OS's now; the host writes to what it still has
    const pattern = new MemoryPattern(machine.partition.ram, map);
    const written = writeLate(machine);
    machine.run(SETTLE_MS * TICKS_PER_MS);
    const late = written.length === 0 ? '' : ` (${written.map((g) => g.purpose).join(', ')})`;
    this.#damage(pattern, `late writes of the host${late}`);

    // The OS takes over, and what it takes for itself is not pattern any more
    this.#os = this.#guest('OS', () =>
      runLoadedOs({
        machine: machine.bootProcessor,
        memoryMap: map,
        ...(osEvents === undefined ? {} : { events: osEvents }),
        onAllocate: (address, length) => pattern.exclude(address, length),
      }),
    );
    this.#damage(pattern, 'writes while the OS ran');
    if (this.#os !== undefined) this.#checkOs(this.#os, before);
  }

  #damage(pattern: MemoryPattern, by: string): void {
    for (const { address, bytes } of pattern.damaged()) {
      const text = `page 0x${address.toString(16)}: ${bytes} bytes changed by ${by}`;
      this.#findings.push({ check: 'late-writes', severity: 'error', text });
      // Once is enough for a page
      pattern.exclude(address, 1);
    }
  }

  #checkOs(os: OsReport, before: ReadonlyMap<string, number>): void {
    const report = (text: string): void => {
      this.#findings.push({ check: 'next-os', severity: 'error', text });
    };
    if (os.error !== undefined) report(`the OS could not come up: ${os.error}`);
    for (const nic of os.nics) {
      if (nic.error !== undefined) report(`the OS has no network on ${nic.name}: ${nic.error}`);
      else if (nic.received === 0) report(`the OS received nothing on ${nic.name}`);
    }
    if (os.error === undefined && os.nics.length < this.#machine.nics.length) {
      report(`the OS found ${os.nics.length} of ${this.#machine.nics.length} NICs`);
    }
    if (os.outstanding > 0) report(`the OS could not get ${os.outstanding} regions back`);
    const after = this.#channels.take();
    for (const [instance, channel] of before) {
      const now = after.get(instance);
      if (now === undefined || now === channel) continue;
      report(`{${instance}} was channel ${channel}, is channel ${now} for the OS`);
    }
  }

  // --- the firmware once more ---

  #runAgain(): void {
    this.#secondBoot = this.#guest('second boot', () => this.#runFirmware());
    const result = this.#secondBoot;
    if (result === undefined || result.status === 'booted') return;
    const text = `the firmware could not boot again: ${result.error?.message ?? 'no reason given'}`;
    this.#findings.push({ check: 'second-boot', severity: 'error', text });
  }

  #verdict(): Verdict {
    if (this.#ended !== undefined) return this.#hung ? 'hang' : 'crash';
    const failed = this.#boot?.status !== 'booted';
    const errors = this.#findings.some(({ severity }) => severity === 'error');
    const errno = this.#boot?.error?.kind.errno;
    if (failed && !errors && errno !== undefined && REFUSALS.includes(errno)) return 'refused';
    return failed || errors ? 'findings' : 'clean';
  }
}
