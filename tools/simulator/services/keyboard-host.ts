// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The host's end of the synthetic keyboard: the negotiation, then keystrokes. Behaviour is
 * OpenVMM's `uidevices` (`keyboard`): one version, a refusal leaves the guest another try, and a
 * message out of order ends the channel in silence.
 */

import { COMPLETION_REQUESTED, PacketType } from '../../../src/vmbus/protocol.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import type {
  ChannelDevice,
  DeviceChannel,
  GuestPacket,
} from '../vmbus-server/channel-interface.ts';
import type { DeviceDescription } from '../vmbus-server/device-description.ts';
import {
  KEYBOARD_ACCEPTED,
  KEYBOARD_INSTANCE,
  KEYBOARD_INTERFACE,
  KEYBOARD_VERSION,
  KeyboardHeader,
  KeyboardKeystroke,
  KeyboardLeds,
  KeyboardMessageType,
  KeyboardRequest,
  KeyboardResponse,
  KeystrokeFlag,
} from './keyboard-protocol.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Packets of the guest read in one look. */
const PACKETS_PER_LOOK_MAX = 64;

/** Keystrokes that wait for room in the ring; what comes then is lost, as on any keyboard. */
const WAITING_MAX = 64;

/** What the guest has agreed to; `failed`: it broke the rules. */
export type KeyboardState = 'closed' | 'negotiating' | 'active' | 'failed';

/** The device, for all that name devices. */
export const KEYBOARD: DeviceDescription = {
  name: 'keyboard',
  text: 'synthetic keyboard; nobody types on it',
  interfaceId: KEYBOARD_INTERFACE,
  protocol: {
    name: 'keyboard',
    header: KeyboardHeader,
    types: KeyboardMessageType,
    messages: {
      [KeyboardMessageType.PROTOCOL_REQUEST]: KeyboardRequest,
      [KeyboardMessageType.PROTOCOL_RESPONSE]: KeyboardResponse,
      [KeyboardMessageType.EVENT]: KeyboardKeystroke,
      [KeyboardMessageType.LED_INDICATORS]: KeyboardLeds,
    },
  },
  create: () => new KeyboardHost(),
};

export class KeyboardHost implements ChannelDevice {
  readonly protocol = KEYBOARD.protocol;
  readonly interfaceId = KEYBOARD_INTERFACE;
  readonly instanceId = KEYBOARD_INSTANCE;
  readonly offerFlags = 0;
  readonly monitored = false;
  state: KeyboardState = 'closed';
  /** LEDs as the guest has set them. */
  leds = 0;
  #channel: DeviceChannel | undefined;
  readonly #none = new Uint8Array(0);
  /** Messages that found no room in the ring, in order. */
  #waiting: Uint8Array[] = [];

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.state, this.leds], (v) => ([this.state, this.leds] = v));
    keeper.put([this.#channel, this.#waiting], (v) => ([this.#channel, this.#waiting] = v));
    keeper.keep(this.#none);
  }

  attach(_services: PartitionServices): void {}

  open(channel: DeviceChannel): number {
    this.#channel = channel;
    this.state = 'negotiating';
    return 0;
  }

  close(): void {
    this.#channel = undefined;
    this.#waiting = [];
    this.state = 'closed';
    this.leds = 0;
  }

  gpadlTeardown(): boolean {
    return true;
  }

  /**
   * Press or let go of a key. False if nobody listens, or too many keystrokes wait already.
   *
   * @param code make code of the key (scan code set 1) from 1 to 0x7f, behind 0xe000 or 0xe100 for
   *   those that have such a prefix
   */
  key(code: number, down: boolean): boolean {
    if (this.state !== 'active' || this.#waiting.length >= WAITING_MAX) return false;
    const prefix = code >>> 8;
    let info = down ? 0 : KeystrokeFlag.BREAK;
    if (prefix === 0xe0) info |= KeystrokeFlag.E0;
    if (prefix === 0xe1) info |= KeystrokeFlag.E1;
    const message = new Uint8Array(KeyboardKeystroke.size);
    const view = new DataView(message.buffer);
    view.setUint32(KeyboardKeystroke.at.type, KeyboardMessageType.EVENT, true);
    view.setUint16(KeyboardKeystroke.at.makeCode, code & 0x7f, true);
    view.setUint32(KeyboardKeystroke.at.info, info, true);
    this.#send(message);
    return true;
  }

  /** Send any message, past the rules: for tests of guests. */
  sendRaw(message: Uint8Array): void {
    this.#send(message.slice());
  }

  signalled(): void {
    this.#flush();
    // A guest that does not read what it is told has nothing more to say
    for (let i = 0; i < PACKETS_PER_LOOK_MAX && this.#waiting.length === 0; i++) {
      const packet = this.#channel?.receive();
      if (packet === undefined) return;
      this.#received(packet);
    }
  }

  #received(packet: GuestPacket): void {
    const { type, flags, view, payloadOffset: at, length } = packet;
    if (type === PacketType.COMPLETION) return;
    const size = length - at;
    if (type !== PacketType.DATA_INBAND || size < KeyboardHeader.size) {
      return this.#fail(`packet of type ${type} with ${size} bytes`);
    }
    const message = view.getUint32(at + KeyboardHeader.at.type, true);
    const struct = KEYBOARD.protocol.messages[message];
    if (struct !== undefined && size < struct.size) {
      return this.#fail(`message ${message} of ${size} bytes`);
    }

    // The request while negotiating, LEDs afterwards, and nothing else
    const { state } = this;
    if (message === KeyboardMessageType.PROTOCOL_REQUEST && state === 'negotiating') {
      if (flags & COMPLETION_REQUESTED) this.#complete(packet);
      this.#negotiate(view.getUint32(at + KeyboardRequest.at.version, true));
    } else if (message === KeyboardMessageType.LED_INDICATORS && state === 'active') {
      this.leds = view.getUint32(at + KeyboardLeds.at.state, true);
      if (flags & COMPLETION_REQUESTED) this.#complete(packet);
    } else this.#fail(`message ${message} while ${state}`);
  }

  #negotiate(version: number): void {
    const accepted = version === KEYBOARD_VERSION;
    const message = new Uint8Array(KeyboardResponse.size);
    const view = new DataView(message.buffer);
    view.setUint32(KeyboardResponse.at.type, KeyboardMessageType.PROTOCOL_RESPONSE, true);
    view.setUint32(KeyboardResponse.at.status, accepted ? KEYBOARD_ACCEPTED : 0, true);
    if (accepted) this.state = 'active';
    this.#send(message);
  }

  #complete({ transactionIdLow: low, transactionIdHigh: high }: GuestPacket): void {
    this.#channel?.send(PacketType.COMPLETION, 0, low, high, this.#none, 0, this.#none, 0);
  }

  #send(message: Uint8Array): void {
    this.#waiting.push(message);
    this.#flush();
  }

  #flush(): void {
    while (this.#waiting.length > 0) {
      const message = this.#waiting[0]!;
      const type = PacketType.DATA_INBAND;
      const sent = this.#channel?.send(type, 0, 0, 0, this.#none, 0, message, message.length);
      if (sent !== true) return;
      this.#waiting.shift();
    }
  }

  /** The guest broke the rules: nothing more is read or sent until it closes the channel. */
  #fail(reason: string): void {
    this.state = 'failed';
    this.#channel?.die(`keyboard: ${reason}`);
  }
}
