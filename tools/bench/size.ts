// SPDX-License-Identifier: GPL-2.0-or-later

/** Sizes of the firmware: each entry, and the drivers alone, as the build bundles them. */

import { gzipSync } from 'node:zlib';
import { build, type BuildOptions, type StdinOptions } from 'esbuild';
import { ALONE, bundleMinified } from '../build/minify.mjs';
import { LIBRARIES } from '../build/targets.mjs';
import { count, type Section } from './section.ts';

/** What is bundled: each ROM from its entry, and what a user of the drivers alone imports. */
const BUNDLES: readonly { name: string; entry: string; source?: string }[] = [
  ...LIBRARIES.filter(({ rom }) => rom).map(({ name, entry }) => ({ name, entry })),
  ...['x64', 'arm64'].map((architecture) => ({
    name: `drivers ${architecture}`,
    entry: `drivers-${architecture}.ts`,
    source: `export { createDriver } from './src/${architecture}.ts';`,
  })),
];

/**
 * The four files of iPXE that the drivers are a port of (hyperv.c, vmbus.c, netvsc.c, rndis.c), in
 * bytes, as this project has measured them: x86-64 code, and WebAssembly, gzipped.
 */
export const IPXE = { x64: 9305, wasmGzip: 5833 } as const;

/** Sizes in bytes. */
export interface BundleSize {
  readonly name: string;
  readonly files: number;
  readonly raw: number;
  readonly rawGzip: number;
  readonly minified: number;
  readonly minifiedGzip: number;
}

/** Bundle in memory. `root` is the directory that has `src/`. */
export async function bundleSizes(root: string): Promise<BundleSize[]> {
  return Promise.all(BUNDLES.map((bundle) => bundleSize(root, bundle)));
}

async function bundleSize(root: string, bundle: (typeof BUNDLES)[number]): Promise<BundleSize> {
  const options = bundleOptions(root, bundle);
  const [raw, minified] = await Promise.all([
    build({ ...options, ...ALONE }),
    bundleMinified(options),
  ]);
  const [readable, small] = [raw.outputFiles[0]!.contents, minified.outputFiles[0]!.contents];
  return {
    name: bundle.name,
    // The module that imports the drivers is no file of the firmware
    files: Object.keys(raw.metafile.inputs).filter((path) => path.startsWith('src/')).length,
    raw: readable.length,
    rawGzip: gzipSync(readable, { level: 9 }).length,
    minified: small.length,
    minifiedGzip: gzipSync(small, { level: 9 }).length,
  };
}

function bundleOptions(root: string, { entry, source }: (typeof BUNDLES)[number]): BuildOptions {
  const module = { contents: source ?? '', loader: 'ts', resolveDir: root, sourcefile: entry };
  return {
    absWorkingDir: root,
    outdir: 'dist',
    ...(source === undefined ? { entryPoints: [entry] } : { stdin: module as StdinOptions }),
  };
}

export function sizeSection(sizes: readonly BundleSize[]): Section {
  return {
    name: 'size',
    title: 'Size of the firmware, in bytes',
    data: sizes,
    tables: [
      {
        columns: ['', 'files', 'raw', 'gzip', 'minified', 'gzip', 'of iPXE'],
        rows: [
          ...sizes.map(({ name, files, raw, rawGzip, minified, minifiedGzip }) => [
            name,
            ...[files, raw, rawGzip, minified, minifiedGzip].map(count),
            name.startsWith('drivers') ? `x ${(minifiedGzip / IPXE.wasmGzip).toFixed(2)}` : '',
          ]),
          ['iPXE', '4', '', '', count(IPXE.x64), count(IPXE.wasmGzip), ''],
        ],
      },
    ],
    notes: [
      'hypxe: the firmware for both architectures. x64, arm64: for one alone. os: with all ' +
        'parts, services and file copy. drivers: createDriver alone, without boot and network.',
      'iPXE: its four files that the drivers are a port of, as x86-64 code, and gzipped as ' +
        'WebAssembly: the nearest that C has to a file of JavaScript.',
    ],
  };
}
