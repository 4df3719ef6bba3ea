// SPDX-License-Identifier: GPL-2.0-or-later

/** The files below a directory, for the TFTP server of the simulator. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import type { FileSource } from '../../simulator/network/index.ts';
import { readBytes } from '../files.ts';

/** Why a file is not served. */
export const OUTSIDE = 'lies outside of the served directory';

/**
 * The real path of a file below `root`: links are followed, but not out of it.
 *
 * @throws Error of the file system, with its code; or with {@link OUTSIDE} as message
 */
export function pathBelow(root: string, name: string): string {
  const real = fs.realpathSync(root);
  const file = fs.realpathSync(path.join(real, name));
  if (!file.startsWith(real.endsWith(path.sep) ? real : real + path.sep)) throw new Error(OUTSIDE);
  return file;
}

/**
 * Serve what lies below `root`, also through links, but nothing that lies outside of it.
 *
 * @param most bytes that a file may have
 */
export function directoryFiles(root: string, most: number): FileSource {
  return {
    read(name) {
      try {
        const file = pathBelow(root, name);
        return fs.statSync(file).isFile() ? readBytes(file, most) : { error: 'is not a file' };
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        return code === 'ENOENT' || code === 'ENOTDIR' ? undefined : { error: message };
      }
    },
  };
}
