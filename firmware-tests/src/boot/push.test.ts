// SPDX-License-Identifier: GPL-2.0-or-later

/** Files that the host pushes: where they go, which is booted, and what is left of them. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { boot, type BootOptions, type BootResult } from '../../../src/os.ts';
import { parseScript } from '../../../src/services/boot-script.ts';
import { IcStatus } from '../../../src/services/protocol.ts';
import { runBootFlow } from '../../../tools/flow/boot-flow.ts';
import {
  FRAGMENT_SIZE,
  FileCopyHost,
  memoryContents,
  type FileCopyHostOptions,
  type Push,
} from '../../../tools/simulator/services/index.ts';
import { UtilityRig, contentsOf, type UtilityRigOptions } from '../../rigs/utility-rig.ts';
import { complaints } from '../../rigs/boot-rig.ts';

const { ALREADY_EXISTS, DISK_FULL, FAIL } = IcStatus;

/** A push of a text or of bytes. */
function file(name: string, contents: Uint8Array | string, more: Partial<Push> = {}): Push {
  const bytes = typeof contents === 'string' ? new TextEncoder().encode(contents) : contents;
  return { name, contents: memoryContents(bytes), ...more };
}

interface Run {
  readonly host: FileCopyHost;
  readonly rig: UtilityRig;
  readonly result: BootResult;
  /** What lies in guest memory at a place. */
  memory(place: { readonly address: number; readonly length: number }): Uint8Array;
}

/** Push these, and boot. The audit finds nothing afterwards. */
function run(
  pushes: readonly Push[],
  options: BootOptions = {},
  more: Partial<UtilityRigOptions> = {},
  hostOptions: FileCopyHostOptions = {},
): Run {
  const host = new FileCopyHost({ atOpen: pushes, ...hostOptions });
  const rig = new UtilityRig({ devices: [host], ...more });
  const result = rig.boot({ services: ['file-copy'], ...options });
  rig.auditBoot(result);
  const { bytes } = rig.machine.partition.ram;
  const memory: Run['memory'] = ({ address, length }) => bytes.slice(address, address + length);
  return { host, rig, result, memory };
}

/** Nothing of what was pushed takes memory any more. */
function nothingKept({ result, rig }: Run): void {
  const free = (map: BootResult['memoryMap']): number =>
    map.reduce((sum, { type, length }) => sum + (type === 'usable' ? length : 0), 0);
  assert.is(free(result.memoryMap), free(rig.machine.bootProcessor.memoryMap));
}

const names = (result: BootResult): string[] => (result.files ?? []).map(({ path }) => path);

// --- what is booted ---

const choice = suite('what is booted');

choice('the first pushed image, without a frame on the wire', () => {
  const image = contentsOf(100_001);
  const { host, rig, result, memory } = run(
    [file('vmlinuz', image), file('initrd.img', contentsOf(7000, 2), { path: 'boot\\x' })],
    {},
    { files: { other: contentsOf(10) } },
  );
  assert.is(result.status, 'booted');
  assert.is(result.image?.name, 'vmlinuz');
  assert.is(result.image?.device, 'file copy');
  assert.equal(memory(result.image!), image);
  assert.equal(names(result), ['boot/x/initrd.img']);
  assert.equal(memory(result.files![0]!), contentsOf(7000, 2));
  assert.is(rig.machine.nics[0]!.statistics.framesFromGuest, 0);
  assert.is(host.done, true);
  assert.equal(
    result.memoryMap.flatMap(({ purpose }) => purpose ?? []),
    ['boot image vmlinuz', 'pushed file boot/x/initrd.img'],
  );
  assert.equal(rig.violations, []);
});

choice('the boot file that the caller names, if it was pushed', () => {
  const { result } = run([file('a', 'a'), file('b', 'b', { path: 'dir' })], { bootFile: 'b' });
  assert.is(result.image?.name, 'dir/b');
  const byPath = run([file('b', '1'), file('b', '2', { path: 'dir' })], { bootFile: '/dir/b' });
  assert.is(byPath.result.image?.name, 'dir/b');
});

