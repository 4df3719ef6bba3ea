// SPDX-License-Identifier: GPL-2.0-or-later

/** The programs that compile guests, and the packages of Debian that have them. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';

/** Debian's own compiler: one from elsewhere may stand in front of it and lack the target. */
const DEBIAN_RUSTC = '/usr/bin/rustc';
const RUST_TARGET = 'wasm32-unknown-unknown';

/** Names under which LLVM's programs are found: with the version in Debian's older packages. */
const VERSIONS = ['', '-21', '-20', '-19', '-18', '-17', '-16', '-15', '-14'];

/** A program of LLVM by the name that it has here; undefined if it is not there. */
export function llvmProgram(name: string): string | undefined {
  return VERSIONS.map((version) => `${name}${version}`).find(
    (candidate) => spawnSync(candidate, ['--version'], { stdio: 'ignore' }).status === 0,
  );
}

/** What is missing to compile a guest, in lines that name the package. */
export function missingPrograms(language: 'c' | 'rust'): string[] {
  const lines: string[] = [];
  const missing = (what: string, debian: string): void =>
    void lines.push(`${what} is not there: apt-get install ${debian}`);
  if (language === 'c' && llvmProgram('clang') === undefined) missing('clang', 'clang');
  if (llvmProgram('wasm-ld') === undefined) missing('wasm-ld', 'lld');
  if (language === 'rust' && !hasRustTarget()) {
    missing(`rustc with the target ${RUST_TARGET}`, 'rustc libstd-rust-dev-wasm32');
  }
  return lines;
}

function hasRustTarget(): boolean {
  return [DEBIAN_RUSTC, 'rustc'].some((rustc) => {
    const args = ['--print', 'target-libdir', '--target', RUST_TARGET];
    const { status, stdout } = spawnSync(rustc, args, { encoding: 'utf8' });
    return status === 0 && fs.existsSync(stdout.trim());
  });
}
