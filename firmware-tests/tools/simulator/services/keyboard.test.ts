// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The synthetic keyboard, the worked example of a further device: the host's end against a guest's
 * driver of a few lines, which speaks to it as Linux does (hyperv-keyboard.c).
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { DriverInstance, VmbusDriver } from '../../../../src/index.ts';
import { Capture } from '../../../../tools/capture/capture.ts';
import { KEYBOARD, KeyboardHost, describeMessage } from '../../../../tools/simulator/index.ts';
import { guidBytes } from '../../../../src/wire.ts';
import { assertRefused, hypxe, read } from '../../../rigs/cli-rig.ts';
import { GuestRig } from '../../../rigs/guest-rig.ts';

/** What the driver is given by the bus. */
type Device = Parameters<VmbusDriver['probe']>[0];
type Channel = ReturnType<Device['open']>;

/** A guest's driver: it asks for a version, and collects scan codes as a PS/2 keyboard has them. */
class KeyboardDriver implements VmbusDriver {
  readonly interfaceId = KEYBOARD.interfaceId;
  readonly codes: number[] = [];
  /** Status of each PROTOCOL_RESPONSE; transaction IDs of completions; what was dropped. */
  readonly responses: number[] = [];
  readonly completions: number[] = [];
  readonly dropped: string[] = [];
  channel: Channel | undefined;

  probe(device: Device): DriverInstance {
    this.channel = device.open(
      {
        completed: ({ idLow }) => void this.completions.push(idLow),
        receivedInband: ({ bytes, payload, payloadLength }) => {
          this.#received(bytes.subarray(payload, payload + payloadLength));
        },
        receivedPages: () => {},
        cancelled: () => {},
        malformed: (error) => void this.dropped.push(error),
      },
      { outPages: 1, inPages: 1, packetLength: 256 },
    );
    const close = (): void => {
      this.channel = undefined;
      device.close();
    };
    return { reset() {}, remove: close, rescinded: close };
  }

  #received(message: Uint8Array): void {
    const view = new DataView(message.buffer, message.byteOffset, message.length);
    const type = message.length < 8 ? 0 : view.getUint32(0, true);
    if (type === 2) this.responses.push(view.getUint32(4, true));
    else if (type === 3 && message.length >= 12) {
      const info = view.getUint32(8, true);
      if (info & 4) this.codes.push(0xe0);
      if (info & 8) this.codes.push(0xe1);
      this.codes.push(view.getUint16(4, true) | (info & 2 ? 0x80 : 0));
    } else this.dropped.push(`type ${type}, ${message.length} bytes`);
  }

  send(id: number, ...words: number[]): void {
    const bytes = new Uint8Array(new Uint32Array(words).buffer);
    assert.ok(this.channel!.sendInband(id, bytes, bytes.length));
  }
}

interface Setup {
  readonly rig: GuestRig;
  readonly host: KeyboardHost;
  readonly driver: KeyboardDriver;
  /** Let both sides run for some virtual time. */
  run(ms?: number): void;
}

function setUp(host = 'server2022'): Setup {
  const keyboard = new KeyboardHost();
  const driver = new KeyboardDriver();
  const rig = new GuestRig({ host, cards: 0, devices: [keyboard], drivers: [driver] }).start();
  const run = (ms = 5): void => {
    rig.poll(ms);
    while (driver.channel?.poll() === true);
    rig.poll(1);
  };
  return { rig, host: keyboard, driver, run };
}

/** With the version agreed on. */
function connected(host?: string): Setup {
  const setup = setUp(host);
  setup.driver.send(7, 1, 0x10000);
  setup.run();
  assert.is(setup.host.state, 'active');
  return setup;
}

/** Nothing is left behind. */
function finish({ rig }: Setup): void {
  rig.stop();
  assert.equal(rig.outstanding(), []);
  assert.equal(rig.granted(), []);
}

const keyboard = suite('synthetic keyboard');

for (const host of ['server2012r2', 'server2022', 'openvmm', 'qemu']) {
  keyboard(`${host}: the version is agreed on, keys go down and up`, () => {
    const setup = connected(host);
    const { host: device, driver, run } = setup;
    assert.equal([driver.responses, driver.completions], [[1], [7]]);
    assert.ok(device.key(0x1e, true) && device.key(0x1e, false));
    assert.ok(device.key(0xe05b, true) && device.key(0xe11d, false));
    run();
    assert.equal(driver.codes, [0x1e, 0x9e, 0xe0, 0x5b, 0xe1, 0x9d]);
    assert.equal(driver.dropped, []);
    assert.equal(setup.rig.violations(), []);
    finish(setup);
    assert.is(device.state, 'closed');
  });
}

keyboard('another version is refused, and the guest may try again', () => {
  const setup = setUp();
  const { host, driver, run } = setup;
  driver.send(1, 1, 0x20000);
  run();
  assert.equal([driver.responses, host.state], [[0], 'negotiating']);
  assert.not(host.key(0x1e, true), 'nobody listens');
  driver.send(2, 1, 0x10000);
  run();
  assert.equal([driver.responses, host.state], [[0, 1], 'active']);
  finish(setup);
});

keyboard('LEDs are kept until the channel is closed', () => {
  const setup = connected();
  setup.driver.send(0, 4, 5);
  setup.run();
  assert.is(setup.host.leds, 5);
  finish(setup);
  assert.is(setup.host.leds, 0);
});