choice('else the boot file of the network, with the pushed files beside it', () => {
  const image = contentsOf(5000);
  const { result, memory } = run(
    [file('initrd', contentsOf(3000, 2)), file('cmdline', 'quiet splash \r\n')],
    { bootFile: 'kernel' },
    { files: { kernel: image } },
  );
  assert.is(result.image?.device, 'net0');
  assert.equal(memory(result.image!), image);
  assert.equal(names(result), ['initrd', 'cmdline']);
  assert.is(result.commandLine, 'quiet splash');
});

choice('a command line alone goes with the image of the network', () => {
  const { result } = run([file('cmdline', 'a\u00e4\u20ac')], {}, { files: { k: contentsOf(10) } });
  assert.is(result.image?.name, 'k');
  assert.is(result.commandLine, 'a\u00e4\u20ac');
});

choice('nothing is pushed: the network, after a while', () => {
  const { result, rig } = run([], { push: { waitMs: 700 } }, { files: { k: contentsOf(10) } });
  assert.is(result.image?.name, 'k');
  assert.equal(result.files, []);
  const begin = rig.events.findIndex((e) => e.kind === 'boot-step' && e.step === 'receive');
  const open = rig.events.findIndex((e) => e.kind === 'boot-step' && e.step === 'open');
  assert.ok(begin >= 0 && begin < open);
});

choice('the host has no file copy service: nobody waits for it', () => {
  const rig = new UtilityRig({ devices: [], files: { k: contentsOf(10) } });
  const result = rig.boot({ services: ['file-copy'] });
  assert.is(result.image?.name, 'k');
  assert.ok(rig.machine.clock.now < 2000 * 10_000);
});

choice('a script: the kernel that was pushed, with arguments', () => {
  const script = '#!ipxe\n\n# a comment\nkernel bz root=/dev/sda  ro\ninitrd i\nboot\n';
  const { result } = run([file('i', 'i'), file('autoexec.ipxe', script), file('bz', 'kernel')]);
  assert.is(result.image?.name, 'bz');
  assert.is(result.commandLine, 'root=/dev/sda ro');
  assert.equal(names(result), ['i', 'autoexec.ipxe']);
});

choice('a script: what the network serves', () => {
  const files = { first: contentsOf(10), second: contentsOf(20), third: contentsOf(30) };
  for (const [script, name] of [
    ['#!ipxe\nkernel third a b\n', 'third'],
    ['#!ipxe\r\nset filename second\r\nautoboot\r\n', 'second'],
    ['#!ipxe\n', 'first'],
  ] as const) {
    const { result } = run([file('autoexec.ipxe', script)], {}, { files });
    assert.is(result.image?.name, name);
    assert.is(result.image?.device, 'net0');
  }
});

choice('a next server of a script is asked', () => {
  const script = '#!ipxe\nset next-server 192.0.2.200\nset filename first\nautoboot\n';
  const files = { first: contentsOf(10) };
  const net = { tftp: { totalMs: 10 }, net: { arpTries: 1, arpFirstTimeoutMs: 10 } } as const;
  const { result } = run([file('autoexec.ipxe', script)], { net } as BootOptions, { files });
  assert.is(result.status, 'failed');
  assert.match(result.error!.message, /192\.0\.2\.200/);
});

const BAD_BOOTS: readonly (readonly [what: string, pushes: readonly Push[], error: string])[] = [
  ['a script that is none', [file('autoexec.ipxe', 'boot')], 'BadScript'],
  ['a script with an unknown command', [file('autoexec.ipxe', '#!ipxe\ngoto x')], 'BadScript'],
  ['a script that is too long', [file('autoexec.ipxe', new Uint8Array(65_537))], 'BadScript'],
  [
    'an initrd that is not there',
    [file('autoexec.ipxe', '#!ipxe\ninitrd i'), file('k', 'k')],
    'PushedFileMissing',
  ],
  ['an empty image', [file('k', '')], 'PushedFileEmpty'],
  [
    'a command line that is too long',
    [file('cmdline', 'x'.repeat(4097)), file('k', 'k')],
    'CommandLineTooLong',
  ],
];

for (const [what, pushes, error] of BAD_BOOTS)
  choice(`refused with a name: ${what}`, () => {
    const ran = run(pushes);
    assert.is(ran.result.status, 'failed');
    assert.is(ran.result.error?.name, error);
    nothingKept(ran);
  });

