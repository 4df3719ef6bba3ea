// SPDX-License-Identifier: GPL-2.0-or-later

/** The whole boot with images of all sizes: what fits, to the byte, and what does not. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FIRMWARES, complaints, runBoot, sameBytes, type Setting } from '../../rigs/boot-rig.ts';

/** Payload of a block of the transfer. */
const BLOCK = 1468;
const PAGE = 4096;
const RAM_MIB = 4;

const images = suite('boot: images');

for (const size of [1, 2, 511, 512, BLOCK - 1, BLOCK, BLOCK + 1, 4 * BLOCK, PAGE, 5 * BLOCK + 7]) {
  images(`${size} bytes arrive whole`, () => {
    const { report, inRam, image, machine } = runBoot({ size, flow: { secondBoot: false } });
    assert.equal(complaints(report), []);
    assert.is(report.verdict, 'clean');
    assert.is(report.boot?.image?.length, size);
    assert.ok(sameBytes(inRam, image));

    // The image is reserved in whole pages, and nothing else is
    const { address } = report.boot!.image!;
    assert.is(address % PAGE, 0);
    const reserved = report.boot!.memoryMap.filter(({ type }) => type === 'reserved');
    assert.equal(reserved, [
      {
        address,
        length: Math.ceil(size / PAGE) * PAGE,
        type: 'reserved',
        purpose: 'boot image hypxe.img',
      },
    ]);
    const usable = machine.bootProcessor.memoryMap.filter(({ type }) => type === 'usable');
    const within = usable.some(
      (range) => range.address <= address && address + size <= range.address + range.length,
    );
    assert.ok(within, 'the image lies in usable memory');
  });
}

images('the memory map decides where the image lies', () => {
  const memoryMap = [
    { address: 0x1000, length: 0x9e000, type: 'usable' },
    { address: 0x100000, length: 0x3000, type: 'usable' },
    { address: 0x103000, length: 0x5000, type: 'reserved', purpose: 'ACPI tables' },
    { address: 0x108000, length: RAM_MIB * 2 ** 20 - 0x108000, type: 'usable' },
  ] as const;
  const { report, inRam, image } = runBoot({ size: 5 * PAGE, machine: { memoryMap } });
  assert.is(report.verdict, 'clean');
  assert.is(report.boot?.image?.address, 0x108000);
  assert.ok(sameBytes(inRam, image));
  const acpi = report.boot?.memoryMap.find(({ purpose }) => purpose === 'ACPI tables');
  assert.equal(acpi, memoryMap[2]);
});

images.run();

const tooLarge = suite('boot: images that do not fit');

/** Boot into RAM that is full of a pattern; returns the addresses of the pages that changed. */
function changedPages(setting: Setting) {
  const size = RAM_MIB * 2 ** 20;
  const before = new Uint8Array(size);
  for (let i = 0; i < size; i++) before[i] = (i * 31 + (i >> 12)) & 0xff;
  const boot = runBoot({
    memoryMiB: RAM_MIB,
    prepare: ({ partition }) => partition.ram.bytes.set(before),
    flow: { os: false, secondBoot: false },
    ...setting,
  });
  const after = boot.machine.partition.ram.bytes;
  const pages: number[] = [];
  for (let page = 0; page < size; page += PAGE) {
    const same = sameBytes(after.subarray(page, page + PAGE), before.subarray(page, page + PAGE));
    if (!same) pages.push(page);
  }
  const shared = boot.events.flatMap((event) => (event.kind === 'ledger' ? [event.address] : []));
  return { ...boot, pages, lowestShared: Math.min(...shared) };
}

for (const form of ['sources', 'bundle', 'x64 minified'] as const) {
  tooLarge(
    `the ${form} refuse an image that is announced too large, and write no byte of it`,
    () => {
      const { report, pages, lowestShared } = changedPages({
        firmware: FIRMWARES[form],
        size: RAM_MIB * 2 ** 20,
      });
      assert.is(report.verdict, 'findings');
      assert.is(report.boot?.error?.name, 'ImageTooLarge');
      assert.match(
        report.boot!.error!.message,
        /^an image of 4194304 bytes does not fit: \d+ bytes/,
      );
      assert.equal(
        report.boot?.attempts.map(({ device }) => device),
        ['net0'],
      );
      assert.equal(complaints(report), []);

      // Only the firmware's own pages at the top of RAM have changed
      assert.ok(pages.length > 0);
      const foreign = pages.filter((page) => page < lowestShared);
      assert.equal(foreign, []);
    },
  );
}

tooLarge('an image whose size nobody told ends where the room ends', () => {
  const { report, pages, lowestShared, machine } = changedPages({
    size: RAM_MIB * 2 ** 20,
    network: { tftp: { options: 'ignore' } },
  });
  assert.is(report.boot?.error?.name, 'ImageTooLarge');
  assert.match(report.boot!.error!.message, /^image exceeds the \d+ bytes at 0x100000$/);
  assert.equal(complaints(report), []);
  assert.ok(pages.length > 0 && lowestShared < machine.partition.ram.size);
  // What came before lies where the image was to lie; the first MiB is nobody's
  assert.equal(
    pages.filter((page) => page < 0x100000),
    [],
  );
});

tooLarge('the server announces less than it sends: another place, for all of it', () => {
  const { report, inRam, image } = runBoot({
    size: 20 * PAGE,
    network: { tftp: { misbehaviour: { tsizeError: -16 * PAGE } } },
    flow: { os: false, secondBoot: false },
  });
  assert.is(report.boot?.status, 'booted');
  assert.ok(sameBytes(inRam, image));
  assert.equal(complaints(report), []);
});

tooLarge('no room for the firmware itself is an error, and nothing is left', () => {
  const memoryMap = [{ address: 0x100000, length: 0x20000, type: 'usable' }] as const;
  const { report, machine } = runBoot({ machine: { memoryMap }, flow: { os: false } });
  assert.is(report.boot?.error?.name, 'OutOfMemory');
  assert.equal(machine.partition.grants.live(), []);
  assert.equal(complaints(report), []);
});

tooLarge.run();
