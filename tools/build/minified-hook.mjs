// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Puts the minified bundles in the place of the sources, for `run-tests.mjs --minified`: whoever
 * imports an entry of `src/` from outside of it gets `dist/NAME.min.js`. What imports the layers
 * below an entry still gets the sources.
 */

import module from 'node:module';

/** Entries of `src/`, by the bundle that has their exports. */
const BUNDLES = { index: 'hypxe', any: 'hypxe', x64: 'x64', arm64: 'arm64', os: 'os' };

const ENTRY = new RegExp(`^(file:.*/)src/(${Object.keys(BUNDLES).join('|')})\\.ts$`);

/** @type {module.ResolveHook} */
export async function resolve(specifier, context, nextResolve) {
  const resolved = await nextResolve(specifier, context);
  const [, root, name] = ENTRY.exec(resolved.url) ?? [];
  if (root === undefined || context.parentURL?.startsWith(`${root}src/`)) return resolved;
  const bundle = BUNDLES[/** @type {keyof typeof BUNDLES} */ (name)];
  return { url: `${root}dist/${bundle}.min.js`, format: 'module', shortCircuit: true };
}

module.register(import.meta.url);
