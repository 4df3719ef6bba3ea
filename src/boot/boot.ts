// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The boot: find the network devices, boot an image over the first that works, take everything
 * down, and hand over. It returns in every case: firmware that found nothing to boot leaves the
 * machine as clean as one that did.
 */

import type { DriverOptions, HypervDriver } from '../driver.ts';
import { HypxeError, isNamed } from '../error.ts';
import type { Machine, MemoryRange } from '../machine.ts';
import { MapAllocator, type PageAllocator } from '../memory/allocator.ts';
import { reserve } from '../memory/shared-memory.ts';
import type { NetDevice } from '../net/device.ts';
import { netbootWith, type NetbootOptions } from '../net/netboot.ts';
import type { NetParts } from '../net/part.ts';
import { TICKS_PER_MS, type Clock } from '../time.ts';
import { Image, type ImageAllocator } from './image.ts';

/** How long devices without a link, or a first device, are waited for (iPXE LINK_WAIT_TIMEOUT). */
export const LINK_WAIT_MS = 15_000;

/** Devices that are tried, also when the host takes them away and gives them back for ever. */
export const BOOT_ATTEMPTS_MAX = 128;

/** What a DHCP server is told that we are (RFC 4578, 2.1; iPXE where it has these drivers). */
const X86_BIOS = 0;
const ARM64_UEFI = 11;

export interface BootOptions extends Omit<DriverOptions, 'allocator'> {
  /** Boot file instead of the one that the DHCP server names. */
  readonly bootFile?: string;
  /** Next server instead of the one that the DHCP server names: an IPv4 address, or a name. */
  readonly nextServer?: string;
  /** Only this network device: `net0`. */
  readonly device?: string;
  /** Source of memory, by default the usable ranges of the memory map. */
  readonly allocator?: ImageAllocator;
  /** Puts itself between the drivers and their source of shared pages: to watch or to fail it. */
  readonly pages?: (allocator: PageAllocator) => PageAllocator;
  /** Limits and sizes of the network client. */
  readonly net?: Pick<NetbootOptions, 'dhcp' | 'tftp' | 'net'> & {
    /** What is added to the client: see {@link NetParts}. */
    readonly parts?: NetParts;
    /** How long a link, or a first device, is waited for, in ms. Default {@link LINK_WAIT_MS}. */
    readonly linkWaitMs?: number;
  };
  /** Who else has a part in the boot, in order. */
  readonly parts?: readonly BootPart[];
}

/** What is to be booted. */
export interface BootWish {
  /** An image that is there already. */
  readonly image?: BootImage | undefined;
  /** What the network boot uses instead of what its servers say. */
  readonly bootFile?: string | undefined;
  readonly nextServer?: string | undefined;
}

