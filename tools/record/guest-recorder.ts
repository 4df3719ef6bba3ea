// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Records a guest that others run: whoever boots or drives it gets the same guest with a tap at its
 * seam. Each boot, and each set of drivers, is a session of its own.
 */

import type { EventSink } from '../../src/events.ts';
import type { Machine } from '../../src/machine.ts';
import type { PageAllocator } from '../../src/memory/allocator.ts';
import { guestRandom } from '../guests/guest-random.ts';
import type {
  GuestDriver,
  GuestDriverOptions,
  GuestInstance,
  GuestOptions,
} from '../guests/guest-program.ts';
import { mapOf, resultOf, type FirmwareDevice, type FirmwareDriver } from '../replay/firmware.ts';
import { hexNumber } from '../replay/hex.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { Recorder } from './recorder.ts';
import { sessionText, type SessionHead } from './session-text.ts';
import type { TapSurroundings } from './tap-surroundings.ts';

/** A session of a guest. */
export interface GuestSession {
  readonly recorder: Recorder;
  /** What the guest was told to do, as plain data. */
  readonly options: object;
}

/** The guest is none that can be recorded. */
export class NotRecordable extends Error {
  constructor(text: string) {
    super(text);
    this.name = 'NotRecordable';
  }
}

/** Records what a guest does. */
export class GuestRecorder {
  readonly sessions: GuestSession[] = [];
  #around: TapSurroundings = {};

  /** The machine that the guest runs on. */
  on({ clock, partition }: SimulatedMachine): void {
    this.#around = { memory: partition.ram.memory, ticks: () => BigInt(clock.now) };
  }

