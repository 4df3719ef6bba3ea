// SPDX-License-Identifier: GPL-2.0-or-later

/** The bundles in QuickJS: an engine without Node, without a browser, without a JIT compiler. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EvalFlags, QuickJS } from 'quickjs-wasi';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { engineModules, nodeDigest } from '../../rigs/engine-rig.ts';

const quickjs = suite('engines: QuickJS');

const MAIN = `
import * as firmware from 'hypxe.js';
import * as simulator from 'simulator.js';
import { bootDigest, provideAtomics } from 'engine.js';
provideAtomics();
globalThis.result = JSON.stringify(bootDigest(firmware, simulator));
`;

/** Run the boot in a fresh engine; returns what it left in `result`. */
async function quickjsResult(): Promise<string> {
  const modules = await engineModules();
  const wasm = readFileSync(fileURLToPath(import.meta.resolve('quickjs-wasi/quickjs.wasm')));
  const vm = await QuickJS.create({
    wasm,
    moduleLoader: {
      load(name: string) {
        const source = modules[name];
        if (source === undefined) throw new Error(`there is no module ${name}`);
        return source;
      },
    },
  });
  try {
    const promise = vm.evalCode(MAIN, 'main.js', EvalFlags.TYPE_MODULE);
    vm.executePendingJobs();
    const done = await vm.resolvePromise(promise);
    if ('error' in done) throw new Error(JSON.stringify(vm.dump(done.error)));
    return String(vm.dump(vm.evalCode('result')));
  } finally {
    vm.dispose();
  }
}

quickjs('the same bundles boot, and everything that happens is what happens in Node', async () => {
  const expected = await nodeDigest();
  assert.is(expected.status, 'booted');
  assert.ok(expected.events > 500, `${expected.events} events`);
  assert.equal(JSON.parse(await quickjsResult()), expected);
});

quickjs.run();
