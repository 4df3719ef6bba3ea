// SPDX-License-Identifier: GPL-2.0-or-later

/** Overlay pages at the bytes of guest RAM, with both kinds of host. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Msr } from '../../../../src/hyperv/protocol.ts';
import {
  crashes,
  create,
  hexBytes,
  ofKind,
  OS_ID,
  Page,
  setUp,
} from '../../../rigs/partition-fixture.ts';
import type { Fixture } from '../../../rigs/partition-fixture.ts';

const PATTERN = 0x5a;

/** What Node has and the type definitions here do not. */
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { Memory: new (limits: { initial: number }) => { buffer: ArrayBuffer } };
};

/** A partition whose RAM is filled with the pattern. */
function patterned(overlay: 'preserve' | 'overwrite', processors = 1): Fixture {
  const fixture = create({ overlay }, { processors });
  fixture.bytes.fill(PATTERN);
  return fixture;
}

/** Whether a whole page has one value. */
function filled(bytes: Uint8Array, page: number, value: number): boolean {
  return bytes.subarray(page, page + 4096).every((byte) => byte === value);
}

const overlays = suite('overlay pages');

overlays('hide RAM while they are mapped, and give it back', () => {
  const { cpu, bytes } = patterned('preserve');
  setUp(cpu);
  assert.is(hexBytes(bytes.subarray(Page.HYPERCALL, Page.HYPERCALL + 6)), '0f01c1c3cccc');
  assert.ok(filled(bytes, Page.SIMP, 0));
  assert.ok(filled(bytes, Page.SIEFP, 0));
  assert.ok(filled(bytes, Page.SIEFP + 4096, PATTERN));
  cpu.wrmsr(Msr.SIEFP, 0n);
  cpu.wrmsr(Msr.SIMP, BigInt(Page.SIMP));
  cpu.wrmsr(Msr.GUEST_OS_ID, 0n);
  for (const page of [Page.HYPERCALL, Page.SIMP, Page.SIEFP]) {
    assert.ok(filled(bytes, page, PATTERN));
  }
});

overlays('leave RAM overwritten on the other kind of host', () => {
  const { cpu, bytes } = patterned('overwrite');
  setUp(cpu);
  cpu.wrmsr(Msr.SIMP, 0n);
  cpu.wrmsr(Msr.HYPERCALL, 0n);
  assert.ok(filled(bytes, Page.SIMP, 0));
  assert.is(hexBytes(bytes.subarray(Page.HYPERCALL, Page.HYPERCALL + 6)), '0f01c1c3cccc');
});

for (const overlay of ['preserve', 'overwrite'] as const) {
  overlays(`take their contents along (${overlay})`, () => {
    const { cpu, bytes, view } = patterned(overlay);
    setUp(cpu);
    view.setUint32(Page.SIMP + 0xf00, 0xfeedface, true);
    cpu.wrmsr(Msr.SIMP, 0x200001n);
    assert.is(view.getUint32(0x200f00, true), 0xfeedface);
    assert.is(bytes[0x200000], 0);
    assert.is(filled(bytes, Page.SIMP, PATTERN), overlay === 'preserve');

    // Also by way of being disabled, and RAM that the guest changed meanwhile counts
    cpu.wrmsr(Msr.SIMP, 0n);
    bytes.fill(0x33, Page.SIMP, Page.SIMP + 4096);
    cpu.wrmsr(Msr.SIMP, BigInt(Page.SIMP) | 1n);
    assert.is(view.getUint32(Page.SIMP + 0xf00, true), 0xfeedface);
    cpu.wrmsr(Msr.SIMP, 0n);
    assert.is(filled(bytes, Page.SIMP, 0x33), overlay === 'preserve');
  });
}

