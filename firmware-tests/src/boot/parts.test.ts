// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Parts plug in from outside, and from another bundle: those of `os.js` into the smallest firmware.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BootPart, BootResult } from '../../../src/boot/boot.ts';
import { HypxeError } from '../../../src/error.ts';
import type { EventSink } from '../../../src/events.ts';
import type * as Os from '../../../src/os.ts';
import type * as X64 from '../../../src/x64.ts';
import { auditHandoff } from '../../../tools/simulator/audit/audit.ts';
import { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import {
  Network,
  memoryFiles,
  syntheticImage,
  type NetworkOptions,
} from '../../../tools/simulator/network/index.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import {
  FileCopyHost,
  ShutdownHost,
  TimeSyncHost,
  memoryContents,
} from '../../../tools/simulator/services/index.ts';
import { sameBytes } from '../../rigs/boot-rig.ts';

type Small = Pick<typeof X64, 'boot' | 'createDriver'>;

const load = async (file: string): Promise<unknown> =>
  import(new URL(`../../../dist/${file}`, import.meta.url).href);

const os = (await load('os.js')) as typeof Os;
const SMALL = {
  x64: (await load('x64.min.js')) as Small,
  arm64: (await load('arm64.min.js')) as Small,
};
const IMAGE = syntheticImage(20_000, 3);

type Devices = ConstructorParameters<typeof SimulatedMachine>[0]['devices'];

function machineWith(
  devices: Devices,
  architecture: keyof typeof SMALL = 'x64',
  options: Partial<NetworkOptions> = {},
): SimulatedMachine {
  const files = memoryFiles({ 'net.img': IMAGE });
  const network = new Network({ files, bootFile: 'net.img', ...options });
  return new SimulatedMachine({
    ...{ memory: new ArrayBuffer(8 << 20), profile: profileNamed('server2022')!, seed: 1 },
    ...{ links: [network.link(0)], architecture, devices: devices ?? [] },
  });
}

/** Nothing is left behind. */
function audit(machine: SimulatedMachine, { memoryMap }: BootResult): void {
  const findings = auditHandoff(machine, memoryMap).filter(({ severity }) => severity === 'error');
  assert.equal(findings, []);
}

/** Boot a small firmware with the services of os.js as parts. */
function bootServed(
  machine: SimulatedMachine,
  options: Os.BootOptions,
  architecture: keyof typeof SMALL = 'x64',
  events?: EventSink,
): Os.BootResult {
  const { memoryMap, pageSize } = machine.bootSeam;
  const allocator = new os.MapAllocator(memoryMap, pageSize);
  const services = new os.BootServices(machine.bootSeam, allocator, {
    ...options,
    ...(events && { events }),
  });
  const result = SMALL[architecture].boot(machine.bootSeam, {
    ...{ allocator, drivers: services.drivers, parts: [services, os.crashReport] },
    ...(events && { events }),
  });
  audit(machine, result);
  return result;
}

const test = suite('parts');

for (const architecture of ['x64', 'arm64'] as const)
  test(`what is pushed is booted: services of os.js in ${architecture}.min.js`, () => {
    const kernel = syntheticImage(50_001, 2);
    const host = new FileCopyHost({
      atOpen: [
        { name: 'kernel', contents: memoryContents(kernel) },
        { name: 'initrd', contents: memoryContents(IMAGE) },
        { name: 'cmdline', contents: memoryContents(Uint8Array.of(97, 61, 98, 10)) },
      ],
    });
    const steps: string[] = [];
    const machine = machineWith([host, new TimeSyncHost()], architecture);
    const result = bootServed(
      machine,
      { services: ['file-copy', 'time-sync'] },
      architecture,
      (event) => {
        if (event.kind === 'boot-step') steps.push(`${event.step} ${event.phase}`);
        else if (event.kind === 'wall-clock') steps.push('time');
      },
    );
    assert.is(result.status, 'booted');
    assert.is(result.image?.device, os.PUSHED);
    const { bytes } = machine.partition.ram;
    const { address, length } = result.image!;
    assert.ok(sameBytes(bytes.slice(address, address + length), kernel));
    assert.equal(
      result.files?.map(({ name }) => name),
      ['initrd', 'cmdline'],
    );
    assert.is(result.commandLine, 'a=b');
    assert.is(machine.nics[0]!.statistics.framesFromGuest, 0);
    assert.ok(steps.includes('time') && steps.includes('receive end'), steps.join());
  });

