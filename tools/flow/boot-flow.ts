// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A boot from reset to the last kernel: the firmware boots and hands over, the audit looks at what
 * the host still holds, the OS takes over, hands over to further kernels if it is asked to, and the
 * firmware boots once more.
 *
 * Runs any firmware that exports `boot`; knows nothing of Node.
 */

import type { ServedBootResult as BootResult } from '../../src/services/boot-services.ts';
import type { EventSink, FirmwareEvent } from '../../src/events.ts';
import { PAGE_SIZE, type Machine, type MemoryRange } from '../../src/machine.ts';
import type { PageAllocator } from '../../src/memory/allocator.ts';
import type { AuditCheck, Finding, Severity } from '../simulator/audit/audit-findings.ts';
import { auditBaseline, NO_BASELINE } from '../simulator/audit/audit-baseline.ts';
import { auditHandoff } from '../simulator/audit/audit.ts';
import { FreedMemory } from '../simulator/audit/freed-memory.ts';
import type { MemoryPattern } from '../simulator/audit/memory-pattern.ts';
import { sameBytes } from '../simulator/base/same-bytes.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { isRefusal } from '../os/loaded-os.ts';
import { memoryInUse, readBootResult } from './boot-result.ts';
import { countMachine } from './counts.ts';
import { firmwareBoots, kernelSteps, type FlowStep } from './flow-steps.ts';
import { tellFindings, tellHandoff, tellStage, tellVerdict } from './flow-events.ts';
import { mapOnceMore, withMap } from './handed-on.ts';
import { GuestRuns } from './guest-run.ts';
import { leaveBehind } from '../os/previous-owner.ts';
import { scheduleNic } from './nic-schedule.ts';
import { LinkHarm } from './link-harm.ts';
import { NicWatch } from './nics-there.ts';
import { kernelsFor, runOsChain } from './os-chain.ts';
import type { FlowOptions, FlowReport, Verdict } from './flow-report.ts';
import { RescindOnClose } from './rescind-on-close.ts';
import { SanBoot } from './san-boot.ts';
import { SanFlow } from './san-flow.ts';
import type { FlowStage } from './stage.ts';

export { BadBootResult, type Firmware } from './boot-result.ts';
export type { GuestEnd } from './guest-run.ts';

export type { FlowOptions, FlowReport, StageEvents, Verdict } from './flow-report.ts';

