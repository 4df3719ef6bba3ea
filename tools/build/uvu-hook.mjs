// SPDX-License-Identifier: GPL-2.0-or-later

// Gives the tests `counted-uvu.mjs` when they ask for uvu, which only that file itself gets.
const COUNTED = new URL('./counted-uvu.mjs', import.meta.url).href;

/** @type {import('node:module').ResolveHook} */
export function resolve(specifier, context, nextResolve) {
  if (specifier !== 'uvu' || context.parentURL === COUNTED) return nextResolve(specifier, context);
  return { url: COUNTED, format: 'module', shortCircuit: true };
}