choice('scripts: the line of the mistake', () => {
  assert.throws(() => parseScript('#!ipxe\n\nset x y'), /^.*line 3: set knows/);
  assert.throws(() => parseScript('#!ipxe\nkernel'), /line 2: kernel without a file/);
  assert.throws(() => parseScript('#!ipxe\n' + '\n'.repeat(1000)), /more than 1000 lines/);
  assert.is(parseScript('#!ipxe\nchain x\nimgargs x a=b  c\nboot y').kernel, 'y');
  assert.is(parseScript('#!ipxe\nkernel x\nimgargs x a=b  c').arguments, 'a=b c');
});

choice('files beside the image are given back if nobody wants them', () => {
  const { result } = run([file('k', 'k'), file('i', 'i')], { push: { others: 'free' } });
  assert.equal(result.files, []);
  const reserved = result.memoryMap.filter(({ type }) => type === 'reserved');
  assert.is(reserved.length, 1);
});

choice.run();

// --- where files go ---

const store = suite('file store');

/** Push these, boot the first that is complete; outcome and status of each. */
function outcomes(pushes: readonly Push[], options: BootOptions = {}) {
  const { host } = run(pushes, options);
  return host.reports.map(({ outcome, status }) => [outcome, status]);
}

store('a file that is there already', () => {
  const again = file('k', 'two', { overwrite: false });
  assert.equal(outcomes([file('k', 'one'), again]), [
    ['copied', 0],
    ['refused', ALREADY_EXISTS],
  ]);
  const { result, memory } = run([file('k', 'one'), file('k', 'three')]);
  assert.is(new TextDecoder().decode(memory(result.image!)), 'three');
  assert.equal(names(result), []);
});

store('the same name in another directory is another file', () => {
  const { result } = run([file('k', 'one', { overwrite: false }), file('k', '2', { path: 'd' })]);
  assert.equal([result.image?.name, names(result)], ['k', ['d/k']]);
});

store('a directory that is not there', () => {
  const no = { createPath: false } as const;
  assert.equal(
    outcomes([
      file('k', 'k', { path: 'a/b', ...no }),
      file('k', 'k', { path: 'a/b' }),
      file('l', 'l', { path: '/a\\b/', ...no }),
      file('m', 'm', { path: 'a', ...no }),
      file('n', 'n', { path: 'a/b/c', ...no }),
    ]),
    [
      ['refused', FAIL],
      ['copied', 0],
      ['copied', 0],
      ['copied', 0],
      ['refused', FAIL],
    ],
  );
});

const BAD_NAMES: readonly (readonly [name: string, path: string])[] = [
  ['', ''],
  ['.', ''],
  ['..', ''],
  ['a/b', ''],
  ['a\\b', ''],
  ['a\u0007', ''],
  ['k', '../up'],
  ['k', 'a/../../b'],
  ['k', 'd/'.repeat(33)],
];

for (const [name, path] of BAD_NAMES)
  store(`refused: ${JSON.stringify(name)} in ${JSON.stringify(path.slice(0, 12))}`, () => {
    const ran = run([file(name, 'x', { path })]);
    assert.equal(
      ran.host.reports.map(({ outcome, status }) => [outcome, status]),
      [['refused', FAIL]],
    );
    nothingKept(ran);
  });

store('files and directories do not take each other’s names', () => {
  assert.equal(
    outcomes([
      file('a', 'a'),
      file('b', 'b', { path: 'a' }),
      file('c', 'c', { path: 'd' }),
      file('d', 'd'),
    ]).map(([outcome]) => outcome),
    ['copied', 'refused', 'copied', 'refused'],
  );
});

store('a limit, in whole pages', () => {
  const push = { limit: 3 * 4096 } as const;
  const files = [file('a', contentsOf(4097)), file('b', contentsOf(4097)), file('c', 'c')];
  const { host, rig } = run(files, { push });
  assert.equal(
    host.reports.map(({ outcome, status }) => [outcome, status]),
    [
      ['copied', 0],
      ['refused', DISK_FULL],
      ['copied', 0],
    ],
  );
  assert.ok(rig.said(/"b": 4097 bytes, 4096 are left/));
  // What is overwritten makes room
  assert.equal(outcomes([file('a', contentsOf(8193)), file('a', contentsOf(8194))], { push }), [
    ['copied', 0],
    ['copied', 0],
  ]);
});