/** Name of the last stage. */
const SECOND_BOOT = 'second boot';

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
  readonly #guests: GuestRuns;
  readonly #freed: FreedMemory;
  readonly #stages: FlowStage[] = [];
  readonly #findings: Finding[] = [];
  readonly #notRun = new Set<AuditCheck>();
  /** What the firmware that boots was given. */
  #given: readonly MemoryRange[];
  /** Images that were loaded, and files beside them. */
  readonly #loaded: Pick<MemoryRange, 'address' | 'length'>[] = [];
  /** The image of the first boot, as it was handed over. */
  #image: { readonly name: string; readonly bytes: Uint8Array } | undefined;
  /** What the last kernel found in memory. */
  #pattern: MemoryPattern | undefined;
  #boot: BootResult | undefined;
  /** When the firmware got the machine for the first time, in ticks. */
  #ownedSince: number | undefined;
  /** The firmware has booted, and did not once more, which is not its fault. */
  #excused = false;
  /**
   * The firmware says that it was refused a version, and so does the host: it has refused one, and
   * of none that it accepted it was asked for devices.
   */
  #versionsRefused = false;
  /** What the host does with its NICs from the first handoff on. */
  #nics: NicWatch | undefined;
  #secondBoot: BootResult | undefined;
  /** What the machine had done when the firmware handed over for the first time. */
  #handoff: Pick<FlowReport, 'counts' | 'vmbusVersions' | 'handoffAt'> | undefined;

  constructor(options: FlowOptions) {
    this.#options = options;
    this.#machine = options.machine;
    this.#guests = new GuestRuns(options.machine);
    this.#freed = new FreedMemory(options.machine);
    this.#given = options.machine.bootSeam.memoryMap;
  }

  run(): FlowReport {
    const { machine, steps = [], os = true, secondBoot = true } = this.#options;
    const { previousOwner = [], nicTimes = {} } = this.#options;
    if (previousOwner.length > 0) {
      tellStage(machine, 'previous owner');
      this.#guests.run('previous owner', () => leaveBehind(machine, new Set(previousOwner)));
    }
    scheduleNic(machine, nicTimes);
    for (let index = 0; index < firmwareBoots(steps); index++) {
      if (index > 0 && !this.#booted) break;
      this.#given = this.#map;
      if (steps.includes('san') && index === firmwareBoots(steps) - 1) this.#bootSan();
      else this.#bootFirmware(index === 0 ? 'firmware' : `chainload ${index}`);
    }

    // Whoever comes next: on the memory that the firmware said is free
    if (os && this.#guests.ended === undefined) this.#runOs(steps);
    else this.#notRun.add('late-writes').add('next-os');
    this.#collect();
    if (secondBoot && this.#booted) this.#runAgain();
    else this.#notRun.add('second-boot').add('rescind');
    const verdict = this.#verdict(this.#handoff!.vmbusVersions.length > 0);
    this.#tellVerdict(verdict);
    return {
      verdict,
      boot: this.#boot,
      ended: this.#guests.ended,
      findings: this.#findings,
      stages: this.#stages,
      notRun: [...this.#notRun],
      os: this.#stages.find((stage) => stage.os !== undefined)?.os,
      secondBoot: this.#secondBoot,
      ...this.#handoff!,
      endedAt: machine.clock.now,
    };
  }

  get #booted(): boolean {
    return this.#guests.ended === undefined && this.#boot?.status === 'booted';
  }

  // --- firmware ---

  #bootFirmware(name: string): void {
    const { machine, events } = this.#options;
    const since = auditBaseline(machine);
    this.#ownedSince ??= since.at;
    this.#freed.begin(since);
    const harm = new LinkHarm(machine);
    const sink = events && this.#told((event: FirmwareEvent) => events(event, name));
    tellStage(machine, name);
    this.#boot = this.#guests.run(name, () => this.#runFirmware(sink));
    this.#handedOver(this.#boot);
    tellHandoff(machine, name, 'handoff', this.#map);
    const audit = { inUse: this.#inUse(), since, given: this.#given };
    const findings = [...this.#freed.take(), ...auditHandoff(machine, this.#map, audit)];
    if (name !== 'firmware' && this.#boot?.status === 'failed') {
      const excuse = this.#excuse(this.#boot, harm);
      this.#excused = excuse !== undefined;
      findings.push(notBooted('did not boot', this.#boot, 'second-boot', excuse));
    }
    this.#stages.push({ name, end: 'handoff', endedAt: machine.clock.now, findings });
    if (this.#boot !== undefined) this.#options.onHandoff?.(this.#boot);
  }

  #bootSan(): void {
    const { machine, firmware, bootOptions, events, onHandoff, searchesAll } = this.#options;
    const guests = this.#guests;
    this.#ownedSince ??= machine.clock.now;
    this.#freed.begin(auditBaseline(machine));
    let flow: SanFlow | undefined;
    const san = guests.run('firmware', () =>
      guests.callFirmware(
        () =>
          new SanBoot({
            machine: this.#seam,
            firmware,
            ...{ bootOptions },
            pages: (allocator) => this.#freed.watch(allocator),
            events: events && this.#told((event) => events(event, flow?.current ?? 'firmware')),
          }),
      ),
    );
    if (san === undefined) return this.#handedOver(undefined);
    flow = new SanFlow({
      ...{ machine, san, guests, freed: this.#freed, searchesAll },
      events: (stage, event) => this.#options.osEvents?.(event, stage),
      onHandoff: (result) => {
        this.#handedOver(result);
        if (result !== undefined) onHandoff?.(result);
      },
    });
    this.#boot = flow.run();
    this.#stages.push(...flow.stages);
    if (this.#boot !== undefined) onHandoff?.(this.#boot);
  }

  /** What was there when the firmware handed over: before anybody else touches the machine. */
  #handedOver(boot: BootResult | undefined): void {
    const machine = this.#machine;
    this.#boot = boot;
    this.#versionsRefused =
      boot?.error?.name === 'VersionRefused' &&
      onlyRefused(machine, this.#ownedSince ?? NO_BASELINE.at);
    this.#loaded.push(...this.#inUse());
    const { image } = boot ?? {};
    if (image !== undefined) {
      const { name, address, length } = image;
      const bytes = new Uint8Array(this.#machine.partition.ram.memory, address, length).slice();
      this.#image ??= { name, bytes };
    }
    this.#handoff ??= {
      counts: countMachine(machine),
      vmbusVersions: acceptedVersions(machine),
      handoffAt: machine.clock.now,
    };
    this.#nics ??= new NicWatch(machine);
  }

  /** Why nobody is to blame for a boot that failed, or undefined if somebody is. */
  #excuse({ error }: BootResult, harm: LinkHarm, taken?: readonly string[]): string | undefined {
    if (this.#nics!.excuses(taken)) return 'the host has taken a NIC away';
    return harm.reason(error?.name);
  }

  #runFirmware(events: EventSink | undefined): BootResult {
    const { firmware, bootOptions } = this.#options;
    const pages = (allocator: PageAllocator) => this.#freed.watch(allocator);
    const options = { pages, ...bootOptions, ...(events === undefined ? {} : { events }) };
    const seam = this.#seam;
    const result = this.#guests.callFirmware(() => firmware.boot(seam, options));
    return readBootResult(result, seam);
  }

  /** Who is told of events is the tool, though the firmware calls it. */
  #told(events: EventSink): EventSink {
    const { partition } = this.#machine;
    return (event) => partition.guard(() => events(event));
  }

  /** The machine, with the memory that the firmware is given. */
  get #seam(): Machine {
    return withMap(this.#machine.bootSeam, this.#given);
  }

  /** What the firmware has handed on. */
  get #map(): readonly MemoryRange[] {
    return this.#boot?.memoryMap ?? this.#machine.bootSeam.memoryMap;
  }

  /** The loaded image and the files beside it: reserved in the memory map, but in use. */
  #inUse(): Pick<MemoryRange, 'address' | 'length'>[] {
    return this.#boot === undefined ? [] : memoryInUse(this.#boot);
  }

  // --- the loaded OS ---

  #runOs(steps: readonly FlowStep[]): void {
    const { osEvents, linux, searchesAll } = this.#options;
    // A host that the firmware refused is looked at, but nobody goes on there
    const kernels = kernelsFor(this.#booted ? kernelSteps(steps) : []);
    const stages = runOsChain({
      machine: this.#machine,
      memoryMap: this.#map,
      inUse: this.#inUse(),
      kernels,
      ownedSince: this.#ownedSince ?? NO_BASELINE.at,
      guest: (name, run) => this.#guests.run(name, run),
      ...{ linux, searchesAll },
      onPattern: (pattern) => (this.#pattern = pattern),
      events: osEvents && ((stage, event) => osEvents(event, stage)),
    });
    this.#stages.push(...stages);
  }

  /** All findings in one list; those of later stages say whose they are. */
  #collect(): void {
    for (const { name, findings } of this.#stages) {
      const first = name === 'firmware' || name === 'OS';
      for (const finding of findings) {
        this.#findings.push(first ? finding : { ...finding, text: `${name}: ${finding.text}` });
      }
    }
  }

  // --- the firmware once more ---

  /** Boot again; once the image is there, each NIC is taken away as soon as it is closed. */
  #runAgain(): void {
    const { events } = this.#options;
    // The firmware finds in its memory what the last kernel found there
    const pattern = this.#pattern;
    if (this.#freed.allocated)
      this.#freed.onAllocate = (address, length) => pattern?.exclude(address, length);
    else pattern?.complete();
    const { memoryMap, pageSize = PAGE_SIZE } = this.#machine.bootSeam;
    this.#given = mapOnceMore(memoryMap, this.#map, this.#loaded, pageSize);
    const rescind = new RescindOnClose(this.#machine);
    const watch = (event: FirmwareEvent): void => {
      events?.(event, SECOND_BOOT);
      const { kind } = event;
      if (kind === 'boot-step' && event.step === 'download' && event.phase === 'end') rescind.arm();
    };
    const since = auditBaseline(this.#machine);
    this.#freed.begin(since);
    const harm = new LinkHarm(this.#machine);
    tellStage(this.#machine, SECOND_BOOT);
    const result = this.#guests.run(SECOND_BOOT, () => this.#runFirmware(this.#told(watch)));
    this.#secondBoot = result;
    const found = this.#findings.length;
    if (result !== undefined) tellHandoff(this.#machine, SECOND_BOOT, 'handoff', result.memoryMap);
    const { happened } = rescind;
    if (!happened) this.#notRun.add('rescind');
    const check = happened ? 'rescind' : 'second-boot';

    // Whatever it met, it must have left nothing behind
    if (result !== undefined) {
      const inUse = memoryInUse(result);
      const audit = auditHandoff(this.#machine, result.memoryMap, {
        ...{ inUse, since, given: this.#given },
      });
      for (const finding of [...this.#freed.take(), ...audit]) {
        if (finding.severity === 'info') continue;
        this.#findings.push({ ...finding, check, text: `after the second boot: ${finding.text}` });
      }
      if (this.#loadedOtherwise(result)) {
        const text = 'the second boot loaded another image than the first one';
        this.#findings.push({ check, severity: 'error', text });
      }
    }
    if (result?.status === 'failed') {
      const excuse = this.#excuse(result, harm, rescind.instances);
      this.#findings.push(notBooted('the second boot failed', result, check, excuse));
      if (excuse !== undefined) this.#notRun.add(check);
    }
    rescind.disarm();
    tellFindings(this.#machine, SECOND_BOOT, this.#findings.slice(found));
  }

  /** Whether an image of the same name has other bytes than it had at the first handoff. */
  #loadedOtherwise({ image }: BootResult): boolean {
    const first = this.#image;
    if (image === undefined || first === undefined || image.name !== first.name) return false;
    const { address, length } = image;
    const bytes = new Uint8Array(this.#machine.partition.ram.memory);
    return length !== first.bytes.length || !sameBytes(bytes, first.bytes, address);
  }

  /** What was found in the second boot has been told; now all else, and the verdict. */
  #tellVerdict(verdict: Verdict): void {
    for (const { name, findings } of this.#stages) tellFindings(this.#machine, name, findings);
    tellVerdict(this.#machine, verdict, this.#notRun);
  }

  #verdict(connected: boolean): Verdict {
    const { ended } = this.#guests;
    if (ended !== undefined) return ended.kind === 'thrown' ? 'crash' : ended.kind;
    const failed = this.#boot?.status !== 'booted' && !this.#excused;
    const strict = this.#options.strict === true;
    const counts = (severity: Severity) =>
      severity === 'error' || (strict && severity === 'warning');
    const errors = this.#findings.some(({ severity }) => counts(severity));
    // Who refuses the versions of a host must have asked for one
    const early = !connected || this.#versionsRefused;
    if (failed && !errors && early && isRefusal(this.#boot?.error)) return 'refused';
    return failed || errors ? 'findings' : 'clean';
  }
}

/** A boot that failed, though one before it did not; `excuse`: why that is nobody's fault. */
function notBooted(
  what: string,
  { error }: BootResult,
  check: AuditCheck,
  excuse: string | undefined,
): Finding {
  const text = `${what}: ${error?.message ?? 'no reason given'}`;
  if (excuse === undefined) return { check, severity: 'error', text };
  return { check, severity: 'info', text: `${text} (${excuse})` };
}

/** Whether the host has refused a version since, and was asked for no devices. */
function onlyRefused(machine: SimulatedMachine, since: number): boolean {
  const { history, numbering } = machine.vmbus.inspect();
  return (
    numbering.at <= since && history.some(({ outcome, at }) => outcome === 'refused' && at > since)
  );
}

function acceptedVersions(machine: SimulatedMachine): number[] {
  const { history } = machine.vmbus.inspect();
  return history.filter(({ outcome }) => outcome === 'accepted').map(({ version }) => version);
}
