// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The loaded OS of the simulator: a guest like the firmware, on the drivers of the firmware, but
 * with an OS's identity and an OS's choice of VMBus version. It takes over what the memory map says
 * is usable, connects, opens every NIC, and asks the network for an address.
 */

import { createDriver } from '../../src/driver.ts';
import { HypxeError } from '../../src/error.ts';
import type { EventSink } from '../../src/events.ts';
import { PAGE_SIZE, type Machine, type MemoryRange } from '../../src/machine.ts';
import { MapAllocator, type PageAllocator } from '../../src/memory/allocator.ts';
import { dhcp } from '../../src/net/dhcp.ts';
import { NetworkInterface } from '../../src/net/network-interface.ts';
import { contactAsOs } from '../../src/vmbus/contact.ts';

/** Guest OS identity of Linux 6.12: open source, type 1, version in bits 47:16. */
const LINUX_GUEST_OS_ID = 0x8100_0006_0c00_0000n;

/** GPADL handles of Linux count up from 0xe1e10. */
const LINUX_FIRST_GPADL = 0xe1e0f;

/** How long the OS asks for a lease, in ms: hosts and networks of the simulator are quick. */
const LEASE_TIMEOUT_MS = 20_000;

/** A NIC as the OS found it. */
export interface OsNic {
  readonly name: string;
  readonly instance: string;
  /** Frames sent and received. */
  readonly sent: number;
  readonly received: number;
  /** Why it could not be used, or undefined. */
  readonly error: string | undefined;
}

export interface OsReport {
  /** Negotiated VMBus version, or 0. */
  readonly vmbusVersion: number;
  readonly nics: readonly OsNic[];
  /** Why the OS could not come up at all, or undefined. */
  readonly error: string | undefined;
  /** The host knows none of the VMBus versions that the OS asked for. */
  readonly refused: boolean;
  /** Memory that it has shared and could not get back when it shut down. */
  readonly outstanding: number;
}

export interface OsOptions {
  readonly machine: Machine;
  /** What the firmware handed on. */
  readonly memoryMap: readonly MemoryRange[];
  readonly events?: EventSink;
  /** Called for each piece of memory that the OS takes for itself. */
  readonly onAllocate?: (address: number, length: number) => void;
  /** Called when the OS is up: NICs open, addresses had. */
  readonly onUp?: () => void;
}

/**
 * Run the OS: boot, network, shut down. Returns in every case; what the machine throws (a crash)
 * goes through.
 */
export function runLoadedOs(options: OsOptions): OsReport {
  // The OS takes its memory from the map that it was handed, not from the machine's own
  const driver = createDriver(options.machine, {
    contact: contactAsOs,
    guestOsId: LINUX_GUEST_OS_ID,
    firstGpadl: LINUX_FIRST_GPADL,
    allocator: watched(new MapAllocator(options.memoryMap), options.onAllocate),
    ...(options.events === undefined ? {} : { events: options.events }),
  });
  const nics: OsNic[] = [];
  let vmbusVersion = 0;
  let error: string | undefined;
  let refused = false;
  try {
    driver.probe();
    vmbusVersion = driver.vmbusVersion;
    for (const device of driver.devices) {
      let failure: string | undefined;
      try {
        device.open();
        const net = new NetworkInterface(device, driver.clock, driver.log);
        try {
          dhcp(net, driver.random, { preferBootFile: false, totalMs: LEASE_TIMEOUT_MS });
        } finally {
          net.detach();
        }
      } catch (caught) {
        failure = describe(caught);
      }
      const { txGood: sent, rxGood: received } = device.statistics;
      nics.push({ name: device.name, instance: device.instance, sent, received, error: failure });
    }
    options.onUp?.();
  } catch (caught) {
    error = describe(caught);
    refused = caught instanceof HypxeError && caught.name === 'VersionRefused';
  }
  driver.remove();
  return { vmbusVersion, nics, error, refused, outstanding: driver.outstanding().length };
}

/** An allocator that tells what it hands out. */
function watched(
  allocator: PageAllocator,
  onAllocate: ((address: number, length: number) => void) | undefined,
): PageAllocator {
  return {
    allocate(length, align, purpose) {
      const address = allocator.allocate(length, align, purpose);
      if (address !== undefined) onAllocate?.(address, Math.ceil(length / PAGE_SIZE) * PAGE_SIZE);
      return address;
    },
    free: (address, length, purpose) => allocator.free(address, length, purpose),
  };
}

function describe(error: unknown): string {
  if (error instanceof HypxeError) return `${error.name}: ${error.message}`;
  throw error;
}
