// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The entry point of the firmware: find the network devices, boot an image over the first that
 * works, take everything down, and hand over. It returns in every case: firmware that found nothing
 * to boot leaves the machine as clean as one that did.
 */

import { createDriver } from '../any.ts';
import type { DriverOptions, HypervDriver } from '../driver.ts';
import { HypxeError } from '../error.ts';
import type { Machine, MemoryRange } from '../machine.ts';
import { MapAllocator, type PageAllocator } from '../memory/allocator.ts';
import { carve } from '../memory/shared-memory.ts';
import type { NetDevice } from '../net/device.ts';
import { netboot, type NetbootOptions } from '../net/netboot.ts';
import { reportCrash } from '../os/crash-report.ts';
import { serviceDrivers } from '../services/driver.ts';
import type { Clock } from '../time.ts';
import type { ShutdownRequest } from '../services/shutdown.ts';
import type { StoredFile } from './file-store.ts';
import { Image } from './image.ts';
import {
  chooseBoot,
  waitForFiles,
  type BootChoice,
  type BootWish,
  type PushOptions,
} from './push-boot.ts';
import { BootServices, type ServiceName } from './services.ts';

export interface BootOptions extends Omit<DriverOptions, 'allocator' | 'drivers'> {
  /** Boot file instead of the one that the DHCP server names. */
  readonly bootFile?: string;
  /** Next server instead of the one that the DHCP server names: an IPv4 address. */
  readonly nextServer?: string;
  /** Only this network device: `net0`. */
  readonly device?: string;
  /** Puts itself between the drivers and their source of shared pages: to watch or to fail it. */
  readonly pages?: (allocator: PageAllocator) => PageAllocator;
  /** Utility services that are served meanwhile. Default none: their channels stay closed. */
  readonly services?: readonly ServiceName[];
  /** With `file-copy` among the services: how pushed files are taken. */
  readonly push?: PushOptions;
  /** Limits and sizes of the network client. */
  readonly net?: Pick<NetbootOptions, 'dhcp' | 'tftp' | 'net' | 'linkWaitMs'>;
}

/** An image in guest memory. */
export interface BootImage {
  /** Name of the file as it was asked for. */
  readonly name: string;
  readonly address: number;
  readonly length: number;
  /** The network device that it came over, or {@link PUSHED}. */
  readonly device: string;
}

/** BootImage.device of a file that the host has pushed. */
export const PUSHED = 'file copy';

/** A network device over which nothing could be booted. */
export interface FailedAttempt {
  readonly device: string;
  readonly error: HypxeError;
}

export interface BootResult {
  readonly status: 'booted' | 'failed';
  readonly image: BootImage | undefined;
  /** Why nothing was booted. */
  readonly error: HypxeError | undefined;
  readonly attempts: readonly FailedAttempt[];
  /**
   * The machine's memory map for who comes next. Reserved: the image, the files beside it, and
   * whatever the host may still write to, each with its purpose.
   */
  readonly memoryMap: readonly MemoryRange[];
  /** Pushed files that are handed on beside the image. */
  readonly files?: readonly StoredFile[];
  /** Command line for the image, if one was pushed. */
  readonly commandLine?: string;
  /** The host wants the machine: whoever runs the firmware powers off or restarts. */
  readonly shutdown?: ShutdownRequest;
}

/** Errors of the language: what a mistake in the firmware looks like. */
const OWN_FAILURES: readonly string[] = [
  ...['TypeError', 'RangeError', 'ReferenceError', 'InternalError'],
];

/**
 * Boot.
 *
 * @throws nothing of its own: conditions from outside are in the result. What the machine throws (a
 * crash of the guest) goes through.
 */
