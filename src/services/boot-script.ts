// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Boot scripts: a few commands of iPXE's script language, for a script that the host pushes as
 * `autoexec.ipxe`. It says what to boot; there are no variables, labels or conditions.
 */

import { HypxeError } from '../error.ts';

/** Name of the script (iPXE looks for the same name beside itself). */
export const SCRIPT_NAME = 'autoexec.ipxe';

/** Longest script and most lines. */
export const SCRIPT_LENGTH_MAX = 65_536;
const LINES_MAX = 1000;

/** What a script asks for. */
export interface BootScript {
  /** What to boot: a file that was pushed, or else one of the network. */
  readonly kernel: string | undefined;
  /** Command line for the image. */
  readonly arguments: string | undefined;
  /** Pushed files that the image needs: it is not booted without them. */
  readonly initrds: readonly string[];
  /** Boot file and next server of the network boot. */
  readonly fileName: string | undefined;
  readonly nextServer: string | undefined;
}

/** Read a script. @throws HypxeError BadScript, with the number of the line */
export function parseScript(text: string): BootScript {
  const lines = text.split(/\r\n|\n|\r/);
  if (lines[0] !== '#!ipxe') throw bad(1, 'the first line is not #!ipxe');
  if (lines.length > LINES_MAX) throw bad(LINES_MAX + 1, `more than ${LINES_MAX} lines`);
  const script = {
    kernel: undefined as string | undefined,
    arguments: undefined as string | undefined,
    initrds: [] as string[],
    fileName: undefined as string | undefined,
    nextServer: undefined as string | undefined,
  };
  for (const [index, line] of lines.entries()) {
    const trimmed = line.trim();
    if (index === 0 || trimmed === '' || trimmed.startsWith('#')) continue;
    const [command, operand = '', ...rest] = trimmed.split(/\s+/);
    const words = rest.join(' ');
    const needed = (what: string): string => {
      if (operand === '') throw bad(index + 1, `${command} without ${what}`);
      return operand;
    };
    switch (command) {
      case 'kernel':
      case 'chain':
        script.kernel = needed('a file');
        if (words !== '') script.arguments = words;
        break;
      case 'initrd':
        script.initrds.push(needed('a file'));
        break;
      case 'imgargs':
        needed('a file');
        script.arguments = words;
        break;
      case 'set':
        if (operand === 'filename' && words !== '') script.fileName = words;
        else if (operand === 'next-server' && words !== '') script.nextServer = words;
        else throw bad(index + 1, 'set knows filename and next-server, each with a value');
        break;
      case 'boot':
      case 'autoboot':
        if (operand !== '') script.kernel = operand;
        return script;
      default:
        throw bad(index + 1, `unknown command ${command}`);
    }
  }
  return script;
}

function bad(line: number, text: string): HypxeError {
  return new HypxeError('BadScript', `line ${line}: ${text}`);
}
