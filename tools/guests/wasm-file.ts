// SPDX-License-Identifier: GPL-2.0-or-later

/** Files of WebAssembly, wherever a firmware is named. */

import * as fs from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { BadGuest, type Guard } from './guest-program.ts';
import { WasmProgram } from './wasm-guest.ts';
import { isWasm } from './wasm-module.ts';

/** Largest module, in bytes. */
const MODULE_MAX = 64 << 20;

/** Engines from here on have 64-bit memory without being asked. */
const MEMORY64_NODE = 24;

/** What programs of other kinds begin with: meant as guests, and told what they are. */
const BINARIES = ['\x7fELF', 'MZ\x90', '\xcf\xfa\xed\xfe', '!<arch>', 'BC\xc0\xde'];

/**
 * Let this engine compile modules with 64-bit memory: to be called in the main thread, before any
 * worker is started, or it has no effect there.
 */
export function allowMemory64(): void {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < MEMORY64_NODE) setFlagsFromString('--experimental-wasm-memory64');
}

/** Whether a file is meant as a guest in WebAssembly, by its name or by how it begins. */
export function isGuestFile(file: string): boolean {
  if (file.endsWith('.wasm')) return true;
  const head = headOf(file);
  const text = String.fromCharCode(...head);
  return isWasm(head) || BINARIES.some((magic) => text.startsWith(magic));
}

/** Whether a file begins as a module of WebAssembly does. */
export function isWasmFile(file: string): boolean {
  return isWasm(headOf(file));
}

/** Load a module. @throws BadGuest */
export function loadWasm(file: string, guard?: Guard): WasmProgram {
  allowMemory64();
  let bytes: Uint8Array;
  try {
    const { size } = fs.statSync(file);
    if (size > MODULE_MAX) {
      throw new BadGuest(`${file} has ${size} bytes`, `A guest has at most ${MODULE_MAX}.`);
    }
    bytes = fs.readFileSync(file);
  } catch (error) {
    if (error instanceof BadGuest) throw error;
    throw new BadGuest(`${file} cannot be read: ${(error as Error).message}`, 'Check its path.');
  }
  return new WasmProgram(file, bytes, guard);
}

function headOf(file: string): Uint8Array {
  const head = new Uint8Array(8);
  let descriptor: number | undefined;
  try {
    if (!fs.statSync(file).isFile()) return head;
    descriptor = fs.openSync(file, 'r');
    fs.readSync(descriptor, head);
  } catch {
    // Whoever reads it says why it cannot be read
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
  return head;
}
