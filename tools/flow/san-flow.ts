// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The flow of a SAN boot: the firmware loads the image and quiesces; while it serves the loader,
 * the loader takes the machine in the middle of a transfer; the firmware, asked again, must leave
 * it alone; the loader gives it back; the firmware takes it back and serves to the end. Then comes
 * the OS, and finds the firmware quiesced.
 */

import type { ServedBootResult as BootResult } from '../../src/services/boot-services.ts';
import type { FirmwareEvent } from '../../src/events.ts';
import { HvCall } from '../../src/hyperv/protocol.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { auditBaseline } from '../simulator/audit/audit-baseline.ts';
import { auditHandoff } from '../simulator/audit/audit.ts';
import type { HostEvent } from '../simulator/ledger/events.ts';
import type { FreedMemory } from '../simulator/audit/freed-memory.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { tellHandoff, tellStage } from './flow-events.ts';
import type { GuestRuns } from './guest-run.ts';
import { LinkHarm } from './link-harm.ts';
import { NicWatch } from './nics-there.ts';
import { runOsChain } from './os-chain.ts';
import type { SanBoot } from './san-boot.ts';
import type { FlowStage } from './stage.ts';

/** Whether a firmware has touched a machine: it may look at one that is not its own, no more. */
function touches(event: HostEvent): boolean {
  if (event.kind !== 'hypercall') return event.kind === 'wrmsr' || event.kind === 'register-write';
  return event.code === HvCall.POST_MESSAGE || event.code === HvCall.SIGNAL_EVENT;
}

export interface SanFlowOptions {
  readonly machine: SimulatedMachine;
  readonly san: SanBoot;
  readonly guests: GuestRuns;
  /** See {@link FlowOptions.searchesAll}. */
  readonly searchesAll?: boolean | undefined;
  /** Watches what the firmware gives back. */
  readonly freed?: FreedMemory;
  readonly events?: ((stage: string, event: FirmwareEvent) => void) | undefined;
  /** Called right after the first handoff, before anything else touches the machine. */
  readonly onHandoff?: ((result: BootResult | undefined) => void) | undefined;
}

export class SanFlow {
  readonly #options: SanFlowOptions;
  readonly stages: FlowStage[] = [];
  /** Name of the firmware's stage that runs. */
  current = 'firmware';

  constructor(options: SanFlowOptions) {
    this.#options = options;
  }

  /** Run all but the OS. What the firmware has booted, or undefined if it did not return. */
  run(): BootResult | undefined {
    const { san, onHandoff } = this.#options;
    const { machine } = this.#options;
    const nics = new NicWatch(machine);
    const harm = new LinkHarm(machine);
    const boot = this.#firmware('firmware', () => san.load());
    onHandoff?.(boot);
    if (boot?.status !== 'booted') return boot;

    // The loader takes over while the firmware serves it
    const half = Math.floor(san.image!.length / 2);
    this.#firmware('firmware, serving', () => san.serve(half));
    this.#loader();

    // It has given the machine back: the firmware serves to the end
    const served = this.#firmware('firmware, once more', () => san.serve());
    if (served === false) {
      const why = nics.excuses() ? 'the host has taken a NIC away' : harm.reason(undefined);
      const text = 'the firmware could not take the machine back from a loader that had left';
      this.#add({
        check: 'second-boot',
        severity: why === undefined ? 'error' : 'info',
        text: why === undefined ? text : `${text}: ${why}`,
      });
    }
    const { image, memoryMap } = san;
    return { ...boot, image, memoryMap };
  }

  /** A service of the firmware, after which it quiesces. */
  #firmware<T>(name: string, service: () => T): T | undefined {
    const { machine, san, guests, freed } = this.#options;
    if (guests.ended !== undefined) return undefined;
    this.current = name;
    const since = auditBaseline(machine);
    tellStage(machine, name);
    const result = guests.run(name, () =>
      guests.callFirmware(() => {
        const value = service();
        san.quiesce();
        return value;
      }),
    );
    const { memoryMap } = san;
    tellHandoff(machine, name, 'quiesce', memoryMap);
    const findings =
      guests.ended === undefined
        ? [
            ...(freed?.take() ?? []),
            ...auditHandoff(machine, memoryMap, { kind: 'quiesce', since, inUse: this.#inUse() }),
          ]
        : [];
    this.stages.push({ name, end: 'quiesce', endedAt: machine.clock.now, findings });
    return result;
  }

  #loader(): void {
    const { machine, san, guests, events, searchesAll } = this.#options;
    if (guests.ended !== undefined) return;
    const stolen: Finding[] = [];
    const [stage] = runOsChain({
      machine,
      memoryMap: san.memoryMap,
      inUse: this.#inUse(),
      guest: (name, run) => guests.run(name, run),
      ...{ events, searchesAll, resident: true },
      kernels: [
        {
          name: 'loader',
          end: 'kexec',
          orderly: true,
          beforeEnd: () => stolen.push(...this.#serveOwned()),
        },
      ],
    });
    if (stage !== undefined)
      this.stages.push({ ...stage, findings: [...stage.findings, ...stolen] });
  }

  /** The loader owns the machine, and asks the firmware for more: it must not touch anything. */
  #serveOwned(): Finding[] {
    const { machine, san, guests } = this.#options;
    const before = machine.vmbus.inspect();
    // A loader that could not come up, and has switched off its message page again, owns nothing
    const owned = machine.partition.grants.live().some(({ kind }) => kind === 'message-page');
    let touched = false;
    const stop = machine.events.listen((event) => (touched ||= touches(event)));
    try {
      guests.run('firmware, not owner', () => guests.callFirmware(() => san.serve()));
    } finally {
      stop();
    }
    const after = machine.vmbus.inspect();
    const same = after.phase === before.phase && after.contacts === before.contacts;
    if (!owned || (same && !touched)) return [];
    const text = 'the firmware has taken the machine from the loader that owned it';
    return [{ check: 'next-os', severity: 'error', text }];
  }

  #inUse(): NonNullable<BootResult['image']>[] {
    const { image } = this.#options.san;
    return image === undefined ? [] : [image];
  }

  #add(finding: Finding): void {
    const last = this.stages.pop()!;
    this.stages.push({ ...last, findings: [...last.findings, finding] });
  }
}
