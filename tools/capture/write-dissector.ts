// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Writes the Wireshark dissector, or checks (`--check`) that it is what the sources make.
 *
 *     node --import ./tools/build/ts-hook.mjs tools/capture/write-dissector.ts [--check]
 */

import * as fs from 'node:fs';
import { DISSECTOR_PATH, dissector } from './dissector.ts';

const path = new URL(`../../${DISSECTOR_PATH}`, import.meta.url);
const text = dissector();
if (!process.argv.includes('--check')) {
  fs.writeFileSync(path, text);
} else if (!fs.existsSync(path) || fs.readFileSync(path, 'utf8') !== text) {
  console.error(`${DISSECTOR_PATH} is not what the sources make: run npm run dissector`);
  process.exitCode = 1;
}