for (const [what, words, reason] of [
  ['keys of the guest', [3, 0x1e, 0], 'message 3 while active'],
  ['a second request', [1, 0x10000], 'message 1 while active'],
  ['an unknown message', [9, 0], 'message 9 while active'],
  ['a message that is no message', [], 'packet of type 6 with 0 bytes'],
] as const) {
  keyboard(`bad input: ${what} end the channel in silence, and it can be opened again`, () => {
    const setup = connected();
    const { rig, host, driver, run } = setup;
    driver.send(0, ...words);
    run();
    assert.equal(rig.violations(), [`channel 3 dies: keyboard: ${reason}`]);
    assert.is(host.state, 'failed');
    assert.not(host.key(0x1e, true));
    run();
    assert.equal(driver.codes, []);
    finish(setup);
    rig.start();
    driver.send(8, 1, 0x10000);
    run();
    assert.equal(driver.responses, [1, 1]);
    finish(setup);
  });
}

keyboard('bad input: LEDs before the version', () => {
  const setup = setUp();
  setup.driver.send(0, 4, 1);
  setup.run();
  assert.equal(setup.rig.violations(), ['channel 3 dies: keyboard: message 4 while negotiating']);
  finish(setup);
});

keyboard('a host that says nonsense: the driver drops it, and the next key comes', () => {
  const setup = connected();
  const { host, driver, run } = setup;
  for (const bytes of [[3, 0, 0, 0], [3, 0, 0, 0, 1, 0, 0, 0], new Array<number>(32).fill(0xff)]) {
    host.sendRaw(Uint8Array.from(bytes));
  }
  host.key(2, true);
  run();
  assert.is(driver.dropped.length, 3);
  assert.equal(driver.codes, [2]);
  finish(setup);
});

keyboard('keys wait while the guest does not read; then they are lost, not the order', () => {
  const setup = connected();
  const { host, driver, run } = setup;
  let taken = 0;
  while (host.key(1 + (taken % 100), true)) assert.ok(++taken < 1000);
  for (let i = 0; i < 10; i++) run();
  assert.ok(taken > 64);
  assert.equal(
    driver.codes,
    Array.from({ length: taken }, (_, i) => 1 + (i % 100)),
  );
  finish(setup);
});

keyboard('taken away and given back', () => {
  const setup = connected();
  const { rig, host, driver, run } = setup;
  rig.machine.vmbus.rescind(host);
  run();
  assert.is(driver.channel, undefined);
  assert.is(host.state, 'closed');
  rig.machine.vmbus.hotAdd(host);
  run();
  driver.send(9, 1, 0x10000);
  run();
  assert.is(host.state, 'active');
  finish(setup);
});

keyboard.run();

const description = suite('synthetic keyboard: what it says of itself');

description('traces and captures say what crossed', () => {
  const host = new KeyboardHost();
  const driver = new KeyboardDriver();
  const rig = new GuestRig({ cards: 0, devices: [host], drivers: [driver] });
  const blocks: Uint8Array[] = [];
  const { memory } = rig.machine.bootProcessor;
  const write = (block: Uint8Array): void => void blocks.push(block);
  const capture = new Capture({ nics: 0, memory, application: 'test', write });
  rig.machine.events.listen((event, now) => capture.host(event, now));
  rig.start();
  driver.send(7, 1, 0x10000);
  rig.poll(5);
  host.key(0x1e, false);
  const said = rig.seen('ring-packet').flatMap(({ message }) => message ?? []);
  assert.equal(said, [
    'keyboard PROTOCOL_REQUEST version=0x10000',
    'keyboard PROTOCOL_RESPONSE status=0x1',
    'keyboard EVENT makeCode=0x1e reserved=0x0 info=0x2',
  ]);
  // As comments of the packets, whatever reads the file
  const file = Buffer.concat(blocks).toString('latin1');
  for (const text of said) assert.ok(file.includes(text), text);
});

description('messages that are cut short or unknown are described, too', () => {
  const bytes = (...all: number[]): string =>
    describeMessage(KEYBOARD.protocol, Uint8Array.from(all));
  assert.is(bytes(), 'keyboard message of 0 bytes');
  assert.is(bytes(9, 0, 0, 0), 'keyboard message 9');
  assert.is(bytes(1, 0, 0, 0, 5), 'keyboard PROTOCOL_REQUEST version missing');
});

description('hypxe boot --devices offers it, and the firmware leaves it alone', async () => {
  const boot = ['boot', '--size', '1', '--no-os', '--no-second-boot'];
  const { code, error } = await hypxe(...boot, '--devices', 'keyboard', '--trace', 'with.jsonl');
  assert.is(code, 0, error);
  const guid = Buffer.from(guidBytes(KEYBOARD.interfaceId)).toString('hex');
  assert.ok(read('with.jsonl').includes(guid));
  assert.is((await hypxe(...boot, '--trace', 'without.jsonl')).code, 0);
  assert.not(read('without.jsonl').includes(guid), 'nothing without the option');
});

description('hypxe boot --devices refuses what it does not know', async () => {
  const run = await hypxe('boot', '--devices', 'keybord');
  const advice = 'Did you mean keyboard?';
  assertRefused(run, 'UnknownDevice', 'there is no device keybord', advice);
  const twice = await hypxe('boot', '--devices', 'keyboard,keyboard');
  assertRefused(twice, 'DeviceTwice', '--devices has keyboard twice', 'Name each once.');
});

description.run();
