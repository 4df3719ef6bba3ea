// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * `npm run test:real`: boots over networks that nobody here wrote, from servers that nobody here
 * wrote: dnsmasq on a TAP device, TFTP behind passt, and QEMU's user network. What was booted is
 * compared with the file on disk.
 *
 * A boot whose programs are missing is skipped, with the reason; with `HYPXE_REQUIRE_TOOLS=1` that
 * is a failure. The last line is `N passed, N failed`; exit code 0 or 1.
 */

import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The longest that one boot may take, with its second boot and its OS, in ms. */
const BOOT_MAX_MS = 400_000;

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const rig = (name: string): string => fileURLToPath(new URL(`./${name}.sh`, import.meta.url));

/** Boot images of Debian, by package. */
const IPXE = { package: 'ipxe', file: '/usr/lib/ipxe/ipxe.lkrn' };
const MEMTEST = { package: 'memtest86+', file: '/boot/memtest86+x64.bin' };

/** Programs of the rigs, and the packages that they are in. */
const PROGRAMS = {
  unshare: 'util-linux',
  ip: 'iproute2',
  passt: 'passt',
  dnsmasq: 'dnsmasq-base',
  socat: 'socat',
  dhcpd: 'isc-dhcp-server',
  atftpd: 'atftpd',
  'in.tftpd': 'tftpd-hpa',
  strace: 'strace',
  'kea-dhcp4': 'kea-dhcp4-server',
  'qemu-system-x86_64': 'qemu-system-x86',
} as const;

type ProgramName = keyof typeof PROGRAMS;

/** Why a test cannot run here. */
class Missing extends Error {}

/** A test. @throws Missing, or what is wrong */
interface RealTest {
  readonly name: string;
  readonly programs: readonly ProgramName[];
  run(directory: string): Promise<void>;
}

/** What `hypxe boot --json` says, as far as it matters here. */
interface Document {
  readonly verdict: string;
  readonly summary: string;
  readonly secondBoot: string | null;
  readonly image: { name: string; length: number; sha256: string; equal: boolean | null } | null;
  readonly os: { nics: { received: number }[] } | null;
  readonly link: { framesToGuest: number; framesDropped: number; failure: unknown };
}

/** What a boot is to come to. */
interface Expected {
  readonly name: string;
  /** The file on disk that shall lie in RAM. */
  readonly file: string;
  /** Whether hypxe knew of it. */
  readonly told: boolean;
}