store('more than the guest has', () => {
  const huge: Push = { name: 'huge', contents: { size: 2 ** 40, read: () => {} } };
  const ran = run([huge]);
  assert.is(ran.host.reports[0]!.status, DISK_FULL);
  nothingKept(ran);
});

store('too many files', () => {
  const many = Array.from({ length: 65 }, (_, i) => file(`f${i}`, 'x'));
  assert.equal(outcomes(many).slice(63), [
    ['copied', 0],
    ['refused', DISK_FULL],
  ]);
});

store('the log lists what was taken', () => {
  const { rig } = run([file('vmlinuz', contentsOf(5000)), file('empty', '')]);
  assert.ok(rig.said(/^info BOOT : took "vmlinuz": 5000 bytes at 0x100000, \d+ bytes are left/));
  assert.ok(rig.said(/^info BOOT : handing on "empty": empty/));
});

store.run();

// --- the way there ---

const copying = suite('copying');

copying('sizes around the fragment', () => {
  for (const size of [1, FRAGMENT_SIZE - 1, FRAGMENT_SIZE, FRAGMENT_SIZE + 1, 3 * FRAGMENT_SIZE]) {
    const { result, memory } = run([file('k', contentsOf(size, size))]);
    assert.equal(memory(result.image!), contentsOf(size, size), `${size} bytes`);
  }
});

copying('cancelled after any fragment: nothing is left, and the next file is copied', () => {
  for (let cancelAfter = 0; cancelAfter <= 4; cancelAfter++) {
    const { host, result, memory, rig } = run([
      file('gone', contentsOf(4 * FRAGMENT_SIZE), { cancelAfter }),
      file('k', contentsOf(100, 9)),
    ]);
    const [first, second] = host.reports;
    assert.is(first!.outcome, 'cancelled');
    assert.is(first!.bytes, cancelAfter * FRAGMENT_SIZE);
    assert.is(second!.outcome, 'copied');
    assert.is(result.image?.address, 0x100000, 'at the place of the first');
    assert.equal(memory(result.image!), contentsOf(100, 9));
    assert.equal(names(result), []);
    assert.ok(rig.said(/removed "gone"/));
  }
});

/** Make the guest refuse a fragment so many times: its length is changed on the way. */
function spoil(host: FileCopyHost, offset: number, times: number): void {
  let left = times;
  host.faults.alter = (bytes) => {
    const view = new DataView(bytes.buffer);
    const write = bytes.length > 5000 && view.getUint32(28, true) === 1;
    if (!write || view.getUint32(68, true) !== offset || left === 0) return bytes;
    left--;
    view.setUint32(76, 6145, true);
    return bytes;
  };
}

copying('a refused fragment is sent again', () => {
  const host = new FileCopyHost({ atOpen: [file('k', contentsOf(30_000))] });
  spoil(host, 2 * FRAGMENT_SIZE, 2);
  const rig = new UtilityRig({ devices: [host] });
  const result = rig.boot({ services: ['file-copy'] });
  assert.is(result.status, 'booted');
  assert.is(host.reports[0]!.repeated, 2);
  const { address, length } = result.image!;
  const { bytes } = rig.machine.partition.ram;
  assert.equal(bytes.slice(address, address + length), contentsOf(30_000));
});

copying('one that is refused again and again ends in a CANCEL', () => {
  const host = new FileCopyHost({ atOpen: [file('k', contentsOf(30_000))] });
  spoil(host, FRAGMENT_SIZE, 99);
  const rig = new UtilityRig({ devices: [host] });
  const result = rig.boot({ services: ['file-copy'], push: { waitMs: 100 } });
  assert.is(result.status, 'failed');
  const { outcome, repeated, bytes } = host.reports[0]!;
  assert.equal([outcome, repeated, bytes], ['refused', 2, FRAGMENT_SIZE]);
  assert.ok(rig.said(/removed "k": the host cancelled it/));
});

copying('progress and times are told', () => {
  const told: number[] = [];
  const onProgress = (_: string, bytes: number): void => void told.push(bytes);
  const { host, rig } = run([file('k', contentsOf(13_000))], {}, {}, { onProgress });
  assert.equal(told, [6144, 12_288, 13_000]);
  const [report] = host.reports;
  assert.ok(report!.endedAt > report!.startedAt);
  const progress = rig.events.flatMap((e) => (e.kind === 'progress' ? [e.received] : []));
  assert.equal(progress, [0, 6144, 12_288, 13_000]);
});

