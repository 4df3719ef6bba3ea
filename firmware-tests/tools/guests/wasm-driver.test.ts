// SPDX-License-Identifier: GPL-2.0-or-later

/** A driver in WebAssembly, call by call: its NICs as the loader on top sees them. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { FirmwareEvent } from '../../../src/events.ts';
import { machineFor } from '../../../tools/guests/guest-machine.ts';
import type { GuestDriver, GuestInstance } from '../../../tools/guests/guest-program.ts';
import { WasmProgram } from '../../../tools/guests/wasm-guest.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import {
  Op,
  abiImport,
  buildModule,
  call,
  i32,
  load32,
  store32,
  type BuiltFunction,
} from '../../rigs/guests/wasm-builder.ts';

const drivers = suite('drivers in WebAssembly');

const RAM = 4 << 20;
/** Where the guest keeps how it shall answer, and its frame. */
const [STATUS, BUFFER, FRAME] = [64, 1024, 512];

const functions: BuiltFunction[] = [
  { name: 'hypxe_abi', results: ['i32'], body: () => i32(1) },
  { name: 'hypxe_probe', results: ['i32'], body: () => i32(1) },
  {
    name: 'hypxe_mac',
    parameters: ['i32', 'i32'],
    body: () => [
      ...[Op.LOCAL_GET, 1, ...i32(0x04030202), 0x36, 2, 0],
      ...[Op.LOCAL_GET, 1, ...i32(0x0605), 0x36, 2, 4],
    ],
  },
  { name: 'hypxe_link', parameters: ['i32'], results: ['i32'], body: () => i32(1) },
  { name: 'hypxe_open', parameters: ['i32'], results: ['i32'], body: () => i32(0) },
  { name: 'hypxe_close', parameters: ['i32'], body: () => [] },
  { name: 'hypxe_buffer', results: ['i32'], body: () => i32(BUFFER) },
  {
    name: 'hypxe_transmit',
    parameters: ['i32', 'i32', 'i32'],
    results: ['i32'],
    body: () => load32(STATUS),
  },
  {
    // A frame of 60 bytes has come, and the oldest frame out is done
    name: 'hypxe_poll',
    parameters: ['i32'],
    body: (index) => [
      ...[...i32(0), ...i32(FRAME), ...i32(60), ...call(index('received'))],
      ...[...i32(0), ...i32(0), ...call(index('transmitted'))],
    ],
  },
  { name: 'hypxe_remove', parameters: [], body: () => store32(STATUS + 4, i32(1)) },
];

function load(changed: Partial<Record<string, BuiltFunction['body']>> = {}) {
  const module = buildModule({
    imports: ['received', 'transmitted', 'pause'].map((name) => abiImport(name)),
    functions: functions.map((each) => ({ ...each, body: changed[each.name] ?? each.body })),
    data: [[FRAME, 'a frame']],
    heapBase: 4096,
  });
  const instance = new WasmProgram('x.wasm', module).instantiate(RAM) as GuestInstance;
  const machine = machineFor(instance, {
    profile: profileNamed('server2022')!,
    links: [],
    seed: 1,
  });
  const events: FirmwareEvent[] = [];
  const driver: GuestDriver = instance.createDriver!(machine.bootSeam, {
    events: (event) => events.push(event),
  });
  return { driver, events, view: new DataView(instance.memory), machine };
}

drivers('its NICs have its addresses and links, and are gone when it is removed', () => {
  const { driver, events, view } = load();
  driver.probe();
  const [nic] = driver.devices;
  assert.is(nic?.name, 'net0');
  assert.equal([...nic!.address], [2, 2, 3, 4, 5, 6]);
  assert.is(nic!.link, 'up');
  driver.remove();
  assert.is(driver.devices.length, 0);
  assert.is(view.getUint32(STATUS + 4, true), 1);
  const told = events.map((event) => (event.kind === 'netdev' ? event.change : event.kind));
  assert.equal(told, ['boot-step', 'link', 'register', 'boot-step', 'unregister']);
});

drivers('a frame goes to its buffer; one that it cannot take now waits', () => {
  const { driver, view } = load();
  driver.probe();
  const nic = driver.devices[0]!;
  nic.open();
  const done: unknown[] = [];
  nic.observer = {
    transmitted: (sequence, error) => done.push([sequence, error]),
    receiveError: () => undefined,
    linkChanged: () => undefined,
  };
  const frame = new Uint8Array(60).fill(0x5a);
  assert.is(nic.transmit(frame, 60), 'sent');
  assert.is(view.getUint8(BUFFER + 59), 0x5a);
  view.setInt32(STATUS, -11, true);
  assert.is(nic.transmit(frame, 60), 'deferred');
  nic.poll();
  assert.equal(done, [[0, undefined]]);

  // Now it takes them
  view.setInt32(STATUS, 0, true);
  view.setUint8(BUFFER, 0);
  frame.fill(0);
  assert.throws(() => nic.poll(), /no frame is out/);
});

drivers('a frame that it drops is told with its error, and a longer one never gets there', () => {
  const { driver, view } = load();
  driver.probe();
  const nic = driver.devices[0]!;
  nic.open();
  view.setInt32(STATUS, -105, true);
  assert.is(nic.transmit(new Uint8Array(60), 60), 'dropped');
  assert.is(nic.transmit(new Uint8Array(2000), 1600), 'dropped');
  assert.is(nic.statistics.txBad, 2);
});

drivers('a frame that came is copied before the guest goes on', () => {
  const { driver } = load();
  driver.probe();
  const nic = driver.devices[0]!;
  nic.open();
  nic.transmit(new Uint8Array(60), 60);
  let frame = '';
  nic.receiver = {
    receive: (buffer, offset, length) => {
      frame = String.fromCharCode(...buffer.slice(offset, offset + 7));
      assert.is(length, 60);
    },
  };
  nic.poll();
  assert.is(frame, 'a frame');
});

drivers('a probe that fails has a name, and what it says of memory is checked', () => {
  const failing = load({ hypxe_probe: () => i32(-110) });
  assert.throws(() => failing.driver.probe(), /hypxe_probe returned -110 \(ETIMEDOUT\)/);
  const far = load({ hypxe_buffer: () => i32(RAM - 100) });
  far.driver.probe();
  const nic = far.driver.devices[0]!;
  nic.open();
  assert.throws(() => nic.transmit(new Uint8Array(60), 60), /hypxe_buffer: 2048 bytes/);
});

drivers('a guest that calls an import after it has ended is told so', () => {
  const { driver } = load({ hypxe_close: (index) => call(index('pause')) });
  driver.probe();
  const nic = driver.devices[0]!;
  nic.open();
  driver.remove();
  assert.throws(() => nic.close(), /the guest calls pause after hypxe_remove/);
});

drivers.run();
