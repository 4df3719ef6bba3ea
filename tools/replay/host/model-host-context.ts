// SPDX-License-Identifier: GPL-2.0-or-later

/** What the host of a replay has around it. */

import type { GuestChannels } from '../guest-channels.ts';
import type { GuestRules } from '../guest-rules.ts';
import type { MessageSlots } from '../message-slots.ts';
import type { HostBooks } from '../principles/host-books.ts';

/** What the host needs of the rest. */
export interface ModelHostContext {
  readonly memory: Uint8Array;
  readonly channels: GuestChannels;
  readonly overwrites: boolean;
  readonly slots: MessageSlots;
  /** What memory of the guest a page is, if that is known. */
  purposeOf(address: number): string;
  note(text: string): void;
  readonly rules: GuestRules;
  readonly books: HostBooks;
}
