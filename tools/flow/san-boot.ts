// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A SAN boot: the firmware stays resident and goes on serving the loader, which takes the machine
 * from it in the middle of a transfer, and perhaps gives it back (iPXE b91cc983d: the loader of
 * Windows Server 2016 does exactly that). Between its services the firmware is quiesced.
 */

import { errnoOf } from '../../src/catalogue.ts';
import { Image } from '../../src/boot/image.ts';
import type { ServedBootResult as BootResult } from '../../src/services/boot-services.ts';
import type { HypxeError } from '../../src/error.ts';
import type { EventSink } from '../../src/events.ts';
import { PAGE_SIZE, type Machine, type MemoryRange } from '../../src/machine.ts';
import { MapAllocator, type PageAllocator } from '../../src/memory/allocator.ts';
import { carve } from '../../src/memory/shared-memory.ts';
import type { NetDevice } from '../../src/net/device.ts';
import { netboot } from '../../src/net/netboot.ts';
import type { GuestDriver, GuestInstance } from '../guests/guest-program.ts';
import { interruptedMachine } from '../os/os-hyperv.ts';

/** Memory of the firmware, at the top: hidden from the OS for as long as the firmware is needed. */
const RESIDENT_LENGTH = 4 << 20;
export const RESIDENT_PURPOSE = 'resident firmware (SAN boot)';

export interface SanOptions {
  readonly machine: Machine;
  /** It has drivers. */
  readonly firmware: Pick<GuestInstance, 'createDriver'>;
  readonly bootOptions?: Readonly<Record<string, unknown>> | undefined;
  readonly events?: EventSink | undefined;
  /** What watches the firmware's memory. */
  readonly pages?: ((allocator: PageAllocator) => PageAllocator) | undefined;
}

/** Somebody else has the machine now: whatever the firmware was doing ends here, unfinished. */
class TakenOver extends Error {}

export class SanBoot {
  /** What the OS is handed: neither the firmware's memory nor the image. */
  memoryMap: readonly MemoryRange[];
  readonly driver: GuestDriver;
  image: BootResult['image'];
  readonly #image: Image;
  readonly #pageSize: number;
  #device: NetDevice | undefined;
  /** Bytes of the transfer at which the machine is taken over. */
  #takeoverAt = Infinity;
  #received = 0;

  constructor(options: SanOptions) {
    const { machine, firmware, bootOptions, events, pages } = options;
    this.#pageSize = machine.pageSize ?? PAGE_SIZE;
    const end = Math.max(...machine.memoryMap.map(({ address, length }) => address + length));
    const start = end - RESIDENT_LENGTH;
    this.memoryMap = machine.memoryMap.flatMap((r) => carve(r, start, end, RESIDENT_PURPOSE));
    const resident = machine.memoryMap.flatMap((range) => usableWithin(range, start, end));
    const interrupted = interruptedMachine(machine, () => {
      if (this.#received >= this.#takeoverAt) throw new TakenOver();
    });
    const allocator = new MapAllocator(resident, machine.pageSize);
    this.driver = firmware.createDriver!(interrupted, {
      ...bootOptions,
      allocator: pages?.(allocator) ?? allocator,
      ...(events === undefined ? {} : { events }),
    });
    this.#image = new Image(this.driver.memory, new MapAllocator(this.memoryMap, machine.pageSize));
  }

  /**
   * Load the image, and quiesce.
   *
   * @throws nothing of its own: why it failed is in the result
   */
  load(): BootResult {
    const { driver } = this;
    try {
      driver.probe();
      this.#device = driver.devices[0];
      this.#device?.open();
      if (this.#device !== undefined) this.#fetch(this.#device);
      this.#image.finish();
    } catch (error) {
      if (!isFirmwareError(error)) throw error;
      driver.remove();
      const { memoryMap } = this;
      return { status: 'failed', image: undefined, error, attempts: [], memoryMap };
    }
    this.quiesce();
    const { memoryMap, image } = this;
    return { status: 'booted', image, error: undefined, attempts: [], memoryMap };
  }

  /** Between two services: pages and interrupts are off, the connection stays. */
  quiesce(): void {
    this.driver.quiesce();
  }

  /**
   * Serve the loader: take the machine back if nobody else has it, and read the image once more.
   *
   * @param takeoverAt bytes after which somebody else takes the machine over
   * @returns whether it was read to its end: not on a machine that somebody else has, which is left
   *   alone, nor where it could not be taken back
   */
  serve(takeoverAt = Infinity): boolean {
    const device = this.#device!;
    this.#received = 0;
    this.#takeoverAt = takeoverAt;
    try {
      this.driver.unquiesce();
      this.#fetch(device);
      return true;
    } catch (error) {
      if (!(error instanceof TakenOver) && !isFirmwareError(error)) throw error;
      return false;
    } finally {
      this.#takeoverAt = Infinity;
    }
  }

  #fetch(device: NetDevice): void {
    const { clock, random, log } = this.driver;
    const image = this.#image;
    const { file } = netboot(device, {
      ...{ clock, random, log },
      sink: {
        begin: (size) => image.begin(size),
        write: (offset, buffer, from, length) => {
          image.write(offset, buffer, from, length);
          this.#received += length;
        },
      },
      // Whoever lost the machine must notice soon
      dhcp: { totalMs: 5000 },
    });
    const { address, length } = image;
    this.image = { name: file, address, length, device: device.name };
    const end = Math.ceil((address + length) / this.#pageSize) * this.#pageSize;
    this.memoryMap = this.memoryMap.flatMap((r) => carve(r, address, end, `boot image ${file}`));
  }
}

/** What of a range is usable, and lies between two addresses. */
function usableWithin({ address, length, type }: MemoryRange, start: number, end: number) {
  const from = Math.max(address, start);
  const to = Math.min(address + length, end);
  return type === 'usable' && from < to ? [{ address: from, length: to - from, type }] : [];
}

/** A HypxeError: of this program's own, or of the bundle's, which is another class. */
function isFirmwareError(error: unknown): error is HypxeError {
  return error instanceof Error && errnoOf(error.name) !== undefined;
}
