// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Booting what the host pushes: how long the firmware waits for files, and which of them it boots.
 *
 * The rule, in this order:
 * 1. A script (`autoexec.ipxe`) decides: its kernel is the pushed file of that name, or else a file
 *    of the network; without a kernel, the network is booted with what it sets.
 * 2. A boot file that the caller names is the pushed file of that path or name, or else a file of
 *    the network.
 * 3. Else the first pushed file that is an image is booted: the first to be complete that is
 *    neither script nor command line.
 * 4. With no such file the network is booted.
 *
 * A file `cmdline` is the command line of the image, whatever the image is; a script's arguments
 * count before it. All files but the image are handed on beside it.
 */

import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import { TICKS_PER_MS, type Clock } from '../time.ts';
import type { FileCopyOptions } from './file-copy.ts';
import type { BootWish } from '../boot/boot.ts';
import { SCRIPT_LENGTH_MAX, SCRIPT_NAME, parseScript, type BootScript } from './boot-script.ts';
import type { FileStore, StoredFile } from './file-store.ts';

/** Name of the file with the command line. */
export const COMMAND_LINE_NAME = 'cmdline';

/** Longest command line, in bytes (Linux COMMAND_LINE_SIZE is 2048 on x86, 4096 elsewhere). */
const COMMAND_LINE_MAX = 4096;

/** How long the first file is waited for, in ms. */
export const PUSH_WAIT_MS = 5000;

/** How long nothing must come after a file until it was the last, in ms. */
export const PUSH_QUIET_MS = 1000;

/** How files are taken. All times in ms. */
export interface PushOptions extends FileCopyOptions {
  /** Most bytes of all files together; by default half of the largest free piece of memory. */
  readonly limit?: number;
  /** Default {@link PUSH_WAIT_MS}; 0 to wait for nothing. */
  readonly waitMs?: number;
  /** Default {@link PUSH_QUIET_MS}. */
  readonly quietMs?: number;
  /** What becomes of files beside the image: `keep` (default) hands them on, `free` does not. */
  readonly others?: 'keep' | 'free';
}

/** What is to be booted, by the rule. */
export interface BootChoice {
  /** The pushed file, or undefined for the network. */
  readonly file: StoredFile | undefined;
  /** What the network boot uses instead of what its servers say. */
  readonly bootFile: string | undefined;
  readonly nextServer: string | undefined;
  readonly commandLine: string | undefined;
}

/**
 * Wait for files: for the first one, then until none is on its way and none has come for a while. A
 * copy that stalls is ended by the file copy service, so this ends, too.
 *
 * @param clock its pauses give the service its turns
 * @param listening whether the host can push at all
 */
export function waitForFiles(
  store: FileStore,
  clock: Clock,
  listening: () => boolean,
  options: PushOptions,
): void {
  const { waitMs = PUSH_WAIT_MS, quietMs = PUSH_QUIET_MS } = options;
  let completed = store.completed;
  let deadline = clock.now() + (completed > 0 ? quietMs : waitMs) * TICKS_PER_MS;
  while (listening() && clock.now() < deadline) {
    clock.pause();
    const moved = store.receiving || store.completed !== completed;
    if (!moved) continue;
    completed = store.completed;
    deadline = clock.now() + quietMs * TICKS_PER_MS;
  }
}

/** Choose. @throws HypxeError BadScript, PushedFileMissing, PushedFileEmpty, CommandLineTooLong */
export function chooseBoot(store: FileStore, wish: BootWish, log: Log): BootChoice {
  const scriptFile = store.find(SCRIPT_NAME);
  const script = scriptFile === undefined ? undefined : readScript(store, scriptFile);
  const lineFile = store.find(COMMAND_LINE_NAME);
  const commandLine = script?.arguments ?? readCommandLine(store, lineFile);
  for (const name of script?.initrds ?? []) {
    if (store.find(name) !== undefined) continue;
    const text = `the script's initrd ${JSON.stringify(name)} was not pushed`;
    throw new HypxeError('PushedFileMissing', text);
  }

  // By the rule
  const named = script === undefined ? wish.bootFile : script.kernel;
  const images = store.files.filter((file) => file !== scriptFile && file !== lineFile);
  const first = script === undefined && named === undefined ? images[0] : undefined;
  const file = named === undefined ? first : store.find(named);
  if (file?.length === 0) {
    const text = `${JSON.stringify(file.path)} is empty`;
    throw new HypxeError('PushedFileEmpty', text);
  }
  if (file !== undefined) log.info('BOOT', '', `booting the pushed ${JSON.stringify(file.path)}`);
  return {
    file,
    bootFile: script?.kernel ?? script?.fileName ?? wish.bootFile,
    nextServer: script?.nextServer ?? wish.nextServer,
    commandLine,
  };
}

function readScript(store: FileStore, file: StoredFile): BootScript {
  if (file.length > SCRIPT_LENGTH_MAX) {
    const text = `the script has ${file.length} bytes, at most ${SCRIPT_LENGTH_MAX}`;
    throw new HypxeError('BadScript', text);
  }
  return parseScript(store.text(file));
}

/** The command line: one line, whatever stands at its end. */
function readCommandLine(store: FileStore, file: StoredFile | undefined): string | undefined {
  if (file === undefined) return undefined;
  if (file.length > COMMAND_LINE_MAX) {
    const text = `${file.path} has ${file.length} bytes, at most ${COMMAND_LINE_MAX}`;
    throw new HypxeError('CommandLineTooLong', text);
  }
  return store.text(file).replace(/[\0\r\n\s]+$/, '');
}
