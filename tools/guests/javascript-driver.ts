// SPDX-License-Identifier: GPL-2.0-or-later

/** The drivers of a JavaScript guest, as the tool has them: objects of the tool's own. */

import type { ErrorName } from '../../src/error.ts';
import { Log } from '../../src/events.ts';
import type { Machine, MemoryRange } from '../../src/machine.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import type {
  FrameReceiver,
  LinkState,
  NetDevice,
  NetObserver,
  NetStatistics,
  TransmitResult,
} from '../../src/net/device.ts';
import type { GuestDriver, GuestDriverOptions } from './guest-program.ts';
import { GuestThrew } from './guest-program.ts';
import { machineFacts, optionFacts, type RealmHost } from './javascript-realm.ts';

/** Devices of a driver, at most. */
const DEVICES_MAX = 1024;

/** The calls of a driver that may take as long as the guest likes. */
const LONG = ['probe', 'remove', 'quiesce', 'unquiesce', 'open', 'close'];

export class JavascriptDriver implements GuestDriver {
  readonly log: Log;
  readonly memory: GuestMemory;
  readonly clock = {
    now: (): number => this.#number('now'),
    pause: (): void => void this.#call('pause'),
  };
  readonly random = (): number => this.#number('random');
  readonly #host: RealmHost;
  readonly #number_: number;
  readonly #devices = new Map<number, JavascriptDevice>();

  /** @throws GuestThrew */
  constructor(host: RealmHost, machine: Machine, options: GuestDriverOptions) {
    this.#host = host;
    this.log = new Log(options.events);
    this.memory = new GuestMemory(machine.memory);
    const seam = host.open(machine, options);
    const [facts, told] = [machineFacts(machine), optionFacts(options)];
    this.#number_ = count(host.outcome((realm) => realm.createDriver(seam, facts, told)));
  }

  get devices(): readonly NetDevice[] {
    const numbers = this.#call('devices');
    if (!Array.isArray(numbers) || numbers.length > DEVICES_MAX) throw broken('devices');
    return numbers.map((value) => {
      const number = count(value);
      let device = this.#devices.get(number);
      if (device === undefined) {
        device = new JavascriptDevice(this.#host, number);
        this.#devices.set(number, device);
      }
      return device;
    });
  }

  probe(): void {
    this.#call('probe');
  }

  remove(): void {
    this.#call('remove');
  }

  quiesce(): void {
    this.#call('quiesce');
  }

  unquiesce(): void {
    this.#call('unquiesce');
  }

  poll(): void {
    this.#call('poll');
  }

  memoryMap(): MemoryRange[] {
    // Whoever uses it checks it, as that of a whole firmware
    return this.#call('memoryMap') as MemoryRange[];
  }

  #number(call: string): number {
    const value = this.#call(call);
    if (typeof value !== 'number') throw broken(call);
    return value;
  }

  #call(call: string): unknown {
    const guarded = LONG.includes(call);
    return this.#host.outcome((realm) => realm.driver(this.#number_, call), guarded);
  }
}

class JavascriptDevice implements NetDevice {
  readonly name: string;
  readonly instance: string;
  readonly permanentAddress: Uint8Array;
  readonly maxFrame: number;
  readonly #host: RealmHost;
  readonly #number: number;
  readonly #exchange: Uint8Array;
  #receiver: FrameReceiver | undefined;
  #observer: NetObserver | undefined;
  #listens = false;

  constructor(host: RealmHost, number: number) {
    this.#host = host;
    this.#number = number;
    this.#exchange = new Uint8Array(host.realm!.exchange);
    const facts = this.#facts();
    this.name = text(facts, 'name');
    this.instance = text(facts, 'instance');
    this.permanentAddress = address(facts, 'permanentAddress');
    this.maxFrame = count(facts['maxFrame']);
  }

  get address(): Uint8Array {
    return address(this.#facts(), 'address');
  }

  get link(): LinkState {
    const link = this.#facts()['link'];
    return link === 'up' || link === 'down' ? link : 'unknown';
  }

  get isOpen(): boolean {
    return this.#facts()['isOpen'] === true;
  }

  get statistics(): Readonly<NetStatistics> {
    const given = record(this.#facts()['statistics']);
    const { txGood, txBad, rxGood, rxBad } = given;
    return {
      ...{ txGood: count(txGood), txBad: count(txBad) },
      ...{ rxGood: count(rxGood), rxBad: count(rxBad) },
    };
  }

  get receiver(): FrameReceiver | undefined {
    return this.#receiver;
  }

  set receiver(receiver: FrameReceiver | undefined) {
    this.#receiver = receiver;
    this.#listen();
  }

  get observer(): NetObserver | undefined {
    return this.#observer;
  }

  set observer(observer: NetObserver | undefined) {
    this.#observer = observer;
    this.#listen();
  }

  open(): void {
    this.#call('open');
  }

  close(): void {
    this.#call('close');
  }

  poll(): void {
    this.#call('poll');
  }

  transmit(frame: Uint8Array, length: number): TransmitResult {
    this.#exchange.set(frame.subarray(0, length));
    const result = this.#host.outcome((realm) => realm.transmit(this.#number, length), false);
    return result === 'sent' || result === 'deferred' ? result : 'dropped';
  }

  /** Have the device tell us what it tells. */
  #listen(): void {
    if (this.#listens) return;
    this.#listens = true;
    this.#host.sinks[this.#number] = {
      received: (length, vlan) => this.#receiver?.receive(this.#copy(length), 0, length, vlan),
      transmitted: (sequence, error) =>
        this.#observer?.transmitted(sequence, error === '' ? undefined : (error as ErrorName)),
      receiveError: (error, length) =>
        this.#observer?.receiveError(error as ErrorName, this.#copy(length), 0, length),
      linkChanged: (up) => this.#observer?.linkChanged(up),
    };
    this.#call('listen');
  }

  #copy(length: number): Uint8Array {
    return this.#exchange.slice(0, length);
  }

  #facts(): Readonly<Record<string, unknown>> {
    return record(this.#call('facts'));
  }

  #call(call: string): unknown {
    const guarded = LONG.includes(call);
    return this.#host.outcome((realm) => realm.device(this.#number, call), guarded);
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw broken('facts');
  return { __proto__: null, ...value } as unknown as Readonly<Record<string, unknown>>;
}

function text(facts: Readonly<Record<string, unknown>>, name: string): string {
  const value = facts[name];
  if (typeof value !== 'string') throw broken(name);
  return value;
}

function count(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw broken('a number');
  return value as number;
}

function address(facts: Readonly<Record<string, unknown>>, name: string): Uint8Array {
  const bytes = facts[name];
  const good = Array.isArray(bytes) && bytes.length === 6 && bytes.every(isByte);
  if (!good) throw broken(name);
  return Uint8Array.from(bytes as number[]);
}

function isByte(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xff;
}

function broken(what: string): GuestThrew {
  return new GuestThrew('TypeError', `${what}: not what a driver of hypxe's interface gives`);
}
