// SPDX-License-Identifier: GPL-2.0-or-later

/** The firmware in `dist/`: each entry as a file that people read, and as one that is small. */

import { checkFirmware } from './bundle-checks.mjs';
import { foldProtocol } from './fold-protocol.mjs';

/** Entries of the firmware: the name of the file in `dist/`, and what it is made of. */
export const ENTRIES = {
  hypxe: 'src/index.ts',
  x64: 'src/x64.ts',
  arm64: 'src/arm64.ts',
  os: 'src/os.ts',
};

/** @type {readonly import('./build.mjs').Target[]} */
export const FIRMWARE_TARGETS = Object.entries(ENTRIES).flatMap(([name, entry]) => [
  { entry, outfile: `dist/${name}.js`, platform: 'neutral', check: checkFirmware },
  {
    ...{ entry, outfile: `dist/${name}.min.js`, platform: 'neutral', check: checkFirmware },
    minify: true,
    plugins: () => [foldProtocol()],
  },
]);
