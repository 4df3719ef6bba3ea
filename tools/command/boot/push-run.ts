// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The host's end of the utility services for one boot: real files are read as they are pushed, and
 * compared by their SHA-256 with what lies in guest RAM when the firmware hands over.
 */

import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import type {
  ServedBootResult as BootResult,
  ServiceName,
} from '../../../src/services/boot-services.ts';
import type { ChannelDevice } from '../../simulator/vmbus-server/channel-interface.ts';
import { TICKS_PER_MS } from '../../simulator/base/clock.ts';
import {
  FileCopyHost,
  HeartbeatHost,
  ShutdownHost,
  TimeSyncHost,
  type FileContents,
  type PushReport,
} from '../../simulator/services/index.ts';
import type { Pusher } from '../../library/boot.ts';
import type { OutcomePush } from '../../library/boot-outcome.ts';
import { guestPath, type PushedFile } from './push-options.ts';
import { EnvironmentError } from '../usage.ts';
import { systemReason } from '../system-reason.ts';

/** Bytes read at once for a digest. */
const CHUNK = 1 << 20;

export class Pushes implements Pusher {
  /** For the machine. */
  readonly devices: readonly ChannelDevice[];
  readonly #files: readonly PushedFile[];
  readonly #open: number[] = [];
  readonly #reports: PushReport[] = [];
  #outcomes: OutcomePush[] | undefined;

  /** @throws EnvironmentError FileUnreadable */
  constructor(files: readonly PushedFile[], services: readonly ServiceName[]) {
    this.#files = files;
    const atOpen = files.map((file) => ({
      name: file.name,
      path: file.directory,
      contents: this.#contents(file),
    }));
    const fileCopy = new FileCopyHost({
      atOpen,
      onReport: (report) => this.#reports.push(report),
    });
    const devices: Readonly<Record<ServiceName, () => ChannelDevice>> = {
      'file-copy': () => fileCopy,
      heartbeat: () => new HeartbeatHost(),
      shutdown: () => new ShutdownHost(),
      'time-sync': () => new TimeSyncHost(),
    };
    this.devices = services.map((name) => devices[name]());
  }

  #contents(file: PushedFile): FileContents {
    const fd = openFile(file.path);
    this.#open.push(fd);
    return {
      size: file.size,
      read: (offset, into, at, length) => {
        const count = fs.readSync(fd, into, at, length, offset);
        if (count === length) return;
        const text = `${file.path} has become shorter while it was pushed`;
        throw new EnvironmentError('FileChanged', text, 'Do not change it meanwhile.');
      },
    };
  }

  /** Compare with guest RAM: once, at the first handoff. */
  handedOver(result: BootResult, ram: Uint8Array): void {
    if (this.#outcomes !== undefined) return;
    const inGuest = [
      ...(result.files ?? []).map(({ path, address, length }) => ({ path, address, length })),
      ...(result.image === undefined ? [] : [{ ...result.image, path: result.image.name }]),
    ];
    this.#outcomes = this.#files.map((file, i) => {
      const there = inGuest.find(({ path }) => path === guestPath(file));
      const sha256 = digestOf(this.#open[i]!, file.size);
      const equal =
        there === undefined
          ? undefined
          : digest(ram.subarray(there.address, there.address + there.length)) === sha256;
      return this.#outcome(file, i, sha256, equal);
    });
  }

  /** What became of the files. */
  get outcomes(): readonly OutcomePush[] {
    this.#outcomes ??= this.#files.map((file, i) => {
      return this.#outcome(file, i, digestOf(this.#open[i]!, file.size), undefined);
    });
    return this.#outcomes;
  }

  close(): void {
    for (const fd of this.#open) fs.closeSync(fd);
    this.#open.length = 0;
  }

  /** The host pushes in order: the reports of the first boot come first. */
  #outcome(
    file: PushedFile,
    index: number,
    sha256: string,
    equal: boolean | undefined,
  ): OutcomePush {
    const report = this.#reports[index];
    const ticks = report === undefined ? 0 : report.endedAt - report.startedAt;
    return {
      name: guestPath(file),
      length: file.size,
      outcome: report?.outcome ?? 'waiting',
      reason: report?.reason ?? '',
      repeated: report?.repeated ?? 0,
      ms: ticks / TICKS_PER_MS,
      sha256,
      equal,
    };
  }
}

function openFile(path: string): number {
  try {
    return fs.openSync(path, 'r');
  } catch (error) {
    const text = `${path} cannot be read: ${systemReason(error)}`;
    throw new EnvironmentError('FileUnreadable', text, 'Check its permissions.');
  }
}

/** Of the first `size` bytes: a file that grows is no other file. */
function digestOf(fd: number, size: number): string {
  const hash = createHash('sha256');
  const chunk = new Uint8Array(CHUNK);
  for (let at = 0; ;) {
    const count = fs.readSync(fd, chunk, 0, Math.min(CHUNK, size - at), at);
    if (count === 0) return hash.digest('hex');
    hash.update(chunk.subarray(0, count));
    at += count;
  }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