export function boot(machine: Machine, options: BootOptions = {}): BootResult {
  const allocator = new MapAllocator(machine.memoryMap, machine.pageSize);
  const attempts: FailedAttempt[] = [];
  const { events, services: names = [], push = {} } = options;
  const services = new BootServices(machine, allocator, events, names, push);
  let driver: HypervDriver;
  try {
    const pages = options.pages?.(allocator) ?? allocator;
    const cancel = services.cancel(options.cancel);
    const own = { allocator: pages, drivers: serviceDrivers(services.all) };
    driver = createDriver(machine, { ...options, ...own, ...(cancel && { cancel }) });
  } catch (error) {
    return failed(asHypxeError(error), attempts, machine.memoryMap);
  }

  // Boot what the host pushes, or over the first device that works
  let image: BootImage | undefined;
  let choice: BootChoice | undefined;
  let failure: HypxeError | undefined;
  try {
    driver.probe();
    choice = receiveFiles(driver, services, options);
    image = pushedImage(choice) ?? bootDevices(driver, allocator, options, choice, attempts);
  } catch (error) {
    if (isOwnFailure(error)) reportCrash(driver.hv, error);
    failure = shutDownError(services.shutdown) ?? asHypxeError(error);
    driver.log.error('BOOT', '', `${failure.name}: ${failure.message}`);
  }

  // Leave nothing behind
  driver.log.emit({ kind: 'boot-step', step: 'shutdown', phase: 'begin' });
  driver.remove();
  driver.log.emit({ kind: 'boot-step', step: 'shutdown', phase: 'end' });

  // Hand over
  driver.log.emit({ kind: 'boot-step', step: 'handoff', phase: 'begin' });
  const map = driver.memoryMap();
  for (const region of driver.outstanding()) {
    const text = `${region.purpose} is reserved: ${region.sharedBy} was not revoked`;
    driver.log.warning('BOOT', '', text);
  }
  if (image === undefined) {
    const { shutdown } = services;
    return { ...failed(failure!, attempts, map), ...(shutdown && { shutdown }) };
  }
  const files = filesBeside(driver, services, image, push);
  const { commandLine } = choice ?? {};
  const { pageSize } = allocator;
  return {
    status: 'booted',
    image,
    error: undefined,
    attempts,
    memoryMap: withFiles(withImage(map, image, pageSize), files, pageSize),
    ...(services.store === undefined ? {} : { files }),
    ...(commandLine === undefined ? {} : { commandLine }),
  };
}

/** Take what the host pushes, and choose. @throws HypxeError as chooseBoot, or Cancelled */
function receiveFiles(
  driver: HypervDriver,
  services: BootServices,
  options: BootOptions,
): BootChoice | undefined {
  const { store } = services;
  if (store === undefined) return undefined;
  const { log } = driver;
  log.emit({ kind: 'boot-step', step: 'receive', phase: 'begin' });
  waitForFiles(store, polledClock(driver), () => services.canReceive, options.push ?? {});
  const choice = chooseBoot(store, options, log);
  log.emit({ kind: 'boot-step', step: 'receive', phase: 'end' });
  return choice;
}

function pushedImage(choice: BootChoice | undefined): BootImage | undefined {
  if (choice?.file === undefined) return undefined;
  const { path: name, address, length } = choice.file;
  return { name, address, length, device: PUSHED };
}

/** The pushed files that the image finds beside it; the rest is given back. */
function filesBeside(
  driver: HypervDriver,
  { store }: BootServices,
  image: BootImage,
  push: PushOptions,
): StoredFile[] {
  const files = store?.files.filter(({ address }) => address !== image.address) ?? [];
  if (push.others === 'free') return [];
  for (const { path, address, length } of files) {
    const where = length === 0 ? 'empty' : `${length} bytes at 0x${address.toString(16)}`;
    driver.log.info('BOOT', '', `handing on ${JSON.stringify(path)}: ${where}`);
  }
  return files.map(({ path, name, address, length }) => ({ path, name, address, length }));
}

