// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A PC: the emulator v86, changed so that a {@link PcBoard} answers what a processor asks of its
 * hypervisor, and run in slices on a clock that is not the wall's. Two PCs can be in one process:
 * nothing of what is set outlives a slice.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import { faultOutcome, type FaultOutcome } from './pc-fault.ts';
import { PcCompiler } from './pc-compiler.ts';
import { patchEmulator, HOOK_PORTS } from './wasm-patch.ts';
import { Layout, type V86Class, type V86Cpu, type V86Emulator } from './v86.ts';
import { engine, type V86Exports, type V86Imports } from './v86.ts';
import type { Keeper, Restore } from '../../simulator/base/snapshot.ts';
import { MemoryKeeper, ObjectKeeper, ScreenKeeper } from './pc-snapshot.ts';

/** Port of the hypercall page: `out 0xec, al; ret`. No PC has it. */
export const HYPERCALL_PORT = 0xec;
export const HYPERCALL_CODE: readonly number[] = [0xe6, HYPERCALL_PORT, 0xc3, 0xcc];

/** Port by which a boot program says that it runs: EAX is the address of its report. */
export const BOOT_PORT = 0x4858;
/** The same from 32-bit code: EAX is the address of its Linux boot parameters. */
export const BOOT_PORT_32 = 0x485c;

/** What the PC's clock begins with: 2026-01-01 00:00:00 UTC, for its real-time clock. */
const EPOCH_MS = 1_767_225_600_000;

/** Bytes that the emulator's own allocations may take later without moving guest RAM. */
const HEAP_RESERVE = 16 << 20;

/** Graphics memory: text is all that is looked at. */
const VGA_MEMORY = 2 << 20;

/**
 * A fault whose handler's table is in no memory is a triple fault. This emulator knows only those
 * of a table that is too short: it calls itself until the engine's stack is full.
 */
const STACK_OVERFLOW = /call stack/i;

/** EFLAGS bit 9. */
const INTERRUPT_FLAG = 0x200;

/** What is on the other side of a PC's processor. */
export interface PcBoard {
  /** The time in ms, with parts; moves on by the instructions since the last call. */
  microtick(): number;
  cpuid(): boolean;
  rdmsr(): boolean;
  wrmsr(): boolean;
  /** A write to the hypercall page's port. False: the instruction is not in that page. */
  hypercall(): boolean;
  bootReport(address: number, bits: 16 | 32): void;
  /** The PC asks for a reset of itself. */
  reset(): void;
  random(): number;
}

/** What a PC is made of. */
export interface PcParts {
  readonly V86: V86Class;
  /** `v86.wasm` of the same version. */
  readonly wasm: Uint8Array;
  readonly memoryBytes: number;
  /** SeaBIOS, and its BIOS for the standard VGA. */
  readonly bios: Uint8Array;
  readonly vgaBios: Uint8Array;
  readonly cdrom?: Uint8Array | undefined;
  readonly disk?: Uint8Array | undefined;
  /** Compile what runs often: at counted instructions, so that runs are alike. Default true. */
  readonly compile?: boolean;
}

/** The emulator cannot go on: what its processor met is nothing that it has. */
export class PcPanic extends Error {
  readonly end: FaultOutcome['end'];

  constructor({ end, text }: FaultOutcome) {
    super(text);
    this.end = end;
  }
}

/** Somebody has pressed the reset button: the instruction that runs is the last one. */
class PcCut extends Error {}

/** There is no room for a PC with so much RAM. */
export class NoRoomForPc extends RangeError {}

/** Views of the module's memory, taken again when it has moved. */
class Views {
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;

  constructor(buffer: ArrayBuffer) {
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
  }
}

export class PcEmulator {
  readonly exports: V86Exports;
  readonly emulator: V86Emulator;
  readonly cpu: V86Cpu;
  /** Where guest RAM lies in the module's memory. */
  readonly ramOffset: number;
  /** Called when the module's memory is another buffer. */
  onMoved: ((buffer: ArrayBuffer) => void) | undefined;
  readonly #board: BoardPlace;
  #views: Views;
  readonly #memory: MemoryKeeper;
  readonly #keepers: readonly { readonly fresh: number; take(): Restore }[];

  private constructor(exports: V86Exports, emulator: V86Emulator, board: BoardPlace) {
    this.exports = exports;
    this.emulator = emulator;
    this.cpu = emulator.v86.cpu;
    this.#board = board;
    this.ramOffset = this.cpu.mem8.byteOffset;
    this.#views = new Views(exports.memory.buffer);
    this.cpu.reboot_internal = () => {
      // It runs no further until it is started again
      this.bytes[Layout.halted] = 1;
      this.words[Layout.flags >> 2]! &= ~INTERRUPT_FLAG;
      board.current?.reset();
    };

    this.#memory = new MemoryKeeper(exports.memory);
    this.#keepers = [
      new ObjectKeeper([emulator.v86], () => exports.memory.buffer),
      new ScreenKeeper(emulator.screen_adapter),
    ];

