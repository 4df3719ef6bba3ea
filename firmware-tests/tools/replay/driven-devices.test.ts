// SPDX-License-Identifier: GPL-2.0-or-later

/** Sessions of drivers with several devices replay as they were driven. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { EventSink, FirmwareEvent } from '../../../src/events.ts';
import * as sources from '../../../src/index.ts';
import type { NetDevice } from '../../../src/net/device.ts';
import { MEMORY, trustedGuests } from '../../../tools/explore/explored-guest.ts';
import type { GuestDriver } from '../../../tools/guests/guest-program.ts';
import { guestRam } from '../../../tools/guests/guest-ram.ts';
import { machineFor } from '../../../tools/guests/guest-machine.ts';
import { GuestRecorder } from '../../../tools/record/guest-recorder.ts';
import { RECORD_MEMORY, recordHostSession } from '../../../tools/record/host-session.ts';
import { SessionNetwork } from '../../../tools/record/session-network.ts';
import {
  asFirmware,
  parseTrace,
  replayTrace,
  reportText,
  type TraceFile,
} from '../../../tools/replay/index.ts';
import { MapAllocator } from '../../../src/memory/allocator.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { DEFAULT_PROFILE, profileNamed } from '../../../tools/simulator/profiles/profiles.ts';

const SOURCES = asFirmware(sources);
const PROFILE = profileNamed(DEFAULT_PROFILE)!;

/** A broadcast that every NIC gets. */
const FRAME = new Uint8Array(60).fill(0xff, 0, 6);

/** What a firmware makes of one session: the same, and nothing else to tell. */
function assertSame(trace: TraceFile, firmware = SOURCES): void {
  const result = replayTrace(firmware, trace);
  assert.ok(result.ok, reportText(result));
  for (const { kind, recorded, guest, same } of result.counts)
    assert.equal([guest, same], [recorded, recorded], kind);
  assert.equal(result.notes, []);
}

/** Record drivers with two devices, whoever drives them. */
function recordTwo(
  drive: (driver: GuestDriver, network: SessionNetwork, wait: () => void) => void,
) {
  const guest = trustedGuests(sources).boot;
  const network = new SessionNetwork(2);
  const machine = machineFor(guest, { profile: PROFILE, links: network.links, seed: 1 });
  network.start(machine, 1);
  const recorder = new GuestRecorder();
  recorder.on(machine);
  const allocator = new MapAllocator([
    { address: 1 << 20, length: MEMORY - (1 << 20), type: 'usable' },
  ]);
  const driver = recorder.wrap(guest).createDriver!(machine.bootSeam, { allocator });
  drive(driver, network, () => machine.run(5 * TICKS_PER_MS));
  const about = { name: 'two', description: 'two', driver: 'hypxe' };
  return parseTrace(recorder.text(recorder.sessions[0]!, about));
}

const frames = ({ events }: TraceFile): number =>
  events.filter(({ op }) => op === 'netdev-rx').length;

const driven = suite('recordings of several devices');

for (const which of [0, 1])
  driven(`of two devices number ${which} alone is polled`, () => {
    const trace = recordTwo((driver, network, wait) => {
      driver.probe();
      for (const device of driver.devices) device.open();
      const receiver = { receive: () => undefined };
      for (const device of driver.devices) device.receiver = receiver;
      network.send(FRAME);
      wait();
      driver.devices[which]!.poll();
      wait();
      driver.devices[1 - which]!.poll();
      driver.remove();
    });
    assert.is(frames(trace), 2);
    assertSame(trace);
  });

/** Drivers whose second device comes, and may go again, in a call of the first. */
function lateFirmware(call: 'open' | 'poll' | 'close' | 'transmit', goes: boolean) {
  return asFirmware({
    createDriver: (machine: never, options: { readonly events: EventSink }) => {
      const held: FirmwareEvent[] = [];
      let shown = 1;
      const tell: EventSink = (event) => {
        const second = event.kind === 'netdev' && event.name !== driver.devices[0]?.name;
        if (second && event.change === 'register') held.push(event);
        else if (!second || held.length === 0) options.events(event);
      };
      const driver = sources.createDriver(machine, { ...options, events: tell });
      const come = (): void => {
        const [event] = held.splice(0);
        if (event === undefined) return;
        shown = 2;
        options.events(event);
        if (!goes) return;
        options.events({ ...event, change: 'unregister' } as FirmwareEvent);
        shown = 1;
      };
      const first = (device: NetDevice): NetDevice =>
        new Proxy(device, {
          get: (target, key) => {
            const value: unknown = Reflect.get(target, key, target);
            if (typeof value !== 'function') return value;
            return (...args: unknown[]): unknown => {
              if (key === call) come();
              return value.apply(target, args) as unknown;
            };
          },
          set: (target, key, value) => Reflect.set(target, key, value, target),
        });
      const known = new Map<NetDevice, NetDevice>();
      const devices = (): NetDevice[] =>
        driver.devices.slice(0, shown).map((device, at) => {
          if (!known.has(device)) known.set(device, at === 0 ? first(device) : device);
          return known.get(device)!;
        });
      return new Proxy(driver, {
        get: (target, key) => {
          if (key === 'devices') return devices();
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    },
  } as never);
}

for (const call of ['open', 'transmit', 'poll', 'close'] as const)
  for (const goes of [false, true])
    driven(`a device comes in a call of ${call}${goes ? ', and goes again' : ''}`, () => {
      const firmware = lateFirmware(call, goes);
      const memory = guestRam(RECORD_MEMORY);
      const about = { profile: PROFILE, seed: 3, driver: 'hypxe', nics: 2 };
      const trace = parseTrace(recordHostSession({ firmware, memory, ...about }).text);
      const told = trace.events.flatMap((event) => (event.op === 'netdev' ? [event.what] : []));
      assert.is(told.filter((what) => what === 'register').length, 2);
      assertSame(trace, firmware);
    });

driven.run();
