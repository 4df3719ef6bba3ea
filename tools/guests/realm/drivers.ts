// SPDX-License-Identifier: GPL-2.0-or-later

/** The drivers of a guest, as calls: each names a driver or a device by its number. */

import type { NetDevice } from '../../../src/net/device.ts';
import type { GuestDriver } from '../guest-program.ts';
import { describe, describeThrown } from './describe.ts';
import { EXCHANGE_BYTES, type HostCalls, type Outcome } from './host-calls.ts';
import { Bytes, NativeError, isInteger, textOf } from './intrinsics.ts';
import type { Seams } from './seam.ts';

/** Devices that are known at once, of all drivers. */
const DEVICES_MAX = 1 << 16;

export class Drivers {
  readonly #host: HostCalls;
  readonly #seams: Seams;
  readonly #exchange: Uint8Array;
  readonly #drivers: GuestDriver[] = [];
  readonly #devices: NetDevice[] = [];

  constructor(host: HostCalls, seams: Seams, exchange: ArrayBuffer) {
    this.#host = host;
    this.#seams = seams;
    this.#exchange = new Bytes(exchange);
  }

  /** Run something of the guest's; what comes of it is told as text. */
  run(call: () => unknown): Outcome {
    try {
      return `returned:${describe(call())}`;
    } catch (error) {
      return this.#seams.isFromTool(error) ? 'passed' : `threw:${describeThrown(error)}`;
    }
  }

  /** Forget all drivers and devices. */
  reset(): void {
    this.#drivers.length = 0;
    this.#devices.length = 0;
  }

  add(driver: GuestDriver): number {
    const index = this.#drivers.length;
    this.#drivers[index] = driver;
    return index;
  }

  driver(index: number, call: string): unknown {
    const driver = this.#drivers[index]!;
    switch (call) {
      case 'probe':
        return driver.probe();
      case 'remove':
        return driver.remove();
      case 'quiesce':
        return driver.quiesce();
      case 'unquiesce':
        return driver.unquiesce();
      case 'poll':
        return driver.poll();
      case 'now':
        return driver.clock.now();
      case 'pause':
        return driver.clock.pause();
      case 'random':
        return driver.random();
      case 'memoryMap':
        return driver.memoryMap();
      default:
        return this.#numbers(driver);
    }
  }

  /** The numbers of a driver's devices, in their order. */
  #numbers({ devices }: GuestDriver): number[] {
    const numbers: number[] = [];
    if (typeof devices !== 'object' || devices === null) {
      throw new NativeError('the driver has no list of devices');
    }
    for (let i = 0; i < devices.length; i++) numbers[i] = this.#numberOf(devices[i]!);
    return numbers;
  }

  #numberOf(device: NetDevice): number {
    const known = this.#devices;
    for (let i = 0; i < known.length; i++) if (known[i] === device) return i;
    if (known.length >= DEVICES_MAX) throw new NativeError('too many devices');
    known[known.length] = device;
    return known.length - 1;
  }

  device(index: number, call: string): unknown {
    const device = this.#devices[index]!;
    switch (call) {
      case 'open':
        return device.open();
      case 'close':
        return device.close();
      case 'poll':
        return device.poll();
      case 'listen':
        return this.#listen(index, device);
      default:
        return facts(device);
    }
  }

  transmit(index: number, length: number): unknown {
    const frame = new Bytes(length);
    for (let i = 0; i < length; i++) frame[i] = this.#exchange[i]!;
    return this.#devices[index]!.transmit(frame, length);
  }

  /** Tell the tool what the device tells. */
  #listen(index: number, device: NetDevice): void {
    const host = this.#host;
    const told = (call: () => true | undefined): void => {
      let done: true | undefined;
      try {
        done = call();
      } catch {
        throw new NativeError('no room on the stack');
      }
      if (done === undefined) throw this.#seams.failed();
    };
    device.receiver = {
      receive: (buffer, offset, length, vlan = 0) => {
        const bytes = this.#put(buffer, offset, length);
        const tag = integer(vlan);
        told(() => host.received(index, bytes, tag));
      },
    };
    device.observer = {
      transmitted: (sequence, error) => {
        const count = integer(sequence);
        const name = error === undefined ? '' : textOf(error);
        told(() => host.transmitted(index, count, name));
      },
      receiveError: (error, buffer, offset, length) => {
        const bytes = this.#put(buffer, offset, length);
        const name = textOf(error);
        told(() => host.receiveError(index, name, bytes));
      },
      linkChanged: (up) => told(() => host.linkChanged(index, up === true)),
    };
  }

  /** Copy into the exchange area. Returns the length. */
  #put(buffer: Uint8Array, offset: number, length: number): number {
    const bytes = integer(length);
    const from = integer(offset);
    if (bytes < 0 || bytes > EXCHANGE_BYTES) throw new NativeError('no frame is so long');
    for (let i = 0; i < bytes; i++) this.#exchange[i] = buffer[from + i]!;
    return bytes;
  }
}

/** What a device says of itself. */
function facts(device: NetDevice): unknown {
  const { name, instance, permanentAddress, address, maxFrame, link, isOpen, statistics } = device;
  return {
    name,
    instance,
    permanentAddress: six(permanentAddress),
    address: six(address),
    maxFrame,
    link,
    isOpen,
    statistics,
  };
}

function six(address: Uint8Array): number[] {
  const bytes: number[] = [];
  for (let i = 0; i < 6; i++) bytes[i] = address[i]!;
  return bytes;
}

function integer(value: unknown): number {
  return isInteger(value) ? (value as number) : 0;
}
