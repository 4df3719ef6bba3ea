// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Puts the minified bundles in the place of the sources, for `run-tests.mjs --minified`: whoever
 * imports an entry of `src/` from outside of it gets `dist/NAME.min.js`. What imports the layers
 * below an entry still gets the sources. A name that an entry has and its bundle has not can then
 * not be imported: a test looks for such (firmware-tests/tools/build/minified.test.ts).
 */

import module from 'node:module';
import { MINIFIED } from './targets.mjs';

const ENTRY = new RegExp(`^(file:.*/)src/(${Object.keys(MINIFIED).join('|')})\\.ts$`);

/** @type {module.ResolveHook} */
export async function resolve(specifier, context, nextResolve) {
  const resolved = await nextResolve(specifier, context);
  const [, root, name] = ENTRY.exec(resolved.url) ?? [];
  if (root === undefined || context.parentURL?.startsWith(`${root}src/`)) return resolved;
  const bundle = MINIFIED[/** @type {keyof typeof MINIFIED} */ (name)];
  return { url: `${root}dist/${bundle}.min.js`, format: 'module', shortCircuit: true };
}

module.register(import.meta.url);
