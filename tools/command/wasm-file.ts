// SPDX-License-Identifier: GPL-2.0-or-later

/** A firmware that is a file of WebAssembly, wherever a command takes a firmware. */

import * as fs from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { GuestRefused } from '../guests/guest-error.ts';
import { WasmGuest } from '../guests/wasm-guest.ts';
import { isWasm } from '../guests/wasm-module.ts';
import { readBytes } from './files.ts';
import { UsageError } from './usage.ts';

/** Largest module, in bytes. */
const MODULE_MAX = 64 << 20;

/** Enough to see what a file is. */
const HEAD = 64;

/** Engines from here on have 64-bit memory without being asked. */
const MEMORY64_NODE = 24;

/**
 * Let this engine compile modules with 64-bit memory: to be called in the main thread, before any
 * worker is started, or it has no effect there.
 */
export function allowMemory64(): void {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < MEMORY64_NODE) setFlagsFromString('--experimental-wasm-memory64');
}

/**
 * Whether a file is meant as a guest: by its name, or by what it begins with. Other programs than
 * WebAssembly are meant so, too, and are told what they are; text is a bundle.
 */
export function isGuestFile(file: string): boolean {
  if (file.endsWith('.wasm')) return true;
  const head = headOf(file);
  return isWasm(head) || [0x7f, 0xcf, 0xde].includes(head[0] ?? 0) || hasMagic(head);
}

/** `MZ`, an archive, LLVM bitcode. */
function hasMagic(head: Uint8Array): boolean {
  const text = String.fromCharCode(...head.subarray(0, 8));
  return text.startsWith('MZ\x90') || text.startsWith('!<arch>') || text.startsWith('BC\xc0');
}

/** Whether a file begins as a module of WebAssembly does. */
export function isWasmFile(file: string): boolean {
  return isWasm(headOf(file));
}

function headOf(file: string): Uint8Array {
  const head = new Uint8Array(HEAD);
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

/**
 * The guest that a file is, or undefined if it is a bundle of JavaScript.
 *
 * @throws UsageError BadFirmware
 */
export function wasmGuest(file: string): WasmGuest | undefined {
  if (!isGuestFile(file)) return undefined;
  try {
    return new WasmGuest(readBytes(file, MODULE_MAX));
  } catch (error) {
    if (!(error instanceof GuestRefused)) throw error;
    throw refusedGuest(file, error);
  }
}

/** A guest that is refused, with the name of its file. */
export function refusedGuest(file: string, { message, advice }: GuestRefused): UsageError {
  return new UsageError('BadFirmware', `${file}: ${message}`, advice);
}
