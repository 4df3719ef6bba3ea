// SPDX-License-Identifier: GPL-2.0-or-later

/** A PC on a simulated host: the emulator, the machine that is made for its RAM, its console. */

import { SimulatedMachine, type SimulatedMachineOptions } from '../../simulator/machine.ts';
import { HostBoard, type PcObserver } from './pc-board.ts';
import { PcConsole } from './pc-console.ts';
import { HYPERCALL_CODE, PcEmulator, type PcParts } from './pc-emulator.ts';
import { vmbusTable } from './vmbus-acpi.ts';
import { loadKernel, type PcKernel } from './pc-kernel.ts';
import type { Restore, Saved } from '../../simulator/base/snapshot.ts';

/** The counter of the emulated processor: 1 GHz, 50 counts ahead of reference time. */
const COUNTER = { frequency: 1_000_000_000n, atZero: 50n, apicHz: 1_000_000_000n };

/** What the host is like: all that the PC itself does not decide. */
export type PcHost = Omit<
  SimulatedMachineOptions,
  'memory' | 'window' | 'counter' | 'hypercallCode' | 'interrupts' | 'processors' | 'architecture'
>;

/** How a slice ended. */
export type PcSlice =
  /** It runs. */
  | 'running'
  /** Its processor waits for an interrupt. */
  | 'idle'
  /** Its processor has halted for good: no interrupt is let in. */
  | 'halted';

export class Pc {
  readonly emulator: PcEmulator;
  readonly machine: SimulatedMachine;
  readonly console: PcConsole;
  readonly board: HostBoard;
  readonly #kernel: PcKernel | undefined;

  private constructor(
    emulator: PcEmulator,
    kernel: PcKernel | undefined,
    host: PcHost,
    length: number,
    observer: PcObserver,
  ) {
    this.emulator = emulator;
    this.#kernel = kernel;
    this.machine = new SimulatedMachine({
      ...host,
      memory: emulator.exports.memory.buffer,
      window: { offset: emulator.ramOffset, length },
      counter: COUNTER,
      hypercallCode: HYPERCALL_CODE,
      interrupts: (_vp, vector, autoEoi) => this.board.interrupt(vector, autoEoi),
    });
    this.board = new HostBoard(emulator, this.machine, observer);
    this.console = new PcConsole(emulator.emulator, () => this.machine.clock.now);
  }

  /**
   * Make one, with a kernel in its RAM if there is one to boot.
   *
   * @throws BadEmulator for a module that cannot be changed, BadPcProgram, RangeError
   */
  static async create(
    parts: PcParts,
    kernel: PcKernel | undefined,
    host: PcHost,
    observer: PcObserver,
  ): Promise<Pc> {
    const emulator = await PcEmulator.create(parts);
    const pc = new Pc(emulator, kernel, host, parts.memoryBytes, observer);
    // SeaBIOS takes further tables from there (src/fw/acpi.c)
    emulator.cpu.option_roms.push({ name: 'acpi/vmbus', data: vmbusTable() });
    if (kernel !== undefined) {
      const data = loadKernel(pc.machine.partition.ram.bytes, kernel);
      emulator.cpu.option_roms.push({ name: 'genroms/kernel.bin', data });
    }
    return pc;
  }

  /**
   * Take down the whole PC, between two slices: processor, memory, devices, host and network. What
   * puts it back is good as often as one likes.
   *
   * @throws SnapshotError; to put it back as well: then the emulator has moved, and cannot
   */
  saveState(...others: readonly Saved[]): Restore {
    return this.machine.saveState(this.emulator, this.board, this.console, ...others);
  }

  /** Start the BIOS again, with memory as it is but for the kernel, which is put there anew. */
  reboot(): void {
    if (this.#kernel !== undefined) loadKernel(this.machine.partition.ram.bytes, this.#kernel);
    this.board.restart(() => this.emulator.reboot());
  }

  /** Run for a while; idle time is skipped. @throws PcPanic if the emulator cannot go on */
  run(): PcSlice {
    const { emulator, board } = this;
    const ms = emulator.run();
    board.sync(0);
    if (!emulator.halted) return 'running';
    if (!emulator.interruptible) return 'halted';
    board.idle(ms);
    return 'idle';
  }
}
