// SPDX-License-Identifier: GPL-2.0-or-later

/** Guests in JavaScript: an ES module that exports `boot(machine, options)`, or its drivers. */

import { pathToFileURL } from 'node:url';
import { BadGuest, type GuestInstance, type GuestProgram } from './guest-program.ts';
import { TrustedGuest, type TrustedModule } from './trusted-guest.ts';

const ADVICE = 'A firmware bundle is an ES module that exports boot(machine, options).';

/** A bundle, loaded. */
class JavascriptProgram implements GuestProgram {
  readonly kind = 'javascript';
  readonly cut = 'asked';
  readonly name: string;
  readonly #module: TrustedModule;

  constructor(name: string, module: TrustedModule) {
    this.name = name;
    this.#module = module;
  }

  get exports(): readonly string[] {
    return Object.keys(this.#module);
  }

  get boots(): boolean {
    return typeof this.#module.boot === 'function';
  }

  get drives(): boolean {
    return typeof this.#module.createDriver === 'function';
  }

  instantiate(memoryBytes: number): GuestInstance {
    return new TrustedGuest(this.#module, memoryBytes);
  }
}

/** Load a bundle. @throws BadGuest */
export async function loadJavascript(path: string): Promise<GuestProgram> {
  try {
    const module = (await import(pathToFileURL(path).href)) as TrustedModule;
    return new JavascriptProgram(path, module);
  } catch (error) {
    throw new BadGuest(`${path} cannot be loaded: ${String(error)}`, ADVICE);
  }
}