test('a shutdown that a part hears ends the boot with its error, known by its name', () => {
  const host = new ShutdownHost();
  host.shutDownWhenReady({ restart: false });
  // Nobody serves this boot: without the host's wish it would go on for a minute
  const machine = machineWith([host], 'x64', { dhcp: { mode: 'silent' } });
  const result = bootServed(machine, { services: ['shutdown'] });
  assert.is(result.status, 'failed');
  assert.is(result.error?.name, 'ShutDown');
  assert.is(result.shutdown?.kind, 'power-off');
});

/** Networks that take a part of the network client: what they are, and what fails without it. */
const RARE: readonly {
  readonly part: keyof typeof os.NET_PARTS;
  readonly network: Partial<NetworkOptions>;
  readonly boot?: Parameters<Small['boot']>[1];
  readonly fails: RegExp;
}[] = [
  {
    part: 'resolveName',
    network: { dns: { 'tftp.example': '192.168.77.1' } },
    boot: { nextServer: 'tftp.example' },
    fails: /^BadNextServer: .*part resolveName/,
  },
  {
    part: 'reassembler',
    network: { path: { mtu: 576, fragments: 'in-order' } },
    boot: { net: { tftp: { totalMs: 20_000 } } },
    fails: /noReassembler \d+/,
  },
];

for (const architecture of ['x64', 'arm64'] as const)
  for (const { part, network, boot = {}, fails } of RARE)
    test(`${part} of os.js in ${architecture}.min.js: without it the error names it`, () => {
      const parts = { [part]: os.NET_PARTS[part] };
      for (const plugged of [true, false]) {
        const machine = machineWith([], architecture, network);
        const net = { ...boot.net, ...(plugged && { parts }) };
        const result = SMALL[architecture].boot(machine.bootSeam, { ...boot, net });
        audit(machine, result);
        const { error } = result;
        if (plugged) assert.is(result.status, 'booted', `${error?.name}: ${error?.message}`);
        else assert.match(`${error?.name}: ${error?.message}`, fails);
      }
    });

test('an error that a part throws has a name, whichever bundle it is of', () => {
  const refusing: BootPart = {
    receive: () => {
      throw new HypxeError('BadScript', 'not this one');
    },
  };
  const machine = machineWith([]);
  const result = SMALL.x64.boot(machine.bootSeam, { parts: [refusing] });
  assert.equal([result.status, result.error?.name], ['failed', 'BadScript']);
  audit(machine, result);
});

test('the first part that knows what to boot decides, each adds to the result', () => {
  const calls: string[] = [];
  const part = (name: string, bootFile?: string): BootPart => ({
    cancel: () => false,
    receive: (driver, clock) => {
      calls.push(`${name} receives`);
      assert.ok(driver.devices.length === 1 && clock.now() > 0);
      return bootFile === undefined ? undefined : { bootFile };
    },
    finish: (_, result) => {
      calls.push(`${name} finishes`);
      return { ...result, [name]: result.status };
    },
  });
  const machine = machineWith([]);
  const parts = [part('one'), part('two', 'net.img'), part('three', 'other')];
  const result = SMALL.x64.boot(machine.bootSeam, { bootFile: 'mine', parts });
  assert.is(result.image?.name, 'net.img');
  assert.equal(calls, [
    ...['one receives', 'two receives'],
    ...['one finishes', 'two finishes', 'three finishes'],
  ]);
  assert.equal((result as unknown as Record<string, unknown>)['three'], 'booted');
});

test('a part cancels the boot', () => {
  const machine = machineWith([]);
  let turns = 0;
  const result = SMALL.x64.boot(machine.bootSeam, { parts: [{ cancel: () => ++turns > 20 }] });
  assert.is(result.error?.name, 'Cancelled');
  audit(machine, result);
});

test.run();