    // What began on the wall's clock begins anew
    const { acpi, rtc } = this.cpu.devices;
    acpi.timer_last_value = 0;
    acpi.timer_imprecision_offset = 0;
    rtc.rtc_time = EPOCH_MS;
    rtc.last_update = EPOCH_MS;
  }

  /** Make one. @throws BadEmulator for another module; NoRoomForPc */
  static async create(parts: PcParts): Promise<PcEmulator> {
    try {
      return await PcEmulator.#make(parts);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new NoRoomForPc(error.message);
    }
  }

  static async #make(parts: PcParts): Promise<PcEmulator> {
    const module = await compiled(parts.wasm);
    const compiler = new PcCompiler();
    const board: BoardPlace = { current: undefined, compiler, said: undefined };
    let exports: V86Exports | undefined;
    const instantiate = async (imports: V86Imports): Promise<V86Exports> => {
      connect(imports.env, board, () => exports!);
      const instance = await engine.instantiate(module, imports);
      return (exports = instance.exports as V86Exports);
    };
    const emulator = new parts.V86({
      wasm_fn: instantiate,
      memory_size: parts.memoryBytes,
      vga_memory_size: VGA_MEMORY,
      bios: { buffer: copy(parts.bios) },
      vga_bios: { buffer: copy(parts.vgaBios) },
      ...(parts.cdrom === undefined ? {} : { cdrom: { buffer: copy(parts.cdrom) } }),
      ...(parts.disk === undefined ? {} : { hda: { buffer: copy(parts.disk) } }),
      disable_jit: parts.compile === false,
      acpi: true,
      // The network is Hyper-V's alone
      net_device: { type: 'none' },
      ...{ autostart: false, disable_keyboard: true, disable_mouse: true, disable_speaker: true },
    });
    await new Promise<void>((resolve) => {
      emulator.add_listener('emulator-ready', () => resolve());
    });

    // Room for what it allocates later: guest RAM stays where it is
    exports!.v86_free(exports!.v86_malloc(HEAP_RESERVE));
    return new PcEmulator(exports!, emulator, board);
  }

  /** For a snapshot, between two slices. To restore it: @throws SnapshotError once it has moved */
  saveTo(keeper: Keeper): void {
    this.#memory.take(keeper);
    for (const part of this.#keepers) keeper.also(part.take());
    const board = this.#board;
    keeper.put([board.said], (v) => ([board.said] = v));
    board.compiler.saveFor(this.cpu, keeper);
  }

  /** Bytes that the last snapshot has beyond the one before. */
  get savedBytes(): number {
    return this.#keepers.reduce((sum, { fresh }) => sum + fresh, this.#memory.fresh);
  }

  /** Who answers from now on. */
  attach(board: PcBoard): void {
    this.#board.current = board;
  }

  /** Words of the module's memory. */
  get words(): Int32Array {
    return this.#look().words;
  }

  get bytes(): Uint8Array {
    return this.#look().bytes;
  }

  register(place: number): number {
    return this.words[(Layout.registers >> 2) + place]!;
  }

  setRegister(place: number, value: number): void {
    this.words[(Layout.registers >> 2) + place] = value;
  }

  word(at: number): number {
    return this.words[at >> 2]!;
  }

  /** Instructions that it has run, modulo 2^32. */
  get instructions(): number {
    return this.word(Layout.instructionCounter) >>> 0;
  }

  get halted(): boolean {
    return this.bytes[Layout.halted] !== 0;
  }

  /** Whether the processor takes interrupts. */
  get interruptible(): boolean {
    return (this.word(Layout.flags) & INTERRUPT_FLAG) !== 0;
  }

  /**
   * Run a slice. Returns 0, or for how many ms nothing is due, as the devices see it. Whoever is
   * called from it finds the PC's time in `Date`.
   *
   * @throws PcPanic if the emulator cannot go on
   */
  run(): number {
    const board = this.#board.current!;
    const place = this.emulator.v86.constructor;
    const microtick = place.microtick;
    const wallNow = Date.now;
    place.microtick = () => board.microtick();
    Date.now = () => EPOCH_MS + Math.floor(board.microtick());
    try {
      this.#board.compiler.finish(this.cpu, this.exports);
      return this.cpu.main_loop();
    } catch (error) {
      if (error instanceof PcCut) return 0;
      if (error instanceof RangeError && STACK_OVERFLOW.test(error.message)) {
        throw this.#panic(undefined);
      }
      if (!(error instanceof engine.RuntimeError)) throw error;
      throw this.#panic((this.#board.said ?? error.message).split('\n').at(-1)!);
    } finally {
      place.microtick = microtick;
      Date.now = wallNow;
    }
  }

  /**
   * Press the reset button while an instruction runs: it ends within it, wherever it is. What was
   * compiled goes on to the end of its block otherwise.
   *
   * @throws PcCut, which {@link run} catches
   */
  cut(): never {
    this.cpu.reboot_internal();
    throw new PcCut();
  }

  /** Start the BIOS again, with memory as it is. */
  reboot(): void {
    Object.getPrototypeOf(this.cpu).reboot_internal.call(this.cpu);
  }

  /** Deliver what interrupts wait, if the processor takes them now. */
  handleInterrupts(): void {
    this.exports.handle_irqs();
  }

  /** Code in a page of RAM is another one now, and not by a store of the processor's. */
  codeChanged(page: number): void {
    this.exports.jit_dirty_cache(page, page + PAGE_SIZE);
  }

  /** Raise a fault at the instruction that is running. */
  fault(kind: '#GP' | '#UD'): void {
    const at = this.word(Layout.previousInstructionPointer);
    this.words[Layout.instructionPointer >> 2] = at;
    if (kind === '#GP') this.exports.trigger_gp_jit(0, at & 0xfff);
    else this.exports.trigger_ud_jit(at & 0xfff);
    this.exports.exit_jit();
  }

  #panic(said: string | undefined): PcPanic {
    const ram = this.bytes.subarray(this.ramOffset, this.ramOffset + this.cpu.mem8.length);
    return new PcPanic(faultOutcome({ word: (at) => this.word(at), ram }, said));
  }

  #look(): Views {
    const buffer = this.exports.memory.buffer;
    if (buffer === this.#views.buffer) return this.#views;
    this.#views = new Views(buffer);
    this.onMoved?.(buffer);
    return this.#views;
  }
}

