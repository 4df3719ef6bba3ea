// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The files that the host has pushed: in guest RAM, each in one piece, under a bound. They can be
 * booted, read, handed on to the loaded OS, or given back.
 */

import type { Log } from '../events.ts';
import type { PageRun } from '../memory/allocator.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { IMAGE_ADDRESS_MIN, type ImageAllocator } from '../boot/image.ts';
import type { FileConsumer, FilePort, FileStart } from './file-consumer.ts';
import { FILE_CONSUMER_VERSION, IcStatus } from './protocol.ts';
import { utf8Text } from './unicode.ts';

/** Most files, and most directories. */
const FILES_MAX = 64;
const DIRECTORIES_MAX = 64;

/** Most directories in a path. */
const DEPTH_MAX = 32;

/** A file in guest memory. */
export interface StoredFile {
  /** Directory and name with slashes, without one in front: `boot/vmlinuz`. */
  readonly path: string;
  /** The name alone. */
  readonly name: string;
  /** Guest physical address of the first byte; 0 if the file is empty. */
  readonly address: number;
  readonly length: number;
}

interface Entry extends StoredFile {
  readonly place: PageRun | undefined;
}

export class FileStore implements FileConsumer {
  readonly #memory: GuestMemory;
  readonly #allocator: ImageAllocator;
  readonly #log: Log;
  readonly #limit: number;
  #files: Entry[] = [];
  /** Directories that are there; the top always is. */
  readonly #directories = new Set<string>(['']);
  /** The file that is being copied. */
  #current: Entry | undefined;
  #received = 0;
  /** Files that were completed, ever. */
  completed = 0;

  /** `limit`: most bytes of all files together, in whole pages. */
  constructor(memory: GuestMemory, allocator: ImageAllocator, log: Log, limit: number) {
    this.#memory = memory;
    this.#allocator = allocator;
    this.#log = log;
    this.#limit = limit;
  }

  /** The complete files, in order of their completion. */
  get files(): readonly StoredFile[] {
    return this.#files;
  }

  /** Whether a file is on its way. */
  get receiving(): boolean {
    return this.#current !== undefined;
  }

