// SPDX-License-Identifier: GPL-2.0-or-later

/** What a guest has not done when the channel of a network device ends. */

import { NvspRndisPacket, NvspType, RndisChannel } from '../../../src/netvsc/protocol.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import type { Keeper } from '../base/snapshot.ts';
import type { OmittedStep } from '../ledger/omissions.ts';
import type { GuestPacket } from '../vmbus-server/channel-interface.ts';
import { isMeddledWith, type NetVspFaults } from './faults.ts';
import type { Blame } from './guest-completion.ts';

export interface LeftUndone {
  /** Received packets that were not completed, and those of them that were left out for others. */
  readonly outstanding: number;
  readonly skipped: number;
  readonly blame: Blame;
  /** Steps of iPXE's clean-up, in their order, that the end of the channel makes up for. */
  readonly steps: readonly OmittedStep[];
  /** Of a channel that died of what the guest did on it, and of nothing else: what that was. */
  readonly died: string | undefined;
  /** When the channel was opened, in ticks. */
  readonly since: number;
}

/** What of a session tells how far the guest got. */
interface SetUp {
  readonly control: {
    readonly halted: boolean;
    readonly heard: { readonly initialised: boolean; readonly filter: boolean };
    lookBack(): void;
    readonly rndis: { readonly filter: { readonly bits: number } };
  };
  readonly negotiation: {
    readonly receiveBuffer: object | undefined;
    readonly receiveRevoked: boolean;
    readonly sendBufferGpadl: number;
    readonly sendRevoked: boolean;
    readonly used: boolean;
  };
  /** Transmits that a fault withholds: there may have been no room for more. */
  readonly transmits: { readonly withheld: number };
}

/**
 * The steps that were left out. Who has not heard the answer to what a step would undo cannot know
 * of it: the host may have lost it.
 */
export function omittedSteps({ control, negotiation, transmits }: SetUp): OmittedStep[] {
  control.lookBack();
  const { rndis, halted, heard } = control;
  const mute = transmits.withheld > 0;
  const { receiveBuffer, receiveRevoked, sendBufferGpadl, sendRevoked, used } = negotiation;
  const steps: (OmittedStep | false)[] = [
    !mute && heard.filter && rndis.filter.bits !== 0 && 'packet filter 0',
    !mute && heard.initialised && !halted && 'RNDIS HALT',
    used && receiveBuffer !== undefined && !receiveRevoked && 'REVOKE_RECEIVE_BUFFER',
    used && sendBufferGpadl !== 0 && !sendRevoked && 'REVOKE_SEND_BUFFER',
  ];
  return steps.filter((step) => step !== false);
}

/** Where a packet is that nobody has read. */
interface Unread {
  readonly services: Pick<PartitionServices, 'omissions'>;
  readonly faults: NetVspFaults;
}

/**
 * Whether a packet that lies unread when the channel closes excuses what was left out: it may be a
 * step of the clean-up (what a control message says lies in the guest's pages), and whoever is not
 * heard need not go on. Any other, a frame above all, excuses only a guest whose host is deaf.
 *
 * @param since when the channel was opened, in ticks
 */
export function excusesOmissions(
  { view, length, payloadOffset }: GuestPacket,
  { services, faults }: Unread,
  since: number,
): boolean {
  if (isMeddledWith(faults) || services.omissions.host.hasRefusedSignal(since)) return true;
  if (length - payloadOffset < NvspRndisPacket.at.channelType + 4) return false;
  const type = view.getUint32(payloadOffset, true);
  if (type === NvspType.REVOKE_RECEIVE_BUFFER || type === NvspType.REVOKE_SEND_BUFFER) return true;
  const channel = view.getUint32(payloadOffset + NvspRndisPacket.at.channelType, true);
  return type === NvspType.SEND_RNDIS_PACKET && channel === RndisChannel.CONTROL;
}

/** The packets that a receive buffer, if there is one, waits for. */
export function leftPackets(
  buffer: { readonly outstanding: number; skipped(): number } | undefined,
): Pick<LeftUndone, 'outstanding' | 'skipped'> {
  return { outstanding: buffer?.outstanding ?? 0, skipped: buffer?.skipped() ?? 0 };
}

/** No packet yet. */
const NONE = -1;

/** What the device has agreed to. */
interface Agreed {
  readonly initialised: boolean;
  readonly filter: { readonly bits: number };
}

/**
 * Which answers of the RNDIS device the guest has heard: whoever has not heard that a step was done
 * owes nothing for it. It has heard an answer if it went on after it, or if it has completed the
 * packet with it, or a later one: packets are read in order.
 */
export class HeardAnswers {
  /** RNDIS is initialised, and a packet filter is set, so far as the guest is known to know. */
  initialised = false;
  filter = false;
  /** Numbers of the packets that say so. */
  #initialisedIn = NONE;
  #filterIn = NONE;

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.initialised, this.filter], (v) => ([this.initialised, this.filter] = v));
    keeper.put([this.#initialisedIn], (v) => ([this.#initialisedIn] = v));
    keeper.put([this.#filterIn], (v) => ([this.#filterIn] = v));
  }

  /** The guest sends something else than HALT, each frame too: it has heard all answers. */
  wentOn(agreed: Agreed): void {
    this.initialised = agreed.initialised;
    this.filter = agreed.filter.bits !== 0;
    this.#forget(agreed);
  }

  /** An answer went out as it is, in the packet with this number. */
  sent(agreed: Agreed, packet: number): void {
    this.#forget(agreed);
    const { initialised, filter } = agreed;
    if (initialised && this.#initialisedIn === NONE) this.#initialisedIn = packet;
    if (filter.bits !== 0 && this.#filterIn === NONE) this.#filterIn = packet;
  }

  /** The guest has completed all packets up to this one, or a later one of them. */
  completed(packet: number): void {
    const upTo = (one: number): boolean => one !== NONE && one <= packet;
    this.initialised ||= upTo(this.#initialisedIn);
    this.filter ||= upTo(this.#filterIn);
  }

  /** What is undone again was agreed in no packet. */
  #forget({ initialised, filter }: Agreed): void {
    if (!initialised) this.#initialisedIn = NONE;
    if (filter.bits === 0) this.#filterIn = NONE;
  }
}
