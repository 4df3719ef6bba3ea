// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What is used of the PC emulator v86 (npm package `v86`, BSD-2-Clause, 0.5.462). Nothing of it is
 * imported here: who runs a PC hands its class and its WebAssembly module in. Names are v86's.
 */

/** The functions that its WebAssembly module exports, as far as they are called here. */
export interface V86Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  /** CPUID, without the prefix's answer if the hook lets it pass. */
  instr_0FA2(): void;
  handle_irqs(): void;
  /** Note an exception, at an offset in the page of the instruction pointer; then raise it. */
  trigger_gp_jit(code: number, offsetInPage: number): void;
  trigger_ud_jit(offsetInPage: number): void;
  exit_jit(): void;
  get_apic_addr(): number;
  v86_malloc(size: number): number;
  v86_free(address: number): void;
  /** Code in this range of RAM has changed: what was compiled of it is dropped. */
  jit_dirty_cache(start: number, end: number): void;
  /** What was to be compiled is in the table of functions. */
  codegen_finalize_finished(index: number, start: number, stateFlags: number): void;
}

/** The imports of the module that are replaced or passed through. */
export interface V86Imports {
  readonly env: Record<string, (...args: number[]) => unknown>;
}

/** What is used of the engine's WebAssembly, for which ES2022 has no types. */
interface WasmEngine {
  compile(bytes: Uint8Array<ArrayBuffer>): Promise<object>;
  instantiate(module: object, imports: object): Promise<{ readonly exports: unknown }>;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: object,
  ) => {
    readonly exports: Readonly<Record<string, unknown>>;
  };
  readonly RuntimeError: new () => Error;
}

export const engine = (globalThis as unknown as { readonly WebAssembly: WasmEngine }).WebAssembly;

/** The processor and its devices. */
export interface V86Cpu {
  readonly mem8: Uint8Array;
  /** Physical address of a linear one. */
  translate_address_system_read(address: number): number;
  /** Run for a while: 0, or for how many ms nothing is due. */
  main_loop(): number;
  reboot_internal(): void;
  /** What compiled code imports, and the table that it is called through. */
  readonly jit_imports: object;
  readonly wm: { readonly wasm_table: { set(index: number, code: unknown): void } };
  readonly option_roms: { name: string; data: Uint8Array }[];
  readonly devices: {
    readonly acpi: { timer_last_value: number; timer_imprecision_offset: number };
    readonly rtc: { rtc_time: number; last_update: number };
    readonly pit: { readonly counter_start_time: number[] | Float64Array };
  };
}

/** A text screen. */
export interface V86Screen {
  get_text_screen(): string[];
  put_char(row: number, column: number, character: number): void;
  set_size_text(columns: number, rows: number): void;
}

/** A whole PC. */
export interface V86Emulator {
  readonly v86: { readonly cpu: V86Cpu; readonly constructor: { microtick: () => number } };
  readonly screen_adapter: V86Screen;
  add_listener(event: string, listener: (value: never) => void): void;
  serial0_send(text: string): void;
  keyboard_send_scancodes(codes: readonly number[]): void;
}

/** The class. */
export type V86Class = new (options: Readonly<Record<string, unknown>>) => V86Emulator;

/** Where things lie in the memory of the module (src/rust/cpu/global_pointers.rs). */
export const Layout = {
  /** EAX ECX EDX EBX ESP EBP ESI EDI. */
  registers: 64,
  flags: 120,
  instructionPointer: 556,
  previousInstructionPointer: 560,
  /** IDTR. */
  interruptTableLimit: 564,
  interruptTable: 568,
  /** GDTR. */
  globalTableLimit: 572,
  globalTable: 576,
  /** CR0, then the others. */
  controlRegisters: 580,
  privilegeLevel: 612,
  halted: 616,
  instructionCounter: 664,
  /** Bases of ES CS SS DS FS GS. */
  segmentOffsets: 736,
} as const;

/** The local APIC, in words from `get_apic_addr` (src/rust/cpu/apic.rs). */
export const Apic = { tpr: 13, irr: 16, isr: 24, spuriousVector: 40 } as const;

/** Where the table of functions has room for compiled code (src/const.js). */
export const WASM_TABLE_OFFSET = 1024;

/** Registers by their place. */
export const Register = { EAX: 0, ECX: 1, EDX: 2, EBX: 3, ESI: 6, EDI: 7 } as const;