  /** Bytes taken. */
  get used(): number {
    const all = this.#current === undefined ? this.#files : [...this.#files, this.#current];
    return all.reduce((sum, { length }) => sum + this.#pages(length), 0);
  }

  /** The file with this path or, if there is none, the first with this name. */
  find(wanted: string): StoredFile | undefined {
    const path = wanted.replace(/^\/+/, '');
    return (
      this.#files.find((file) => file.path === path) ??
      this.#files.find((file) => file.name === path)
    );
  }

  /** Text of a file, which is taken for UTF-8. */
  text({ address, length }: StoredFile): string {
    return utf8Text(this.#memory.bytes, address, length);
  }

  /** Give all files back but one. */
  discard(except?: StoredFile): void {
    for (const file of this.#files) if (file !== except) this.#free(file);
    this.#files = this.#files.filter((file) => file === except);
  }

  // --- as the consumer of the file copy service ---

  attach(port: FilePort): void {
    port.register(FILE_CONSUMER_VERSION);
  }

  start(_ticket: number, { path, name, overwrite, createPath, size }: FileStart): number {
    // Where is it to go?
    const directories = splitPath(utf8Text(path));
    const fileName = utf8Text(name);
    if (directories === undefined || !isName(fileName)) {
      const text = `${JSON.stringify(utf8Text(path))} and ${JSON.stringify(fileName)}`;
      return this.#refuse(`${text} name no file`, IcStatus.FAIL);
    }
    const full = [...directories, fileName].join('/');
    const shown = JSON.stringify(full);
    if (this.#directories.has(full)) return this.#refuse(`${shown} is a directory`, IcStatus.FAIL);
    const missing = this.#missing(directories);
    if (missing.length > 0 && !createPath) {
      return this.#refuse(`${shown}: there is no ${JSON.stringify(missing[0])}`, IcStatus.FAIL);
    }
    if (missing.some((directory) => this.#files.some((file) => file.path === directory))) {
      return this.#refuse(`${shown}: a file is no directory`, IcStatus.FAIL);
    }
    const former = this.#files.find((file) => file.path === full);
    if (former !== undefined && !overwrite) {
      return this.#refuse(`${shown} is there already`, IcStatus.ALREADY_EXISTS);
    }

    // Is there room? What is to be overwritten makes some
    const count = this.#files.length + (former === undefined ? 1 : 0);
    const room = this.#limit - this.used + this.#pages(former?.length ?? 0);
    const tooMany = count > FILES_MAX || this.#directories.size + missing.length > DIRECTORIES_MAX;
    if (tooMany || this.#pages(size) > room) {
      const text = tooMany ? 'too many files' : `${size} bytes, ${Math.max(room, 0)} are left`;
      return this.#refuse(`${shown}: ${text}`, IcStatus.DISK_FULL);
    }
    if (former !== undefined) this.#remove(former);
    const place = size === 0 ? undefined : this.#allocator.allocateLow(size, IMAGE_ADDRESS_MIN);
    if (size > 0 && place === undefined) {
      return this.#refuse(`${shown}: no ${size} bytes in one piece`, IcStatus.DISK_FULL);
    }

    // Begin. The end of the last page is nobody's, but the OS will see it
    for (const directory of missing) this.#directories.add(directory);
    if (place !== undefined) this.#memory.zero(place.address + size, place.length - size);
    const address = place?.address ?? 0;
    this.#current = { path: full, name: fileName, address, length: size, place };
    this.#received = 0;
    this.#log.info('BOOT', '', `the host pushes ${shown}, ${size} bytes`);
    this.#progress();
    return IcStatus.SUCCESS;
  }

  write(_ticket: number, offset: number, bytes: Uint8Array, from: number, length: number): number {
    const current = this.#current;
    if (current === undefined) return IcStatus.NOT_FOUND;
    // A view for 6 KiB costs less than to copy them by words
    const part = bytes.subarray(from, from + length);
    this.#memory.bytes.set(part, current.address + offset);
    this.#received += length;
    this.#progress();
    return IcStatus.SUCCESS;
  }

  complete(): number {
    const current = this.#current;
    if (current === undefined) return IcStatus.NOT_FOUND;
    this.#current = undefined;
    this.#files.push(current);
    this.completed++;
    const where = current.length === 0 ? '' : ` at 0x${current.address.toString(16)}`;
    const text = `${JSON.stringify(current.path)}: ${current.length} bytes${where}`;
    this.#log.info('BOOT', '', `took ${text}, ${this.#limit - this.used} bytes are left`);
    return IcStatus.SUCCESS;
  }

  cancel(): number {
    this.abandon('the host cancelled it');
    return IcStatus.SUCCESS;
  }

  abandon(reason: string): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    this.#free(current);
    this.#log.info('BOOT', '', `removed ${JSON.stringify(current.path)}: ${reason}`);
  }

  // --- helpers ---

  /** Directories of a path that are not there, from the top down. */
  #missing(directories: readonly string[]): string[] {
    const all = directories.map((_, i) => directories.slice(0, i + 1).join('/'));
    return all.filter((directory) => !this.#directories.has(directory));
  }

  /** Bytes that a file takes: whole guest pages. */
  #pages(length: number): number {
    const { pageSize } = this.#allocator;
    return Math.ceil(length / pageSize) * pageSize;
  }

  #remove(file: Entry): void {
    this.#files = this.#files.filter((other) => other !== file);
    this.#free(file);
  }

  #free({ place }: Entry): void {
    if (place !== undefined) this.#allocator.free(place.address, place.length);
  }

  #progress(): void {
    if (!this.#log.on || this.#current === undefined) return;
    const { length: total } = this.#current;
    this.#log.emit({ kind: 'progress', received: Math.min(this.#received, total), total });
  }

  #refuse(text: string, status: number): number {
    this.#log.error('BOOT', '', `refusing a file: ${text}`);
    return status;
  }
}

/** Directories of a path, or undefined if it leads anywhere else. Windows' backslashes count. */
function splitPath(path: string): string[] | undefined {
  const parts = path.split(/[\\/]/).filter((part) => part !== '' && part !== '.');
  return parts.length <= DEPTH_MAX && parts.every(isName) ? parts : undefined;
}

function isName(name: string): boolean {
  return /^[^\\/\0-\x1f]+$/u.test(name) && name !== '.' && name !== '..';
}
