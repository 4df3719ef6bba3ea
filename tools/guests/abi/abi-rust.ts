// SPDX-License-Identifier: GPL-2.0-or-later

/** The Rust module of the interface, printed from its description. */

import {
  ABI_ERRNO,
  ABI_EXPORTS,
  ABI_IMPORTS,
  ABI_MODULE,
  ABI_STRUCTS,
  ABI_VERSION,
  type AbiFunction,
  type AbiType,
} from './abi.ts';
import { commentLines } from './abi-text.ts';

const TYPES: Readonly<Record<AbiType, string>> = {
  u32: 'u32',
  i32: 'i32',
  u64: 'u64',
  address: 'usize',
  length: 'usize',
};

/** C pointers as Rust has them. */
function typeOf(type: AbiType, pointer: string | undefined): string {
  if (pointer === undefined) return TYPES[type];
  const constant = pointer.startsWith('const ');
  const target = pointer.replace(/^const /, '').replace(/^struct /, '');
  const named: Readonly<Record<string, string>> = { char: 'u8', void: 'u8', uint8_t: 'u8' };
  const other = target === 'uint64_t' ? 'u64' : rustName(target);
  return `${constant ? '*const' : '*mut'} ${named[target] ?? other}`;
}

/** `hypxe_memory_range` as `MemoryRange`. */
function rustName(name: string): string {
  const words = name.replace(/^hypxe_/, '').split('_');
  return words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('');
}

function signature({ parameters, result, pointer }: AbiFunction): string {
  const list = parameters.map(({ name, type, pointer: to }) => `${name}: ${typeOf(type, to)}`);
  return `(${list.join(', ')})${result === undefined ? '' : ` -> ${typeOf(result, pointer)}`}`;
}

const doc = (text: string, indent: string): string =>
  commentLines(text, 80)
    .map((line) => `${indent}/// ${line}`)
    .join('\n');

/** The module. */
export function abiModule(): string {
  const structs = ABI_STRUCTS.map(({ name, text, fields }) => {
    const lines = fields.map(([field, type, what]) => {
      const note = what === '' ? '' : `    /// ${what}\n`;
      return `${note}    pub ${field}: ${type},`;
    });
    const head = `#[repr(C)]\n#[derive(Clone, Copy, Default)]\npub struct ${rustName(name)}`;
    return `${doc(text, '')}\n${head} {\n${lines.join('\n')}\n}`;
  });
  const imports = ABI_IMPORTS.map(
    (each) => `${doc(each.text, '    ')}\n    pub fn ${each.name}${signature(each)};`,
  );
  const exports = ABI_EXPORTS.map((each) => {
    const whose = each.of === 'all' ? 'every guest' : `a ${each.of}`;
    const line = `fn ${each.name}${signature(each)}`;
    const who = each.optional === true ? `${whose}, optional` : whose;
    return `//! - \`${line}\` (${who}): ${each.text}`;
  });
  const errors = Object.entries(ABI_ERRNO).map(
    ([name, value]) => `pub const ${name}: i32 = ${value};`,
  );
  return `// SPDX-License-Identifier: BSD-2-Clause

//! hypxe.rs: the interface of a guest in WebAssembly, version ${ABI_VERSION}. Printed by
//! \`hypxe guest header rust\`. The module's memory is guest RAM: byte 0 is guest physical address
//! 0. A guest exports, each as \`#[no_mangle] pub extern "C"\`:
//!
${exports.join('\n')}

#![allow(dead_code)]

pub const ABI: u32 = ${ABI_VERSION};

// Error numbers: returned negative.
${errors.join('\n')}

${structs.join('\n\n')}

#[link(wasm_import_module = "${ABI_MODULE}")]
extern "C" {
${imports.join('\n\n')}
}
`;
}