overlays('are grants, with who granted and what revokes them', () => {
  const { cpu, partition } = patterned('preserve', 2);
  setUp(cpu);
  partition.processors[1]!.wrmsr(Msr.VP_ASSIST_PAGE, 0x300001n);
  cpu.wrmsr(Msr.REFERENCE_TSC, 0x301001n);
  assert.equal(
    partition.grants
      .live()
      .map((grant) => [
        grant.kind,
        grant.purpose,
        grant.pfns,
        grant.grantedBy,
        grant.revokedWith,
        grant.vp,
      ]),
    [
      [
        'hypercall-page',
        'hypercall page',
        [0x100],
        'wrmsr HYPERCALL on VP 0',
        'wrmsr HYPERCALL with bit 0 clear on any VP',
        undefined,
      ],
      [
        'message-page',
        'message page of VP 0',
        [0x101],
        'wrmsr SIMP on VP 0',
        'wrmsr SIMP with bit 0 clear on VP 0',
        0,
      ],
      [
        'event-page',
        'event page of VP 0',
        [0x102],
        'wrmsr SIEFP on VP 0',
        'wrmsr SIEFP with bit 0 clear on VP 0',
        0,
      ],
      [
        'vp-assist-page',
        'VP assist page of VP 1',
        [0x300],
        'wrmsr VP_ASSIST_PAGE on VP 1',
        'wrmsr VP_ASSIST_PAGE with bit 0 clear on VP 1',
        1,
      ],
      [
        'reference-tsc-page',
        'reference TSC page',
        [0x301],
        'wrmsr REFERENCE_TSC on VP 0',
        'wrmsr REFERENCE_TSC with bit 0 clear on any VP',
        undefined,
      ],
    ],
  );

  // Writing the same again grants nothing anew; moving does
  cpu.wrmsr(Msr.SIMP, BigInt(Page.SIMP) | 1n);
  assert.is(partition.grants.history().length, 5);
  cpu.wrmsr(Msr.SIMP, 0x302001n);
  assert.is(partition.grants.history().length, 6);
  assert.is(partition.grants.history()[1]!.revokedBy, 'wrmsr SIMP on VP 0');
  const states = partition.inspection.overlays().filter((state) => state.address !== undefined);
  assert.is(states.length, 5);
  assert.ok(states.every((state) => state.shown && state.grant !== undefined));
});

overlays('that collide cover each other, and RAM comes back last', () => {
  const { cpu, bytes, events, partition } = patterned('preserve');
  setUp(cpu);
  partition.postMessage(0, 2, 1, new Uint8Array([7]));
  cpu.wrmsr(Msr.SIEFP, BigInt(Page.SIMP) | 1n);
  assert.match(
    ofKind(events, 'violation')[0]!.text,
    /event page of VP 0 at 0x101000 covers message/,
  );
  assert.ok(filled(bytes, Page.SIMP, 0));
  // What is covered is still there, and still removable
  assert.is(partition.inspection.slots(0)[2]!.type, 1);
  cpu.wrmsr(Msr.SIMP, 0n);
  assert.ok(filled(bytes, Page.SIMP, 0));
  cpu.wrmsr(Msr.SIEFP, 0n);
  assert.ok(filled(bytes, Page.SIMP, PATTERN));

  // The upper one first: the lower one shows again
  cpu.wrmsr(Msr.SIMP, BigInt(Page.SIMP) | 1n);
  cpu.wrmsr(Msr.SIEFP, BigInt(Page.SIMP) | 1n);
  cpu.wrmsr(Msr.SIEFP, 0n);
  assert.is(bytes[Page.SIMP + 2 * 256], 1);
  cpu.wrmsr(Msr.SIMP, 0n);
  assert.ok(filled(bytes, Page.SIMP, PATTERN));
});

overlays('outside RAM share nothing', () => {
  const { cpu, partition, events } = patterned('preserve');
  setUp(cpu);
  cpu.wrmsr(Msr.SIMP, 0x80000001n);
  assert.match(ofKind(events, 'violation')[0]!.text, /message page.*0x80000000, which is not RAM/);
  assert.not.ok(partition.grants.live().some((grant) => grant.kind === 'message-page'));
  // A message goes in where nobody sees it, and is seen when the page comes back
  partition.postMessage(0, 2, 1, new Uint8Array([9]));
  cpu.wrmsr(Msr.SIMP, BigInt(Page.SIMP) | 1n);
  assert.is(partition.ram.bytes[Page.SIMP + 2 * 256 + 16], 9);
});

overlays('that are read-only lose what the guest stores in them', () => {
  const { cpu, bytes, events } = patterned('preserve');
  setUp(cpu);
  bytes[Page.HYPERCALL + 100] = 1;
  cpu.wrmsr(Msr.HYPERCALL, 0x200001n);
  assert.match(
    ofKind(events, 'violation')[0]!.text,
    /guest wrote to the hypercall page at 0x100000/,
  );
  assert.is(bytes[0x200000 + 100], 0xcc);
  bytes.fill(0, 0x200000, 0x201000);
  const call = (): unknown => cpu.callHypercallPage(0x200000, 0x1005dn, 2n, 0n);
  crashes(call, '#UD', /the guest overwrote the hypercall page/);
});

overlays('work in shared memory and in that of a WebAssembly module', () => {
  const memories = [
    new SharedArrayBuffer(0x200000),
    new WebAssembly.Memory({ initial: 32 }).buffer,
  ];
  for (const memory of memories) {
    const { cpu, partition, bytes } = create({}, { memory });
    assert.is(cpu.memory, memory);
    cpu.wrmsr(Msr.GUEST_OS_ID, OS_ID);
    setUp(cpu);
    partition.signalEvent(0, 2, 5);
    assert.is(bytes[Page.SIEFP + 2 * 256], 0x20);
  }
});

overlays.run();
