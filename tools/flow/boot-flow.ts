// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A boot from reset to the loaded OS: the firmware boots and hands over, the audit looks at what
 * the host still holds, the OS takes over, and the firmware boots once more (chain-loading).
 *
 * Runs any firmware that exports `boot`; knows nothing of Node.
 */

import type { BootResult } from '../../src/boot/boot.ts';
import type { EventSink, FirmwareEvent } from '../../src/events.ts';
import type { MemoryRange } from '../../src/machine.ts';
import { runLoadedOs, type OsReport } from '../os/loaded-os.ts';
import type { AuditCheck, Finding } from '../simulator/audit-findings.ts';
import { describeGrant } from '../simulator/audit-pages.ts';
import { auditHandoff } from '../simulator/audit.ts';
import { TICKS_PER_MS } from '../simulator/clock.ts';
import { GuestCrash, GuestHang } from '../simulator/guest-end.ts';
import { MemoryPattern, auditPattern, writeLate } from '../simulator/late-writes.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { readBootResult, type Firmware } from './boot-result.ts';
import { countMachine, type MachineCounts } from './counts.ts';
import { auditOs, channelNumbers } from './os-findings.ts';
import { RescindOnClose } from './rescind-on-close.ts';

export { BadBootResult, type Firmware } from './boot-result.ts';

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

/** How a guest ended that did not return. */
export interface GuestEnd {
  /** `firmware`, `OS` or `second boot`. */
  readonly guest: string;
  readonly kind: 'crash' | 'hang' | 'thrown';
  readonly text: string;
  /** Where it was thrown, if it was the firmware that threw. */
  readonly stack: string | undefined;
}

export interface FlowReport {
  readonly verdict: Verdict;
  /** What the firmware returned; undefined if it did not. */
  readonly boot: BootResult | undefined;
  readonly ended: GuestEnd | undefined;
  readonly findings: readonly Finding[];
  /** Checks that had no occasion. */
  readonly notRun: readonly AuditCheck[];
  readonly os: OsReport | undefined;
  readonly secondBoot: BootResult | undefined;
  /** VMBus versions that the firmware agreed on with the host, in order. */
  readonly vmbusVersions: readonly number[];
  /** What the machine had done when the firmware handed over. */
  readonly counts: MachineCounts;
  /** Virtual time at the handoff and at the end, in ticks. */
  readonly handoffAt: number;
  readonly endedAt: number;
}

/** Errors with which a firmware refuses a host: it cannot run there at all. */
const REFUSALS: readonly (string | undefined)[] = ['ENODEV', 'EACCES', 'ENOTSUP'];

/**
 * Run the flow. What a firmware throws is how it ended.
 *
 * @throws BadBootResult, and what is a mistake in the simulator
 */
export function runBootFlow(options: FlowOptions): FlowReport {
  return new BootFlow(options).run();
}

class BootFlow {
  readonly #options: FlowOptions;
  readonly #machine: SimulatedMachine;
  readonly #findings: Finding[] = [];
  readonly #notRun = new Set<AuditCheck>();
  #boot: BootResult | undefined;
  #secondBoot: BootResult | undefined;
  #os: OsReport | undefined;
  #ended: GuestEnd | undefined;

  constructor(options: FlowOptions) {
    this.#options = options;
    this.#machine = options.machine;
  }

