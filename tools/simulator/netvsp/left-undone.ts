// SPDX-License-Identifier: GPL-2.0-or-later

/** What a guest has not done when the channel of a network device ends. */

import type { OmittedStep } from '../ledger/omissions.ts';
import type { Blame } from './guest-completion.ts';

export interface LeftUndone {
  /** Received packets that were not completed, and those of them that were left out for others. */
  readonly outstanding: number;
  readonly skipped: number;
  readonly blame: Blame;
  /** Steps of iPXE's clean-up, in their order, that the end of the channel makes up for. */
  readonly steps: readonly OmittedStep[];
  /** When the channel was opened, in ticks. */
  readonly since: number;
}

/** What of a session tells how far the guest got. */
interface SetUp {
  readonly control: {
    readonly halted: boolean;
    readonly knowsInitialised: boolean;
    readonly knowsFilter: boolean;
    readonly rndis: { readonly filter: { readonly bits: number } };
  };
  readonly negotiation: {
    readonly receiveBuffer: object | undefined;
    readonly receiveRevoked: boolean;
    readonly sendBufferGpadl: number;
    readonly sendRevoked: boolean;
    readonly used: boolean;
  };
}

/**
 * The steps that were left out. Who has not heard the answer to what a step would undo cannot know
 * of it: the host may have lost it.
 */
export function omittedSteps({ control, negotiation }: SetUp): OmittedStep[] {
  const { rndis, halted, knowsInitialised, knowsFilter } = control;
  const { receiveBuffer, receiveRevoked, sendBufferGpadl, sendRevoked, used } = negotiation;
  const steps: (OmittedStep | false)[] = [
    knowsFilter && rndis.filter.bits !== 0 && 'packet filter 0',
    knowsInitialised && !halted && 'RNDIS HALT',
    used && receiveBuffer !== undefined && !receiveRevoked && 'REVOKE_RECEIVE_BUFFER',
    used && sendBufferGpadl !== 0 && !sendRevoked && 'REVOKE_SEND_BUFFER',
  ];
  return steps.filter((step) => step !== false);
}

/** The packets that a receive buffer, if there is one, waits for. */
export function leftPackets(
  buffer: { readonly outstanding: number; skipped(): number } | undefined,
): Pick<LeftUndone, 'outstanding' | 'skipped'> {
  return { outstanding: buffer?.outstanding ?? 0, skipped: buffer?.skipped() ?? 0 };
}