copying('a host that never sends COMPLETE: the file is removed, and the network is booted', () => {
  const host = new FileCopyHost({ atOpen: [file('k', contentsOf(30_000))] });
  host.faults.alter = (bytes) => (bytes.length === 64 ? undefined : bytes);
  const rig = new UtilityRig({ devices: [host], files: { net: contentsOf(10) } });
  const result = rig.boot({ services: ['file-copy'], push: { silenceMs: 4000 } });
  assert.is(result.image?.name, 'net');
  assert.ok(rig.said(/giving up the file: the host has been silent for 4000 ms/));
  rig.auditBoot(result);
});

/** Take the service away once `when` says so of the host, and boot over the network. */
function takenAway(
  host: FileCopyHost,
  when: () => boolean,
): { rig: UtilityRig; result: BootResult } {
  const rig = new UtilityRig({ devices: [host], files: { net: contentsOf(10) } });
  const { clock } = rig.machine;
  const look = (): void => {
    if (when()) rig.machine.vmbus.rescind(host);
    else clock.schedule(100, look);
  };
  clock.schedule(1, look);
  return { rig, result: rig.boot({ services: ['file-copy'], push: { waitMs: 300 } }) };
}

for (const [what, when] of [
  ['before it is opened', () => true],
  ['in the negotiation', (host: FileCopyHost) => host.state === 'negotiating'],
  ['after the negotiation', (host: FileCopyHost) => host.state === 'ready'],
  ['between fragments', (host: FileCopyHost) => host.answers === 5],
] as const)
  copying(`taken away ${what}: the boot goes on, and no memory is lost`, () => {
    const host: FileCopyHost = new FileCopyHost({ atOpen: [file('k', contentsOf(90_000))] });
    const { rig, result } = takenAway(host, () => when(host));
    assert.is(result.image?.name, 'net');
    assert.equal(names(result), []);
    rig.auditBoot(result);
    const reserved = result.memoryMap.filter(({ type }) => type === 'reserved');
    assert.equal(
      reserved.map(({ purpose }) => purpose),
      ['boot image net'],
    );
    assert.is(host.state, 'closed');
  });

copying('a guest that answers nothing: the host gives up and tells', () => {
  const host = new FileCopyHost({ atOpen: [file('k', 'k')], answerMs: 100 });
  host.faults.alter = (bytes) => (bytes.length > 1000 ? undefined : bytes);
  const { rig } = takenAway(host, () => host.reports.length > 0);
  assert.is(host.reports[0]!.outcome, 'lost');
  assert.match(host.reports[0]!.reason, /no answer to operation 0 within 100 ms/);
  assert.ok(rig.violations.some((text) => /utility: file copy: no answer/.test(text)));
});

copying('an answer to another transaction is not taken for this one', () => {
  const host = new FileCopyHost({ atOpen: [file('k', 'k')], answerMs: 100 });
  // The guest answers in place: with the transaction of the message that it got
  host.faults.alter = (bytes) => {
    if (bytes.length > 1000) bytes[24] = 0x77;
    return bytes;
  };
  const { rig } = takenAway(host, () => host.reports.length > 0);
  assert.is(host.reports[0]!.outcome, 'lost');
  assert.ok(rig.violations.some((text) => /an answer to transaction 119, not 1$/.test(text)));
});

copying.run();

// --- the whole flow ---

const flow = suite('flow');

flow('boot by push, an OS, and the same again: clean', () => {
  const image = contentsOf(150_000);
  const host = new FileCopyHost({ atOpen: [file('k', image), file('i', contentsOf(9000, 2))] });
  const rig = new UtilityRig({ devices: [host], files: {}, memoryMiB: 16 });
  const report = runBootFlow({
    machine: rig.machine,
    firmware: { boot },
    bootOptions: { services: ['file-copy'], push: { quietMs: 50 } },
  });
  assert.equal(complaints(report), []);
  assert.is(report.verdict, 'clean');
  assert.equal(report.boot?.files?.length, 1);
  assert.equal(report.secondBoot?.status, 'booted');
  assert.equal(
    host.reports.map(({ outcome }) => outcome),
    ['copied', 'copied', 'copied', 'copied'],
  );
});

flow.run();
