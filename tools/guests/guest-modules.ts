// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The modules of a JavaScript guest: its own file, those beside and below it that it names, and
 * hypxe's own bundles. All of them live in the guest's realm; of Node there is nothing to import.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as vm from 'node:vm';
import { ORIGIN } from './guest-origin.ts';
import { BadGuest } from './guest-program.ts';
import { withoutDynamicImport } from './module-text.ts';

/** Where hypxe's own bundles are: beside the program, or in `dist` from sources. */
export const DIST = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/' : './',
  import.meta.url,
);

/** Bundles that a guest may import by name: `hypxe`, `hypxe/x64`. */
const BUNDLES: ReadonlyMap<string, string> = new Map([
  ['hypxe', 'hypxe.js'],
  ['hypxe/x64', 'x64.js'],
  ['hypxe/arm64', 'arm64.js'],
  ['hypxe/os', 'os.js'],
]);

const ADVICE = 'A firmware bundle is an ES module that exports boot(machine, options).';

/** Largest module in bytes, and most modules of a guest. */
const MODULE_MAX = 1 << 26;
const MODULES_MAX = 256;

export class GuestModules {
  readonly #context: vm.Context;
  readonly #root: string;
  readonly #dist = fileURLToPath(DIST);
  readonly #modules = new Map<string, vm.SourceTextModule>();
  readonly #paths = new WeakMap<vm.Module, string>();

  /** @param root folder of the guest's own file */
  constructor(context: vm.Context, root: string) {
    this.#context = context;
    this.#root = root;
  }

  /**
   * Load the guest's own file, and what it imports.
   *
   * @throws BadGuest; what the parser throws, which is of the guest's realm
   */
  async load(file: string): Promise<vm.Module> {
    const module = this.#module(file);
    await module.link((specifier, from) => this.#module(this.#resolve(specifier, from)));
    return module;
  }

  #module(file: string): vm.SourceTextModule {
    const known = this.#modules.get(file);
    if (known !== undefined) return known;
    if (this.#modules.size >= MODULES_MAX) {
      throw new BadGuest(`it has more than ${MODULES_MAX} modules`, ADVICE);
    }
    const module = new vm.SourceTextModule(withoutDynamicImport(readModule(file)), {
      identifier: `${ORIGIN}${path.relative(this.#root, file).replaceAll(path.sep, '/')}`,
      context: this.#context,
    });
    this.#modules.set(file, module);
    this.#paths.set(module, file);
    return module;
  }

  /** The file that a specifier names. @throws BadGuest */
  #resolve(specifier: string, from: vm.Module): string {
    const what = `it imports ${JSON.stringify(specifier)}`;
    const bundle = BUNDLES.get(specifier);
    if (bundle !== undefined) return path.join(this.#dist, bundle);
    if (!/^(?:\.{0,2}\/|file:\/\/)/.test(specifier)) {
      throw new BadGuest(`${what}, but a guest gets nothing of Node or of packages`, ADVICE);
    }
    let file: string;
    try {
      file = specifier.startsWith('file:')
        ? fileURLToPath(specifier)
        : path.resolve(path.dirname(this.#paths.get(from)!), specifier);
      file = fs.realpathSync(file);
    } catch (error) {
      throw new BadGuest(`${what}: ${(error as Error).message}`, ADVICE);
    }
    const inside = [this.#root, this.#dist].some((folder) => isBelow(file, folder));
    if (inside) return file;
    throw new BadGuest(`${what}, which lies outside of its folder`, ADVICE);
  }
}

function isBelow(file: string, folder: string): boolean {
  const relative = path.relative(realPath(folder), file);
  return relative !== '' && !relative.startsWith('..') && !path.isAbsolute(relative);
}

function realPath(folder: string): string {
  try {
    return fs.realpathSync(folder);
  } catch {
    return folder;
  }
}

/** @throws BadGuest */
function readModule(file: string): string {
  try {
    const { size } = fs.statSync(file);
    if (size > MODULE_MAX) throw new Error(`more than ${MODULE_MAX} bytes`);
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    throw new BadGuest((error as Error).message, ADVICE);
  }
}
