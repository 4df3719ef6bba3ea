// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * `hypxe guest ipxe`: compiles iPXE's Hyper-V drivers as they are, in a checkout of any age,
 * against headers of ours. Every header that they include and that is not their own is one that
 * stands in; nothing of iPXE is copied.
 */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { abiHeader } from '../../guests/abi/abi-c.ts';
import { WasmProgram } from '../../guests/wasm-guest.ts';
import { readText, requireFile, requireWritable } from '../files.ts';
import { systemReason } from '../system-reason.ts';
import type { Terminal } from '../terminal.ts';
import { EnvironmentError, UsageError, quoted } from '../usage.ts';
import { llvmProgram } from './guest-programs.ts';

export interface IpxeRequest {
  /** The checkout, or its folder `src`. */
  readonly tree: string;
  readonly output: string;
  /** The folder of the shim. */
  readonly shim: string;
  readonly terminal: Terminal;
}

/** The drivers, each where it is or was. */
const DRIVERS = [
  ['arch/x86/drivers/hyperv/hyperv.c', 'arch/i386/drivers/hyperv/hyperv.c'],
  ['interface/hyperv/vmbus.c'],
  ['drivers/net/netvsc.c'],
  ['net/rndis.c'],
];

/** Headers of the drivers' own. */
const OWN_HEADERS = ['ipxe/hyperv.h', 'ipxe/vmbus.h', 'ipxe/rndis.h'];

/** Headers of the compiler's own: they are what they are everywhere. */
const COMPILER_HEADERS = /^std(?:arg|bool|def|int)\.h$/;

/** The hypercall is an instruction, and so the machine's. */
const HYPERCALL_HEADER = 'bits/hyperv.h';

const FLAGS = [
  ...['--target=wasm32', '-nostdlib', '-ffreestanding', '-O2', '-std=gnu11'],
  // iPXE is compiled so, and its warnings are its own
  ...['-fno-strict-aliasing', '-w'],
];

/** Longest source or header of a checkout, in bytes: iPXE's have some ten thousand. */
const SOURCE_MAX = 1 << 22;

/** What to do about a tree that lacks something. */
const WHOLE = 'Name a whole checkout of iPXE.';

/** Bytes of stack. */
const STACK = 65536;

/**
 * @throws UsageError NoIpxe, NotAFile, FileTooLarge
 * @throws EnvironmentError ProgramMissing, CompileFailed, FileMissing, FileUnreadable,
 *   FileUnwritable
 */
export function compileIpxe({ tree, output, shim, terminal }: IpxeRequest): void {
  const [clang, linker] = [required('clang', 'clang'), required('wasm-ld', 'lld')];
  requireWritable(output);
  const source = sourceOf(tree);
  const drivers = DRIVERS.map((places) => driverIn(source, places));
  const build = fs.mkdtempSync(path.join(tmpdir(), 'hypxe-ipxe-'));
  try {
    const headers = path.join(build, 'include');
    makeHeaders(headers, source, drivers, shim);
    const objects = [...drivers, ...['core.c', 'shim.c'].map((name) => path.join(shim, name))].map(
      (file) => {
        const object = path.join(build, `${path.basename(file, '.c')}.o`);
        const include = ['-include', path.join(shim, 'shim.h'), '-I', headers, '-I', shim];
        if (path.basename(file) === 'vmbus.c')
          include.push('-include', path.join(shim, 'arrays.h'));
        compile(clang, [...FLAGS, ...include, '-c', file, '-o', object], file);
        return object;
      },
    );
    const guest = path.join(build, 'guest.wasm');
    const link = ['--no-entry', '--export=__heap_base', '-z', `stack-size=${STACK}`];
    compile(linker, [...link, '-o', guest, ...objects], 'the guest');
    const bytes = fs.readFileSync(guest);
    // Better here than when it is booted
    void new WasmProgram(output, bytes);
    fs.writeFileSync(output, bytes);
    terminal.out(`${output}: ${bytes.length} bytes, a driver; hypxe boot --firmware ${output}\n`);
  } finally {
    fs.rmSync(build, { recursive: true, force: true });
  }
}

function required(program: string, debian: string): string {
  const found = llvmProgram(program);
  if (found !== undefined) return found;
  const text = `${program} is not there`;
  throw new EnvironmentError('ProgramMissing', text, `Install it: apt-get install ${debian}.`);
}

/** The folder with the sources. @throws UsageError NoIpxe */
function sourceOf(tree: string): string {
  const found = [path.join(tree, 'src'), tree].find((folder) =>
    fs.existsSync(path.join(folder, 'interface/hyperv/vmbus.c')),
  );
  if (found !== undefined) return path.resolve(found);
  const text = `${tree} has no src/interface/hyperv/vmbus.c`;
  throw new UsageError('NoIpxe', text, 'Name a checkout of iPXE, from December 2014 on.');
}

/** @throws UsageError NoIpxe */
function driverIn(source: string, places: readonly string[]): string {
  const found = places.map((at) => path.join(source, at)).find((file) => fs.existsSync(file));
  if (found !== undefined) return found;
  const text = `${source} has no ${places.join(' or ')}`;
  throw new UsageError('NoIpxe', text, WHOLE);
}

/** Make a header for each that is included: the drivers' own, or one that stands in. */
function makeHeaders(
  folder: string,
  source: string,
  drivers: readonly string[],
  shim: string,
): void {
  const own = OWN_HEADERS.map((name) => path.join(source, 'include', name));
  for (const file of own) requireFile(file, WHOLE);
  const beside = drivers.flatMap((file) => {
    const header = file.replace(/\.c$/, '.h');
    return fs.existsSync(header) ? [header] : [];
  });
  const names = new Set([...drivers, ...own, ...beside].flatMap(includesOf));
  for (const name of names) {
    if (COMPILER_HEADERS.test(name)) continue;
    let target = path.join(shim, name === HYPERCALL_HEADER ? 'hypercall.h' : 'shim.h');
    if (OWN_HEADERS.includes(name)) target = path.join(source, 'include', name);
    try {
      write(path.join(folder, name), `#include "${target}"\n`);
    } catch (error) {
      // Of a tree of somebody's own: as long as no path may be, or a header and a folder
      const text = `nothing can stand in for the header ${quoted(name)}: ${systemReason(error)}`;
      throw new UsageError('NoIpxe', text, WHOLE);
    }
  }
  write(path.join(folder, 'hypxe.h'), abiHeader());
}

/** Names of the headers that a file includes in angle brackets. */
function includesOf(file: string): string[] {
  const text = readText(file, SOURCE_MAX);
  return [...text.matchAll(/^\s*#\s*include\s*<([\w./-]+)>/gm)]
    .map(([, name = '']) => name)
    .filter((name) => !name.includes('..'));
}

function write(file: string, text: string): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

/** @throws EnvironmentError CompileFailed with what the program says */
function compile(program: string, args: readonly string[], what: string): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status === 0) return;
  const said = (error?.message ?? stderr).trim();
  const advice = 'The drivers use something that no header here stands for: report the checkout.';
  throw new EnvironmentError('CompileFailed', `${what} does not compile: ${said}`, advice);
}
