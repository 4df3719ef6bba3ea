// SPDX-License-Identifier: GPL-2.0-or-later

/** A real link in virtual time: a frame that is there is never slept on. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../../src/machine.ts';
import * as sources from '../../../src/index.ts';
import { runBootFlow } from '../../../tools/flow/boot-flow.ts';
import { TICKS_PER_MS, TICKS_PER_US, VirtualClock } from '../../../tools/simulator/base/clock.ts';
import type { WallSource } from '../../../tools/simulator/base/clock.ts';
import { Random } from '../../../tools/simulator/base/random.ts';
import { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../../../tools/simulator/network/index.ts';
import type { Link, LinkHost } from '../../../tools/simulator/network/link.ts';
import { profileNamed, withKnobs } from '../../../tools/simulator/profiles/profiles.ts';
import type { HostKnobs } from '../../../tools/simulator/profiles/profile.ts';
import { DeviceClass } from '../../../src/vmbus/protocol.ts';
import { sameBytes } from '../../rigs/boot-rig.ts';

/** One way through the network, and what a look at the wall's clock costs. */
const LATENCY_TICKS = 150 * TICKS_PER_US;
const LOOK_TICKS = 2 * TICKS_PER_US;

/** A sleep that is cut short by a frame wakes up so much later. */
const WAKE_TICKS = 50 * TICKS_PER_US;

const NETWORK = DeviceClass.NETWORK;
const BLOCKS = 201;
const IMAGE = syntheticImage(1468 * 200 + 1, 1);

/** The simulator's network as a real one: it has a time of its own, and a queue to the machine. */
class WallLink implements Link {
  readonly wall: WallSource = {
    now: () => {
      this.#clock.advanceTo(this.#clock.now + LOOK_TICKS);
      return this.#clock.now;
    },
    poll: () => {
      const frames = this.#queue.splice(0);
      for (const frame of frames) this.#host?.deliver(frame);
      return frames.length > 0;
    },
    wait: (ticks) => {
      this.sleeping();
      const until = this.#clock.now + ticks;
      while (this.#queue.length === 0 && this.#clock.now < until)
        this.#clock.advanceTo(Math.min(until, this.#clock.nextAlarm ?? until));
      this.#clock.advanceTo(this.#clock.now + WAKE_TICKS);
    },
  };
  /** Called before each sleep. */
  sleeping = (): void => undefined;
  readonly #clock = new VirtualClock();
  readonly #queue: Uint8Array[] = [];
  readonly #inner: Link;
  #host: LinkHost | undefined;

  constructor(inner: Link) {
    this.#inner = inner;
  }

  get nowMs(): number {
    return this.#clock.now / TICKS_PER_MS;
  }

  connect(host: LinkHost): void {
    this.#host = host;
    const { nic, address } = host;
    const deliver = (frame: Uint8Array): void => void this.#queue.push(frame.slice());
    const setLinkState = (): void => undefined;
    const random = new Random(1);
    this.#inner.connect({ clock: this.#clock, random, nic, address, deliver, setLinkState });
  }

  transmit(frame: Uint8Array): void {
    this.#inner.transmit(frame);
  }
}

/** Whether a packet of the host lies unread in the ring of the NIC: write index, read index. */
function unread({ vmbus, partition }: SimulatedMachine): boolean {
  const { channels, gpadls } = vmbus.inspect();
  const open = channels.find(({ interfaceId, ringGpadl }) => interfaceId === NETWORK && ringGpadl);
  const ring = gpadls.find(({ id }) => id === open?.ringGpadl)?.pfns;
  if (ring === undefined) return false;
  const control = new Uint32Array(
    partition.ram.bytes.buffer,
    ring[ring.length / 2]! * PAGE_SIZE,
    2,
  );
  return control[0] !== control[1];
}

/** Boot; how long the download took, and how often was slept while a packet was unread. */
function boot(knobs: Partial<HostKnobs>, windowSize: number) {
  const network = new Network({
    ...{ files: memoryFiles({ 'a.img': IMAGE }), bootFile: 'a.img', latencyTicks: LATENCY_TICKS },
  });
  const link = new WallLink(network.link(0));
  const machine = new SimulatedMachine({
    ...{ memory: new ArrayBuffer(4 << 20), links: [link], seed: 1 },
    profile: withKnobs(profileNamed('server2022')!, knobs),
  });
  let sleeps = 0;
  let slept = 0;
  link.sleeping = () => {
    sleeps++;
    if (unread(machine)) slept++;
  };
  const times = new Map<string, number>();
  let inRam: Uint8Array | undefined;
  const report = runBootFlow({
    ...{ machine, firmware: sources, os: false, secondBoot: false },
    bootOptions: { net: { tftp: { windowSize } } },
    events: (event) => {
      if (event.kind === 'boot-step') times.set(`${event.step} ${event.phase}`, link.nowMs);
    },
    onHandoff: ({ image }) => {
      const { bytes } = machine.partition.ram;
      if (image) inRam = bytes.slice(image.address, image.address + image.length);
    },
  });
  assert.ok(sameBytes(inRam, IMAGE), report.boot?.error?.message);
  const ms = times.get('download end')! - times.get('download begin')!;
  return { ms, sleeps, slept };
}

const wakeUp = suite('lost wake-up');

for (const [name, knobs] of Object.entries<Partial<HostKnobs>>({
  server2022: {},
  'no monitor': { monitors: 'none' },
  'a host that takes 70 us for a ring': { ringLatencyTicks: 700 },
})) {
  for (const windowSize of [1, 4]) {
    wakeUp(`${name}, window of ${windowSize}: no sleep while a packet is there`, () => {
      const { ms, sleeps, slept } = boot(knobs, windowSize);
      assert.is(slept, 0, `${slept} of ${sleeps} sleeps`);
      // There and back for each window, and less than half a millisecond on both ends
      assert.ok(sleeps > 0);
      const windows = Math.ceil(BLOCKS / windowSize);
      assert.ok(ms < windows * ((4 * LATENCY_TICKS) / TICKS_PER_MS + 0.4), `${ms} ms`);
    });
  }
}

wakeUp.run();
