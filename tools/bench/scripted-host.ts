// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A host of a few lines that answers the driver's data path directly in the rings and allocates
 * nothing, to measure the driver alone. The simulated host brings the device up; then this one
 * takes its place at the seam.
 */

import type { DriverOptions } from '../../src/driver.ts';
import { MapAllocator, type PageAllocator } from '../../src/memory/allocator.ts';
import type { NetDevice } from '../../src/net/device.ts';
import { NETVSC_PRESETS, PAGE_SET, type PresetName } from '../../src/netvsc/policy.ts';
import {
  NVSP_MESSAGE_SIZE,
  NVSP_NO_SEND_BUFFER,
  NvspRndisPacket,
  NvspRndisPacketComplete,
  NvspStatus,
  NvspType,
} from '../../src/netvsc/protocol.ts';

import { RNDIS_BODY, RndisHeader, RndisPacket, RndisType } from '../../src/rndis/protocol.ts';
import {
  COMPLETION_REQUESTED,
  PacketFooter,
  PacketHeader,
  PacketType,
  RingControl,
  XferPageHeader,
  XferPageRange,
} from '../../src/vmbus/protocol.ts';
import { PassingX64 } from '../simulator/base/passing-machine.ts';
import { SimulatedMachine } from '../simulator/machine.ts';
import { DEFAULT_PROFILE, profileNamed } from '../simulator/profiles/profiles.ts';
import type { BenchFirmware } from './firmware.ts';

/** Guest RAM: enough for either preset. */
const MEMORY_BYTES = 8 << 20;

/** Bytes of receive buffer for each frame. */
const SECTION_BYTES = 2048;

/** The seam: the simulated machine's while the device comes up, nobody's afterwards. */
class RelayMachine extends PassingX64 {
  detached = false;
  hypercalls = 0;

  override callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    if (!this.detached) return super.callHypercallPage(page, control, input, output);
    this.hypercalls++;
    return 0n;
  }
}

/** Where a ring lies: its control page and its data. */
interface Ring {
  readonly control: number;
  readonly data: number;
  readonly mask: number;
}

function ringAt(control: number, pages: number): Ring {
  return { control, data: control + RingControl.size, mask: pages * 4096 - 1 };
}

export class ScriptedHost {
  readonly device: NetDevice;
  readonly #relay: RelayMachine;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #out: Ring;
  readonly #in: Ring;
  readonly #sections: number;
  readonly #receiveBuffer: number;
  /** Where the next packet to the guest begins, and its next word goes. */
  #prod: number;
  #next = 0;
  #section = 0;
  #rndisLength = 0;
  /** Completions of received frames that the guest has sent. */
  completed = 0;

