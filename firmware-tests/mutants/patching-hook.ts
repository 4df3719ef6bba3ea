// SPDX-License-Identifier: GPL-2.0-or-later

/** Patches sources as they are imported: for a program that tests them, and knows nothing of it. */

import { readFile } from 'node:fs/promises';
import module from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { transform } from 'esbuild';
import { applied, PATCHES, pathOf, type Patch } from './bundle.ts';

const patches = JSON.parse(process.env[PATCHES] ?? '[]') as readonly Patch[];

export const load: module.LoadHook = async (url, context, nextLoad) => {
  const file = url.startsWith('file:') ? pathOf(fileURLToPath(url)) : '';
  const wanted = patches.filter((patch) => patch.file === file);
  if (wanted.length === 0) return nextLoad(url, context);
  const text = wanted.reduce(applied, await readFile(fileURLToPath(url), 'utf8'));
  const { code } = await transform(text, { loader: 'ts', format: 'esm', target: 'es2022' });
  return { format: 'module', source: code, shortCircuit: true };
};

if (isMainThread) module.register(import.meta.url);
