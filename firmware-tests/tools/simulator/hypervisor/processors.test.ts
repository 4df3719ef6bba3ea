// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Several virtual processors, on the simulated hypervisor itself: which processor's pages the
 * messages and events of VMBus go to.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvCall, Msr, SynicMessage } from '../../../../src/hyperv/protocol.ts';
import { MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import { Partition } from '../../../../tools/simulator/hypervisor/partition.ts';
import { VmbusServer } from '../../../../tools/simulator/vmbus-server/server.ts';
import { OS_ID, Page, hexBytes, profile } from '../../../rigs/partition-fixture.ts';
import {
  RING_PFN,
  RigDevice,
  created,
  gpadlHeader,
  initiate,
  openChannel,
  opened,
  plain,
  unhex,
  words,
} from '../../../rigs/vmbus-server-rig.ts';

const PROCESSORS = 4;

/** SINT of the second driver. */
const SECOND_SINT = 5;

/** Message and event page of a processor. */
const simp = (vp: number) => 0x200000 + vp * 0x2000;
const siefp = (vp: number) => simp(vp) + 0x1000;

/** A guest on four processors, each with SynIC, SINT 2 and SINT 5. */
class Guest {
  readonly devices: readonly RigDevice[] = [
    new RigDevice(1),
    Object.assign(new RigDevice(2), { client: 'secondary' as const }),
  ];
  readonly partition: Partition;
  readonly server: VmbusServer;

  constructor() {
    this.partition = new Partition({
      memory: new ArrayBuffer(0x400000),
      profile: profile('server2022', { secondClient: 'allow' }),
      seed: 1,
      processors: PROCESSORS,
    });
    this.server = new VmbusServer(this.partition.services, this.devices);
    const [boot] = this.partition.processors;
    boot!.wrmsr(Msr.GUEST_OS_ID, OS_ID);
    boot!.wrmsr(Msr.HYPERCALL, BigInt(Page.HYPERCALL) | 1n);
    this.partition.processors.forEach((processor, vp) => {
      processor.wrmsr(Msr.SIMP, BigInt(simp(vp)) | 1n);
      processor.wrmsr(Msr.SIEFP, BigInt(siefp(vp)) | 1n);
      processor.wrmsr(Msr.SCONTROL, 1n);
      for (const sint of [2, SECOND_SINT]) processor.wrmsr(Msr.SINT0 + sint, 0x75n);
    });
  }

  /** Post from a processor, give the host time, and return what all slots hold: `vp:sint:hex`. */
  post(vp: number, message: Uint8Array | string, connection = 1): string[] {
    const bytes = typeof message === 'string' ? unhex(message) : message;
    const { view, bytes: ram } = this.partition.ram;
    const input = Page.INPUT;
    view.setUint32(input, connection, true);
    view.setUint32(input + 4, 0, true);
    view.setUint32(input + 8, 1, true);
    view.setUint32(input + 12, bytes.length, true);
    ram.set(bytes, input + 16);
    const call = BigInt(HvCall.POST_MESSAGE);
    const processor = this.partition.processors[vp]!;
    assert.is(processor.callHypercallPage(Page.HYPERCALL, call, BigInt(input), 0n), 0n);
    const found: string[] = [];
    for (let i = 0; i < 8; i++) {
      this.partition.clock.advanceTo(this.partition.clock.now + TICKS_PER_MS);
      found.push(...this.#take());
    }
    return found;
  }

  /** Empty all slots. */
  #take(): string[] {
    const { view, bytes } = this.partition.ram;
    const found: string[] = [];
    this.partition.processors.forEach((processor, vp) => {
      for (const sint of [2, SECOND_SINT]) {
        const slot = simp(vp) + sint * SynicMessage.size;
        if (view.getUint32(slot, true) === 0) continue;
        const data = slot + SynicMessage.at.data;
        const length = bytes[slot + SynicMessage.at.length]!;
        found.push(`${vp}:${sint}:${hexBytes(bytes.slice(data, data + length))}`);
        view.setUint32(slot, 0, true);
        processor.wrmsr(Msr.EOM, 0n);
      }
    });
    return found;
  }

  /** Event flags that are set, as `vp:sint:flag`; clears them. */
  events(): string[] {
    const { inspection, ram } = this.partition;
    const found = this.partition.processors.flatMap((_, vp) =>
      inspection.eventFlags(vp).map(({ sint, flag }) => `${vp}:${sint}:${flag}`),
    );
    for (let vp = 0; vp < PROCESSORS; vp++) ram.bytes.fill(0, siefp(vp), siefp(vp) + 0x1000);
    return found;
  }

  /** The device of a driver sends eight bytes into an empty ring. */
  send(device: RigDevice, firstPage: number): void {
    const none = new Uint8Array(8);
    const { view } = this.partition.ram;
    const ring = (firstPage + 2) * 0x1000;
    view.setUint32(ring + 4, view.getUint32(ring, true), true);
    assert.ok(device.channel!.send(6, 0, 0, 0, none, 0, none, 8));
  }
}

const pages = (first: number) => [0, 1, 2, 3].map((i) => first + i);

const processors = suite('host: several processors');

processors('control messages go to the processor that contacted', () => {
  const guest = new Guest();
  const contact = initiate(VmbusVersion.V5_3, { info: words(2, 0), targetVp: 3 });
  const version = words(15, 0) + '01000000' + words(1);
  assert.equal(guest.post(1, contact, 4), [`3:2:${version}`]);
  const offers = guest.post(1, plain(MessageType.REQUEST_OFFERS));
  assert.is(offers.length, 2);
  assert.ok(offers.every((offer) => offer.startsWith('3:2:')));
  assert.equal(guest.post(2, gpadlHeader(1, 9, pages(RING_PFN))), [`3:2:${created(1, 9, 0)}`]);
  assert.equal(guest.post(0, openChannel(1, 9, 2, 1)), [`3:2:${opened(1)}`]);
  const unloaded = plain(MessageType.UNLOAD_RESPONSE);
  assert.equal(guest.post(0, plain(MessageType.UNLOAD)), [`3:2:${unloaded}`]);

  // Below 3.0 that is processor 0, whatever the guest says
  const old = guest.post(2, initiate(VmbusVersion.V2_4, { targetVp: 2 }));
  assert.ok(old[0]!.startsWith('0:2:'));
});

processors('events go to the processor of the open, and MODIFY_CHANNEL moves them', () => {
  const guest = new Guest();
  guest.post(0, initiate(VmbusVersion.V5_3, { info: words(2, 0) }), 4);
  guest.post(0, plain(MessageType.REQUEST_OFFERS));
  guest.post(0, gpadlHeader(1, 9, pages(RING_PFN)));
  guest.post(0, openChannel(1, 9, 2, 1));
  const [device] = guest.devices;
  guest.send(device!, RING_PFN);
  assert.equal(guest.events(), ['1:2:1']);
  assert.equal(guest.post(0, words(MessageType.MODIFY_CHANNEL, 0, 1, 2)), [
    `0:2:${words(24, 0, 1, 0)}`,
  ]);
  guest.send(device!, RING_PFN);
  assert.equal(guest.events(), ['2:2:1']);

  // A processor that is not there: refused, and nothing moves
  for (const vp of [PROCESSORS, 0xffffffff])
    assert.equal(guest.post(0, words(MessageType.MODIFY_CHANNEL, 0, 1, vp)), [
      `0:2:${words(24, 0, 1, 0x8000ffff)}`,
    ]);
  guest.send(device!, RING_PFN);
  assert.equal(guest.events(), ['2:2:1']);
});

processors('two drivers on the real SynIC: each its SINT, its processor, its flags', () => {
  const guest = new Guest();
  guest.post(0, initiate(VmbusVersion.V4_0, { targetVp: 0 }));
  const monitors = { monitorIn: 0x8000, monitorOut: 0x9000 };
  const contact = { info: words(SECOND_SINT, 0), targetVp: 2, ...monitors };
  const [answer] = guest.post(2, initiate(VmbusVersion.V5_0, contact), 4);
  const connection = guest.server.inspect().clients[1]!.connectionId;
  assert.is(answer, `2:${SECOND_SINT}:${words(15, 0)}01000000${words(connection)}`);
  const first = 0x300;
  for (const [vp, port, pfn, gpadl] of [
    [0, 1, RING_PFN, 9],
    [2, connection, first, 10],
  ] as const) {
    guest.post(vp, plain(MessageType.REQUEST_OFFERS), port);
    guest.post(vp, gpadlHeader(1, gpadl, pages(pfn)), port);
    const [result] = guest.post(vp, openChannel(1, gpadl, 2, vp + 1), port);
    assert.is(result, `${vp}:${port === 1 ? 2 : SECOND_SINT}:${opened(1)}`);
  }
  guest.send(guest.devices[0]!, RING_PFN);
  guest.send(guest.devices[1]!, first);
  assert.equal(guest.events(), ['1:2:1', `3:${SECOND_SINT}:1`]);
  assert.equal(guest.post(2, plain(MessageType.UNLOAD), connection), [
    `2:${SECOND_SINT}:${plain(MessageType.UNLOAD_RESPONSE)}`,
  ]);
  guest.send(guest.devices[0]!, RING_PFN);
  assert.equal(guest.events(), ['1:2:1']);
});

processors.run();
