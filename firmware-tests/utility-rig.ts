// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A rig for the tests of the utility services: the firmware on a simulated machine with the host's
 * ends of the services, or the firmware's drivers alone, polled by hand.
 */

import * as assert from 'uvu/assert';
import {
  boot,
  createDriver,
  type BootOptions,
  type BootResult,
  type FirmwareEvent,
  type HypervDriver,
  type IcService,
  type ServiceName,
} from '../src/index.ts';
import { IcFlag, IcHeader } from '../src/utility/protocol.ts';
import { PIPE_TYPE_DATA, PipeHeader } from '../src/vmbus/protocol.ts';
import { auditHandoff } from '../tools/simulator/audit.ts';
import type { ChannelDevice } from '../tools/simulator/channel-interface.ts';
import { TICKS_PER_MS } from '../tools/simulator/clock.ts';
import type { HostEvent } from '../tools/simulator/events.ts';
import { SimulatedMachine, type SimulatedMachineOptions } from '../tools/simulator/machine.ts';
import { Network, memoryFiles } from '../tools/simulator/network/index.ts';
import { profileNamed } from '../tools/simulator/profiles.ts';
import { IC_BODY_AT, IC_HEADER_AT } from '../tools/simulator/utility/index.ts';

const LIMITS = { virtualTicks: 3600_000 * TICKS_PER_MS, pauses: 2_000_000 };

export const ALL_SERVICES: readonly ServiceName[] = [
  'file-copy',
  'heartbeat',
  'shutdown',
  'time-sync',
];

export interface UtilityRigOptions extends Partial<SimulatedMachineOptions> {
  readonly devices: readonly ChannelDevice[];
  readonly host?: string;
  /** Network with these files, the first of which is booted; else the machine has no NIC. */
  readonly files?: Readonly<Record<string, Uint8Array>>;
  readonly memoryMiB?: number;
}

export class UtilityRig {
  readonly machine: SimulatedMachine;
  readonly events: FirmwareEvent[] = [];
  readonly violations: string[] = [];
  /** In-band packets: whose, of which channel, and the message from the pipe header on. */
  readonly packets: { from: 'host' | 'guest'; channel: number; id: bigint; message: Uint8Array }[] =
    [];
  driver: HypervDriver | undefined;
  /** Called after each event of the firmware. */
  onEvent: ((event: FirmwareEvent) => void) | undefined;

  constructor(options: UtilityRigOptions) {
    const { files, host = 'server2022', memoryMiB = 8, ...rest } = options;
    const names = Object.keys(files ?? {});
    const network = new Network({ files: memoryFiles(files ?? {}), bootFile: names[0] ?? '' });
    this.machine = new SimulatedMachine({
      memory: new ArrayBuffer(memoryMiB << 20),
      profile: profileNamed(host)!,
      links: files === undefined ? [] : [network.link(0)],
      seed: 1,
      limits: LIMITS,
      ...rest,
    });
    this.machine.events.listen((event) => this.#host(event));
  }

  #host(event: HostEvent): void {
    if (event.kind === 'violation') this.violations.push(`${event.layer}: ${event.text}`);
    if (event.kind !== 'ring-packet' || event.type !== 6) return;
    const { from, channel, transactionId: id, bytes } = event;
    this.packets.push({ from, channel, id, message: bytes.slice(16) });
  }

  #tell = (event: FirmwareEvent): void => {
    this.events.push(event);
    this.onEvent?.(event);
  };

  /** Boot the firmware. */
  boot(options: BootOptions = {}): BootResult {
    return boot(this.machine.bootProcessor, {
      services: ALL_SERVICES,
      events: this.#tell,
      ...options,
    });
  }

  /** The drivers with these services. */
  probe(services: readonly IcService[]): HypervDriver {
    this.driver = createDriver(this.machine.bootProcessor, { services, events: this.#tell });
    this.driver.probe();
    return this.driver;
  }

  /** Poll until something is so. Fails after `ms` of virtual time. */
  until(done: () => boolean, ms = 60_000): void {
    const { driver, machine } = this;
    const end = machine.clock.now + ms * TICKS_PER_MS;
    while (!done()) {
      assert.ok(machine.clock.now < end, `did not happen within ${ms} ms`);
      driver!.clock.pause();
      driver!.poll();
    }
  }

  /** Poll for some virtual time. */
  run(ms: number): void {
    const end = this.machine.clock.now + ms * TICKS_PER_MS;
    this.until(() => this.machine.clock.now >= end, ms + 1000);
  }

  /** Log lines of the firmware, `error UTIL file copy: text`. */
  lines(level?: string): string[] {
    return this.events.flatMap((event) => {
      if (event.kind !== 'log' || (level !== undefined && event.level !== level)) return [];
      return [`${event.level} ${event.layer} ${event.object}: ${event.text}`];
    });
  }

  /** Whether a line matches. */
  said(pattern: RegExp): boolean {
    return this.lines().some((line) => pattern.test(line));
  }

  /** Nothing is left behind: take the drivers down and audit. */
  finish(): void {
    this.driver?.remove();
    const map = this.driver?.memoryMap() ?? this.machine.bootProcessor.memoryMap;
    this.audit(map);
  }

  audit(map: BootResult['memoryMap']): void {
    const findings = auditHandoff(this.machine, map).filter(({ severity }) => severity !== 'info');
    assert.equal(
      findings.map(({ check, text }) => `${check}: ${text}`),
      [],
    );
  }
}

/** A message of a utility service, from the pipe header on. */
export function message(
  type: number,
  body: Uint8Array,
  fields: {
    readonly flags?: number;
    readonly id?: number;
    readonly pipeType?: number;
    readonly pipeLength?: number;
    readonly bodyLength?: number;
  } = {},
): Uint8Array {
  const bytes = new Uint8Array(IC_BODY_AT + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(PipeHeader.at.type, fields.pipeType ?? PIPE_TYPE_DATA, true);
  view.setUint32(PipeHeader.at.length, fields.pipeLength ?? IcHeader.size + body.length, true);
  view.setUint16(IC_HEADER_AT + IcHeader.at.frameworkMajor, 3, true);
  view.setUint16(IC_HEADER_AT + IcHeader.at.type, type, true);
  view.setUint16(IC_HEADER_AT + IcHeader.at.messageMajor, 1, true);
  view.setUint16(IC_HEADER_AT + IcHeader.at.messageMinor, 1, true);
  view.setUint16(IC_HEADER_AT + IcHeader.at.length, fields.bodyLength ?? body.length, true);
  view.setUint8(IC_HEADER_AT + IcHeader.at.transactionId, fields.id ?? 0);
  const flags = fields.flags ?? IcFlag.TRANSACTION | IcFlag.REQUEST;
  view.setUint8(IC_HEADER_AT + IcHeader.at.flags, flags);
  bytes.set(body, IC_BODY_AT);
  return bytes;
}

/** What an answer says. */
export function answerOf(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    type: view.getUint16(IC_HEADER_AT + IcHeader.at.type, true),
    length: view.getUint16(IC_HEADER_AT + IcHeader.at.length, true),
    status: view.getUint32(IC_HEADER_AT + IcHeader.at.status, true),
    id: view.getUint8(IC_HEADER_AT + IcHeader.at.transactionId),
    flags: view.getUint8(IC_HEADER_AT + IcHeader.at.flags),
  };
}

/** Bytes that are unlike each other. */
export function contentsOf(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}