function shutDownError(request: ShutdownRequest | undefined): HypxeError | undefined {
  if (request === undefined) return undefined;
  const text = `the host wants a ${request.force ? 'forced ' : ''}${request.kind}`;
  return new HypxeError('ShutDown', text);
}

function failed(
  error: HypxeError,
  attempts: readonly FailedAttempt[],
  memoryMap: readonly MemoryRange[],
): BootResult {
  return { status: 'failed', image: undefined, error, attempts, memoryMap };
}

/** @throws HypxeError NoNetworkDevice, or that of the last device */
function bootDevices(
  driver: HypervDriver,
  allocator: MapAllocator,
  options: BootOptions,
  choice: BootChoice | undefined,
  attempts: FailedAttempt[],
): BootImage {
  const wanted = options.device;
  const devices = driver.devices.filter((d) => wanted === undefined || d.name === wanted);
  let last: HypxeError | undefined;
  for (const device of devices) {
    try {
      return bootDevice(driver, device, allocator, options, choice ?? options);
    } catch (error) {
      last = asHypxeError(error);
      attempts.push({ device: device.name, error: last });
      driver.log.warning('BOOT', device.name, `${last.name}: ${last.message}`);
      if (last.name === 'Cancelled') break;
    }
  }
  if (last !== undefined) throw last;
  const what = wanted === undefined ? 'no network device' : `no network device ${wanted}`;
  throw new HypxeError('NoNetworkDevice', `${what} was offered, or it could not be probed`);
}

function bootDevice(
  driver: HypervDriver,
  device: NetDevice,
  allocator: MapAllocator,
  options: BootOptions,
  { bootFile, nextServer }: BootWish,
): BootImage {
  const { log, random } = driver;
  const clock = polledClock(driver);
  const image = new Image(driver.memory, allocator);
  log.emit({ kind: 'boot-step', step: 'open', phase: 'begin' });
  device.open();
  log.emit({ kind: 'boot-step', step: 'open', phase: 'end' });
  try {
    const override = {
      ...(bootFile === undefined ? {} : { bootFile }),
      ...(nextServer === undefined ? {} : { nextServer }),
    };
    const result = netboot(device, { clock, random, log, sink: image, override, ...options.net });
    image.finish();
    const { address, length } = image;
    log.info('BOOT', device.name, `${result.file}: ${length} bytes at 0x${address.toString(16)}`);
    return { name: result.file, address, length, device: device.name };
  } catch (error) {
    image.discard();
    throw error;
  } finally {
    device.close();
  }
}

/** A clock in whose pauses we hear what the host says: a device is taken away, a file is pushed. */
function polledClock(driver: HypervDriver): Clock {
  return {
    now: () => driver.clock.now(),
    pause: () => {
      driver.clock.pause();
      driver.poll();
    },
  };
}

function withImage(map: readonly MemoryRange[], image: BootImage, pageSize: number): MemoryRange[] {
  const end = Math.ceil((image.address + image.length) / pageSize) * pageSize;
  return map.flatMap((range) => carve(range, image.address, end, `boot image ${image.name}`));
}

function withFiles(
  map: MemoryRange[],
  files: readonly StoredFile[],
  pageSize: number,
): MemoryRange[] {
  return files.reduce((ranges, { path, address, length }) => {
    if (length === 0) return ranges;
    const end = Math.ceil((address + length) / pageSize) * pageSize;
    return ranges.flatMap((range) => carve(range, address, end, `pushed file ${path}`));
  }, map);
}

/**
 * Whether the firmware itself has failed: what the language throws. Everything else is a condition,
 * or how the machine ended the guest.
 */
function isOwnFailure(error: unknown): boolean {
  return error instanceof Error && OWN_FAILURES.includes(error.name);
}

/** Conditions from outside are HypxeErrors; everything else is a mistake and goes through. */
function asHypxeError(error: unknown): HypxeError {
  if (error instanceof HypxeError) return error;
  throw error;
}
