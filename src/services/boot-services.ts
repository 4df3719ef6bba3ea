// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The utility services as a part of the boot: files that the host pushes are booted or handed on,
 * a shutdown ends the boot, and what has come of both is in the result.
 */

import type { BootImage, BootOptions, BootPart, BootResult, BootWish } from '../boot/boot.ts';
import { IMAGE_ADDRESS_MIN, type ImageAllocator } from '../boot/image.ts';
import type { HypervDriver } from '../driver.ts';
import { HypxeError } from '../error.ts';
import { Log } from '../events.ts';
import type { Machine } from '../machine.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { carve } from '../memory/shared-memory.ts';
import type { Clock } from '../time.ts';
import type { VmbusDriver } from '../vmbus/bus-driver.ts';
import { serviceDrivers } from './driver.ts';
import { FileCopyService } from './file-copy.ts';
import { FileStore, type StoredFile } from './file-store.ts';
import { HeartbeatService } from './heartbeat.ts';
import { chooseBoot, waitForFiles, type BootChoice, type PushOptions } from './push-boot.ts';
import type { IcService } from './service.ts';
import { ShutdownService, type ShutdownRequest } from './shutdown.ts';
import { TimeSyncService } from './time-sync.ts';

/** Names of the services. */
export const SERVICE_NAMES = ['file-copy', 'heartbeat', 'shutdown', 'time-sync'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** BootImage.device of a file that the host has pushed. */
export const PUSHED = 'file copy';

/** What the boot is told of the services. */
export interface ServiceOptions {
  /** Utility services that are served meanwhile. Default none: their channels stay closed. */
  readonly services?: readonly ServiceName[];
  /** With `file-copy` among the services: how pushed files are taken. */
  readonly push?: PushOptions;
}

/** What a boot with services gives. */
export interface ServedBootResult extends BootResult {
  /** Pushed files that are handed on beside the image; they are reserved in the memory map. */
  readonly files?: readonly StoredFile[];
  /** Command line for the image, if one was pushed. */
  readonly commandLine?: string;
  /** The host wants the machine: whoever runs the firmware powers off or restarts. */
  readonly shutdown?: ShutdownRequest;
}

export class BootServices implements BootPart {
  /** For {@link BootOptions.drivers}. Empty if nothing is asked for: then nothing is different. */
  readonly drivers: readonly VmbusDriver[];
  readonly #allocator: ImageAllocator;
  readonly #wish: BootWish;
  readonly #push: PushOptions;
  /** Where pushed files go, if they are taken. */
  readonly #store: FileStore | undefined;
  readonly #shutdown: ShutdownService | undefined;
  readonly #fileCopy: FileCopyService | undefined;
  #choice: BootChoice | undefined;

  /** `allocator` is that of the boot: {@link BootOptions.allocator}. */
  constructor(machine: Machine, allocator: ImageAllocator, options: BootOptions & ServiceOptions) {
    const { services: names = [], push = {}, events } = options;
    this.#allocator = allocator;
    this.#wish = options;
    this.#push = push;
    const services: IcService[] = [];
    if (names.includes('file-copy')) {
      const limit = push.limit ?? allocator.largest(IMAGE_ADDRESS_MIN) / 2;
      const memory = new GuestMemory(machine.memory);
      this.#store = new FileStore(memory, allocator, new Log(events), limit);
      this.#fileCopy = new FileCopyService(this.#store, push);
      services.push(this.#fileCopy);
    }
    if (names.includes('heartbeat')) services.push(new HeartbeatService());
    if (names.includes('shutdown')) services.push((this.#shutdown = new ShutdownService()));
    if (names.includes('time-sync')) services.push(new TimeSyncService());
    this.drivers = serviceDrivers(services);
  }

  /** The host wants the machine, and has its answer. */
  cancel(): boolean {
    return this.#shutdown?.request !== undefined;
  }

  /** Take what the host pushes, and choose. @throws HypxeError as chooseBoot, or Cancelled */
  receive({ log }: HypervDriver, clock: Clock): BootWish | undefined {
    const store = this.#store;
    if (store === undefined) return undefined;
    log.step('receive', 'begin');
    waitForFiles(store, clock, () => this.#fileCopy?.isOpen ?? false, this.#push);
    const choice = chooseBoot(store, this.#wish, log);
    log.step('receive', 'end');
    this.#choice = choice;
    return { ...choice, image: choice.file && pushedImage(choice.file) };
  }

  failed(): HypxeError | undefined {
    const request = this.#shutdown?.request;
    if (request === undefined) return undefined;
    const text = `the host wants a ${request.force ? 'forced ' : ''}${request.kind}`;
    return new HypxeError('ShutDown', text);
  }

  finish({ log }: HypervDriver, result: BootResult): ServedBootResult {
    const { image } = result;
    const shutdown = this.#shutdown?.request;
    if (image === undefined) return { ...result, ...(shutdown && { shutdown }) };
    if (this.#store === undefined) return result;
    const files = this.#filesBeside(log, this.#store, image);
    const { commandLine } = this.#choice ?? {};
    return {
      ...result,
      memoryMap: files.reduce((map, file) => this.#reserved(map, file), result.memoryMap),
      files,
      ...(commandLine === undefined ? {} : { commandLine }),
    };
  }

  /** The pushed files that the image finds beside it; the rest is given back. */
  #filesBeside(log: Log, store: FileStore, image: BootImage): StoredFile[] {
    if (this.#push.others === 'free') return [];
    const files = store.files.filter(({ address }) => address !== image.address);
    for (const { path, address, length } of files) {
      const where = length === 0 ? 'empty' : `${length} bytes at 0x${address.toString(16)}`;
      log.info('BOOT', '', `handing on ${JSON.stringify(path)}: ${where}`);
    }
    return files.map(({ path, name, address, length }) => ({ path, name, address, length }));
  }

  #reserved(
    map: BootResult['memoryMap'],
    { path, address, length }: StoredFile,
  ): BootResult['memoryMap'] {
    if (length === 0) return map;
    const { pageSize } = this.#allocator;
    const end = Math.ceil((address + length) / pageSize) * pageSize;
    return map.flatMap((range) => carve(range, address, end, `pushed file ${path}`));
  }
}

function pushedImage({ path: name, address, length }: StoredFile): BootImage {
  return { name, address, length, device: PUSHED };
}
