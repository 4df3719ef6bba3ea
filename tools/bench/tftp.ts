// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A file by TFTP over a real link: Debian's passt, with dnsmasq behind it. Our boot and iPXE in
 * QEMU fetch it in turns, each over a passt of its own, which captures the frames: its times are
 * compared.
 */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { PASST_GATEWAY, PASST_GUEST, PASST_NETWORK } from '../links/link-start.ts';
import { syntheticImage } from '../simulator/network/index.ts';
import { spread, type Spread } from './measure.ts';
import { short, type Section } from './section.ts';
import { transferOf, type Transfer } from './tftp-capture.ts';

/** Programs, and the packages of Debian that they are in. */
const PROGRAMS = {
  bash: 'bash',
  unshare: 'util-linux',
  ip: 'iproute2',
  passt: 'passt',
  dnsmasq: 'dnsmasq-base',
  'qemu-system-x86_64': 'qemu-system-x86 (7.2 or newer)',
} as const;

/** iPXE as a Linux kernel image; and where programs lie that are not on everybody's path. */
const IPXE = { package: 'ipxe', file: '/usr/lib/ipxe/ipxe.lkrn' };
const SYSTEM_PATH = ['/usr/sbin', '/sbin'];

const FILE = 'boot.bin';

/** The longest that one client may take, in ms. */
const CLIENT_MAX_MS = 300_000;

export interface TftpOptions {
  readonly rounds: number;
  /** Length of the file in MiB. */
  readonly mebibytes: number;
}

export const TFTP_FULL: TftpOptions = { rounds: 5, mebibytes: 8 };
export const TFTP_QUICK: TftpOptions = { rounds: 1, mebibytes: 1 };

export interface TftpFigure {
  readonly client: 'hypxe' | 'iPXE';
  /** From the request to the last packet of the transfer, of the wall's clock. */
  readonly ms: Spread;
  readonly packets: number;
  /** As a multiple of iPXE's of the same round. */
  readonly ratio: Spread;
}

/** What the comparison needs and does not find, each with its package. */
export function missingForTftp(): string[] {
  const places = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_PATH];
  const there = (name: string) => places.some((place) => fs.existsSync(join(place, name)));
  const missing = Object.entries(PROGRAMS)
    .filter(([name]) => !there(name))
    .map(([name, from]) => `${name} is not there: apt-get install ${from}`);
  if (!fs.existsSync(IPXE.file)) {
    missing.push(`${IPXE.file} is not there: apt-get install ${IPXE.package}`);
  }
  return missing;
}

/**
 * Fetch the file, each client once a round.
 *
 * @param root the project's directory, built
 * @throws Error with what a client says that does not get it
 */
export function measureTftp(root: string, { rounds, mebibytes }: TftpOptions): TftpFigure[] {
  const folder = fs.mkdtempSync(join(tmpdir(), 'hypxe-bench-'));
  try {
    const length = mebibytes * 2 ** 20;
    fs.mkdirSync(join(folder, 'root'));
    fs.writeFileSync(join(folder, 'root', FILE), syntheticImage(length, 1));
    fs.writeFileSync(join(folder, 'script'), SCRIPT);
    const clients = { hypxe: hypxeCommand, iPXE: ipxeCommand };
    const took = { hypxe: [] as Transfer[], iPXE: [] as Transfer[] };
    for (let round = 0; round < rounds; round++) {
      for (const client of ['hypxe', 'iPXE'] as const) {
        const command = clients[client](root, folder);
        took[client].push(fetchOnce(root, folder, command, length));
      }
    }
    return (['hypxe', 'iPXE'] as const).map((client) => ({
      client,
      ms: spread(took[client].map(({ ms }) => ms)),
      packets: took[client][0]!.packets,
      ratio: spread(took[client].map(({ ms }, round) => ms / took.iPXE[round]!.ms)),
    }));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** What iPXE does: the addresses that our boot gets by DHCP. A reboot ends QEMU. */
const SCRIPT = [
  '#!ipxe',
  ...['ifopen net0', `set net0/ip ${PASST_GUEST}`, 'set net0/netmask 255.255.255.0'],
  ...[`set net0/gateway ${PASST_GATEWAY}`, `imgfetch tftp://${PASST_GATEWAY}/${FILE}`],
  ...['reboot', ''],
].join('\n');

const socketIn = (folder: string): string => join(folder, 'socket');

function hypxeCommand(root: string, folder: string): string[] {
  return [
    ...[process.execPath, join(root, 'dist/cli.js'), 'boot', join(folder, 'root', FILE)],
    ...['--link', `stream:${socketIn(folder)}`, '--boot-file', FILE],
    ...['--next-server', PASST_GATEWAY, '--no-second-boot'],
  ];
}

function ipxeCommand(_root: string, folder: string): string[] {
  return [
    ...['qemu-system-x86_64', '-machine', 'pc,graphics=off', '-m', '128', '-no-reboot'],
    ...['-display', 'none', '-monitor', 'none', '-serial', 'stdio'],
    ...['-kernel', IPXE.file, '-initrd', join(folder, 'script')],
    ...['-netdev', `stream,id=n,server=off,addr.type=unix,addr.path=${socketIn(folder)}`],
    ...['-device', 'virtio-net-pci,netdev=n'],
  ];
}

function fetchOnce(
  root: string,
  folder: string,
  command: readonly string[],
  length: number,
): Transfer {
  const capture = join(folder, 'capture');
  for (const name of [socketIn(folder), capture]) fs.rmSync(name, { force: true });
  const link = [join(root, 'firmware-tests/real/passt-link.sh'), socketIn(folder), capture];
  const args = [
    ...[join(root, 'firmware-tests/real/passt.sh'), join(folder, 'root')],
    ...['bash', ...link, [...PASST_NETWORK, '-f', '-q', '-1'].join(' '), ...command],
  ];
  const PATH = [process.env['PATH'] ?? '', ...SYSTEM_PATH].join(delimiter);
  const options = { timeout: CLIENT_MAX_MS, env: { ...process.env, PATH }, stdio: 'pipe' } as const;
  const said = execFileSync('bash', args, { ...options, encoding: 'utf8' });
  const transfer = transferOf(fs.readFileSync(capture));
  if (transfer?.bytes === length) return transfer;
  throw new Error(`${transfer?.bytes ?? 'no'} of ${length} bytes came over TFTP\n${said}`);
}

export function tftpSection(figures: readonly TftpFigure[], options: TftpOptions): Section {
  return {
    name: 'tftp',
    title: `${options.mebibytes} MiB by TFTP over passt and dnsmasq, beside iPXE in QEMU`,
    data: figures,
    tables: [
      {
        columns: ['client', 'ms', 'min–max', 'packets', '× iPXE', 'min–max'],
        rows: figures.map(({ client, ms, packets, ratio }) => [
          ...[client, short(ms.median), `${short(ms.min)}–${short(ms.max)}`, `${packets}`],
          ...[short(ratio.median), `${short(ratio.min)}–${short(ratio.max)}`],
        ]),
      },
    ],
    notes: [
      'Time of the wall from the request to the last packet of the transfer, by the capture of ' +
        'passt; median of the rounds, which take turns. × iPXE: as a multiple of its time in the ' +
        'same round. Both go packet by packet: other work on the machine counts for both.',
    ],
  };
}
