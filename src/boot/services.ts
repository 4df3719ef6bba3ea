// SPDX-License-Identifier: GPL-2.0-or-later

/** The utility services of a boot: those that are asked for, and what came of them. */

import { Log, type EventSink } from '../events.ts';
import type { Machine } from '../machine.ts';
import type { MapAllocator } from '../memory/allocator.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { FileCopyService } from '../services/file-copy.ts';
import { HeartbeatService } from '../services/heartbeat.ts';
import type { IcService } from '../services/service.ts';
import { ShutdownService, type ShutdownRequest } from '../services/shutdown.ts';
import { TimeSyncService } from '../services/time-sync.ts';
import { FileStore } from './file-store.ts';
import { IMAGE_ADDRESS_MIN } from './image.ts';
import type { PushOptions } from './push-boot.ts';

/** Names of the services. */
export const SERVICE_NAMES = ['file-copy', 'heartbeat', 'shutdown', 'time-sync'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

export class BootServices {
  /** For the drivers. Empty if nothing is asked for: then nothing at all is different. */
  readonly all: readonly IcService[];
  /** Where pushed files go, if they are taken. */
  readonly store: FileStore | undefined;
  readonly #shutdown: ShutdownService | undefined;
  readonly #fileCopy: FileCopyService | undefined;

  constructor(
    machine: Machine,
    allocator: MapAllocator,
    events: EventSink | undefined,
    names: readonly ServiceName[],
    push: PushOptions,
  ) {
    const services: IcService[] = [];
    if (names.includes('file-copy')) {
      const limit = push.limit ?? allocator.largest(IMAGE_ADDRESS_MIN) / 2;
      const memory = new GuestMemory(machine.memory);
      this.store = new FileStore(memory, allocator, new Log(events), limit);
      this.#fileCopy = new FileCopyService(this.store, push);
      services.push(this.#fileCopy);
    }
    if (names.includes('heartbeat')) services.push(new HeartbeatService());
    if (names.includes('shutdown')) services.push((this.#shutdown = new ShutdownService()));
    if (names.includes('time-sync')) services.push(new TimeSyncService());
    this.all = services;
  }

  /** Whether the host can push files at this moment. */
  get canReceive(): boolean {
    return this.#fileCopy?.isOpen ?? false;
  }

  /** What the host wants of the machine, once it has its answer. */
  get shutdown(): ShutdownRequest | undefined {
    return this.#shutdown?.request;
  }

  /** When to cancel the boot: when the caller says so, and when the host wants the machine. */
  cancel(wanted: (() => boolean) | undefined): (() => boolean) | undefined {
    if (this.#shutdown === undefined) return wanted;
    return () => this.shutdown !== undefined || (wanted?.() ?? false);
  }
}