/** Where a PC finds its board: it is made before there is one. */
interface BoardPlace {
  current: PcBoard | undefined;
  readonly compiler: PcCompiler;
  /** The last that the module has said: why it panics. */
  said: string | undefined;
}

/** What was compiled of the same bytes, for who makes many. */
const modules = new WeakMap<Uint8Array, Promise<object>>();

function compiled(wasm: Uint8Array): Promise<object> {
  let module = modules.get(wasm);
  if (module === undefined) modules.set(wasm, (module = engine.compile(patchEmulator(wasm))));
  return module;
}

/** Put the board between the module and its devices. */
function connect(env: V86Imports['env'], place: BoardPlace, exports: () => V86Exports): void {
  const read32 = env['io_port_read32']!;
  env['io_port_read32'] = (port: number) => {
    const board = place.current;
    if (port <= 0xffff || board === undefined) return port <= 0xffff ? read32(port) : 0;
    if (port === HOOK_PORTS.rdmsr) return Number(board.rdmsr());
    return Number(port === HOOK_PORTS.wrmsr ? board.wrmsr() : board.cpuid());
  };
  const write8 = env['io_port_write8']!;
  env['io_port_write8'] = (port: number, value: number) => {
    if (port === HYPERCALL_PORT && place.current?.hypercall() === true) return;
    write8(port, value);
  };
  const write32 = env['io_port_write32']!;
  env['io_port_write32'] = (port: number, value: number) => {
    if (port === BOOT_PORT) place.current?.bootReport(value >>> 0, 16);
    else if (port === BOOT_PORT_32) place.current?.bootReport(value >>> 0, 32);
    else write32(port, value);
  };
  env['microtick'] = () => place.current?.microtick() ?? 0;
  env['get_rand_int'] = () => place.current?.random() ?? 0;
  env['codegen_finalize'] = (
    index: number,
    start: number,
    flags: number,
    at: number,
    length: number,
  ) => {
    const code = new Uint8Array(exports().memory.buffer, at >>> 0, length >>> 0);
    place.compiler.generated(index, start, flags, code);
  };
  env['console_log_from_wasm'] = (offset: number, length: number) => {
    const bytes = new Uint8Array(exports().memory.buffer, offset, length);
    place.said = new TextDecoder().decode(bytes);
  };
}

/** A buffer of its own, in whole words. */
function copy(bytes: Uint8Array): ArrayBuffer {
  const words = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  words.set(bytes);
  return words.buffer;
}