  run(): FlowReport {
    const { machine, events, os = true, secondBoot = true } = this.#options;
    this.#boot = this.#guest('firmware', () => this.#runFirmware(events));

    // What was left behind: before anybody else touches the machine
    const handoffAt = machine.clock.now;
    const counts = countMachine(machine);
    const vmbusVersions = acceptedVersions(machine);
    const map = this.#boot?.memoryMap ?? machine.bootProcessor.memoryMap;
    this.#findings.push(...auditHandoff(machine, map, { inUse: this.#inUse() }));
    if (this.#boot !== undefined) this.#options.onHandoff?.(this.#boot);

    // Whoever comes next: on the memory that the firmware said is free
    if (os && this.#ended === undefined) this.#runOs(map);
    else this.#notRun.add('late-writes').add('next-os');
    const again = secondBoot && this.#ended === undefined && this.#boot?.status === 'booted';
    if (again) this.#runAgain();
    else this.#notRun.add('second-boot').add('rescind');
    return {
      verdict: this.#verdict(vmbusVersions.length > 0),
      boot: this.#boot,
      ended: this.#ended,
      findings: this.#findings,
      notRun: [...this.#notRun],
      os: this.#os,
      secondBoot: this.#secondBoot,
      vmbusVersions,
      counts,
      handoffAt,
      endedAt: machine.clock.now,
    };
  }

  #runFirmware(events: EventSink | undefined): BootResult {
    const { firmware, bootOptions } = this.#options;
    const options = { ...bootOptions, ...(events === undefined ? {} : { events }) };
    let result: unknown;
    try {
      result = firmware.boot(this.#machine.bootProcessor, options);
    } catch (error) {
      throw error instanceof GuestCrash || error instanceof GuestHang
        ? error
        : new FirmwareThrew(error);
    }
    // A guest that catches its own crash has crashed all the same
    if (this.#machine.partition.ended !== undefined) throw this.#machine.partition.ended;
    return readBootResult(result, this.#machine.bootProcessor);
  }

  /** The loaded image: reserved in the memory map, but in use. */
  #inUse(): NonNullable<BootResult['image']>[] {
    return this.#boot?.image === undefined ? [] : [this.#boot.image];
  }

  /** Run a guest within its limits. Undefined if it did not return. */
  #guest<T>(guest: string, run: () => T): T | undefined {
    this.#machine.partition.recover(GUEST_LIMITS);
    try {
      return run();
    } catch (error) {
      const ended = this.#machine.partition.ended ?? error;
      if (ended instanceof FirmwareThrew) {
        this.#ended = { guest, kind: 'thrown', text: ended.message, stack: ended.where };
      } else if (ended instanceof GuestCrash || ended instanceof GuestHang) {
        const kind = ended instanceof GuestHang ? 'hang' : 'crash';
        this.#ended = { guest, kind, text: ended.message, stack: undefined };
      } else throw error;
      return undefined;
    }
  }

  // --- the loaded OS ---

  #runOs(map: readonly MemoryRange[]): void {
    const machine = this.#machine;
    const { osEvents } = this.#options;
    const before = channelNumbers(machine);

    // All free memory is the OS's now, and so is the image; the host writes to what it still has
    const inUse = this.#inUse();
    const pattern = new MemoryPattern(machine.partition.ram, map);
    for (const { address, length } of inUse) pattern.keep(address, length);
    const written = writeLate(machine);
    machine.run(SETTLE_MS * TICKS_PER_MS);
    const damage = (when: string): void => {
      const describe = (grant: (typeof written)[number]) => describeGrant(grant, map, inUse);
      this.#findings.push(...auditPattern(pattern, when, written, describe));
    };
    damage('by late writes of the host');

    // The OS takes over, and what it takes for itself is not pattern any more
    this.#os = this.#guest('OS', () =>
      runLoadedOs({
        machine: machine.bootProcessor,
        memoryMap: map,
        ...(osEvents === undefined ? {} : { events: osEvents }),
        onAllocate: (address, length) => pattern.exclude(address, length),
      }),
    );
    damage('while the OS ran');
    if (this.#os !== undefined) this.#findings.push(...auditOs(this.#os, machine, before));
  }

  // --- the firmware once more ---

  /** Boot again; once the image is there, each NIC is taken away as soon as it is closed. */
  #runAgain(): void {
    const { events } = this.#options;
    const rescind = new RescindOnClose(this.#machine);
    const watch = (event: FirmwareEvent): void => {
      events?.(event);
      const { kind } = event;
      if (kind === 'boot-step' && event.step === 'download' && event.phase === 'end') rescind.arm();
    };
    const result = this.#guest('second boot', () => this.#runFirmware(watch));
    this.#secondBoot = result;
    const { happened } = rescind;
    if (!happened) this.#notRun.add('rescind');
    const check = happened ? 'rescind' : 'second-boot';

    // Whatever it met, it must have left nothing behind
    if (result !== undefined) {
      const inUse = result.image === undefined ? [] : [result.image];
      for (const finding of auditHandoff(this.#machine, result.memoryMap, { inUse })) {
        if (finding.severity !== 'error') continue;
        this.#findings.push({ ...finding, check, text: `after the second boot: ${finding.text}` });
      }
    }
    if (result?.status === 'failed') {
      const text = `the second boot failed: ${result.error?.message ?? 'no reason given'}`;
      this.#findings.push({ check, severity: 'error', text });
    }
    rescind.disarm();
  }

  #verdict(connected: boolean): Verdict {
    if (this.#ended !== undefined) return this.#ended.kind === 'hang' ? 'hang' : 'crash';
    const failed = this.#boot?.status !== 'booted';
    const errors = this.#findings.some(({ severity }) => severity === 'error');
    const refusal = REFUSALS.includes(this.#boot?.error?.kind?.errno);
    if (failed && !errors && refusal && !connected) return 'refused';
    return failed || errors ? 'findings' : 'clean';
  }
}

/** The firmware threw something of its own. */
class FirmwareThrew extends Error {
  /** Its stack, as far as it is the firmware's. */
  readonly where: string | undefined;

  constructor(thrown: unknown) {
    const named = thrown instanceof Error;
    super(named ? `${thrown.name}: ${thrown.message}` : String(thrown));
    this.where = named ? thrown.stack : undefined;
  }
}

function acceptedVersions(machine: SimulatedMachine): number[] {
  const { history } = machine.vmbus.inspect();
  return history.filter(({ outcome }) => outcome === 'accepted').map(({ version }) => version);
}
