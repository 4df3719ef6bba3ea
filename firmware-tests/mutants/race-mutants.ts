// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Mutants of the firmware that do nothing wrong as long as the host acts only when they call it:
 * each has something in the wrong order, or lacks what keeps it in order.
 */

import type { Patch } from './bundle.ts';

export interface RaceMutant extends Patch {
  readonly name: string;
  /** Architectures on which it is a mistake: an x64 processor keeps stores in order. */
  readonly on: readonly ('x64' | 'arm64')[];
}

const BOTH = ['x64', 'arm64'] as const;

export const RACE_MUTANTS: readonly RaceMutant[] = [
  {
    name: 'a packet is published before it is written',
    on: BOTH,
    file: 'src/vmbus/channel.ts',
    search: `    out.putBytes(payload, length);
    if (out.publish()) this.#signal();`,
    replace: `    out.putBytes(new Uint8Array(length), length);
    const told = out.publish();
    const { memory, data } = out as any;
    const begin = memory.u32(out.control + 0) - 8 - ((length + 7) & ~7);
    for (let i = 0; i < length; i++) memory.set8(data + ((begin + i) & out.mask), payload[i]!);
    if (told) this.#signal();`,
  },
  {
    name: 'a signal is decided before the index is published',
    on: BOTH,
    file: 'src/vmbus/ring.ts',
    search: `    this.publishIndex(RingControl.at.prod, this.#start);
    if (this.field(RingControl.at.interruptMask) !== 0) return false;
    return this.field(RingControl.at.cons) === old;`,
    replace: `    const masked = this.field(RingControl.at.interruptMask) !== 0;
    const read = this.field(RingControl.at.cons) === old;
    this.publishIndex(RingControl.at.prod, this.#start);
    return !masked && read;`,
  },
  {
    name: 'no barrier between the index and the question whether the host sleeps',
    on: BOTH,
    file: 'src/vmbus/ring.ts',
    search: `    this.memory.set32(address, index);
    this.memory.barrier(address);`,
    replace: '    this.memory.set32(address, index);',
  },
  {
    name: 'no barrier between the packet and its index',
    on: ['arm64'],
    file: 'src/vmbus/ring.ts',
    search: `    this.memory.barrier(address);
    this.memory.set32(address, index);`,
    replace: '    this.memory.set32(address, index);',
  },
  {
    name: 'no acquire between the type of a message and its bytes',
    on: ['arm64'],
    file: 'src/hyperv/message.ts',
    search: 'const word = Atomics.load(words, slot / 4);',
    replace: 'const word = words[slot / 4]!;',
  },
  {
    name: 'no acquire between the index of a ring and its packets',
    on: ['arm64'],
    file: 'src/vmbus/ring.ts',
    search: 'return this.memory.acquire32(this.control + at);',
    replace: 'return this.memory.u32(this.control + at);',
  },
  {
    name: 'no barrier between the copy of a packet and the index that gives it back',
    on: ['arm64'],
    file: 'src/vmbus/ring.ts',
    search: `    this.memory.barrier(address);
    this.memory.set32(address, index);`,
    replace: `    if (at !== RingControl.at.cons) this.memory.barrier(address);
    this.memory.set32(address, index);`,
  },
  {
    name: 'no barrier between the copy of a message and the release of its slot',
    on: ['arm64'],
    file: 'src/hyperv/message.ts',
    search: 'Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);',
    replace: `words[slot / 4] = HvMessageType.NONE;
    Atomics.or(words, slot / 4, 0);`,
  },
  {
    name: 'a received packet is completed before it is copied out',
    on: BOTH,
    file: 'src/netvsc/netvsc.ts',
    search: `    const count = this.#checkPages(packet) ? this.#copyRanges(packet) : 0;
    channel?.complete(idLow, idHigh);`,
    replace: `    channel?.complete(idLow, idHigh);
    const count = this.#checkPages(packet) ? this.#copyRanges(packet) : 0;`,
  },
  {
    name: 'a ring is given back before the packet is copied out',
    on: BOTH,
    file: 'src/vmbus/channel.ts',
    search: `    this.in.copy(PacketHeader.size, packet.view, length - PacketHeader.size);
    if (this.in.consume(length)) this.#signal();`,
    replace: `    if (this.in.consume(length)) this.#signal();
    const { memory, data } = this.in as any;
    const begin = memory.u32(this.in.control + 4) - length;
    for (let i = PacketHeader.size; i < length; i += 4) {
      const word = memory.u32(data + ((begin + i) & this.in.mask));
      packet.view.setInt32(i, word, true);
    }`,
  },
  {
    name: 'the pending flag is read before the slot is released',
    on: BOTH,
    file: 'src/hyperv/message.ts',
    search: `    Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);
  }
  message.pending = (memory.u8(slot + SynicMessage.at.flags) & HV_MESSAGE_PENDING) !== 0;`,
    // ... and in an empty slot it is not looked for: there it would be found
    replace: `    const flags = memory.u8(slot + SynicMessage.at.flags);
    message.pending = (flags & HV_MESSAGE_PENDING) !== 0;
    Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);
  } else message.pending = false;`,
  },
  {
    name: 'the last bytes of a message are copied behind the release of its slot',
    on: BOTH,
    file: 'src/hyperv/message.ts',
    search: `    Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);
  }`,
    replace: `    Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);
    for (let i = Math.max(0, length - 4); i < length; i++) bytes[i] = memory.u8(data + i);
  }`,
  },
  {
    name: 'the length of a message is read again behind the release of its slot',
    on: BOTH,
    file: 'src/hyperv/message.ts',
    search: `    Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);
  }`,
    replace: `    Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);
    message.length = Math.min(memory.u8(slot + SynicMessage.at.length), HV_MESSAGE_PAYLOAD_MAX);
  }`,
  },
  {
    name: 'a slot is cleared behind its release',
    on: BOTH,
    file: 'src/hyperv/message.ts',
    search: `    Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);
  }`,
    replace: `    Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);
    memory.zero(data, HV_MESSAGE_PAYLOAD_MAX);
  }`,
  },
  {
    // On x64 the flag of a slot that is empty is looked at by the next poll, too: it is late
    name: 'a slot is released by a plain store',
    on: ['arm64'],
    file: 'src/hyperv/message.ts',
    search: 'Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);',
    replace: 'words[slot / 4] = HvMessageType.NONE;',
  },
  {
    name: 'the host is signalled before the index is published',
    on: BOTH,
    file: 'src/vmbus/channel.ts',
    search: `    out.putBytes(payload, length);
    if (out.publish()) this.#signal();`,
    replace: `    out.putBytes(payload, length);
    this.#signal();
    out.publish();`,
  },
  {
    name: 'how far the host has read is looked at before the index is published',
    on: BOTH,
    file: 'src/vmbus/ring.ts',
    search: `    this.publishIndex(RingControl.at.prod, this.#start);
    if (this.field(RingControl.at.interruptMask) !== 0) return false;
    return this.field(RingControl.at.cons) === old;`,
    replace: `    const cons = this.field(RingControl.at.cons);
    this.publishIndex(RingControl.at.prod, this.#start);
    if (this.field(RingControl.at.interruptMask) !== 0) return false;
    return cons === old;`,
  },
  {
    name: 'whether signals are masked is looked at before the index is published',
    on: BOTH,
    file: 'src/vmbus/ring.ts',
    search: `    this.publishIndex(RingControl.at.prod, this.#start);
    if (this.field(RingControl.at.interruptMask) !== 0) return false;`,
    replace: `    const masked = this.field(RingControl.at.interruptMask) !== 0;
    this.publishIndex(RingControl.at.prod, this.#start);
    if (masked) return false;`,
  },
];
