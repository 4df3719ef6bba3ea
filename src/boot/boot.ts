// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The entry point of the firmware: find the network devices, boot an image over the first that
 * works, take everything down, and hand over. It returns in every case: firmware that found nothing
 * to boot leaves the machine as clean as one that did.
 */

import { createDriver, type DriverOptions, type HypervDriver } from '../driver.ts';
import { HypxeError, errorKinds } from '../error.ts';
import { HypervError } from '../hyperv/errors.ts';
import { PAGE_SIZE, type Machine, type MemoryRange } from '../machine.ts';
import { MapAllocator, type PageAllocator } from '../memory/allocator.ts';
import { carve } from '../memory/shared-memory.ts';
import type { NetDevice } from '../net/device.ts';
import { netboot, type NetbootOptions } from '../net/netboot.ts';
import type { Clock } from '../time.ts';
import { Image } from './image.ts';

export const BootError = errorKinds({
  NoNetworkDevice: ['ENODEV', 'Give the VM a synthetic network adapter.'],
});

export interface BootOptions extends Omit<DriverOptions, 'allocator'> {
  /** Boot file instead of the one that the DHCP server names. */
  readonly bootFile?: string;
  /** Next server instead of the one that the DHCP server names: an IPv4 address. */
  readonly nextServer?: string;
  /** Only this network device: `net0`. */
  readonly device?: string;
  /** Puts itself between the drivers and their source of shared pages: to watch it, or to fail it. */
  readonly pages?: (allocator: PageAllocator) => PageAllocator;
  /** Limits and sizes of the network client. */
  readonly net?: Pick<NetbootOptions, 'dhcp' | 'tftp' | 'net' | 'linkWaitMs'>;
}

/** An image in guest memory. */
export interface BootImage {
  /** Name of the file as it was asked for. */
  readonly name: string;
  readonly address: number;
  readonly length: number;
  /** The network device that it came over. */
  readonly device: string;
}

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
   * The machine's memory map for who comes next. Reserved: the image, and whatever the host may
   * still write to, each with its purpose.
   */
  readonly memoryMap: readonly MemoryRange[];
}

/**
 * Boot.
 *
 * @throws nothing of its own: conditions from outside are in the result. What the machine throws (a
 * crash of the guest) goes through.
 */
export function boot(machine: Machine, options: BootOptions = {}): BootResult {
  const allocator = new MapAllocator(machine.memoryMap);
  const attempts: FailedAttempt[] = [];
  let driver: HypervDriver;
  try {
    const pages = options.pages?.(allocator) ?? allocator;
    driver = createDriver(machine, { ...options, allocator: pages });
  } catch (error) {
    return failed(asHypxeError(error), attempts, machine.memoryMap);
  }

  // Boot over the first device that works
  let image: BootImage | undefined;
  let failure: HypxeError | undefined;
  try {
    driver.probe();
    image = bootDevices(driver, allocator, options, attempts);
  } catch (error) {
    failure = asHypxeError(error);
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
  if (image === undefined) return failed(failure!, attempts, map);
  return { status: 'booted', image, error: undefined, attempts, memoryMap: withImage(map, image) };
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
  attempts: FailedAttempt[],
): BootImage {
  const wanted = options.device;
  const devices = driver.devices.filter((d) => wanted === undefined || d.name === wanted);
  let last: HypxeError | undefined;
  for (const device of devices) {
    try {
      return bootDevice(driver, device, allocator, options);
    } catch (error) {
      last = asHypxeError(error);
      attempts.push({ device: device.name, error: last });
      driver.log.warning('BOOT', device.name, `${last.name}: ${last.message}`);
      if (last.kind === HypervError.Cancelled) break;
    }
  }
  if (last !== undefined) throw last;
  const what = wanted === undefined ? 'no network device' : `no network device ${wanted}`;
  throw new HypxeError(BootError.NoNetworkDevice, `${what} was offered, or it could not be probed`);
}

function bootDevice(
  driver: HypervDriver,
  device: NetDevice,
  allocator: MapAllocator,
  options: BootOptions,
): BootImage {
  const { log, random } = driver;
  // Hear what the host says meanwhile: above all that it takes the device away
  const clock: Clock = {
    now: () => driver.clock.now(),
    pause: () => {
      driver.clock.pause();
      driver.poll();
    },
  };
  const image = new Image(driver.memory, allocator);
  log.emit({ kind: 'boot-step', step: 'open', phase: 'begin' });
  device.open();
  log.emit({ kind: 'boot-step', step: 'open', phase: 'end' });
  try {
    const override = {
      ...(options.bootFile === undefined ? {} : { bootFile: options.bootFile }),
      ...(options.nextServer === undefined ? {} : { nextServer: options.nextServer }),
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

function withImage(map: readonly MemoryRange[], image: BootImage): MemoryRange[] {
  const end = Math.ceil((image.address + image.length) / PAGE_SIZE) * PAGE_SIZE;
  return map.flatMap((range) => carve(range, image.address, end, `boot image ${image.name}`));
}

/** Conditions from outside are HypxeErrors; everything else is a mistake and goes through. */
function asHypxeError(error: unknown): HypxeError {
  if (error instanceof HypxeError) return error;
  throw error;
}
