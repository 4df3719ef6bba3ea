// SPDX-License-Identifier: GPL-2.0-or-later

/** A boot that is captured, the events of the same run, and a reader of pcapng for the tests. */

import { boot } from '../../src/index.ts';
import { Capture } from '../../tools/capture/capture.ts';
import {
  Network,
  SimulatedMachine,
  memoryFiles,
  profileNamed,
  syntheticImage,
  type HostEvent,
} from '../../tools/simulator/index.ts';

/** An event, and when it happened. */
export interface TimedEvent {
  readonly event: HostEvent;
  readonly now: number;
}

/** A captured boot. */
export interface CapturedBoot {
  readonly file: Uint8Array;
  readonly events: readonly TimedEvent[];
  /** Steps of the boot as `step: phase`, in order. */
  readonly steps: readonly string[];
  readonly status: string;
}

/** Boot with this many NICs on a host, and capture it. */
export function captureBoot(host: string, nics = 1, size = 20_000): CapturedBoot {
  const network = new Network({
    files: memoryFiles({ 'hypxe.img': syntheticImage(size, 1) }),
    bootFile: 'hypxe.img',
  });
  const memory = new ArrayBuffer(16 * 2 ** 20);
  const machine = new SimulatedMachine({
    memory,
    profile: profileNamed(host)!,
    links: Array.from({ length: nics }, (_, nic) => network.link(nic)),
    seed: 1,
  });
  const blocks: Uint8Array[] = [];
  const write = (block: Uint8Array): void => void blocks.push(block);
  const capture = new Capture({ nics, memory, application: 'test', write });
  const events: TimedEvent[] = [];
  const steps: string[] = [];
  machine.events.listen((event, now) => {
    events.push({ event, now });
    capture.host(event, now);
  });
  const { status } = boot(machine.bootSeam, {
    events: (event) => {
      if (event.kind === 'boot-step') steps.push(`${event.step}: ${event.phase}`);
      capture.guest(event, 'firmware', machine.clock.now);
    },
  });
  return { file: Buffer.concat(blocks), events, steps, status };
}

/** Options of a block by code. */
export type Options = ReadonlyMap<number, Buffer>;

/** A block of a file. */
export interface Block {
  readonly type: number;
  readonly body: Buffer;
}

/** Split a file into its blocks; both lengths of each must agree. @throws Error */
export function blocksOf(file: Uint8Array): Block[] {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  const blocks: Block[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32LE(at + 4);
    if (length % 4 !== 0 || length < 12) throw new Error(`block of ${length} bytes at ${at}`);
    if (bytes.readUInt32LE(at + length - 4) !== length) throw new Error(`block at ${at} is torn`);
    const body = bytes.subarray(at + 8, at + length - 4);
    blocks.push({ type: bytes.readUInt32LE(at), body });
    at += length;
  }
  return blocks;
}

/** The options that begin at `at` of a block's body. */
export function optionsOf(body: Buffer, at: number): Options {
  const options = new Map<number, Buffer>();
  for (;;) {
    const [code, length] = [body.readUInt16LE(at), body.readUInt16LE(at + 2)];
    if (code === 0) {
      if (at + 4 !== body.length) throw new Error('bytes behind the end of the options');
      return options;
    }
    options.set(code, body.subarray(at + 4, at + 4 + length));
    at += 4 + Math.ceil(length / 4) * 4;
  }
}

/** A packet of a file. */
export interface Packet {
  readonly interface: number;
  readonly nanoseconds: bigint;
  readonly bytes: Buffer;
  readonly originalLength: number;
  /** 0 unknown, 1 inbound, 2 outbound. */
  readonly direction: number;
  readonly comment: string | undefined;
}

/** The packets of a file. */
export function packetsOf(file: Uint8Array): Packet[] {
  return blocksOf(file)
    .filter(({ type }) => type === 6)
    .map(({ body }) => {
      const kept = body.readUInt32LE(12);
      const options = optionsOf(body, 20 + Math.ceil(kept / 4) * 4);
      return {
        interface: body.readUInt32LE(0),
        nanoseconds: (BigInt(body.readUInt32LE(4)) << 32n) | BigInt(body.readUInt32LE(8)),
        bytes: body.subarray(20, 20 + kept),
        originalLength: body.readUInt32LE(16),
        direction: options.get(2)!.readUInt32LE(0) & 3,
        comment: options.get(1)?.toString(),
      };
    });
}
