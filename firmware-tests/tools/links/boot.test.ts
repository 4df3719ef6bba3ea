// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe boot --link`: over a socket with the simulator's own network behind it, and failures. */

import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import { suite } from 'uvu';
import { Exit } from '../../../tools/command/usage.ts';
import * as assert from 'uvu/assert';
import { StreamFrames, encodeFrame } from '../../../tools/links/stream-frames.ts';
import { TICKS_PER_MS, VirtualClock } from '../../../tools/simulator/base/clock.ts';
import { Network, memoryFiles, syntheticImage } from '../../../tools/simulator/network/index.ts';
import { Random } from '../../../tools/simulator/base/random.ts';
import { assertRefused, directory, hypxe, shell, write, CLI } from '../../rigs/cli-rig.ts';

const IMAGE = syntheticImage(40_000, 3);
const SHA256 = createHash('sha256').update(IMAGE).digest('hex');

/** What a peer does instead of being a network. */
type Mischief = (socket: net.Socket, frames: number) => void;

/** Servers that a test has left open would keep the process alive. */
const servers: net.Server[] = [];

/** A network behind a Unix socket, in wall time. */
async function serve(name: string, mischief?: Mischief): Promise<void> {
  const server = net.createServer((socket) => {
    const network = new Network({ files: memoryFiles({ 'a.img': IMAGE }), bootFile: 'a.img' });
    const clock = new VirtualClock();
    const begin = performance.now();
    const advance = (): void => clock.advanceTo((performance.now() - begin) * TICKS_PER_MS);
    const link = network.link(0);
    link.connect({
      ...{ clock, random: new Random(1), nic: 0, address: new Uint8Array(6) },
      deliver: (frame) => void socket.write(encodeFrame(frame)),
      setLinkState: () => undefined,
    });
    let count = 0;
    const frames = new StreamFrames((frame) => {
      if (mischief !== undefined) return mischief(socket, ++count);
      link.transmit(frame);
    });
    socket.on('data', (chunk: Buffer) => {
      advance();
      frames.write(chunk);
    });
    socket.on('error', () => undefined);
    const timer = setInterval(advance, 1);
    socket.on('close', () => clearInterval(timer));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path.join(directory, name), resolve));
}

/** What `--json` says, as far as it matters here. */
interface Document {
  readonly verdict: string;
  readonly summary: string;
  readonly exitCode: number;
  readonly secondBoot: string | null;
  readonly error: { name: string } | null;
  readonly served: { name: string; sha256: string | null };
  readonly image: { name: string; sha256: string; equal: boolean | null; length: number } | null;
  readonly link: {
    readonly framesToGuest: number;
    readonly framesDropped: number;
    readonly failure: { name: string; text: string } | null;
  };
}

async function bootJson(...args: string[]): Promise<Document> {
  const { out, error, code } = await hypxe('boot', ...args, '--json');
  assert.is(error, '');
  const document = JSON.parse(out) as Document;
  assert.is(document.exitCode, code);
  return document;
}

const boots = suite('boot over a link');

boots('a network behind a socket: FILE is what was served', async () => {
  await serve('a.sock');
  write('copy.img', IMAGE);
  const document = await bootJson('copy.img', '--link', 'stream:a.sock');
  assert.match(document.summary, 'the host has nothing of this guest any more');
  assert.is(document.verdict, 'clean');
  assert.is(document.secondBoot, 'booted');
  const { name, sha256, equal, length } = document.image!;
  assert.equal(
    { name, sha256, equal, length },
    { ...{ name: 'a.img', sha256: SHA256 }, ...{ equal: true, length: 40_000 } },
  );
  assert.ok(document.link.framesToGuest > 56);
  assert.is(document.link.failure, null);
});

boots('without FILE, the report has the SHA-256 of what lies in RAM', async () => {
  await serve('b.sock');
  const run = await hypxe('boot', '--link', 'stream:b.sock', '--no-os', '--no-second-boot');
  assert.is(run.code, 0);
  assert.match(run.out, 'booting what the network names on server2022: 1 NIC');
  assert.match(run.out, `image    a.img, 40000 bytes\n  in RAM sha256 ${SHA256}\n`);
  assert.match(run.out, /: give FILE to compare it\nlink     \d+ frames out, \d+ in, 0 dropped\n/);
});

boots('another FILE than was served is a finding', async () => {
  await serve('c.sock');
  write(
    'other.img',
    IMAGE.map((byte, i) => (i === 39_999 ? byte ^ 1 : byte)),
  );
  const rest = ['--link', 'stream:c.sock', '--no-os', '--no-second-boot'];
  const document = await bootJson('other.img', ...rest);
  assert.is(document.exitCode, 1);
  assert.is(document.image?.equal, false);
  assert.match(document.summary, 'the image in RAM is not what was served');
});

boots('--boot-file and --next-server count more than what DHCP says', async () => {
  await serve('d.sock');
  const options = ['--boot-file', 'b.img', '--next-server', '192.168.77.1'];
  const document = await bootJson('--link', 'stream:d.sock', ...options, '--no-os');
  assert.is(document.error?.name, 'TftpFileNotFound');
  assert.is(document.served.name, 'b.img');
  assert.is(document.exitCode, 1);
});

