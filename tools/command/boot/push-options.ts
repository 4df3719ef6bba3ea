// SPDX-License-Identifier: GPL-2.0-or-later

/** The options of `hypxe boot` that have to do with files that the host pushes. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { SCRIPT_NAME } from '../../../src/services/boot-script.ts';
import { COMMAND_LINE_NAME } from '../../../src/services/push-boot.ts';
import { SERVICE_NAMES, type ServiceName } from '../../../src/services/boot-services.ts';
import { FileCopyStart } from '../../../src/services/protocol.ts';
import { requireFile } from '../files.ts';
import { UsageError, didYouMean, quoted } from '../usage.ts';

/** Units of a name's field in START. */
const NAME_UNITS_MAX = FileCopyStart.sizes.fileName / 2;

/** A file that the host pushes into the guest. */
export interface PushedFile {
  /** Where it lies here. */
  readonly path: string;
  /** Directory and name that it has in the guest. */
  readonly directory: string;
  readonly name: string;
  readonly size: number;
}

/** `FILE[=NAME]`. @throws UsageError */
export function readPushes(texts: readonly string[]): PushedFile[] {
  const pushes = texts.map(readPush);
  for (const [i, { directory, name }] of pushes.entries()) {
    const same = pushes.findIndex((p) => p.directory === directory && p.name === name);
    if (same === i) continue;
    const text = `two files are pushed as ${quoted(guestPath(pushes[i]!))}`;
    throw new UsageError('PushedTwice', text, 'Name one of them: --push FILE=NAME.');
  }
  return pushes;
}

/** The path of a pushed file in the guest. */
export function guestPath({ directory, name }: Pick<PushedFile, 'directory' | 'name'>): string {
  return directory === '' ? name : `${directory}/${name}`;
}

/** The pushed file that the firmware boots, if nothing names another one. */
export function firstImage(pushes: readonly PushedFile[]): PushedFile | undefined {
  const plain = (push: PushedFile): boolean =>
    push.name !== SCRIPT_NAME && push.name !== COMMAND_LINE_NAME;
  return pushes.some(({ name }) => name === SCRIPT_NAME) ? undefined : pushes.find(plain);
}

function readPush(text: string): PushedFile {
  // A file that has an equals sign in its name is meant as it stands
  const at = fs.existsSync(text) ? -1 : text.indexOf('=');
  const file = at < 0 ? text : text.slice(0, at);
  const target = at < 0 ? path.basename(text) : text.slice(at + 1);
  const advice = 'Write --push FILE, or --push FILE=NAME for another name in the guest.';
  const size = requireFile(file, advice);

  const parts = target.split('/').filter((part) => part !== '');
  const name = parts.pop() ?? '';
  const directory = parts.join('/');
  if (name === '' || name.length > NAME_UNITS_MAX || directory.length > NAME_UNITS_MAX) {
    const what = `${quoted(target)} is no name for a file`;
    throw new UsageError('BadName', what, `A name has 1 to ${NAME_UNITS_MAX} characters.`);
  }
  return { path: path.resolve(file), directory, name, size };
}

/** The services of `--services`, and what files need. @throws UsageError UnknownService */
export function readServices(text: string | undefined, pushes: boolean): ServiceName[] {
  const names = text === undefined ? [] : text.split(',');
  for (const name of names) {
    if (SERVICE_NAMES.includes(name as ServiceName)) continue;
    const advice = didYouMean(name, SERVICE_NAMES);
    throw new UsageError('UnknownService', `there is no service ${quoted(name)}`, advice);
  }
  return SERVICE_NAMES.filter(
    (name) => names.includes(name) || (pushes && (name === 'file-copy' || text === undefined)),
  );
}