const TESTS: readonly RealTest[] = [
  {
    name: 'dnsmasq on a TAP device: DHCP names next server and boot file, TFTP',
    programs: ['unshare', 'ip', 'dnsmasq', 'socat'],
    run: (directory) => bootOver('tap', directory, 'boot.bin', madeFile(directory, 'boot.bin')),
  },
  {
    name: "dnsmasq on a TAP device: Debian's ipxe.lkrn, byte for byte",
    programs: ['unshare', 'ip', 'dnsmasq', 'socat'],
    run: (directory) => bootOver('tap', directory, 'ipxe.lkrn', packaged(directory, IPXE)),
  },
  {
    name: 'dnsmasq gives the address, another one is the ProxyDHCP server',
    programs: ['unshare', 'ip', 'dnsmasq', 'socat'],
    run: (directory) => bootFromServers('proxy', directory),
  },
  {
    name: 'dnsmasq gives the address, another one is the boot server of a PXE menu',
    programs: ['unshare', 'ip', 'dnsmasq', 'socat'],
    run: (directory) => bootFromServers('menu', directory),
  },
  {
    name: 'ISC dhcpd names the TFTP server, dnsmasq knows the name',
    programs: ['unshare', 'ip', 'dnsmasq', 'dhcpd', 'socat'],
    run: (directory) => bootFromServers('named', directory),
  },
  {
    name: 'ISC dhcpd with classless static routes',
    programs: ['unshare', 'ip', 'dnsmasq', 'dhcpd', 'socat'],
    run: (directory) => bootFromServers('classless', directory),
  },
  {
    name: 'ISC dhcpd, a failover pair',
    programs: ['unshare', 'ip', 'dnsmasq', 'dhcpd', 'socat'],
    run: (directory) => bootFromServers('failover', directory),
  },
  {
    name: 'atftpd, with the options of RFC 2348, 2349 and 7440',
    programs: ['unshare', 'ip', 'dnsmasq', 'atftpd', 'socat'],
    run: (directory) => bootFromServers('atftpd', directory, 'tftp'),
  },
  {
    name: 'atftpd without options',
    programs: ['unshare', 'ip', 'dnsmasq', 'atftpd', 'socat'],
    run: (directory) => bootFromServers('plain', directory, 'tftp'),
  },
  {
    name: 'tftpd-hpa, with the options of RFC 2348 and 2349',
    programs: ['unshare', 'ip', 'dnsmasq', 'in.tftpd', 'strace', 'socat'],
    run: (directory) => bootFromServers('hpa', directory, 'tftp'),
  },
  {
    name: 'tftpd-hpa, which refuses all options',
    programs: ['unshare', 'ip', 'dnsmasq', 'in.tftpd', 'strace', 'socat'],
    run: (directory) => bootFromServers('hpa-plain', directory, 'tftp'),
  },
  {
    name: 'Kea, with a classless static route',
    programs: ['unshare', 'ip', 'dnsmasq', 'kea-dhcp4', 'socat'],
    run: (directory) => bootFromServers('kea', directory),
  },
  {
    name: 'dnsmasq, all its frames with a priority tag',
    programs: ['unshare', 'ip', 'dnsmasq', 'socat'],
    run: (directory) => bootFromServers('priority', directory, 'tftp'),
  },
  {
    name: 'dnsmasq on a trunk: each frame comes in VLAN 100, too',
    programs: ['unshare', 'ip', 'dnsmasq', 'socat'],
    run: (directory) => bootFromServers('trunk', directory, 'tftp'),
  },
  {
    name: "QEMU's user network: boot file in the header only",
    programs: ['unshare', 'ip', 'qemu-system-x86_64'],
    run: (directory) => bootOver('qemu', directory, 'boot.bin', madeFile(directory, 'boot.bin')),
  },
  {
    name: "QEMU's user network: Debian's memtest86+, byte for byte",
    programs: ['unshare', 'ip', 'qemu-system-x86_64'],
    run: (directory) =>
      bootOver('qemu', directory, 'memtest86+x64.bin', packaged(directory, MEMTEST)),
  },
  {
    name: 'passt, with TFTP on the loopback of the host',
    programs: ['unshare', 'ip', 'dnsmasq', 'passt'],
    run: async (directory) => {
      const file = madeFile(directory, 'boot.bin');
      const args = [rig('passt'), directory, ...hypxe('boot', file, '--link', 'passt')];
      check(await run(args), { name: 'boot.bin', file, told: true });
    },
  },
  {
    name: "passt, with Debian's ipxe.lkrn and an address, and no FILE to compare",
    programs: ['unshare', 'ip', 'dnsmasq', 'passt'],
    run: async (directory) => {
      const file = packaged(directory, IPXE);
      const options = ['--link', 'passt', '--boot-file', 'ipxe.lkrn', '--next-server', '10.9.9.1'];
      const args = [rig('passt'), directory, ...hypxe('boot', ...options)];
      check(await run(args), { name: 'ipxe.lkrn', file, told: false });
    },
  },
];

/** Boot where several serve, of which each does a part. */
async function bootFromServers(
  kind: string,
  directory: string,
  name: 'servers' | 'tftp' = 'servers',
): Promise<void> {
  const file = madeFile(directory, 'boot.bin');
  const socket = path.join(directory, `${kind}.sock`);
  const boot = hypxe('boot', file, '--link', `stream:${socket}`);
  const document = await run([rig(name), kind, directory, 'boot.bin', socket, ...boot]);
  check(document, { name: 'boot.bin', file, told: true });
}

/** Boot over the socket of a rig, once with the FILE to compare and once without. */
async function bootOver(
  name: 'tap' | 'qemu',
  directory: string,
  bootFile: string,
  file: string,
): Promise<void> {
  for (const told of [true, false]) {
    const socket = path.join(directory, `${name}-${told}.sock`);
    const link = ['--link', `stream:${socket}`];
    const boot = hypxe('boot', ...(told ? [file] : []), ...link);
    const document = await run([rig(name), directory, bootFile, socket, ...boot]);
    check(document, { name: bootFile, file, told });
  }
}

function hypxe(...args: string[]): string[] {
  return [process.execPath, CLI, ...args, '--json'];
}