boots.after(() => servers.forEach((server) => server.close()));
boots.run();

const failures = suite('boot over a link that is lost');

for (const [what, reason, mischief] of [
  ['closes the socket', 'the peer closed the socket', (socket: net.Socket) => socket.destroy()],
  [
    'closes it in the middle of a frame',
    'the peer closed the socket, after 10 bytes of 1504',
    (socket: net.Socket) => socket.end(Uint8Array.of(0, 0, 5, 220, 1, 2, 3, 4, 5, 6)),
  ],
  [
    'says a length that lies',
    'a frame of 65536 bytes was announced: 1 to 65535 are possible',
    (socket: net.Socket) => socket.write(Uint8Array.of(0, 1, 0, 0)),
  ],
] as const) {
  failures(`a peer that ${what}`, async () => {
    const name = `lost-${what.length}.sock`;
    await serve(name, mischief);
    const document = await bootJson('--link', `stream:${name}`, '--no-os');
    assert.equal(document.link.failure?.name, 'LinkLost');
    assert.equal(document.link.failure?.text, reason);
    assert.is(document.error?.name, 'LinkDown');
    assert.is(document.image, null);
    assert.is(document.verdict, 'findings');
  });
}

/** A program that is called passt, and says this. */
function fakePasst(name: string, script: string): string {
  write(`${name}/passt`, `#!/bin/sh\n${script}\n`);
  fs.chmodSync(path.join(directory, name, 'passt'), 0o755);
  return `PATH="${path.join(directory, name)}:$PATH"`;
}

/** `hypxe boot` with other programs than there are. */
function withPath(assignment: string, ...args: string[]): ReturnType<typeof shell> {
  return shell(`${assignment} "${process.execPath}" "${CLI}" boot ${args.join(' ')}`);
}

failures('passt is not installed', async () => {
  const run = await withPath('PATH=/nowhere', '--link passt --boot-file a.img');
  const advice = "It is in Debian's package passt: apt-get install passt.";
  const text = 'passt is not installed';
  assertRefused({ ...run, out: '' }, 'ProgramMissing', text, advice, Exit.ENVIRONMENT);
});

failures('passt dies, and says why', async () => {
  const script = 'echo first >&2; head -c 4 <&3 >/dev/null; echo "no more sockets" >&2; exit 3';
  const run = await withPath(fakePasst('dies', script), '--link passt --boot-file a.img --no-os');
  assert.match(run.out, 'LinkLost: passt ended (exit code 3): no more sockets');
  assert.is(run.code, 1);
});

failures('passt is given its options, and the socket', async () => {
  const script = 'echo "$@" >&2; exit 1';
  const run = await withPath(fakePasst('says', script), '--link passt --boot-file a.img --no-os');
  const options =
    '-f -q -1 -4 -i lo -m 1500 -M 52:54:00:00:00:01 -a 10.9.9.2 -n 24 -g 10.9.9.1 -F 3';
  assert.match(run.out, `LinkLost: passt ended (exit code 1): ${options}`);
});

failures.after(() => servers.forEach((server) => server.close()));
failures.run();

const options = suite('options of a link');

for (const [args, name, text, advice] of [
  [
    ['--link', 'tap0'],
    'UnknownLink',
    'there is no link tap0',
    'Choose passt, or stream:PATH for a Unix socket.',
  ],
  [
    ['--link', `stream:${'x'.repeat(108)}`],
    'UnknownLink',
    'the path of a socket has at most 107 bytes',
    'Put the socket where its path is shorter.',
  ],
  [
    ['--link', 'passt'],
    'NoBootFile',
    'passt names no boot file',
    'Add --boot-file NAME, or FILE, of which the name counts.',
  ],
  [
    ['--link', 'passt', '--loss', '0.1'],
    'NotWithLink',
    '--loss is of the network that is made here, and --link is of another',
    'Leave one of them out.',
  ],
  [
    ['--link', 'passt', '--nics', '2'],
    'NotWithLink',
    '--nics 2: a link is one cable, with one NIC at its end',
    'Leave --nics out.',
  ],
  [
    ['--link', 'stream:x', '--next-server', '10.0.0.300'],
    'BadAddress',
    '--next-server cannot be 10.0.0.300',
    'Give an IPv4 address: 192.0.2.1.',
  ],
  [
    ['--boot-file', 'x'],
    'OnlyWithLink',
    '--boot-file without --link',
    'The network that is made here names them by itself: FILE says which.',
  ],
] as const) {
  options(`${args.join(' ').slice(0, 60)}: ${name}`, async () => {
    assertRefused(await hypxe('boot', ...args), name, text, advice);
  });
}

options('a socket that is not there', async () => {
  const run = await hypxe('boot', '--link', 'stream:nothing.sock', '--json');
  const advice = 'Start the program that listens there, or check the path.';
  const name = 'LinkUnreachable';
  const message = 'nothing.sock: there is no such socket';
  assertRefused({ ...run, out: '' }, name, message, advice, Exit.ENVIRONMENT);
  assert.equal(JSON.parse(run.out), { error: { name, message, advice }, exitCode: 4 });
});

options.after(() => servers.forEach((server) => server.close()));
options.run();
