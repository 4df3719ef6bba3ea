// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The memory of a guest's module, taken from outside: a module that has a memory of its own is
 * rewritten to import it, so that every module gets guest RAM, which never grows, in the same way.
 */

import { WasmReader, unsignedBytes } from './wasm-reader.ts';
import { Section, type WasmLimits, type WasmModule } from './wasm-module.ts';

/** Name under which every module imports its memory. */
export const MEMORY_IMPORT = { module: 'env', name: 'memory' } as const;

/** The memory of a module; undefined if it has none. */
export function memoryLimits({ memories, imports }: WasmModule): WasmLimits | undefined {
  return memories[0] ?? imports.find(({ kind }) => kind === 'memory')?.limits;
}

/** The module with its memory imported as {@link MEMORY_IMPORT}, whatever size it said at most. */
export function importMemory(module: WasmModule): Uint8Array {
  const { bytes, sections, imports } = module;
  const limits = memoryLimits(module);
  if (limits === undefined) return bytes;
  const pieces: Uint8Array[] = [bytes.subarray(0, 8)];
  const entries = otherImports(module);
  const count = imports.filter(({ kind }) => kind !== 'memory').length + 1;
  const body = [...unsignedBytes(count), ...entries, ...memoryEntry(limits)];
  const section = Uint8Array.from([Section.IMPORT, ...unsignedBytes(body.length), ...body]);
  let written = false;
  for (const { id, begin, end } of sections) {
    // Behind the types, before everything else
    if (!written && id !== Section.CUSTOM && id !== Section.TYPE) {
      pieces.push(section);
      written = true;
    }
    if (id !== Section.IMPORT && id !== Section.MEMORY) pieces.push(bytes.subarray(begin, end));
  }
  if (!written) pieces.push(section);
  return concatenated(pieces);
}

/** The entries of the import section as they are, but for memories. */
function otherImports({ bytes, sections, imports }: WasmModule): number[] {
  const section = sections.find(({ id }) => id === Section.IMPORT);
  if (section === undefined) return [];
  const reader = new WasmReader(bytes, section.body, section.end);
  reader.unsigned();
  const kept: number[] = [];
  for (const { kind } of imports) {
    const begin = reader.position;
    skipImport(reader);
    if (kind !== 'memory') kept.push(...bytes.subarray(begin, reader.position));
  }
  return kept;
}

/** What stands behind the names of an import, by its kind. */
function skipImport(reader: WasmReader): void {
  reader.text();
  reader.text();
  const kind = reader.byte();
  if (kind === 0) reader.unsigned();
  else if (kind === 3) reader.take(2);
  else {
    if (kind !== 2) reader.byte();
    const flags = kind === 4 ? 0 : reader.byte();
    reader.unsigned();
    if ((flags & 1) !== 0) reader.unsigned();
  }
}

function memoryEntry({ minimum, memory64 }: WasmLimits): number[] {
  const text = (value: string): number[] => {
    const encoded = new TextEncoder().encode(value);
    return [...unsignedBytes(encoded.length), ...encoded];
  };
  const { module, name } = MEMORY_IMPORT;
  return [...text(module), ...text(name), 2, memory64 ? 4 : 0, ...unsignedBytes(minimum)];
}

function concatenated(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
