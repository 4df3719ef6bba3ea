// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the replay asks of a firmware bundle: the driver's interface by structure, so that a bundle
 * (whose classes are its own) can be replayed like the sources.
 */

import { ReplayError } from './replay-error.ts';
import { errnoOf } from '../../src/catalogue.ts';
import type { ErrorName } from '../../src/error.ts';
import type { EventSink } from '../../src/events.ts';
import type { GuestOptions } from '../guests/guest-program.ts';
import type { MemoryRange, X64Machine } from '../../src/machine.ts';
import type { NetDevice, NetStatistics } from '../../src/net/device.ts';

/** Allocates what the driver shares with the host. */
export interface FirmwareAllocator {
  allocate(length: number, align: number, purpose: string): number | undefined;
  free(address: number, length: number, purpose: string): void;
}

/** What a device tells besides frames. */
export interface FirmwareDeviceObserver {
  /** A frame is done; `sequence` counts `transmit` calls of the device from 0. */
  transmitted(sequence: number, error: ErrorName | undefined): void;
  receiveError(error: ErrorName, buffer: Uint8Array, offset: number, length: number): void;
  linkChanged(up: boolean): void;
}

/** A network device that can be observed. */
export type FirmwareDevice = NetDevice & { observer?: FirmwareDeviceObserver | undefined };

/** Counters of a device, if it has them. */
export function countersOf(device: FirmwareDevice | undefined): NetStatistics | undefined {
  const told = device?.statistics as Partial<NetStatistics> | undefined;
  if (told === undefined || told === null) return undefined;
  const { txGood, txBad, rxGood, rxBad } = told;
  const isCount = (value: unknown): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
  if (![txGood, txBad, rxGood, rxBad].every(isCount)) return undefined;
  return { txGood, txBad, rxGood, rxBad } as NetStatistics;
}

/** The driver. */
export interface FirmwareDriver {
  readonly devices: readonly FirmwareDevice[];
  probe(): void;
  remove(): void;
  quiesce(): void;
  unquiesce(): void;
  /** What is not of one device, if there is such a thing. */
  poll?(): void;
  /** What the next owner may use, if the guest tells that. */
  memoryMap?(): readonly MemoryRange[];
}

/** What a guest says that its next owner may use: a boot in its result. */
export function mapOf(told: unknown): readonly MemoryRange[] {
  const { memoryMap } = (told ?? {}) as { memoryMap?: unknown };
  const map: unknown = typeof memoryMap === 'function' ? memoryMap.call(told) : memoryMap;
  const isRange = (range: Partial<MemoryRange> | null): boolean =>
    typeof range?.address === 'number' && typeof range.length === 'number';
  return Array.isArray(map) && map.every(isRange) ? (map as MemoryRange[]) : [];
}

/** A firmware bundle, as far as the replay uses it. */
export interface Firmware {
  /** Runs a whole firmware: for sessions of a boot. */
  boot?(machine: X64Machine, options: GuestOptions): unknown;
  createDriver(
    machine: X64Machine,
    options: {
      readonly preset: 'ipxe';
      readonly cancel?: () => boolean;
      readonly events: EventSink;
      readonly allocator: FirmwareAllocator;
      readonly random: () => number;
      /** A guest that would poll one packet for ever says so, and the packet is taken away. */
      readonly livelock: () => void;
    },
  ): FirmwareDriver;
}

/** A loaded module as firmware. @throws ReplayError NoEntryPoint */
export function asFirmware(module: unknown): Firmware {
  const { createDriver, boot } = (module ?? {}) as Partial<Firmware>;
  if (typeof createDriver !== 'function')
    throw new ReplayError('NoEntryPoint', 'The firmware does not export createDriver.');
  return { createDriver, ...(typeof boot === 'function' ? { boot } : {}) };
}

/** The text of an error as the recording has it: `ENODEV`, `EPLATFORM(0x33)`, or a crash. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return `crash: ${String(error)}`;
  const { errno: told } = error as { errno?: unknown };
  if (typeof told === 'string') return told;
  const errno = errnoOf(error.name);
  if (errno === undefined) return `crash: ${error.name}: ${error.message}`;
  const { status } = error as { status?: number };
  return errno === 'EPLATFORM' && status !== undefined
    ? `EPLATFORM(0x${status.toString(16)})`
    : errno;
}

/** What a boot comes to, as the recording says it. */
export function resultOf(result: unknown): string {
  const { status, error } = (result ?? {}) as { status?: unknown; error?: unknown };
  if (status === 'booted') return 'OK';
  return error instanceof Error || typeof error !== 'object' || error === null
    ? errorText(error)
    : errorText(Object.assign(new Error(), error));
}
