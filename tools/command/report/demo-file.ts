// SPDX-License-Identifier: GPL-2.0-or-later

/** Writes pages that run something in the browser: of what is built, and of what is installed. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import {
  PC_SCRIPTS,
  demoHtml,
  partsScript,
  pcDemoHtml,
  type BuiltScripts,
} from '../../demo/demo-page.ts';
import { PC_PARTS } from '../../demo/pc-run.ts';
import { requireFile } from '../files.ts';
import { findV86, loadBios, V86_VERSION } from '../pc/pc-files.ts';
import { EnvironmentError } from '../usage.ts';
import { ReportFile } from './report-file.ts';
import { systemReason } from '../system-reason.ts';

/** Name of the page in a directory. */
const INDEX = 'index.html';

/** Write the page that boots the firmware. @throws EnvironmentError */
export function writeDemo(file: string, page: string): void {
  write(file, demoHtml(builtScripts(page)));
}

/**
 * Write the page that boots programs for a PC, and beside it v86 and SeaBIOS as scripts that bring
 * them: a page from disk can read no other files.
 *
 * @param bios directory of SeaBIOS, if it is none of the usual ones
 * @throws EnvironmentError for what is not installed, or cannot be written
 */
export function writePcDemo(directory: string, page: string, bios: string | undefined): void {
  const html = pcDemoHtml(builtScripts(page));
  const { script, wasm, licence } = findV86();
  const parts = loadBios(bios);
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const v86 = partsScript(
    {
      'libv86.js': base64(fs.readFileSync(script)),
      [PC_PARTS.wasm]: base64(fs.readFileSync(wasm)),
    },
    `v86 ${V86_VERSION}, https://github.com/copy/v86\n\n${fs.readFileSync(licence, 'utf8')}`,
  );
  const seabios = partsScript(
    { [PC_PARTS.bios]: base64(parts.bios), [PC_PARTS.vgaBios]: base64(parts.vgaBios) },
    'SeaBIOS and SeaVGABIOS, https://www.seabios.org, as they are installed here. LGPL-3.0.',
  );
  makeDirectory(directory);
  write(path.join(directory, PC_SCRIPTS.v86), v86);
  write(path.join(directory, PC_SCRIPTS.bios), seabios);
  // Last: where it is, all is
  write(path.join(directory, INDEX), html);
}

/** @throws EnvironmentError ReportUnwritable */
function makeDirectory(directory: string): void {
  try {
    fs.mkdirSync(directory, { recursive: true });
  } catch (error) {
    const text = `${directory} cannot be made: ${systemReason(error)}`;
    throw new EnvironmentError('ReportUnwritable', text, 'Give a path with room for it.');
  }
}

/** @throws EnvironmentError ReportUnwritable */
function write(file: string, html: string): void {
  const output = new ReportFile(file);
  try {
    output.write(html);
  } finally {
    output.close();
  }
}

/** What is built: beside the script of a page. @throws EnvironmentError FileMissing */
function builtScripts(page: string): BuiltScripts {
  const read = (name: string): string => {
    const file = path.join(path.dirname(page), `${name}.js`);
    requireFile(file, 'Run npm run build first.');
    return fs.readFileSync(file, 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, '');
  };
  return { read, script: read(path.basename(page, '.js')) };
}
