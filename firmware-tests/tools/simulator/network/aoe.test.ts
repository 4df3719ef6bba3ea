// SPDX-License-Identifier: GPL-2.0-or-later

/** The disk of the built-in network: ATA over Ethernet, at the bytes. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetworkOptionError } from '../../../../tools/simulator/network/index.ts';
import { BROADCAST, Client, be16, hex, networkWith, text } from '../../../rigs/network-client.ts';

const SECTORS = 16;
/** Each sector is full of its number. */
const disk = Uint8Array.from({ length: SECTORS * 512 }, (_, i) => i >> 9);
const TARGET = [0x02, 0x68, 0x79, 0x70, 0x78, 5];
const TAG = [0xca, 0xfe, 0xba, 0xbe];

/** A client on a network with the disk, that asks and gets at most one answer. */
class Initiator extends Client {
  constructor() {
    super(networkWith({ aoe: { disk, shelf: 3, slot: 7 } }));
  }

  /** From the version on; undefined: no answer. */
  ask(request: readonly number[], to: readonly number[] = TARGET): Uint8Array | undefined {
    this.send([...to, ...this.address, 0x88, 0xa2, ...request]);
    const answers = this.run();
    assert.ok(answers.length < 2);
    const bytes = answers[0]?.bytes;
    if (bytes === undefined) return undefined;
    assert.is(hex(bytes.subarray(0, 14)), hex([...this.address, ...TARGET, 0x88, 0xa2]));
    return bytes.subarray(14);
  }

  ata(flags: number, count: number, command: number, lba: number, data: number[] = []) {
    const registers = [flags, 0, count, command, lba & 255, lba >> 8, 0, 0, 0, 0, 0, 0];
    return this.ask([0x10, 0, 0, 3, 7, 0, ...TAG, ...registers, ...data]);
  }
}

const aoe = suite('network: disk');

aoe('it is found by its address, by any, and by nobody else', () => {
  const at = new Initiator();
  const query = [1, ...TAG, 0, 0, 0, 0, 0, 0x10, 0, 0];
  // The answer has its address, 16 buffers, firmware 1, 2 sectors, no configuration string
  const answer = `180000030701${hex(TAG)}0010000102100000`;
  for (const address of [
    [0, 3, 7],
    [0xff, 0xff, 0xff],
    [0, 3, 0xff],
  ]) {
    const found = at.ask([0x10, 0, ...address, ...query], BROADCAST)!;
    assert.is(hex(found.subarray(0, 18)), answer);
    assert.is(found.length, 46, 'padded');
  }
  for (const address of [
    [0, 3, 8],
    [1, 3, 7],
  ]) {
    assert.is(at.ask([0x10, 0, ...address, ...query], BROADCAST), undefined);
  }
  assert.is(at.network.statistics.drops['other-address'], 2);
});

aoe('sectors are read, with 28 and with 48 bits of address', () => {
  const at = new Initiator();
  for (const [flags, command] of [
    [0x40, 0x24],
    [0, 0x20],
  ] as const) {
    const read = at.ata(flags, 2, command, 5)!;
    assert.is(hex(read.subarray(0, 14)), `180000030700${hex(TAG)}${hex([flags, 0, 2, 0x40])}`);
    assert.is(read.length, 22 + 1024);
    assert.ok(read.subarray(22, 22 + 512).every((byte) => byte === 5));
    assert.ok(read.subarray(22 + 512).every((byte) => byte === 6));
  }
  // Of 28 bits the upper four of the fourth byte are none of the address
  const registers = [0, 0, 1, 0x20, 5, 0, 0, 0xe0, 0xff, 0xff, 0, 0];
  const odd = at.ask([0x10, 0, 0, 3, 7, 0, ...TAG, ...registers])!;
  assert.is(odd[13], 0x40);
  assert.is(odd[22], 5);
});

aoe('what is written is read, and the bytes that were given stay', () => {
  const at = new Initiator();
  const wrote = at.ata(0x41, 1, 0x34, 9, Array<number>(512).fill(0xa5))!;
  assert.is(wrote[13], 0x40);
  const read = at.ata(0x40, 2, 0x24, 9)!;
  assert.is(hex(read.subarray(22, 24)), 'a5a5');
  assert.is(hex(read.subarray(22 + 512, 24 + 512)), '0a0a');
  assert.is(disk[9 * 512], 9);
});

