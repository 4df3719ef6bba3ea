// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The loaded OS of the simulator: a guest like the firmware, on the drivers of the firmware, but
 * with an OS's identity, an OS's processors and an OS's choice of VMBus version. It takes over what
 * the memory map says is usable, connects, opens every NIC, and asks the network for an address.
 */

import { errnoOf } from '../../src/catalogue.ts';
import { OsKernel, errorText, type KernelOptions, type OsNic } from './os-kernel.ts';

export type { OsNic } from './os-kernel.ts';

export interface OsReport {
  /** Negotiated VMBus version, or 0. */
  readonly vmbusVersion: number;
  /** Processors that it used, and the one that it started on. */
  readonly processors: readonly number[];
  readonly vp: number;
  readonly nics: readonly OsNic[];
  /** Why the OS could not come up at all, or undefined. */
  readonly error: string | undefined;
  /** The host knows none of the VMBus versions that the OS asked for. */
  readonly refused: boolean;
  /** Events of the one before it that it got before it had contacted the host. */
  readonly staleEvents: readonly string[];
  /** Channels of each NIC that it had open. */
  readonly channels: readonly number[];
  /** Memory that it has shared and could not get back when it shut down. */
  readonly outstanding: number;
}

export interface OsOptions extends Omit<KernelOptions, 'processors'> {
  /** The one processor of a VM that has no others, or all of them. */
  readonly machine?: KernelOptions['processors'][number];
  readonly processors?: KernelOptions['processors'];
  /** Called when the OS is up: NICs open, addresses had. */
  readonly onUp?: () => void;
}

/**
 * Run the OS: boot, network, shut down. Returns in every case; what the machine throws (a crash)
 * goes through.
 */
export function runLoadedOs(options: OsOptions): OsReport {
  const { machine, processors = machine === undefined ? [] : [machine] } = options;
  const kernel = new OsKernel({ ...options, processors });
  const failure = bootKernel(kernel);
  if (failure === undefined) options.onUp?.();
  kernel.shutdown();
  return reportOf(kernel, failure);
}

/** Why a kernel did not come up. */
export interface BootFailure {
  readonly text: string;
  readonly refused: boolean;
}

/** Errors that are facts of the host: whatever was before a kernel, it cannot run there. */
const REFUSALS: readonly unknown[] = ['ENODEV', 'EACCES', 'ENOTSUP'];

/**
 * Whether an error is one of a guest, of any bundle, that refuses the host: by its name, or by the
 * `errno` of a guest that has names of its own.
 */
export function isRefusal(error: unknown): boolean {
  const { name, errno } = (error ?? {}) as { readonly name?: unknown; readonly errno?: unknown };
  return REFUSALS.includes(errnoOf(typeof name === 'string' ? name : '') ?? errno);
}

/** Boot a kernel, network included. @throws what the machine throws, and an OsOops */
export function bootKernel(kernel: OsKernel): BootFailure | undefined {
  try {
    kernel.start();
  } catch (error) {
    return { text: errorText(error), refused: isRefusal(error) };
  }
  kernel.useNetwork();
  return undefined;
}

/**
 * What there is to say of a kernel now.
 *
 * @param shutDown whether its drivers were removed: only then do they know what they got back
 */
export function reportOf(
  kernel: OsKernel,
  failure: BootFailure | undefined,
  shutDown = true,
): OsReport {
  const { vmbusVersion, vp, nics, staleEvents, nicChannels: channels } = kernel;
  return {
    vmbusVersion,
    processors: kernel.processors.map(({ index }) => index),
    vp,
    nics,
    error: failure?.text,
    refused: failure?.refused ?? false,
    staleEvents,
    channels,
    outstanding: shutDown ? kernel.outstanding : 0,
  };
}
