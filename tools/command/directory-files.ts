// SPDX-License-Identifier: GPL-2.0-or-later

/** The files below a directory, for the TFTP server of the simulator. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import type { FileSource } from '../simulator/network/index.ts';

/** Serve what lies below `root`, also through links, but nothing that lies outside of it. */
export function directoryFiles(root: string): FileSource {
  const real = fs.realpathSync(root);
  return {
    read(name) {
      try {
        const file = fs.realpathSync(path.join(real, name));
        if (!file.startsWith(real + path.sep)) return { error: 'outside of the served directory' };
        if (!fs.statSync(file).isFile()) return { error: 'not a file' };
        return fs.readFileSync(file);
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        return code === 'ENOENT' ? undefined : { error: message };
      }
    },
  };
}
