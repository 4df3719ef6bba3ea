// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Hostile JavaScript guests that attack while they are loaded, or while the tool waits: by promises
 * and proxies, and by talking for ever.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bootHostile } from '../../rigs/guests/hostile-rig.ts';

const loading = suite('hostile guests: while they are loaded');

for (const name of ['constructor', 'then']) {
  for (const how of [
    `Object.defineProperty(Promise.prototype, '${name}', { get: trap })`,
    `Promise.prototype.${name} = trap`,
    `delete Promise.prototype.${name}`,
  ]) {
    loading(`what the tool asks of a promise is not theirs: ${how}`, async () => {
      // A proxy is called with a list that the caller has made
      const text = `
        let caught = 'refused';
        const trap = new Proxy(function () {}, {
          apply(target, self, list) { caught = 'called with ' + list.length; },
        });
        try { ${how}; } catch {}
        export function boot(machine, { events }) {
          const text = caught + ', ' + typeof Promise.prototype.then;
          events({ kind: 'log', level: 'info', layer: 'BOOT', object: '', text });
          return { status: 'failed' };
        }`;
      const { out, code } = await bootHostile(text);
      assert.match(out, 'refused, function');
      assert.is(code, 1);
    });
  }
}

loading('a proxy that is thrown is not asked what it is', async () => {
  const text = `
    let times = 0;
    const thrown = new Proxy({ [Symbol.toPrimitive]: () => 'forged text' }, {
      getPrototypeOf() { if (times++ === 0) throw thrown; return null; },
    });
    throw thrown;
    export function boot() {}`;
  const { error, code } = await bootHostile(text);
  assert.not.match(error, 'forged text');
  assert.not.match(error, 'InternalError');
  assert.is(code, 2);
});

loading.run();

const results = suite('hostile guests: results that cannot become text');

for (const result of [
  '{ status: { toString: 1, valueOf: 1 } }',
  '{ status: "failed", memoryMap: [{ address: 0, length: 1, type: { toString: 1 } }] }',
  '{ status: "failed", attempts: [{ device: { toString: 1 } }] }',
]) {
  results(result, async () => {
    const { error, code } = await bootHostile(`export function boot() { return ${result}; }`);
    assert.not.match(error, 'InternalError');
    assert.ok(code === 1 || code === 2, `${code}: ${error}`);
  });
}

results.run();

const talk = suite('hostile guests: talking without end');

for (const between of ['machine.memory', 'options.cancel?.()', 'options.random?.()', '0']) {
  talk(`with ${between} in between`, async () => {
    const text = `export function boot(machine, options) {
      const line = { kind: 'log', level: 'debug', layer: 'BOOT', object: '', text: 'x' };
      for (;;) { ${between}; options.events(line); }
    }`;
    const { error, code, out } = await bootHostile(text, '--watchdog', '60', '--json');
    assert.match(out + error, /10000 events without a call of the machine/);
    assert.is.not(code, 0);
  });
}

talk.run();