aoe('it says who it is', () => {
  const at = new Initiator();
  const identity = at.ata(0, 1, 0xec, 0)!.subarray(22);
  assert.is(identity.length, 512);
  const view = new DataView(identity.slice().buffer);
  assert.is(view.getUint32(120, true), SECTORS);
  assert.is(view.getBigUint64(200, true), BigInt(SECTORS));
  // Characters of a word are the wrong way round
  const swapped = identity.map((_, i) => identity[i ^ 1]!);
  assert.is(text(swapped.subarray(54, 94)).trimEnd(), 'hypxe AoE disk');
  assert.is(text(swapped.subarray(20, 40)).trimEnd(), 'e3.7');
});

aoe('what it cannot do has an error of its own', () => {
  const at = new Initiator();
  const drive = (...ask: Parameters<Initiator['ata']>) => hex(at.ata(...ask)!.subarray(11, 14));
  assert.is(drive(0x40, 1, 0x24, SECTORS), '100141', 'beyond the end');
  assert.is(drive(0x40, 2, 0x24, SECTORS - 1), '100241', 'across the end');
  assert.is(drive(0x40, 3, 0x24, 0), '040341', 'more than a frame has room for');
  assert.is(drive(0x40, 0, 0x24, 0), '040041', 'nothing');
  assert.is(drive(0x41, 2, 0x34, 0, Array<number>(512).fill(1)), '040241', 'too little data');
  assert.is(drive(0, 1, 0xc8, 0), '040141', 'DMA');
  assert.is(drive(0, 0, 0xe7, 0), '000040', 'flush');
  assert.is(at.ata(0x40, 1, 0x24, 0)![22], 0, 'a write that failed has written nothing');

  const error = (request: readonly number[]) => hex(at.ask(request)!.subarray(0, 2));
  assert.is(error([0x20, 0, 0, 3, 7, 0, ...TAG, ...Array<number>(12).fill(0)]), '1c05', 'version');
  assert.is(error([0x10, 0, 0, 3, 7, 2, ...TAG, ...Array<number>(12).fill(0)]), '1c01', 'command');
  assert.is(error([0x10, 0, 0, 3, 7, 0, ...TAG]), '1c02', 'no registers');
  const config = (command: number, length: number) =>
    error([0x10, 0, 0, 3, 7, 1, ...TAG, 0, 0, 0, 0, 0, 0x10 | command, ...be16(length), 0x61]);
  assert.is(config(1, 0), '1800', 'the string is empty');
  assert.is(config(3, 1), '1c04', 'it cannot be set');
});

aoe('what is no request for it has no answer', () => {
  const at = new Initiator();
  assert.is(at.ask([0x18, 0, 0, 3, 7, 1, ...TAG, ...Array<number>(40).fill(0)]), undefined);
  assert.is(at.ask([0x10, 0, 0, 3]), undefined);
  assert.is(at.network.statistics.drops['bad-aoe'], 2);
  // Another configuration string, whole or its beginning, is another target's
  for (const command of [1, 2]) {
    const config = [0, 0, 0, 0, 0, 0x10 | command, ...be16(1), 0x61];
    assert.is(at.ask([0x10, 0, 0, 3, 7, 1, ...TAG, ...config]), undefined);
  }
  assert.is(at.network.statistics.drops['other-config'], 2);
  assert.is(at.ask([0x10, 0, 0, 3, 7, 1, ...TAG], [0x02, 0, 0, 0, 0, 1]), undefined);
});

aoe('a disk that is none is refused', () => {
  const refused = (options: object, option: string): void => {
    try {
      networkWith({ aoe: { disk, ...options } });
      assert.unreachable(option);
    } catch (error) {
      assert.instance(error, NetworkOptionError);
      assert.is((error as NetworkOptionError).option, option);
    }
  };
  refused({ disk: new Uint8Array(0) }, 'aoe.disk');
  refused({ disk: new Uint8Array(513) }, 'aoe.disk');
  refused({ shelf: 0xffff }, 'aoe.shelf');
  refused({ slot: 255 }, 'aoe.slot');
});

aoe.run();