  /** The guest, recorded. */
  wrap(guest: GuestInstance): GuestInstance {
    const { memory, image, faultsEnd, boot, createDriver, watch } = guest;
    return {
      ...{ memory, image },
      ...(faultsEnd === undefined ? {} : { faultsEnd }),
      ...(watch === undefined ? {} : { watch: (listener) => watch.call(guest, listener) }),
      ...(boot === undefined
        ? {}
        : { boot: (machine, options) => this.#boot(guest, machine, options) }),
      ...(createDriver === undefined
        ? {}
        : { createDriver: (machine, options) => this.#drive(guest, machine, options) }),
      reset: () => guest.reset(),
    };
  }

  /** The text of a session. */
  text(session: GuestSession, head: SessionHead): string {
    const { recorder, options } = session;
    const { tap } = recorder;
    const bytes = (this.#around.memory ?? tap.memory).byteLength;
    return sessionText({ ...head, options }, tap.events, bytes);
  }

  /** @throws NotRecordable */
  #session(machine: Machine, options: object): Recorder {
    if (machine.architecture !== 'x64') throw new NotRecordable('sessions are of x64 guests');
    const recorder = new Recorder(machine, this.#around, true);
    this.sessions.push({ recorder, options: plainOptions(options) });
    return recorder;
  }

  #boot(guest: GuestInstance, machine: Machine, options: GuestOptions): unknown {
    const recorder = this.#session(machine, options);
    const pages = (own: PageAllocator): PageAllocator =>
      new RecordedPages(options.pages?.(own) ?? own, recorder);
    const recorded = { ...options, ...given(recorder, options), pages };
    const call = (): unknown => {
      const told = guest.boot!(recorder.tap, recorded);
      recorder.tap.handedOver(mapOf(told));
      return told;
    };
    return recorder.step('boot', call, resultOf);
  }

  #drive(guest: GuestInstance, machine: Machine, options: GuestDriverOptions): GuestDriver {
    const recorder = this.#session(machine, options);
    const { allocator } = options;
    const pages = allocator && { allocator: new RecordedPages(allocator, recorder) };
    const recorded = { ...options, ...given(recorder, options), ...pages };
    return recordedDriver(guest.createDriver!(recorder.tap, recorded), recorder);
  }
}

/** What both kinds of guests are given, written down. */
function given(recorder: Recorder, { events, random, cancel }: GuestOptions): GuestOptions {
  const sink: EventSink = (event) => {
    recorder.event(event);
    events?.(event);
  };
  return {
    events: sink,
    // Its own would come from its clock, which no replay has to the tick
    random: recorder.random(random ?? guestRandom()),
    ...(cancel === undefined ? {} : { cancel: recorder.cancel(cancel) }),
  };
}

/** The part of what a guest is told that can be written down. */
function plainOptions(options: object): object {
  const plain = Object.entries(options).filter(([, value]) => {
    const type = typeof value;
    return ['string', 'number', 'boolean'].includes(type) || Array.isArray(value);
  });
  return Object.fromEntries(plain);
}

/** A guest's own allocator, and what it gives. */
class RecordedPages implements PageAllocator {
  readonly #pages: PageAllocator;
  readonly #recorder: Recorder;

  constructor(pages: PageAllocator, recorder: Recorder) {
    this.#pages = pages;
    this.#recorder = recorder;
  }

  allocate(length: number, align: number, purpose: string): number | undefined {
    const { tap } = this.#recorder;
    tap.guestActed();
    const address = this.#pages.allocate(length, align, purpose);
    if (address === undefined) tap.emit({ op: 'alloc-fail', purpose, len: length });
    else tap.emit({ op: 'page', purpose, gpa: hexNumber(address), len: length, align });
    return address;
  }

  free(address: number, length: number, purpose: string): void {
    const { tap } = this.#recorder;
    tap.guestActed();
    tap.freed(address, length, purpose);
    this.#pages.free(address, length, purpose);
    tap.emit({ op: 'page-free', purpose, gpa: hexNumber(address), len: length });
  }
}

const nothing = (): undefined => undefined;

/** Drivers whose calls are steps. */
function recordedDriver(driver: GuestDriver, recorder: Recorder): GuestDriver {
  const devices = new Map<FirmwareDevice, FirmwareDevice>();
  const there = (): readonly FirmwareDevice[] => driver.devices as readonly FirmwareDevice[];
  recorder.devices = there;
  const recordedDevices = (): FirmwareDevice[] =>
    there().map((device) => {
      const known = devices.get(device) ?? recordedDevice(device, recorder);
      devices.set(device, known);
      return known;
    });
  const ok = (): string => 'OK';
  const calls: Readonly<Record<string, () => void>> = {
    probe: () => recorder.step('probe', () => driver.probe(), ok),
    remove: () => recorder.remove(driver as unknown as FirmwareDriver),
    quiesce: () => recorder.step('quiesce', () => driver.quiesce(), nothing),
    unquiesce: () => recorder.step('unquiesce', () => driver.unquiesce(), nothing),
    poll: () => recorder.step('poll-bus', () => driver.poll(), nothing),
  };
  return new Proxy(driver, {
    get(target, key) {
      if (key === 'devices') return recordedDevices();
      if (typeof key === 'string' && Object.hasOwn(calls, key)) return calls[key];
      return bound(target, key);
    },
  });
}

/** A device whose calls are steps. */
function recordedDevice(device: FirmwareDevice, recorder: Recorder): FirmwareDevice {
  /** Which device a step is about, if that is not the first one that is there. */
  const about = (): object => {
    const there = recorder.devices();
    if (there[0] === device) return {};
    return { device: device.name, ...(there.includes(device) ? {} : { gone: true }) };
  };
  // A poll that names none is of all of them
  const polled = (): object =>
    recorder.devices().length > 1 ? { device: device.name, ...about() } : about();
  const calls: Readonly<Record<string, unknown>> = {
    open: () =>
      recorder.step(
        'open',
        () => device.open(),
        () => 'OK',
        about(),
      ),
    close: () => recorder.step('close', () => device.close(), nothing, about()),
    poll: () => recorder.step('poll', () => device.poll(), nothing, polled()),
    transmit: (frame: Uint8Array, length: number) =>
      recorder.transmit(frame.slice(0, length), () => device.transmit(frame, length), about()),
  };
  return new Proxy(device, {
    get(target, key) {
      if (typeof key === 'string' && Object.hasOwn(calls, key)) return calls[key];
      return key === 'receiver' ? recorder.receivers.get(target) : bound(target, key);
    },
    set(target, key, value) {
      if (key !== 'receiver') return Reflect.set(target, key, value, target);
      recorder.receivers.set(target, value as FirmwareDevice['receiver']);
      return true;
    },
  });
}

/** A property of the real one: its methods must find themselves. */
function bound(target: object, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key, target);
  return typeof value === 'function' ? (value.bind(target) as unknown) : value;
}
