// SPDX-License-Identifier: GPL-2.0-or-later

/** What the firmware of a page can be made to forget: revocations, and the truth about them. */

import type { BootOptions, BootResult } from '../../src/boot/boot.ts';
import type { FirmwareEvent } from '../../src/events.ts';
import { Msr } from '../../src/hyperv/protocol.ts';
import type { Machine, X64Machine } from '../../src/machine.ts';
import { MessageType, VMBUS_MESSAGE_SINT } from '../../src/vmbus/protocol.ts';
import type { TrustedModule } from '../guests/trusted-guest.ts';
import type { LiveOption } from '../report/live.ts';
import { BadChoice } from './choice.ts';
import { ForgetfulMachine, hasImage, untoldMap } from './forgetful.ts';

/** A step of the clean-up: a message that is not sent, or a register that is not written. */
interface Omission {
  readonly text: string;
  readonly message?: number;
  readonly register?: number;
}

const OMISSIONS: Readonly<Record<string, Omission>> = {
  unload: { text: 'UNLOAD', message: MessageType.UNLOAD },
  close: { text: 'CLOSE_CHANNEL', message: MessageType.CLOSE_CHANNEL },
  teardown: { text: 'GPADL_TEARDOWN', message: MessageType.GPADL_TEARDOWN },
  simp: { text: 'message page (SIMP)', register: Msr.SIMP },
  siefp: { text: 'event page (SIEFP)', register: Msr.SIEFP },
  sint: { text: 'mask of SINT2', register: Msr.SINT0 + VMBUS_MESSAGE_SINT },
  hypercall: { text: 'hypercall page (HYPERCALL)', register: Msr.HYPERCALL },
  identity: { text: 'identity (GUEST_OS_ID)', register: Msr.GUEST_OS_ID },
};

/** The memory map tells nothing of what could not be revoked. */
const UNTOLD = 'untold';

/** All that can be forgotten. */
export const OMISSION_OPTIONS: readonly LiveOption[] = [
  ...Object.entries(OMISSIONS).map(([value, { text }]) => ({ value, text })),
  { value: UNTOLD, text: 'to reserve what it could not revoke' },
];

/**
 * Firmware that forgets these, each time that it boots. With none it is as it was, at the same
 * seam: so that the two can be compared.
 *
 * @throws BadChoice for what is not in {@link OMISSION_OPTIONS}
 */
export function forgetful(
  { boot }: Required<Pick<TrustedModule, 'boot'>>,
  forgotten: readonly string[],
): Pick<TrustedModule, 'boot'> {
  const steps = forgotten.filter((name) => name !== UNTOLD).map(omissionNamed);
  const untold = forgotten.includes(UNTOLD);
  const registers = steps.flatMap(({ register }) => register ?? []);
  const messages = (type: number): boolean => steps.some(({ message }) => message === type);
  return {
    boot(machine: Machine, options: BootOptions = {}) {
      const seam = new ForgetfulMachine(machine as X64Machine, { registers, messages });
      const events = (event: FirmwareEvent): void => {
        options.events?.(event);
        if (hasImage(event)) seam.forgetting = true;
      };
      const result = boot(seam, { ...options, events }) as BootResult;
      return untold ? { ...result, memoryMap: untoldMap(machine, result.image) } : result;
    },
  };
}

function omissionNamed(name: string): Omission {
  const omission = Object.hasOwn(OMISSIONS, name) ? OMISSIONS[name] : undefined;
  if (omission === undefined) throw new BadChoice(`there is nothing to forget named ${name}`);
  return omission;
}
