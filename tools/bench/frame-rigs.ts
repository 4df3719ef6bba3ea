// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Two rigs that move frames: the driver alone on a scripted host, and the whole path on the
 * simulated host with a link of the bench. Both send and receive batches, and nothing else.
 */

import type { FrameReceiver, NetDevice } from '../../src/net/device.ts';
import type { PresetName } from '../../src/netvsc/policy.ts';
import type { Link, LinkHost } from '../simulator/network/link.ts';
import { SimulatedMachine } from '../simulator/machine.ts';
import { DEFAULT_PROFILE, profileNamed } from '../simulator/profiles/profiles.ts';
import { CountingMachine } from './counting-machine.ts';
import type { BenchFirmware } from './firmware.ts';
import { machineFor } from '../guests/guest-machine.ts';
import type { GuestDriver } from '../guests/guest-program.ts';
import type { WasmProgram } from '../guests/wasm-guest.ts';
import { ScriptedHost } from './scripted-host.ts';

/** Turns after which a batch that has not arrived never will. */
const TURNS_MAX = 1000;

/** Guest RAM: enough for either preset. */
const MEMORY_BYTES = 8 << 20;

/** Moves frames in batches. */
export interface FrameRig {
  readonly device: NetDevice;
  /** Hypercalls so far. */
  readonly hypercalls: number;
  /** Get ready for frames of a length; before anything else. */
  prepare(length: number): void;
  /** Send a batch, and wait until all of it is completed. */
  transmit(batch: number): void;
  /** Receive a batch. */
  receive(batch: number): void;
}

/** Counts frames and bytes. */
class Counter implements FrameReceiver {
  frames = 0;
  bytes = 0;

  receive(_buffer: Uint8Array, _offset: number, length: number): void {
    this.frames++;
    this.bytes += length;
  }
}

/** A frame of broadcast, of a type that nobody speaks. */
export function testFrame(length: number): Uint8Array {
  const frame = new Uint8Array(length);
  for (let i = 0; i < length; i++) frame[i] = i < 12 ? 0xff : (i * 7) & 0xff;
  frame[6] = 0x02;
  return frame;
}

/** The driver alone. */
export class DriverRig implements FrameRig {
  readonly device: NetDevice;
  readonly #host: ScriptedHost;
  readonly #counter = new Counter();
  #frame = testFrame(60);

  constructor(firmware: BenchFirmware, preset: PresetName) {
    this.#host = new ScriptedHost(firmware, preset);
    this.device = this.#host.device;
    this.device.receiver = this.#counter;
  }

  get hypercalls(): number {
    return this.#host.hypercalls;
  }

  prepare(length: number): void {
    this.#frame = testFrame(length);
    this.#host.prepare(length);
  }

  transmit(batch: number): void {
    const sent = this.device.statistics.txGood + batch;
    for (let i = 0; i < batch; i++) this.device.transmit(this.#frame, this.#frame.length);
    this.#host.drain();
    this.device.poll();
    if (this.device.statistics.txGood !== sent) throw new Error('frames were not completed');
  }

  receive(batch: number): void {
    const frames = this.#counter.frames + batch;
    const completed = this.#host.completed + batch;
    for (let i = 0; i < batch; i++) this.#host.deliver();
    this.device.poll();
    this.#host.drain();
    if (this.#counter.frames !== frames) throw new Error('frames were not received');
    if (this.#host.completed !== completed) throw new Error('frames were not given back');
  }
}

/** A link that swallows, sends back, or makes frames. */
export class BenchLink implements Link {
  host: LinkHost | undefined;
  /** Send each frame of the guest back to it. */
  loop = false;

  connect(host: LinkHost): void {
    this.host = host;
  }

  transmit(frame: Uint8Array): void {
    if (this.loop) this.host!.deliver(frame);
  }
}

/** What a machine of the bench has, besides memory: one NIC, and the default host. */
function machineOptions(link: Link) {
  return { profile: profileNamed(DEFAULT_PROFILE)!, links: [link], seed: 1 };
}

export function benchMachine(link: Link): SimulatedMachine {
  return new SimulatedMachine({ memory: new ArrayBuffer(MEMORY_BYTES), ...machineOptions(link) });
}

/** How the drivers of a guest are made. */
type MakeDriver = (seam: CountingMachine) => Pick<GuestDriver, 'probe' | 'devices'>;

/** The whole path: device, RNDIS, rings, the simulated host and its network device. */
export class WholeRig implements FrameRig {
  readonly device: NetDevice;
  readonly machine: SimulatedMachine;
  readonly #seam: CountingMachine;
  readonly #link: BenchLink;
  readonly #counter = new Counter();
  #frame = testFrame(60);

  private constructor(machine: SimulatedMachine, link: BenchLink, make: MakeDriver) {
    this.machine = machine;
    this.#link = link;
    this.#seam = new CountingMachine(machine.bootProcessor);
    const driver = make(this.#seam);
    driver.probe();
    this.device = driver.devices[0]!;
    this.device.receiver = this.#counter;
    this.device.open();
  }

  /** With the drivers of this tree. */
  static of(firmware: BenchFirmware, preset: PresetName): WholeRig {
    const link = new BenchLink();
    return new WholeRig(benchMachine(link), link, (seam) =>
      firmware.createDriver(seam, { preset }),
    );
  }

  /** With those of a guest in WebAssembly. @throws RangeError if it has none */
  static ofGuest(program: WasmProgram): WholeRig {
    const guest = program.instantiate(MEMORY_BYTES);
    const { createDriver } = guest;
    if (createDriver === undefined) throw new RangeError(`${program.name} has no drivers`);
    const link = new BenchLink();
    const machine = machineFor(guest, machineOptions(link));
    return new WholeRig(machine, link, (seam) => createDriver(seam, {}));
  }

  get hypercalls(): number {
    return this.#seam.counts.hypercalls;
  }

  prepare(length: number): void {
    this.#frame = testFrame(length);
  }

  transmit(batch: number): void {
    const { statistics } = this.device;
    const sent = statistics.txGood + batch;
    for (let i = 0; i < batch; i++) this.device.transmit(this.#frame, this.#frame.length);
    for (let turn = 0; statistics.txGood !== sent; turn++) this.#turn(turn);
  }

  receive(batch: number): void {
    const frames = this.#counter.frames + batch;
    for (let i = 0; i < batch; i++) this.#link.host!.deliver(this.#frame);
    for (let turn = 0; this.#counter.frames !== frames; turn++) this.#turn(turn);
    // The host takes its sections back
    this.#turn(0);
  }

  /** Send a batch to the link, which sends it back. */
  loop(batch: number): void {
    const frames = this.#counter.frames + batch;
    this.#link.loop = true;
    for (let i = 0; i < batch; i++) this.device.transmit(this.#frame, this.#frame.length);
    for (let turn = 0; this.#counter.frames !== frames; turn++) this.#turn(turn);
    this.#link.loop = false;
    this.#turn(0);
  }

  #turn(turn: number): void {
    if (turn === TURNS_MAX) throw new Error('frames were lost');
    this.#seam.pause();
    this.device.poll();
  }
}
