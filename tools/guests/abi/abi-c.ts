// SPDX-License-Identifier: GPL-2.0-or-later

/** The C header of the interface, printed from its description. */

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
  u32: 'uint32_t',
  i32: 'int32_t',
  u64: 'uint64_t',
  address: 'uintptr_t',
  length: 'size_t',
};

function declarator(type: AbiType, name: string, pointer: string | undefined): string {
  return pointer === undefined ? `${TYPES[type]} ${name}` : `${pointer} *${name}`;
}

function prototype({ name, parameters, result, pointer }: AbiFunction, called: string): string {
  const list = parameters.map((each) => declarator(each.type, each.name, each.pointer));
  const inside = list.length === 0 ? 'void' : list.join(', ');
  const head = result === undefined ? `void ${called}` : declarator(result, called, pointer);
  void name;
  return `${head}(${inside})`;
}

function comment(text: string): string {
  return ['/*', ...commentLines(text, 76).map((line) => ` * ${line}`), ' */'].join('\n');
}

/** The header. */
export function abiHeader(): string {
  const structs = ABI_STRUCTS.map(({ name, text, fields }) => {
    const lines = fields.map(([field, type, what]) => {
      const note = what === '' ? '' : ` /* ${what} */`;
      return `\t${TYPES[type]} ${field};${note}`;
    });
    return `${comment(text)}\nstruct ${name} {\n${lines.join('\n')}\n};`;
  });
  const imports = ABI_IMPORTS.map(
    (each) =>
      `${comment(each.text)}\nHYPXE_IMPORT(${each.name})\n` +
      `${prototype(each, `hypxe_${each.name}`)};`,
  );
  const exports = ABI_EXPORTS.map((each) => {
    const whose =
      each.of === 'all' ? 'every guest' : each.of === 'firmware' ? 'a whole firmware' : 'a driver';
    const text = `${each.optional === true ? 'Optional, of' : 'Of'} ${whose}: ${each.text}`;
    return `${comment(text)}\nHYPXE_EXPORT(${each.name})\n${prototype(each, each.name)};`;
  });
  const errors = Object.entries(ABI_ERRNO).map(
    ([name, value]) => `#ifndef ${name}\n#define ${name} ${value}\n#endif`,
  );
  return `/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hypxe.h: the interface of a guest in WebAssembly, version ${ABI_VERSION}.
 * Printed by "hypxe guest header c". The module's memory is guest RAM: byte 0 is guest physical
 * address 0. Compile with clang --target=wasm32, link with wasm-ld --no-entry --export=__heap_base.
 */
#ifndef HYPXE_H
#define HYPXE_H

#include <stddef.h>
#include <stdint.h>

#define HYPXE_ABI ${ABI_VERSION}
#define HYPXE_IMPORT(name) \\
\t__attribute__((import_module("${ABI_MODULE}"), import_name(#name)))
#define HYPXE_EXPORT(name) __attribute__((export_name(#name)))

/* Error numbers: returned negative. */
${errors.join('\n')}

${structs.join('\n\n')}

/* --- what a guest may call --- */

${imports.join('\n\n')}

/* --- what a guest defines --- */

${exports.join('\n\n')}

#endif /* HYPXE_H */
`;
}
