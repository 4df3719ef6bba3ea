// SPDX-License-Identifier: GPL-2.0-or-later

/** The hypervisor's state as the audit reads it: no call here has an effect or costs time. */

import {
  HV_EVENT_FLAGS_COUNT,
  HV_EVENT_FLAGS_SIZE,
  HV_MESSAGE_PENDING,
  SINT_COUNT,
  STIMER_COUNT,
  SynicMessage,
} from '../../../src/hyperv/protocol.ts';
import type { Grant, GrantKind } from '../ledger/grants.ts';
import type { Hypercalls } from './hypercalls.ts';
import type { OverlayPages } from './overlay.ts';
import type { RegisterFile } from './register-file.ts';
import { registerNamed, X64_MSRS } from './registers.ts';
import type { TimerState } from './synthetic-timers.ts';
import type { VirtualProcessor } from './virtual-processor.ts';
import type { Watchdog } from './watchdog.ts';

/** An overlay page. */
export interface OverlayState {
  readonly kind: GrantKind;
  readonly purpose: string;
  /** Virtual processor, for those that each processor has. */
  readonly vp: number | undefined;
  /** Guest physical address while its register enables it. */
  readonly address: number | undefined;
  /** It hides guest RAM at this address: not outside RAM, not under another overlay. */
  readonly shown: boolean;
  readonly grant: Grant | undefined;
}

/** A message slot, wherever the message page is. */
export interface SlotState {
  readonly sint: number;
  /** 0: empty. */
  readonly type: number;
  readonly length: number;
  readonly pending: boolean;
  /** Messages that wait behind the slot in the host. */
  readonly queued: number;
}

/** An event flag that is set. */
export interface EventFlagState {
  readonly sint: number;
  readonly flag: number;
}

/** What is inspected. */
export interface InspectionContext {
  readonly registers: RegisterFile;
  readonly overlays: OverlayPages;
  readonly processors: readonly VirtualProcessor[];
  readonly hypercalls: Hypercalls;
  readonly watchdog: Watchdog;
}

export class PartitionInspection {
  readonly #context: InspectionContext;

  constructor(context: InspectionContext) {
    this.#context = context;
  }

  /** Number of virtual processors. */
  get processorCount(): number {
    return this.#context.processors.length;
  }

  /** Calls of the seam, pauses and hypercalls since the partition was made. */
  get counts(): { seamCalls: number; pauses: number; hypercalls: number } {
    const { watchdog, hypercalls } = this.#context;
    return {
      seamCalls: watchdog.seamCalls,
      pauses: watchdog.pauses,
      hypercalls: hypercalls.total,
    };
  }

  /** Calls of the seam that guests have made on a processor. */
  calls(vp: number): number {
    return this.#vp(vp).calls;
  }

  /** The last crashes that the guest has reported, each in one line. */
  get crashReports(): readonly string[] {
    return this.#context.registers.crashReports;
  }

  /** Value of a register by its name (`SINT2`). @throws Error if there is no such register. */
  register(vp: number, name: string): bigint {
    return this.#context.registers.peek(this.#vp(vp), registerNamed(name));
  }

  /** Value of a register by its x64 MSR number, or undefined if there is no such register. */
  msr(vp: number, msr: number): bigint | undefined {
    const register = X64_MSRS.get(msr);
    return register && this.#context.registers.peek(this.#vp(vp), register);
  }

  /** All registers of a processor, those of the partition among them, by x64 MSR number. */
  msrs(vp: number): Map<number, bigint> {
    const values = new Map<number, bigint>();
    for (const [msr, register] of X64_MSRS) {
      values.set(msr, this.#context.registers.peek(this.#vp(vp), register));
    }
    return values;
  }

  /** All overlay pages, mapped or not. */
  overlays(): OverlayState[] {
    return this.#context.overlays.all.map(({ kind, purpose, vp, address, shown, grant }) => ({
      kind,
      purpose,
      vp,
      address,
      shown,
      grant,
    }));
  }

  /** The sixteen message slots of a processor. */
  slots(vp: number): SlotState[] {
    const { synic } = this.#vp(vp);
    const { bytes, view, base } = synic.messagePage;
    return Array.from({ length: SINT_COUNT }, (_, sint) => {
      const slot = base + sint * SynicMessage.size;
      return {
        sint,
        type: view.getUint32(slot + SynicMessage.at.type, true),
        length: bytes[slot + SynicMessage.at.length]!,
        pending: (bytes[slot + SynicMessage.at.flags]! & HV_MESSAGE_PENDING) !== 0,
        queued: synic.queued(sint),
      };
    });
  }

  /** The event flags of a processor that are set, wherever the event page is. */
  eventFlags(vp: number): EventFlagState[] {
    const { bytes, base } = this.#vp(vp).synic.eventPage;
    const flags: EventFlagState[] = [];
    for (let sint = 0; sint < SINT_COUNT; sint++) {
      const start = base + sint * HV_EVENT_FLAGS_SIZE;
      for (let at = 0; at < HV_EVENT_FLAGS_COUNT >> 3; at++) {
        const byte = bytes[start + at]!;
        for (let bit = 0; byte >> bit !== 0; bit++)
          if ((byte & (1 << bit)) !== 0) flags.push({ sint, flag: 8 * at + bit });
      }
    }
    return flags;
  }

  /** The synthetic timers of a processor. */
  timers(vp: number): TimerState[] {
    const { timers } = this.#vp(vp);
    return Array.from({ length: STIMER_COUNT }, (_, index) => timers.state(index));
  }

  /** Interrupts that a SINT of a processor has raised. */
  interrupts(vp: number, sint: number): number {
    return this.#vp(vp).synic.interrupts[sint]!;
  }

  #vp(index: number): VirtualProcessor {
    const vp = this.#context.processors[index];
    if (vp === undefined) throw new RangeError(`VP ${index}`);
    return vp;
  }
}
