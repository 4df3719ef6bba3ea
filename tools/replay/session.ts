// SPDX-License-Identifier: GPL-2.0-or-later

/** Drives a firmware's driver through the steps of a recording and collects what it did. */

import { errnoOf } from '../../src/catalogue.ts';
import type { FirmwareEvent } from '../../src/events.ts';
import { RndisHeader } from '../../src/rndis/protocol.ts';
import { errorText } from './firmware.ts';
import type { Firmware, FirmwareDevice, FirmwareDriver } from './firmware.ts';
import { toHex } from './hex.ts';
import type { Item } from './item.ts';
import {
  completionItem,
  deviceItem,
  frameItem,
  linkItem,
  receiveErrorItem,
  resultItem,
  statisticsItem,
} from './normalise.ts';
import type { RecordedStep } from './recording.ts';
import { ReplayMachine, ReplayStop } from './replay-machine.ts';
import type { TraceEvent } from './trace-events.ts';
import type { TraceFile } from './trace-file.ts';

/** Steps that a driver can be driven through. */
const STEPS = ['probe', 'open', 'transmit', 'poll', 'close', 'remove', 'quiesce', 'unquiesce'];

/** Result of a step for which the driver has no device: its probe did not find one. */
const NO_DEVICE = 'no network device';

/** One line of the driver's log, with the step in which it was written. */
export interface SessionLog {
  readonly step: number;
  readonly text: string;
}

/** A firmware on a recording. */
export class ReplaySession {
  readonly machine: ReplayMachine;
  readonly log: SessionLog[] = [];
  /** Steps that the replay cannot drive. */
  readonly unsupported: string[] = [];
  readonly #events: readonly TraceEvent[];
  readonly #driver: FirmwareDriver;
  #step = 0;
  /** Frame numbers of the recording, by the device's own count. */
  readonly #frames: number[] = [];
  #lastError = '';
  /** Addresses of devices by name: an unregistered device has none to ask. */
  readonly #addresses = new Map<string, { permanent: string; current: string }>();
  readonly #arrived: string[] = [];