  /** Bring a device up, and take it over. */
  constructor(firmware: BenchFirmware, preset: PresetName) {
    const link = { connect: () => undefined, transmit: () => undefined };
    const machine = new SimulatedMachine({
      memory: new ArrayBuffer(MEMORY_BYTES),
      profile: profileNamed(DEFAULT_PROFILE)!,
      links: [link],
      seed: 1,
    });
    this.#relay = new RelayMachine(machine.bootProcessor);
    const places = new Map<string, number>();
    const driver = firmware.createDriver(this.#relay, this.#options(preset, places));
    driver.probe();
    this.device = driver.devices[0]!;
    this.device.open();

    // Take over where the simulated host stands
    const { outPages, inPages, receiveBufferLength } = NETVSC_PRESETS[preset];
    const ring = places.get('ring')!;
    this.#bytes = machine.partition.ram.bytes;
    this.#view = machine.partition.ram.view;
    this.#out = ringAt(ring, outPages);
    this.#in = ringAt(ring + RingControl.size + outPages * 4096, inPages);
    this.#receiveBuffer = places.get('rx-buffer')!;
    this.#sections = receiveBufferLength / SECTION_BYTES;
    this.#prod = this.#view.getUint32(this.#in.control + RingControl.at.prod, true);
    this.#view.setUint32(this.#out.control + RingControl.at.interruptMask, 0, true);
    this.drain();
    this.device.poll();
    this.#relay.detached = true;
  }

  /** Hypercalls since the device was taken over. */
  get hypercalls(): number {
    return this.#relay.hypercalls;
  }

  /** Fill every section of the receive buffer with an RNDIS message around a frame. */
  prepare(length: number): void {
    this.#rndisLength = RndisPacket.size + length;
    for (let section = 0; section < this.#sections; section++) {
      const at = this.#receiveBuffer + section * SECTION_BYTES;
      this.#bytes.fill(0x5a, at, at + SECTION_BYTES);
      this.#bytes.fill(0, at, at + RndisPacket.size);
      this.#view.setUint32(at + RndisHeader.at.type, RndisType.PACKET, true);
      this.#view.setUint32(at + RndisHeader.at.length, this.#rndisLength, true);
      this.#view.setUint32(at + RndisPacket.at.dataOffset, RndisPacket.size - RNDIS_BODY, true);
      this.#view.setUint32(at + RndisPacket.at.dataLength, length, true);
    }
  }

  /** Announce the next section to the guest. */
  deliver(): void {
    const header = XferPageHeader.size + XferPageRange.size;
    const section = this.#section;
    this.#section = (section + 1) % this.#sections;
    this.#begin(PacketType.DATA_XFER_PAGES, header, COMPLETION_REQUESTED, section, 0);
    this.#put(PAGE_SET);
    this.#put(1);
    this.#put(this.#rndisLength);
    this.#put(section * SECTION_BYTES);
    this.#putNvsp(NvspType.SEND_RNDIS_PACKET, NvspRndisPacket.at.sendBufferIndex);
    this.#publish();
  }

  /** Read what the guest has sent, and complete its frames. */
  drain(): void {
    const { control, data, mask } = this.#out;
    const prod = this.#view.getUint32(control + RingControl.at.prod, true);
    let cons = this.#view.getUint32(control + RingControl.at.cons, true);
    while (cons !== prod) {
      const types = this.#view.getUint32(data + cons, true);
      const lengths = this.#view.getUint32(data + ((cons + 4) & mask), true);
      const id = (cons + PacketHeader.at.transactionId) & mask;
      if ((types & 0xffff) === PacketType.COMPLETION) this.completed++;
      else this.#complete(this.#view.getInt32(data + id, true));
      cons = (cons + (lengths & 0xffff) * 8 + PacketFooter.size) & mask;
    }
    this.#view.setUint32(control + RingControl.at.cons, cons, true);
  }

  #complete(id: number): void {
    this.#begin(PacketType.COMPLETION, PacketHeader.size, 0, id, 0);
    this.#putNvsp(NvspType.SEND_RNDIS_PACKET_COMPLETE, NvspRndisPacketComplete.at.status);
    this.#publish();
  }

  #options(preset: PresetName, places: Map<string, number>): DriverOptions {
    const pages = new MapAllocator(this.#relay.memoryMap);
    const allocator: PageAllocator = {
      allocate(length, align, purpose) {
        const address = pages.allocate(length, align);
        if (address !== undefined) places.set(purpose, address);
        return address;
      },
      free: (address, length) => pages.free(address, length),
    };
    return { preset, allocator };
  }

  // --- packets to the guest ---

  #begin(type: number, headerLength: number, flags: number, low: number, high: number): void {
    this.#next = this.#prod;
    this.#put(type | ((headerLength / 8) << 16));
    this.#put(((headerLength + NVSP_MESSAGE_SIZE) / 8) | (flags << 16));
    this.#put(low);
    this.#put(high);
  }

  /** The NVSP message: its type, one word that is not 0 (a status, no send buffer), zeros. */
  #putNvsp(type: number, wordAt: number): void {
    const word = type === NvspType.SEND_RNDIS_PACKET ? NVSP_NO_SEND_BUFFER : NvspStatus.SUCCESS;
    this.#put(type);
    for (let at = 4; at < NVSP_MESSAGE_SIZE; at += 4) this.#put(at === wordAt ? word | 0 : 0);
  }

  #put(word: number): void {
    this.#view.setInt32(this.#in.data + this.#next, word, true);
    this.#next = (this.#next + 4) & this.#in.mask;
  }

  #publish(): void {
    const old = this.#prod;
    this.#put(0);
    this.#put(old);
    this.#prod = this.#next;
    this.#view.setUint32(this.#in.control + RingControl.at.prod, this.#prod, true);
  }
}
