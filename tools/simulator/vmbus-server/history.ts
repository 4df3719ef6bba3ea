// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a host remembers of a guest's connections. iPXE's way of 3.0, unload, 0.13 can be seen by a
 * loaded OS only here, and the audit asks for the last UNLOAD.
 */

import type { Keeper } from '../base/snapshot.ts';

/** Records kept; the oldest go first. */
export const HISTORY_MAX = 256;

/** One INITIATE_CONTACT and what came of it. It is replaced when it ends: a reader may keep it. */
export interface ContactRecord {
  readonly version: number;
  readonly at: number;
  /** `failed`: the version is known, the pages were bad. `ignored`: by the knob `reinitiate`. */
  readonly outcome: 'accepted' | 'refused' | 'failed' | 'ignored';
  /** When and by what an accepted connection ended. */
  readonly endedAt: number | undefined;
  readonly endedBy: string | undefined;
}

export class ConnectionHistory {
  /** Every version that was ever agreed. */
  readonly everNegotiated = new Set<number>();
  readonly #records: ContactRecord[] = [];
  /** When the last contact that was accepted was made, in ticks; 0 if there was none. */
  connectedAt = 0;
  /** Contacts that came, whatever became of them; records are fewer. */
  contacts = 0;
  /** Of these, contacts that changed nothing: the host ignored them (knob `reinitiate`). */
  ignored = 0;
  /** UNLOADs: how many came, and how many were answered. */
  unloadsSeen = 0;
  unloadsAnswered = 0;
  /** When the last UNLOAD came and was answered since the last connection; else undefined. */
  unloadSeenAt: number | undefined;
  unloadAnsweredAt: number | undefined;

  /** When the answer to the last UNLOAD found the guest's SINT masked or its page gone. */
  unloadLostAt: number | undefined;

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.connectedAt, this.contacts], (v) => ([this.connectedAt, this.contacts] = v));
    keeper.put([this.ignored, this.unloadsSeen], (v) => ([this.ignored, this.unloadsSeen] = v));
    keeper.put([this.unloadsAnswered], (v) => ([this.unloadsAnswered] = v));
    keeper.put([this.unloadSeenAt], (v) => ([this.unloadSeenAt] = v));
    keeper.put([this.unloadAnsweredAt], (v) => ([this.unloadAnsweredAt] = v));
    keeper.put([this.unloadLostAt], (v) => ([this.unloadLostAt] = v));
    keeper.keep(this.everNegotiated, this.#records);
  }

  get records(): readonly ContactRecord[] {
    return this.#records;
  }

  contact(version: number, at: number, outcome: ContactRecord['outcome']): void {
    if (outcome === 'accepted') {
      this.everNegotiated.add(version);
      this.connectedAt = at;
      this.unloadSeenAt = this.unloadAnsweredAt = undefined;
      this.unloadLostAt = undefined;
    }
    this.contacts++;
    if (outcome === 'ignored') this.ignored++;
    this.#records.push({ version, at, outcome, endedAt: undefined, endedBy: undefined });
    if (this.#records.length > HISTORY_MAX) this.#records.shift();
  }

  /** The connection ended. */
  ended(at: number, by: string): void {
    for (let i = this.#records.length - 1; i >= 0; i--) {
      const record = this.#records[i]!;
      if (record.outcome !== 'accepted') continue;
      this.#records[i] = {
        ...record,
        endedAt: record.endedAt ?? at,
        endedBy: record.endedBy ?? by,
      };
      return;
    }
  }

  unloadSeen(at: number): void {
    this.unloadsSeen++;
    this.unloadSeenAt = at;
    this.unloadLostAt = undefined;
  }

  /** The machine was reset: nobody waits for an answer any more. */
  reset(): void {
    this.unloadSeenAt = this.unloadAnsweredAt = this.unloadLostAt = undefined;
  }

  unloadAnswered(at: number): void {
    this.unloadsAnswered++;
    this.unloadAnsweredAt = at;
  }
}
