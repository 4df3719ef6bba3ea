// SPDX-License-Identifier: GPL-2.0-or-later

/** The network boot client against the servers of the built-in network, without a bus between. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { thrown } from '../../rigs/net-peer.ts';
import type { FrameReceiver, NetDevice, TransmitResult } from '../../../src/net/device.ts';
import { netboot } from '../../../src/net/netboot.ts';
import type { NetbootOptions, NetbootResult } from '../../../src/net/netboot.ts';
import { Log } from '../../../src/events.ts';
import { VirtualClock } from '../../../tools/simulator/base/clock.ts';
import { memoryFiles, Network, syntheticImage } from '../../../tools/simulator/network/index.ts';
import type { NetworkOptions } from '../../../tools/simulator/network/index.ts';
import { Random } from '../../../tools/simulator/base/random.ts';

const IMAGE = syntheticImage(300_000, 1);
const BOOT_FILE = 'boot.bin';

/** Most frames that wait in the device. */
const QUEUE = 256;

interface Outcome {
  readonly result: NetbootResult;
  readonly bytes: Uint8Array;
  /** Packets but those of DHCP that were sent again. */
  readonly repeated: number;
  readonly ms: number;
}

/** Boot over a network. Each pause moves the clock to the next alarm, at most 1 ms. */
function bootOver(
  network: Partial<NetworkOptions>,
  options: Partial<NetbootOptions> = {},
  seed = 1,
  image = IMAGE,
): Outcome {
  const clock = new VirtualClock();
  const address = Uint8Array.from([0x00, 0x15, 0x5d, 9, 9, 9]);
  const queue: Uint8Array[] = [];
  const files = memoryFiles({ [BOOT_FILE]: image });
  const link = new Network({ files, bootFile: BOOT_FILE, ...network }).link(0);
  link.connect({
    clock,
    random: new Random(seed),
    nic: 0,
    address,
    deliver: (frame) => {
      if (queue.length < QUEUE) queue.push(frame.slice());
    },
    setLinkState: () => {},
  });
  const device: NetDevice = {
    name: 'net0',
    instance: '{}',
    permanentAddress: address,
    address,
    maxFrame: 1514,
    link: 'up',
    isOpen: true,
    statistics: { txGood: 0, txBad: 0, rxGood: 0, rxBad: 0 },
    receiver: undefined as FrameReceiver | undefined,
    open: () => {},
    close: () => {},
    transmit: (frame, length): TransmitResult => {
      link.transmit(frame.slice(0, length));
      // Past the headers: what TFTP says, as text
      if (frame[37] !== 67) packets.push(frame.slice(42, length).join());
      return 'sent';
    },
    poll: () => {
      for (const frame of queue.splice(0)) device.receiver?.receive(frame, 0, frame.length);
    },
  };
  const bytes = new Uint8Array(image.length);
  const packets: string[] = [];
  const random = new Random(seed, 9);
  const result = netboot(device, {
    clock: {
      now: () => clock.now,
      pause: () => {
        const next = clock.nextAlarm ?? Infinity;
        clock.advanceTo(Math.max(clock.now + 1, Math.min(next, clock.now + 10_000)));
      },
    },
    random: () => random.u32(),
    log: new Log(undefined),
    sink: {
      begin: () => {},
      write: (offset, buffer, from, length) =>
        bytes.set(buffer.subarray(from, from + length), offset),
    },
    ...options,
  });
  const repeated = packets.length - new Set(packets).size;
  return { result, bytes, repeated, ms: clock.now / 10_000 };
}

/** Whether the file that arrived is the one that was served. */
function isWhole({ result, bytes }: Outcome, image = IMAGE): boolean {
  return result.length === image.length && Buffer.from(bytes).equals(Buffer.from(image));
}

const simulated = suite('net and built-in network');

simulated('each place where a DHCP server can name the boot file', () => {
  for (const style of ['header', 'options', 'both', 'dnsmasq'] as const)
    for (const trailingNul of [false, true]) {
      const outcome = bootOver({ dhcp: { style, trailingNul } });
      assert.ok(isWhole(outcome), `${style} ${trailingNul}`);
      assert.is(outcome.repeated, 0);
    }
});

