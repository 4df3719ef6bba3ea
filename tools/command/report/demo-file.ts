// SPDX-License-Identifier: GPL-2.0-or-later

/** Writes pages that run something in the browser: of what is built, and of what is installed. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { demoHtml, type BuiltScripts } from '../../demo/demo-page.ts';
import { requireFile } from '../files.ts';
import { ReportFile } from './report-file.ts';

/** Write the page that boots the firmware. @throws EnvironmentError */
export function writeDemo(file: string, page: string): void {
  const html = demoHtml(builtScripts(page));
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
