// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Guests in JavaScript: an ES module that exports `boot(machine, options)`, or its drivers. It runs
 * in a realm of its own (`node:vm`), in which the tool's part ([realm/](realm/realm.ts)) was before
 * it. What that holds back and what not stands in the room's README.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import * as vm from 'node:vm';
import type { Machine } from '../../src/machine.ts';
import {
  BadGuest,
  GuestThrew,
  type GuestDriver,
  type GuestDriverOptions,
  type GuestInstance,
  type GuestOptions,
  type GuestProgram,
  type MemoryWatch,
  type Guard,
} from './guest-program.ts';
import { JavascriptDriver } from './javascript-driver.ts';
import { RealmHost, machineFacts, optionFacts, thrown } from './javascript-realm.ts';
import { DIST, GuestModules } from './guest-modules.ts';
import { ORIGIN } from './guest-origin.ts';
import type { RealmCalls } from './realm/host-calls.ts';
import type { AccessListener } from './watch/watched-memory.ts';

/** The tool's part of the realm, built. */
const REALM = new URL('guest-realm.js', DIST);

const ADVICE = 'A firmware bundle is an ES module that exports boot(machine, options).';

/** A bundle, loaded. */
class JavascriptProgram implements GuestProgram {
  readonly kind = 'javascript';
  readonly cut = 'asked';
  readonly name: string;
  readonly exports: readonly string[];
  readonly #guard: Guard;
  /** The first instance: its module has been looked at already. */
  #first: JavascriptInstance | undefined;

  constructor(name: string, guard: Guard, first: JavascriptInstance) {
    this.name = name;
    this.#guard = guard;
    this.#first = first;
    this.exports = first.exports;
  }

  get boots(): boolean {
    return this.exports.includes('boot');
  }

  get drives(): boolean {
    return this.exports.includes('createDriver');
  }

  async instantiate(memoryBytes: number): Promise<GuestInstance> {
    const instance = this.#first ?? (await JavascriptInstance.load(this.name, this.#guard));
    this.#first = undefined;
    instance.makeMemory(memoryBytes);
    return instance;
  }
}

/** A module in a realm of its own. */
class JavascriptInstance implements GuestInstance {
  readonly image = [];
  readonly exports: readonly string[];
  memory: ArrayBufferLike = new ArrayBuffer(0);
  readonly createDriver?: (machine: Machine, options: GuestDriverOptions) => GuestDriver;
  readonly #host: RealmHost;
  readonly #realm: RealmCalls;

  private constructor(host: RealmHost, exports: readonly string[]) {
    this.#host = host;
    this.#realm = host.realm!;
    this.exports = exports;
    if (exports.includes('createDriver')) {
      this.createDriver = (machine, options) => new JavascriptDriver(host, machine, options);
    }
  }

  /** @throws GuestThrew for a module that throws while it is loaded, or that is none */
  static async load(name: string, guard: Guard): Promise<JavascriptInstance> {
    const host = new RealmHost(guard);
    // An ordinary global: behind another object each look-up of a name is a call of Node's
    const context = vm.createContext(vm.constants.DONT_CONTEXTIFY, {
      codeGeneration: { strings: false, wasm: false },
      microtaskMode: 'afterEvaluate',
    });
    const tools = new vm.SourceTextModule(fs.readFileSync(REALM, 'utf8'), {
      identifier: 'hypxe:realm',
      context,
    });
    await tools.link(noImports);
    evaluate(tools);
    const { createRealm } = tools.namespace as unknown as typeof import('./realm/realm.ts');
    host.connect(createRealm(host.calls(), ORIGIN));
    let module: vm.Module;
    try {
      const file = fs.realpathSync(name);
      module = await new GuestModules(context, path.dirname(file)).load(file);
    } catch (error) {
      throw host.describe(error);
    }
    const failed = guard(() => evaluate(module));
    if (failed !== undefined) throw host.describe(failed.error);
    const names = host.outcome((realm) => realm.adopt(module.namespace));
    const exports = Array.isArray(names) ? names.filter((each) => typeof each === 'string') : [];
    return new JavascriptInstance(host, exports);
  }

  /** @throws RangeError */
  makeMemory(bytes: number): void {
    try {
      this.memory = this.#realm.makeMemory(bytes);
    } catch {
      throw new RangeError('Array buffer allocation failed');
    }
  }

  boot(machine: Machine, options: GuestOptions): unknown {
    const host = this.#host;
    const seam = host.open(machine, options);
    const [facts, told] = [machineFacts(machine), optionFacts(options)];
    try {
      return withErrors(host.outcome((realm) => realm.boot(seam, facts, told)));
    } finally {
      host.close(seam);
    }
  }

  watch(listener: AccessListener): MemoryWatch {
    const realm = this.#realm;
    const host = this.#host;
    host.listener = listener;
    realm.watch(listener.stores !== undefined);
    realm.install();
    // The views of the realm are not those of the tool: all that are made there are the guest's
    return {
      install: () => {},
      remove: () => {},
      suspend: () => false,
      release: () => {
        realm.release();
        host.listener = undefined;
      },
    };
  }

  reset(): void {
    new Uint8Array(this.memory).fill(0);
    this.#host.reset();
    this.#realm.reset();
  }
}

function noImports(): never {
  throw new Error('the realm imports something');
}

/** Evaluate a module; what it threw, or that it waits for something. */
function evaluate(module: vm.Module): { readonly error: unknown } | undefined {
  void module.evaluate().catch(() => undefined);
  if (module.status === 'errored') return { error: module.error };
  return undefined;
}

/** What `boot` returned, with its errors as errors. */
function withErrors(data: unknown): unknown {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return data;
  const result = { ...data } as Record<string, unknown>;
  if (Object.hasOwn(result, 'error')) result['error'] = thrown(result['error']);
  const attempts = Object.hasOwn(result, 'attempts') ? result['attempts'] : undefined;
  if (Array.isArray(attempts)) {
    result['attempts'] = attempts.map((attempt: unknown) => {
      const { device, error } = { device: '', error: undefined, ...(attempt as object) };
      return { device: typeof device === 'string' ? device : '', error: thrown(error) };
    });
  }
  return result;
}

/**
 * Load a bundle.
 *
 * @param guard how the guest is called
 * @throws BadGuest
 */
export async function loadJavascript(file: string, guard: Guard): Promise<GuestProgram> {
  try {
    const first = await JavascriptInstance.load(file, guard);
    return new JavascriptProgram(file, guard, first);
  } catch (error) {
    if (!(error instanceof GuestThrew) && !(error instanceof BadGuest)) throw error;
    const what = error instanceof GuestThrew && error.name !== '' ? `${error.name}: ` : '';
    throw new BadGuest(`${file} cannot be loaded: ${what}${error.message}`, ADVICE);
  }
}
