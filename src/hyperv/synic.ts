// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The synthetic interrupt controller, polled: message and event pages, one SINT, and taking
 * messages out of its slot (iPXE hyperv.c, TLFS 11).
 */

import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Region, SharedMemory } from '../memory/shared-memory.ts';
import type { Platform, RegisterName, SintPolicy } from './platform.ts';
import {
  HV_ENABLE,
  HV_EVENT_FLAGS_COUNT,
  HV_EVENT_FLAGS_SIZE,
  HV_MESSAGE_PAYLOAD_MAX,
  HV_MESSAGE_PENDING,
  HV_PAGE_REGISTER_MASK,
  HvMessageType,
  SINT_COUNT,
  Sint,
  SynicMessage,
} from './protocol.ts';

/** A message as it was copied out of its slot. */
export interface ReceivedMessage {
  /** SynIC message type. */
  type: number;
  /** Payload, zero beyond `length`: whoever reads beyond the end of a short message reads zeros. */
  readonly payload: Uint8Array;
  readonly view: DataView;
  length: number;
}

export class Synic {
  readonly #platform: Platform;
  readonly #memory: GuestMemory;
  readonly #pages: SharedMemory;
  readonly #messages: Region;
  readonly #events: Region;
  /** Vector and automatic end of interrupt, as the register has them. */
  readonly #unmasked: bigint;
  /** The last message taken. Filled anew by each {@link take}. */
  readonly message: ReceivedMessage;

  constructor(
    platform: Platform,
    pages: SharedMemory,
    messages: Region,
    events: Region,
    policy: SintPolicy,
  ) {
    const payload = new Uint8Array(HV_MESSAGE_PAYLOAD_MAX);
    this.#platform = platform;
    this.#memory = pages.memory;
    this.#pages = pages;
    this.#messages = messages;
    this.#events = events;
    this.#unmasked = BigInt(policy.vector) | (policy.autoEoi ? Sint.AUTO_EOI : 0n);
    this.message = { type: 0, payload, view: new DataView(payload.buffer), length: 0 };
  }

  /** Map message page, then event page, then enable the controller. */
  map(): void {
    this.#memory.zero(this.#messages.address, this.#messages.length);
    this.#memory.zero(this.#events.address, this.#events.length);
    this.#mapPage('SIMP', this.#messages);
    this.#mapPage('SIEFP', this.#events);
    this.#platform.write('SCONTROL', this.#platform.read('SCONTROL') | HV_ENABLE);
  }

  /** Undo {@link map}, in reverse. */
  unmap(): void {
    try {
      this.#platform.write('SCONTROL', this.#platform.read('SCONTROL') & ~HV_ENABLE);
    } finally {
      this.unmapPages();
    }
  }

  /**
   * Unmap the pages but leave the controller enabled: clearing SCONTROL under a connection makes
   * Windows Server 2016 wait for ever (iPXE hv_quiesce).
   */
  unmapPages(): void {
    // Whoever maps a page next may find what this one held: no event of ours must reach them
    this.#memory.zero(this.#events.address, this.#events.length);
    try {
      this.#unmapPage('SIEFP', this.#events);
    } finally {
      this.#unmapPage('SIMP', this.#messages);
    }
  }

  /** Whether a message page is mapped: by us, or by somebody who took over. */
  get isMapped(): boolean {
    return (this.#platform.read('SIMP') & HV_ENABLE) !== 0n;
  }

  /** Whether a SINT is unmasked: somebody uses it. */
  isUnmasked(sint: number): boolean {
    return (this.#platform.read('SINT0', sint) & Sint.MASKED) === 0n;
  }

  /** Unmask a SINT, by the policy with automatic end of interrupt. */
  enableSint(sint: number): void {
    const old = this.#platform.read('SINT0', sint);
    const kept = old & ~(Sint.MASKED | Sint.AUTO_EOI | Sint.VECTOR_MASK);
    this.#platform.write('SINT0', kept | this.#unmasked, sint);
  }

  /** Mask a SINT; nothing if it is masked. */
  disableSint(sint: number): void {
    const old = this.#platform.read('SINT0', sint);
    if (old & Sint.MASKED) return;
    this.#platform.write('SINT0', (old & ~Sint.AUTO_EOI) | Sint.MASKED, sint);
  }

  /** Mask every SINT that is not masked. */
  disableAllSints(): void {
    for (let sint = 0; sint < SINT_COUNT; sint++) this.disableSint(sint);
  }

  /**
   * Take the message out of a slot, if there is one, into {@link message}.
   *
   * The slot is copied once, then released: type 0 by compare-and-exchange, since the host may have
   * refilled a slot that somebody else has emptied; only then the pending flag is read, since the
   * host may set it until it sees the slot empty (TLFS 11.9, Linux vmbus_signal_eom).
   *
   * @param page message page to look into: ours, or another processor's
   */
  take(sint: number, page = this.#messages.address): boolean {
    const slot = page + sint * SynicMessage.size;
    const type = this.#memory.u32(slot + SynicMessage.at.type);
    if (type === HvMessageType.NONE) return false;

    // Copy message; a length beyond the slot is cut (iPXE trusts it: its defect 5)
    const { message } = this;
    const length = Math.min(this.#memory.u8(slot + SynicMessage.at.length), HV_MESSAGE_PAYLOAD_MAX);
    const data = slot + SynicMessage.at.data;
    for (let i = 0; i < length; i++) message.payload[i] = this.#memory.u8(data + i);
    message.payload.fill(0, length);
    message.type = type;
    message.length = length;

    // Release slot, unless it holds another message already; ask for the next one if one waits
    this.#memory.exchange32(slot + SynicMessage.at.type, type, HvMessageType.NONE);
    if (this.#memory.u8(slot + SynicMessage.at.flags) & HV_MESSAGE_PENDING) {
      this.#platform.write('EOM', 0n);
    }
    return true;
  }

  /** Clear the event flags of a SINT, and list those that were set, as far as `into` reaches. */
  takeFlags(sint: number, into: Uint16Array): number {
    const flags = this.#events.address + sint * HV_EVENT_FLAGS_SIZE;
    let count = 0;
    for (let i = 0; i < HV_EVENT_FLAGS_COUNT / 32 && count < into.length; i++) {
      const at = flags + 4 * i;
      // Most words are empty: look before taking, then take all that we have room for
      let word = this.#memory.u32(at) === 0 ? 0 : this.#memory.take32(at);
      while (word !== 0 && count < into.length) {
        const bit = 31 - Math.clz32(word & -word);
        into[count++] = 32 * i + bit;
        word &= word - 1;
      }
      if (word !== 0) this.#memory.or32(at, word);
    }
    return count;
  }

  #mapPage(register: RegisterName, page: Region): void {
    this.#pages.share(page, `register ${register}`);
    const old = this.#platform.read(register) & HV_PAGE_REGISTER_MASK;
    this.#platform.write(register, old | BigInt(page.address) | HV_ENABLE);
  }

  #unmapPage(register: RegisterName, page: Region): void {
    const old = this.#platform.read(register) & HV_PAGE_REGISTER_MASK;
    this.#platform.write(register, old & ~HV_ENABLE);
    this.#pages.revoke(page, `register ${register}`);
  }
}