/** Run a rig. @throws Error with all that it said, if there is no document or no success */
function run([script = '', ...args]: readonly string[]): Promise<Document> {
  const options = { timeout: BOOT_MAX_MS, maxBuffer: 1 << 26 };
  return new Promise((resolve, reject) => {
    const child = execFile('bash', [script, ...args], options, (error, out, said) => {
      if (error === null) resolve(JSON.parse(out) as Document);
      else reject(new Error(`exit code ${child.exitCode ?? error.signal}\n${out}${said}`));
    });
  });
}

/** Compare what a boot came to. @throws Error */
function check(document: Document, expected: Expected): void {
  const bytes = fs.readFileSync(expected.file);
  const wanted: Readonly<Record<string, unknown>> = {
    verdict: 'clean',
    name: expected.name,
    length: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    equal: expected.told ? true : null,
    'frames that the OS received': true,
    'second boot': 'booted',
    'failure of the link': null,
  };
  const { verdict, image, os: kernel, secondBoot, link } = document;
  const had: Readonly<Record<string, unknown>> = {
    verdict,
    ...image,
    'frames that the OS received': (kernel?.nics[0]?.received ?? 0) > 0,
    'second boot': secondBoot,
    'failure of the link': link.failure,
  };
  const wrong = Object.keys(wanted).filter((key) => had[key] !== wanted[key]);
  if (wrong.length === 0) return;
  const lines = wrong.map((key) => `${key}: ${String(had[key])}, not ${String(wanted[key])}`);
  throw new Error([document.summary, ...lines].join('\n'));
}

/** A file of a length that is no multiple of anything, made here. */
function madeFile(directory: string, name: string): string {
  const file = path.join(directory, name);
  const bytes = new Uint8Array(300_001);
  for (let i = 0, word = 1; i < bytes.length; i++) {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
    bytes[i] = word >>> 24;
  }
  fs.writeFileSync(file, bytes);
  return file;
}

/** The file of a package, put where it is served. @throws Missing */
function packaged(directory: string, image: { package: string; file: string }): string {
  if (!fs.existsSync(image.file)) {
    throw new Missing(`${image.file} is missing: apt-get install ${image.package}`);
  }
  fs.copyFileSync(image.file, path.join(directory, path.basename(image.file)));
  return image.file;
}

/** What of this machine the tests want and do not find. */
function missing(programs: readonly ProgramName[]): string | undefined {
  for (const name of programs) {
    const where = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'];
    if (where.some((place) => fs.existsSync(path.join(place, name)))) continue;
    return `${name} is missing: apt-get install ${PROGRAMS[name]}`;
  }
  try {
    const options = ['--user', '--map-root-user', '--net', 'ip', 'link', 'set', 'lo', 'up'];
    execFileSync('unshare', options, { stdio: 'pipe' });
  } catch (error) {
    return `no network namespace of one's own: ${(error as Error).message.trim()}`;
  }
  if (programs.includes('socat') && !fs.existsSync('/dev/net/tun')) return 'no /dev/net/tun';
  return undefined;
}

/** Run a test, and say what became of it. */
async function runTest(test: RealTest): Promise<'passed' | 'failed' | 'skipped'> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-real-'));
  const begin = performance.now();
  try {
    const reason = missing(test.programs);
    if (reason !== undefined) throw new Missing(reason);
    await test.run(directory);
    console.log(`pass  ${test.name} (${((performance.now() - begin) / 1000).toFixed(1)} s)`);
    return 'passed';
  } catch (error) {
    const { message } = error as Error;
    const skip = error instanceof Missing && process.env.HYPXE_REQUIRE_TOOLS !== '1';
    if (skip) console.log(`skip  ${test.name}: ${message}`);
    else console.log(`FAIL  ${test.name}\n      ${message.trimEnd().replaceAll('\n', '\n      ')}`);
    return skip ? 'skipped' : 'failed';
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

process.env.PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
const counts = { passed: 0, failed: 0, skipped: 0 };
const wanted = process.argv.slice(2);
for (const test of TESTS) {
  if (wanted.length > 0 && !wanted.some((part) => test.name.includes(part))) continue;
  counts[await runTest(test)]++;
}
if (counts.skipped > 0) console.log(`\n${counts.skipped} skipped`);
console.log(`\n${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed > 0 ? 1 : 0;
