// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Crashes while a kernel comes up: it panics at some exit of its start, and nothing of it runs from
 * there on, not even what its drivers would undo.
 */

import type { Machine } from '../../src/machine.ts';
import { HvCall, HvControl, PostMessage } from '../../src/hyperv/protocol.ts';
import { MessageHeader } from '../../src/vmbus/protocol.ts';
import { passOn } from '../simulator/base/passing-machine.ts';

/** Thrown through whatever a kernel was doing. */
export class KernelPanic extends Error {
  constructor(where: string) {
    super(`Kernel panic - not syncing: ${where}`);
    this.name = 'KernelPanic';
  }
}

/**
 * Where a kernel panics: before an exit of its start, counted from 0 (registers, hypercalls,
 * pauses); or right after it has posted a message of a type, for the first time or a later one.
 */
export type PanicPoint =
  { readonly exit: number } | { readonly after: number; readonly nth?: number };

export class PanicGate {
  readonly #point: PanicPoint;
  /** Exits and messages so far. */
  exits = 0;
  #messages = 0;
  /** Nothing runs any more; or everything does, unhindered. */
  #dead = false;
  #isOpen = false;

  constructor(point: PanicPoint) {
    this.#point = point;
  }

  /** From here on the kernel runs only what a panicked kernel runs, without hindrance. */
  open(): void {
    this.#isOpen = true;
  }

  /** @throws KernelPanic */
  before(): void {
    if (this.#isOpen) return;
    if (this.#dead) throw new KernelPanic('it has panicked already');
    if ('exit' in this.#point && this.exits === this.#point.exit) this.#panic(`exit ${this.exits}`);
    this.exits++;
  }

  /** A message was posted. @throws KernelPanic */
  posted(type: number): void {
    if (this.#isOpen || !('after' in this.#point) || type !== this.#point.after) return;
    this.#messages++;
    if (this.#messages === (this.#point.nth ?? 1)) this.#panic(`after message ${type}`);
  }

  #panic(where: string): never {
    this.#dead = true;
    throw new KernelPanic(where);
  }

  /** A processor behind the gate. */
  guard(machine: Machine): Machine {
    const guarded = passOn(machine);
    const view = new DataView(machine.memory);
    const told = (control: bigint, input: bigint, failed: boolean): void => {
      const code = Number(control & HvControl.CODE_MASK);
      if (code !== HvCall.POST_MESSAGE || failed) return;
      this.posted(
        view.getUint32(Number(input) + PostMessage.at.data + MessageHeader.at.type, true),
      );
    };
    guarded.pause = () => {
      this.before();
      machine.pause();
    };
    if (machine.architecture === 'x64' && guarded.architecture === 'x64') {
      guarded.rdmsr = (msr) => {
        this.before();
        return machine.rdmsr(msr);
      };
      guarded.wrmsr = (msr, value) => {
        this.before();
        machine.wrmsr(msr, value);
      };
      guarded.callHypercallPage = (page, control, input, output) => {
        this.before();
        const result = machine.callHypercallPage(page, control, input, output);
        told(control, input, result !== 0n);
        return result;
      };
    } else if (machine.architecture === 'arm64' && guarded.architecture === 'arm64') {
      const smccc = machine.hypercallConvention !== 'immediate';
      guarded.hvc = (immediate, registers) => {
        this.before();
        const [control, input] = [registers[smccc ? 1 : 0]!, registers[smccc ? 2 : 1]!];
        machine.hvc(immediate, registers);
        told(control, input, registers[0] !== 0n);
      };
    }
    return guarded;
  }
}
