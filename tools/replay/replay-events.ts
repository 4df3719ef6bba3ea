// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A replay on the stream of events that any run has: what the guest does at the seam, what the
 * recorded host sends, and what of the guest's memory the host may touch at each moment.
 */

import { HvCall, Msr } from '../../src/hyperv/protocol.ts';
import { PAGE_SIZE, type CpuidRegisters } from '../../src/machine.ts';
import { PacketFooter, PacketHeader, VMBUS_MESSAGE_SINT } from '../../src/vmbus/protocol.ts';
import type { HostEvent, HostEventSink } from '../simulator/ledger/events.ts';
import type { Grant, GrantKind } from '../simulator/ledger/grants.ts';
import { decodePost, msrName } from './decode.ts';
import type { GuestChannels } from './guest-channels.ts';
import type { GuestPacket } from './normalise.ts';
import type { ReplayRegisters } from './replay-registers.ts';

/** What the guest shares now, and what ends that. */
interface Shared extends Pick<Grant, 'kind' | 'purpose' | 'pfns' | 'revokedWith'> {
  readonly by: string;
  readonly gpadl?: number;
  readonly channel?: number;
}

/** Registers that name a page, and what it is. */
const PAGES: readonly (readonly [name: string, msr: number, kind: GrantKind])[] = [
  ['HYPERCALL', Msr.HYPERCALL, 'hypercall-page'],
  ['SIMP', Msr.SIMP, 'message-page'],
  ['SIEFP', Msr.SIEFP, 'event-page'],
];

/** The pages of a contact, in their order. */
const CONTACT_PAGES: readonly (readonly [kind: GrantKind, purpose: string])[] = [
  ['interrupt-page', 'interrupt page'],
  ['monitor-page', 'monitor page, parent to child'],
  ['monitor-page', 'monitor page, child to parent'],
];

const CALL_NAMES: Readonly<Record<number, string>> = {
  [HvCall.POST_MESSAGE]: 'HvPostMessage',
  [HvCall.SIGNAL_EVENT]: 'HvSignalEvent',
};

/** Most packets of the host that are read at one look: as many as fit a ring, and a bound only. */
const PACKETS_MAX = 100_000;

export class ReplayEvents {
  readonly #sink: HostEventSink;
  readonly #now: () => number;
  readonly #registers: ReplayRegisters;
  readonly #channels: GuestChannels;
  readonly #live = new Map<string, Grant>();
  /** How far each channel's inbound ring was seen. */
  readonly #seen = new Map<number, number>();
  #acts = 0;
  #grants = 0;
  /** What the guest did last, in words, and its number. */
  #last = { words: '', cause: 0 };

  /** @param now virtual time in ticks */
  constructor(
    sink: HostEventSink,
    now: () => number,
    registers: ReplayRegisters,
    channels: GuestChannels,
  ) {
    this.#sink = sink;
    this.#now = now;
    this.#registers = registers;
    this.#channels = channels;
  }

  cpuid(leaf: number, { eax, ebx, ecx, edx }: CpuidRegisters): void {
    this.#emit({ kind: 'cpuid', leaf, out: [eax, ebx, ecx, edx] });
  }

  rdmsr(msr: number, value: bigint): void {
    this.#emit({ kind: 'rdmsr', msr, value });
  }

  wrmsr(msr: number, value: bigint): void {
    // An end of message shares nothing and ends nothing: what came behind the message does
    const act = msr === Msr.EOM ? {} : this.#act(`wrmsr ${msrName(msr)}`);
    this.#emit({ kind: 'wrmsr', msr, value, ...act });
  }

  /** A call is over. */
  hypercall(code: number, input: Uint8Array, status: number): void {
    const name = CALL_NAMES[code] ?? `hypercall ${code}`;
    const post = code === HvCall.POST_MESSAGE;
    const act = post ? this.#act(decodePost(input)[1]?.name ?? name) : {};
    this.#emit({ kind: 'hypercall', code, name, input: input.slice(), status, ...act });
  }

  /** A message of the host lies in its slot. */
  delivered(type: number, payload: Uint8Array): void {
    const message = { change: 'deliver', vp: 0, sint: VMBUS_MESSAGE_SINT } as const;
    this.#emit({ kind: 'host-message', ...message, type, payload: payload.slice() });
  }

  /** A packet of the guest is seen. */
  packet({ channel, start, bytes }: GuestPacket): void {
    this.#packet('guest', channel, start, bytes);
  }