  constructor(firmware: Firmware, trace: TraceFile, memory: ArrayBufferLike) {
    this.#events = trace.events;
    this.machine = new ReplayMachine(trace, memory);
    this.#driver = firmware.createDriver(this.machine, {
      preset: 'ipxe',
      events: (event) => this.#firmwareEvent(event),
      allocator: this.machine.allocator,
      random: this.machine.random,
    });
  }

  /** Run one step. Returns what the guest did in it and what followed it. */
  run(step: RecordedStep): readonly Item[] {
    this.#step = step.index;
    this.machine.beginStep(step);
    const { machine } = this;
    try {
      const result = this.#drive(step);
      if (result !== undefined) this.#emit(resultItem(step.name, result, machine.position));
    } catch (error) {
      if (error instanceof ReplayStop || machine.stopped !== undefined) return this.#stopped();
      this.#emit(resultItem(step.name, errorText(error), machine.position));
    }
    this.#registered();
    machine.endStep();
    this.#statistics(step);
    return machine.items;
  }

  #emit(...items: Item[]): void {
    this.machine.items.push(...items);
  }

  /** The machine ended the guest: what it says after that does not count. */
  #stopped(): readonly Item[] {
    this.log.push({ step: this.#step, text: `replay: ${this.machine.stopped!.message}` });
    return this.machine.items;
  }

  /** Drive the step. Returns its result where the recording has one. */
  #drive(step: RecordedStep): string | undefined {
    const driver = this.#driver;
    switch (step.name) {
      case 'probe':
        this.#frames.length = 0;
        driver.probe();
        return 'OK';
      case 'open':
      case 'transmit':
      case 'close':
        return this.#device === undefined ? NO_DEVICE : this.#driveDevice(this.#device, step);
      case 'poll':
        for (const device of driver.devices) device.poll();
        return undefined;
      case 'remove':
      case 'quiesce':
      case 'unquiesce':
        driver[step.name]();
        return undefined;
      default:
        this.unsupported.push(
          `step ${step.index} "${step.name}" is not supported by the replay (${STEPS.join(', ')})`,
        );
        return undefined;
    }
  }

  /** A step of the network device. */
  #driveDevice(device: FirmwareDevice, step: RecordedStep): string | undefined {
    if (step.name === 'transmit') return this.#transmit(device, step);
    if (step.name === 'close') {
      device.close();
      return undefined;
    }
    device.open();
    return 'OK';
  }

  /** The device that the recorded steps are about: the first. */
  get #device(): FirmwareDevice | undefined {
    return this.#driver.devices[0];
  }

  #transmit(device: FirmwareDevice, step: RecordedStep): string {
    const event = this.#events[step.begin]!;
    const frame = step.frame!;
    const number = (event.op === 'step' ? event.frameNo : undefined) ?? this.#frames.length;
    this.#frames.push(number);
    const result = device.transmit(frame, frame.length);
    if (result === 'deferred')
      this.#emit(completionItem(number, 'deferred', this.machine.position));
    return result === 'dropped' ? this.#lastError || 'dropped' : 'OK';
  }

  #firmwareEvent(event: FirmwareEvent): void {
    if (event.kind === 'log') {
      const { level, layer, object, text } = event;
      this.log.push({ step: this.#step, text: `${level} ${layer} ${object} ${text}` });
    }
    if (this.machine.stopped !== undefined) return;
    if (event.kind === 'link') this.#emit(linkItem(event.up, this.machine.position));
    if (event.kind === 'netdev' && event.change === 'register') this.#arrived.push(event.name);
    if (event.kind === 'netdev' && event.change === 'unregister') {
      const addresses = this.#addresses.get(event.name) ?? { permanent: '?', current: '?' };
      this.#emit(deviceItem('unregister', addresses, this.machine.position));
    }
  }

  /** Watch the devices that have arrived in this step. */
  #registered(): void {
    for (const name of this.#arrived.splice(0)) {
      const device = this.#driver.devices.find((candidate) => candidate.name === name);
      if (device === undefined) continue;
      const addresses = {
        permanent: toHex(device.permanentAddress),
        current: toHex(device.address),
      };
      this.#addresses.set(name, addresses);
      this.#emit(deviceItem('register', addresses, this.machine.position));
      this.#watch(device);
    }
  }

  #watch(device: FirmwareDevice): void {
    const { machine } = this;
    const emit = (item: Item): void => {
      if (machine.stopped === undefined) this.#emit(item);
    };
    device.receiver = {
      receive: (buffer, offset, length) =>
        emit(frameItem(buffer.slice(offset, offset + length), machine.position)),
    };
    device.observer = {
      transmitted: (sequence, error) => {
        const errno = error === undefined ? undefined : errnoOf(error);
        this.#lastError = errno ?? '';
        const number = this.#frames[sequence] ?? sequence;
        emit(completionItem(number, errno ?? 'OK', machine.position));
      },
      receiveError: (error, buffer, offset, length) => {
        // iPXE has taken the RNDIS header off by then, if there is one
        const header = length >= RndisHeader.size ? RndisHeader.size : 0;
        const data = buffer.slice(offset + header, offset + length);
        emit(receiveErrorItem(errnoOf(error) ?? error, data, machine.position));
      },
      linkChanged: () => undefined,
    };
  }

  /** Counters where the recording has asked for them between this step and the next. */
  #statistics(step: RecordedStep): void {
    for (let index = step.end + 1; index < this.#events.length; index++) {
      const event = this.#events[index]!;
      if (event.op === 'step') return;
      if (event.op !== 'netdev-stats') continue;
      if (this.#device === undefined) return;
      const { txGood, txBad, rxGood, rxBad } = this.#device.statistics;
      this.#emit(statisticsItem({ txGood, txBad, rxGood, rxBad }, index));
    }
  }
}