simulated('other servers, slow, separate, remote, with large MTUs and ports', () => {
  const cases: Partial<NetworkOptions>[] = [
    { arp: 'ask' },
    { dhcp: { mtu: 65520 } },
    { dhcp: { mtu: 600 } },
    { dhcp: { offerDelayTicks: 30_000_000 } },
    { dhcp: { refusals: 2 } },
    { dhcp: { foreignServer: {} } },
    { dhcp: { foreignServer: { offerDelayTicks: 1 }, offerDelayTicks: 5_000_000 } },
    { tftp: { address: '192.168.77.9' } },
    { tftp: { address: '10.20.30.40' } },
    { tftp: { transferPort: 'same' } },
    { tftp: { options: 'ignore' } },
    { tftp: { options: 'refuse' } },
    { tftp: { maxBlockSize: 1428, maxWindowSize: 1 } },
    { tftp: { misbehaviour: { wrongPort: true } } },
    { tftp: { misbehaviour: { duplicateEvery: 3 } } },
    { tftp: { misbehaviour: { tsizeError: -1 } } },
    { tftp: { misbehaviour: { tsizeError: 1 } } },
    { latencyTicks: 200_000 },
  ];
  for (const network of cases) assert.ok(isWhole(bootOver(network)), JSON.stringify(network));
});

simulated('DHCP servers of every kind, alone and together', () => {
  const dns = { 'tftp.example': 'a.example', 'a.example': '192.168.77.1' };
  const proxies = (['offer', '4011', 'menu', 'broadcast'] as const).map((tells) => ({ tells }));
  const cases: Partial<NetworkOptions>[] = [
    ...proxies.map((proxyDhcp) => ({ proxyDhcp })),
    ...proxies.map((proxyDhcp) => ({ proxyDhcp: { ...proxyDhcp, offerDelayTicks: 15_000_000 } })),
    ...proxies.map((proxyDhcp) => ({ proxyDhcp, faults: { loss: 0.1, duplication: 0.1 } })),
    { dhcpServers: [{}, { mode: 'nak' }, { mode: 'silent' }, { mode: 'offer-only' }] },
    { dhcpServers: [{}], dhcp: { offerDelayTicks: 50_000_000 } },
    { dhcp: { relay: '10.99.0.1' } },
    { dhcp: { failover: true } },
    { dhcp: { refuseTicks: 50_000_000 } },
    { dhcp: { sourcePort: 12_345 } },
    { dhcp: { classless: true }, tftp: { address: '10.20.30.40' } },
    { dhcp: { mode: 'bootp' } },
    { dhcp: { nextServerName: 'tftp.example' }, dns },
    { dhcp: { nextServerName: 'tftp.example', style: 'options', trailingNul: true }, dns },
    {
      proxyDhcp: { tells: 'menu' },
      dhcp: { relay: '10.99.0.1', failover: true, classless: true, refuseTicks: 30_000_000 },
      dhcpServers: [{}, {}],
    },
  ];
  for (const network of cases) assert.ok(isWhole(bootOver(network)), JSON.stringify(network));
});

simulated('every window and block size, at block boundaries', () => {
  for (const windowSize of [1, 2, 7, 64])
    for (const blockSize of [512, 1000, 1468]) {
      const image = syntheticImage(blockSize * 20, 2);
      const outcome = bootOver({}, { tftp: { windowSize, blockSize } }, 1, image);
      assert.ok(isWhole(outcome, image), `${windowSize} ${blockSize}`);
      assert.is(outcome.repeated, 0);
    }
});

simulated('loss, duplication, reordering and corruption, by seed', () => {
  const faults = { loss: 0.03, duplication: 0.05, reordering: 0.05, corruption: 0.02 };
  const image = syntheticImage(60_000, 3);
  for (let seed = 1; seed <= 15; seed++) {
    const outcome = bootOver({ faults }, {}, seed, image);
    assert.ok(isWhole(outcome, image), `seed ${seed}`);
  }
});

simulated('servers that do it wrong get their named error', () => {
  const cases: [Partial<NetworkOptions>, string][] = [
    [{ dhcp: { mode: 'silent' } }, 'NoDhcpAnswer'],
    [{ dhcp: { mode: 'nak' } }, 'DhcpRefused'],
    [{ dhcp: { mode: 'offer-only' } }, 'DhcpServerSilent'],
    [{ bootFile: '' }, 'NoBootFile'],
    [{ bootFile: 'other' }, 'TftpFileNotFound'],
    [{ tftp: { misbehaviour: { silent: true } } }, 'NoTftpAnswer'],
    [{ tftp: { misbehaviour: { stopAfterBlock: 9 } } }, 'TftpStalled'],
    [{ tftp: { misbehaviour: { stopAfterBlock: 0 } } }, 'TftpStalled'],
    [{ tftp: { misbehaviour: { shortBlock: 7 } } }, 'TftpTruncated'],
    [{ tftp: { misbehaviour: { oversizedBlock: 7 }, maxBlockSize: 1464 } }, 'TftpOversizedBlock'],
    [{ faults: { loss: 1 } }, 'NoDhcpAnswer'],
  ];
  for (const [network, name] of cases)
    assert.is(thrown(() => bootOver(network)).name, name, JSON.stringify(network));
});

simulated.run();
