// SPDX-License-Identifier: GPL-2.0-or-later

/** Sizes of the firmware: each entry, and the drivers alone, as the build bundles them. */

import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { foldProtocol } from '../build/fold-protocol.mjs';
import { LIBRARIES } from '../build/targets.mjs';
import { count, type Section } from './section.ts';

/** What is bundled, each by a module that exports what a user of it needs. */
const BUNDLES = [
  ...LIBRARIES.filter(({ rom }) => rom).map(({ name, entry }) => ({
    name,
    entry: `export * from './${entry}';`,
  })),
  { name: 'drivers x64', entry: "export { createDriver } from './src/x64.ts';" },
  { name: 'drivers arm64', entry: "export { createDriver } from './src/arm64.ts';" },
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
  return Promise.all(BUNDLES.map(({ name, entry }) => bundleSize(root, name, entry)));
}

async function bundleSize(root: string, name: string, entry: string): Promise<BundleSize> {
  const [raw, minified] = await Promise.all([
    bundle(root, name, entry, false),
    bundle(root, name, entry, true),
  ]);
  return {
    name,
    files: raw.files,
    raw: raw.contents.length,
    rawGzip: gzipSync(raw.contents, { level: 9 }).length,
    minified: minified.contents.length,
    minifiedGzip: gzipSync(minified.contents, { level: 9 }).length,
  };
}

async function bundle(root: string, name: string, contents: string, minify: boolean) {
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    stdin: { contents, loader: 'ts', resolveDir: root, sourcefile: `${name}.ts` },
    outfile: `${name}.js`,
    bundle: true,
    write: false,
    metafile: true,
    minify,
    plugins: minify ? [foldProtocol()] : [],
    format: 'esm',
    target: 'es2022',
    platform: 'neutral',
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'silent',
  });
  // The entry is no file of the firmware
  return { contents: outputFiles[0]!.contents, files: Object.keys(metafile.inputs).length - 1 };
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