  /** Look at what has changed: packets of the host, and what is shared. */
  look(): void {
    this.#lookForPackets();
    const now = this.#shared();
    for (const [key, grant] of this.#live) {
      if (now.has(key)) continue;
      this.#live.delete(key);
      grant.revokedAt = this.#now();
      grant.revokedBy = this.#last.words;
      this.#emit({ kind: 'revoke', grant, cause: this.#last.cause });
    }
    for (const [key, shared] of now) {
      if (this.#live.has(key)) continue;
      const { by, ...rest } = shared;
      const grant: Grant = {
        ...{ id: ++this.#grants, access: 'write', offset: 0, grantedAt: this.#now() },
        ...{ grantedBy: by, revokedAt: undefined, revokedBy: undefined },
        ...rest,
        length: shared.pfns.length * PAGE_SIZE,
      };
      this.#live.set(key, grant);
      this.#emit({ kind: 'grant', grant, cause: this.#last.cause });
    }
  }

  #shared(): Map<string, Shared> {
    const shared = new Map<string, Shared>();
    for (const [name, msr, kind] of PAGES) {
      const page =
        kind === 'hypercall-page' ? this.#registers.hypercallPage : this.#registers.page(msr);
      if (page === undefined) continue;
      const purpose = kind.replaceAll('-', ' ');
      const revokedWith = `wrmsr ${name} with bit 0 clear`;
      const pfns = [page / PAGE_SIZE];
      shared.set(`${name} ${page}`, { kind, purpose, pfns, by: `wrmsr ${name}`, revokedWith });
    }
    const { connected, contactPages, gpadls } = this.#channels;
    for (const [i, page] of (connected ? contactPages : []).entries()) {
      const [kind, purpose] = CONTACT_PAGES[i]!;
      if (page === 0) continue;
      const ends = { by: 'INITIATE_CONTACT', revokedWith: 'UNLOAD' };
      shared.set(`contact ${i} ${page}`, {
        kind,
        purpose,
        pfns: [Math.floor(page / PAGE_SIZE)],
        ...ends,
      });
    }
    for (const { id: gpadl, name, channel, pages, expected } of gpadls.values()) {
      if (pages.length < expected) continue;
      const pfns = pages.map((page) => page / PAGE_SIZE);
      const ends = { by: 'GPADL_HEADER', revokedWith: 'GPADL_TEARDOWN' };
      const purpose = `${name} (GPADL 0x${gpadl.toString(16)}) of channel ${channel}`;
      shared.set(`gpadl ${gpadl}`, { kind: 'gpadl', purpose, pfns, gpadl, channel, ...ends });
    }
    return shared;
  }

  #lookForPackets(): void {
    const { channels } = this.#channels;
    for (const channel of this.#seen.keys()) if (!channels.has(channel)) this.#seen.delete(channel);
    for (const [channel, { in: ring }] of channels) {
      const { producer, data } = ring;
      if (producer >= data.length || producer % 8 !== 0) continue;
      let at = this.#seen.get(channel) ?? 0;
      this.#seen.set(channel, producer);
      for (let i = 0; at !== producer && i < PACKETS_MAX; i++) {
        const header = new DataView(data.read(at, PacketHeader.size).buffer);
        const length = header.getUint16(PacketHeader.at.qlen, true) * 8 + PacketFooter.size;
        const most = (producer - at + data.length) % data.length;
        if (length < PacketHeader.size + PacketFooter.size || length > most) break;
        this.#packet('host', channel, at, data.read(at, length));
        at = (at + length) % data.length;
      }
    }
  }

  #packet(from: 'guest' | 'host', channel: number, offset: number, whole: Uint8Array): void {
    const view = new DataView(whole.buffer, whole.byteOffset);
    this.#emit({
      ...(from === 'guest' ? this.#act('packet') : {}),
      ...{ kind: 'ring-packet', from, channel, offset },
      type: view.getUint16(PacketHeader.at.type, true),
      transactionId: view.getBigUint64(PacketHeader.at.transactionId, true),
      bytes: whole.slice(0, whole.length - PacketFooter.size),
    } as HostEvent);
  }

  #act(words: string): { readonly act: number } {
    this.#last = { words, cause: ++this.#acts };
    return { act: this.#acts };
  }

  #emit(event: HostEvent): void {
    this.#sink(event, this.#now());
  }
}
