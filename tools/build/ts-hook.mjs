// SPDX-License-Identifier: GPL-2.0-or-later

// Lets Node 20 import the .ts sources: esbuild strips the types, the source map keeps the lines.
// On Node 22.18 and later type stripping is built in and this file does nothing.
import { readFile } from 'node:fs/promises';
import module from 'node:module';
import { fileURLToPath } from 'node:url';

/** @type {module.LoadHook} */
export async function load(url, context, nextLoad) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context);
  const { transformSync } = await import('esbuild');
  const path = fileURLToPath(url);
  const { code } = transformSync(await readFile(path, 'utf8'), {
    loader: 'ts',
    format: 'esm',
    target: 'es2022',
    sourcefile: path,
    sourcemap: 'inline',
  });
  return { format: 'module', source: code, shortCircuit: true };
}

// No test of the thread here: on Node 20 a worker needs the hook as well.
if (!('typescript' in process.features && process.features.typescript)) {
  module.register(import.meta.url);
}
