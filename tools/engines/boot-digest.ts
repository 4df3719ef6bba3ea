// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One boot over the scripted network, and the digest of everything that happened: the same in each
 * engine that runs the same bundles, or something in it depends on the engine. Takes the bundles
 * from whoever has loaded them, and knows nothing of any engine.
 */

import type * as Firmware from '../../src/index.ts';
import { sha256 } from '../replay/sha256.ts';
import type * as Simulator from '../simulator/index.ts';

/** What a boot came to. Plain text and numbers: it leaves the engine as JSON. */
export interface BootDigest {
  readonly status: string;
  /** Events of host and firmware. */
  readonly events: number;
  /** Ticks of virtual time at the end. */
  readonly ticks: number;
  /** SHA-256 over all events with their times, in lower-case hexadecimal digits. */
  readonly trace: string;
  /** SHA-256 of the image as it lies in guest RAM. */
  readonly image: string;
}

const MEMORY_SIZE = 16 * 2 ** 20;
const IMAGE_SIZE = 100_000;
const SEED = 7;

/** Lines that are hashed at a time: engines that are slow have little memory, too. */
const LINES_PER_HASH = 256;

/** Boot. `firmware` and `simulator` are the exports of the two bundles. */
export function bootDigest(firmware: typeof Firmware, simulator: typeof Simulator): BootDigest {
  const { Network, SimulatedMachine, memoryFiles, profileNamed, syntheticImage } = simulator;
  const image = syntheticImage(IMAGE_SIZE, SEED);
  const network = new Network({
    files: memoryFiles({ 'hypxe.img': image }),
    bootFile: 'hypxe.img',
    faults: { loss: 0.01 },
  });
  const machine = new SimulatedMachine({
    memory: new ArrayBuffer(MEMORY_SIZE),
    profile: profileNamed('server2022')!,
    links: [network.link(0)],
    seed: SEED,
  });

  // Every event, and when it happened
  const trace = new TraceDigest();
  machine.events.listen((event, now) => trace.add(event, now));
  const events = (event: unknown): void => trace.add(event, machine.clock.now);
  const result = firmware.boot(machine.bootSeam, { events });

  const loaded = result.image;
  const bytes = new Uint8Array(machine.bootSeam.memory);
  const inRam =
    loaded === undefined
      ? ''
      : sha256(bytes.subarray(loaded.address, loaded.address + loaded.length));
  return {
    status: result.status,
    events: trace.events,
    ticks: machine.clock.now,
    trace: trace.digest(),
    image: inRam,
  };
}

/** A digest over a stream of events, in bounded memory: a chain of hashes. */
class TraceDigest {
  events = 0;
  #chain = '';
  #lines: string[] = [];

  add(event: unknown, now: number): void {
    this.events++;
    this.#lines.push(`${now} ${JSON.stringify(event, plain)}`);
    if (this.#lines.length === LINES_PER_HASH) this.#fold();
  }

  digest(): string {
    this.#fold();
    return this.#chain;
  }

  #fold(): void {
    const text = `${this.#chain}\n${this.#lines.join('\n')}`;
    this.#lines = [];
    this.#chain = sha256(asciiBytes(text));
  }
}

/** What JSON has no form for: bytes as hexadecimal text, 64-bit numbers as `0x…`. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (!(value instanceof Uint8Array)) return value;
  let text = '';
  for (const byte of value) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** Text as bytes; not every engine has an encoder. Characters beyond 0xff lose their upper bits. */
function asciiBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
