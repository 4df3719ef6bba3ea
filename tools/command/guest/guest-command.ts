// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe guest`: the interface of guests in WebAssembly, new projects, iPXE's drivers as one. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { abiHeader } from '../../guests/abi/abi-c.ts';
import { abiModule } from '../../guests/abi/abi-rust.ts';
import { parseArguments } from '../arguments.ts';
import type { Terminal } from '../terminal.ts';
import {
  EXIT_HELP,
  EnvironmentError,
  Exit,
  UsageError,
  didYouMean,
  quoted,
  type ExitCode,
} from '../usage.ts';
import { compileIpxe } from './guest-ipxe.ts';
import { missingPrograms } from './guest-programs.ts';
import { systemReason } from '../system-reason.ts';

/** What `hypxe guest --help` prints. */
export const GUEST_HELP = `Usage: hypxe guest header c|rust
       hypxe guest new c|rust DIR
       hypxe guest ipxe TREE [-o FILE.wasm]

Your own firmware: a guest is a WebAssembly module, in C, Rust or anything else, that runs wherever
a --firmware is named. header prints its interface. new makes a project that compiles and boots: a
small driver, with a Makefile. ipxe compiles the Hyper-V drivers of a checkout of iPXE, unmodified.

Options
  -o, --output FILE  where ipxe writes the guest (default ipxe.wasm)
  -v, --verbose      of a mistake of hypxe itself, say where
  -h, --help         this text

${EXIT_HELP}

Examples
  hypxe guest header c > hypxe.h
  hypxe guest new c my-firmware && make -C my-firmware && hypxe boot my-firmware/guest.wasm
  hypxe guest ipxe ~/ipxe -o ipxe.wasm && hypxe boot --firmware ipxe.wasm
`;

const LANGUAGES = ['c', 'rust'] as const;
type Language = (typeof LANGUAGES)[number];

const HEADERS: Readonly<Record<Language, () => string>> = { c: abiHeader, rust: abiModule };

/** Name of the interface's file in a project. */
const HEADER_FILES: Readonly<Record<Language, string>> = { c: 'hypxe.h', rust: 'hypxe.rs' };

/** Run the command; returns the exit code. @throws CommandError */
export function guestCommand(
  args: readonly string[],
  places: { readonly guests: string },
  terminal: Terminal,
): ExitCode {
  const { values, positionals } = parseArguments('guest', args, OPTIONS);
  if (values.help === true) {
    terminal.out(GUEST_HELP);
    return Exit.CLEAN;
  }
  const [action, ...rest] = positionals;
  switch (action) {
    case 'header':
      terminal.out(HEADERS[language(takeOne(action, rest, 1)[0])]());
      return Exit.CLEAN;
    case 'new': {
      const [name, directory] = takeOne(action, rest, 2);
      makeProject(language(name), directory!, places.guests, terminal);
      return Exit.CLEAN;
    }
    case 'ipxe': {
      const [tree] = takeOne(action, rest, 1);
      const output = values.output ?? 'ipxe.wasm';
      compileIpxe({ tree: tree!, output, shim: path.join(places.guests, 'ipxe'), terminal });
      return Exit.CLEAN;
    }
    default: {
      const text = action === undefined ? 'nothing to do' : `there is no guest ${quoted(action)}`;
      const advice = didYouMean(action ?? '', ['header', 'new', 'ipxe'], 'See hypxe guest --help.');
      throw new UsageError('UnknownAction', text, advice);
    }
  }
}

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** @throws UsageError for another number of words behind an action */
function takeOne(action: string, rest: readonly string[], count: number): readonly string[] {
  if (rest.length === count) return rest;
  const words = count === 1 ? 'one word' : 'two words';
  const text = `guest ${action} takes ${words}, not ${rest.length}`;
  throw new UsageError('BadArguments', text, 'See hypxe guest --help.');
}

/** @throws UsageError UnknownLanguage */
function language(name: string | undefined): Language {
  const found = LANGUAGES.find((known) => known === name);
  if (found !== undefined) return found;
  const text = `there is no interface for ${quoted(name ?? '')}`;
  throw new UsageError('UnknownLanguage', text, didYouMean(name ?? '', LANGUAGES));
}

/** @throws UsageError DirectoryNotEmpty @throws EnvironmentError */
function makeProject(
  name: Language,
  directory: string,
  templates: string,
  terminal: Terminal,
): void {
  try {
    fs.mkdirSync(directory, { recursive: true });
    if (fs.readdirSync(directory).length > 0) {
      const text = `${directory} is not empty`;
      throw new UsageError('DirectoryNotEmpty', text, 'Name a directory that is not there yet.');
    }
    const from = path.join(templates, name);
    for (const file of fs.readdirSync(from)) {
      fs.copyFileSync(path.join(from, file), path.join(directory, file));
    }
    fs.writeFileSync(path.join(directory, HEADER_FILES[name]), HEADERS[name]());
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const text = `${directory} cannot be written: ${systemReason(error)}`;
    throw new EnvironmentError('ProjectUnwritable', text, 'Name a directory that can be written.');
  }
  terminal.out(`${directory}: a driver in ${name === 'c' ? 'C' : 'Rust'}\n`);
  terminal.out(`  make -C ${directory}\n  hypxe boot --firmware ${directory}/guest.wasm\n`);
  for (const line of missingPrograms(name)) terminal.out(`${line}\n`);
}