/** A part in a boot: to bring images of its own, to end it, to add to what it gives. */
export interface BootPart {
  /** Whether the boot shall end, as {@link DriverOptions.cancel}. */
  cancel?(): boolean;
  /**
   * Once the devices are there: what is to be booted. Of several parts the first that knows counts.
   * The pauses of the clock let the drivers hear the host.
   *
   * @throws HypxeError to boot nothing
   */
  receive?(driver: HypervDriver, clock: Clock): BootWish | undefined;
  /** Something was thrown, named or not: returns the error that counts instead, if there is one. */
  failed?(driver: HypervDriver, error: unknown): HypxeError | undefined;
  /** The drivers are down: returns what is handed over. */
  finish?(driver: HypervDriver, result: BootResult): BootResult;
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

/** Makes the drivers for a machine: each entry has its own. */
export type DriverFactory = (machine: Machine, options: DriverOptions) => HypervDriver;

/**
 * Boot.
 *
 * @throws nothing of its own: conditions from outside are in the result. What the machine throws (a
 * crash of the guest) goes through.
 */
export function bootWith(
  createDriver: DriverFactory,
  machine: Machine,
  options: BootOptions,
): BootResult {
  const { parts = [], pages } = options;
  const allocator = options.allocator ?? new MapAllocator(machine.memoryMap, machine.pageSize);
  const attempts: FailedAttempt[] = [];
  const cancel = (): boolean =>
    options.cancel?.() === true || parts.some((part) => part.cancel?.() === true);
  let driver: HypervDriver;
  try {
    const own = { allocator: pages?.(allocator) ?? allocator, cancel };
    driver = createDriver(machine, { ...options, ...own });
  } catch (error) {
    return result(undefined, named(error), attempts, machine.memoryMap);
  }

  // Boot what a part has, or over the first device that works
  const { log } = driver;
  let image: BootImage | undefined;
  let failure: HypxeError | undefined;
  try {
    driver.probe();
    let wish: BootWish | undefined;
    const clock = polledClock(driver);
    for (const part of parts) wish ??= part.receive?.(driver, clock);
    wish ??= options;
    image = wish.image ?? bootDevices(driver, clock, allocator, options, wish, attempts);
  } catch (error) {
    for (const part of parts) failure ??= part.failed?.(driver, error);
    failure ??= named(error);
    log.error('BOOT', '', `${failure.name}: ${failure.message}`);
  }

  // Leave nothing behind
  log.step('shutdown', 'begin');
  driver.remove();
  log.step('shutdown', 'end');

  // Hand over
  log.step('handoff', 'begin');
  for (const { purpose, sharedBy } of driver.outstanding())
    log.warning('BOOT', '', `${purpose} is reserved: ${sharedBy} was not revoked`);
  const map = driver.memoryMap();
  let handedOver = result(image, failure, attempts, withImage(map, image, allocator.pageSize));
  for (const part of parts) handedOver = part.finish?.(driver, handedOver) ?? handedOver;
  return handedOver;
}

function result(
  image: BootImage | undefined,
  error: HypxeError | undefined,
  attempts: readonly FailedAttempt[],
  memoryMap: readonly MemoryRange[],
): BootResult {
  return { status: image ? 'booted' : 'failed', image, error, attempts, memoryMap };
}

/**
 * Boot over each device, those with a link first. The others, and whatever is still to come if
 * there is none, are waited for together.
 *
 * @throws HypxeError NoNetworkDevice, or that of the last device
 */
function bootDevices(
  driver: HypervDriver,
  clock: Clock,
  allocator: ImageAllocator,
  options: BootOptions,
  wish: BootWish,
  attempts: FailedAttempt[],
): BootImage {
  const { log } = driver;
  const { device: wanted, net: { linkWaitMs = LINK_WAIT_MS } = {} } = options;
  const tried = new Set<NetDevice>();
  // A new list each time: the host may give and take devices meanwhile
  const devices = (): NetDevice[] => driver.devices.filter(({ name }) => (wanted ?? name) === name);
  const isDown = ({ link }: NetDevice): number => Number(link === 'down');

  for (let left = linkWaitMs * TICKS_PER_MS; attempts.length < BOOT_ATTEMPTS_MAX;) {
    for (const device of devices().sort((a, b) => isDown(a) - isDown(b))) {
      if (tried.has(device)) continue;
      try {
        // It must be open to hear of its link
        if (!device.isOpen) {
          log.step('open', 'begin');
          device.open();
          log.step('open', 'end');
        }
        device.poll();
        if (isDown(device)) {
          if (left > 0) continue;
          throw new HypxeError('LinkDown', `no link for ${linkWaitMs / 1000} s`);
        }
        for (const other of driver.devices) if (other !== device) other.close();
        return bootDevice(driver, allocator, options, wish, device);
      } catch (caught) {
        const error = named(caught);
        tried.add(device);
        device.close();
        attempts.push({ device: device.name, error });
        log.warning('BOOT', device.name, `${error.name}: ${error.message}`);
        if (error.name === 'Cancelled') throw error;
      }
    }
    if (left <= 0) break;
    const begin = clock.now();
    clock.pause();
    left -= clock.now() - begin;
    // A device that is gone is gone by now, and may come back
    const there = devices();
    if (there.length > 0 && there.every((one) => tried.has(one))) break;
  }
  const text = `no network device ${wanted ?? 'at all'}`;
  throw attempts.at(-1)?.error ?? new HypxeError('NoNetworkDevice', text);
}

function bootDevice(
  driver: HypervDriver,
  allocator: ImageAllocator,
  options: BootOptions,
  override: BootWish,
  device: NetDevice,
): BootImage {
  const { log, random } = driver;
  const { architecture, uuid } = driver.hv.platform.machine;
  const own = { architecture: architecture === 'arm64' ? ARM64_UEFI : X86_BIOS, uuid };
  const sink = new Image(driver.memory, allocator);
  try {
    const dhcp = { ...own, ...options.net?.dhcp };
    // A device that comes meanwhile has time until this one has failed
    const clock = polledClock(driver, true);
    const { file } = netbootWith(options.net?.parts ?? {}, device, {
      ...{ clock, random, log, sink, override },
      ...options.net,
      dhcp,
    });
    sink.finish();
    device.close();
    const { address, length } = sink;
    log.info('BOOT', device.name, `${file}: ${length} bytes at 0x${address.toString(16)}`);
    return { name: file, address, length, device: device.name };
  } catch (error) {
    sink.discard();
    throw error;
  }
}

/** A clock in whose pauses we hear what the host says: a device is taken away, or has come. */
function polledClock(driver: HypervDriver, busy?: boolean): Clock {
  return {
    now: () => driver.clock.now(),
    pause: () => {
      driver.clock.pause();
      driver.poll(busy);
    },
  };
}

function withImage(
  map: readonly MemoryRange[],
  image: BootImage | undefined,
  pageSize: number,
): readonly MemoryRange[] {
  return image ? reserve(map, image, pageSize, `boot image ${image.name}`) : map;
}

/** Conditions from outside have names; everything else is a mistake and goes through. */
function named(error: unknown): HypxeError {
  if (isNamed(error)) return error;
  throw error;
}
