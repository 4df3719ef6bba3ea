// SPDX-License-Identifier: GPL-2.0-or-later

/** What catches each mutant, and when: the tables of this folder's README. */

import { MUTANTS } from './mutants.ts';
import { OMISSION_FLOW_MUTANTS } from './omission-flow-mutants.ts';
import { OMISSION_MUTANTS, type OmissionMutant } from './omission-mutants.ts';
import { C_EQUIVALENT, C_MISSED, C_RACE_MUTANTS } from './c-race-mutants.ts';
import { RACE_MUTANTS } from './race-mutants.ts';
import { SILENT_OMISSIONS } from './silent-omissions.ts';
import { EQUIVALENT, TESTED_MUTANTS } from './tested-mutants.ts';

/** A mistake that a firmware may make, and the mutants that make it. */
interface Mistake {
  readonly mistake: string;
  readonly mutants: readonly string[];
}

const row = (mistake: string, ...mutants: string[]): Mistake => ({ mistake, mutants });

/** Mistakes of order and of memory that a test run once did not find. */
export const SURVIVORS: readonly Mistake[] = [
  row(
    'a signal is decided before the indices are published',
    'a signal is decided before the index is published',
  ),
  row(
    'the pending flag is read before the slot is released',
    'the pending flag is read before the slot is released',
  ),
  row(
    'stale bytes beyond a short message are used',
    'bytes beyond the end of a short message are those of the message before',
  ),
  row(
    'a header is copied again with its body',
    'a header is copied again with its body',
    'a header is copied and read again with its body',
  ),
  row(
    'a received packet is completed before it is copied out',
    'a received packet is completed before it is copied out',
    'a ring is given back before the packet is copied out',
  ),
  row('a completion queue is shifted by half', 'the queue of completions is shifted by half'),
  row('completions overtake those that wait', 'completions overtake those that wait'),
  row(
    'pages are revoked though an older contact is out',
    'pages are revoked though an older contact is out',
    'pages are revoked though the connection of before a reset lives',
    'pages are revoked behind the answer to an UNLOAD that was not ours',
  ),
  row(
    'DHCP replies for another MAC address are accepted',
    'DHCP replies for another MAC address are taken',
  ),
  row('a clock may run backwards', 'the clock goes back with its counter'),
];

/** Steps of the clean-up of which the audit once said nothing when they were left out. */
export const UNTOLD: readonly Mistake[] = [
  row(
    'UNLOAD of the contact with 3.0',
    'no UNLOAD between the contact with 3.0 and the one that stays',
    'no UNLOAD between the contacts, where the host takes no second one',
  ),
  row(
    'REVOKE_RECEIVE_BUFFER',
    'the receive buffer is not revoked',
    'an OS does not revoke its receive buffer',
  ),
  row('GPADL_TEARDOWN of a ring', 'the GPADL of the rings is not torn down'),
  row('GPADL_TEARDOWN of the receive buffer', 'the GPADL of the receive buffer is not torn down'),
  row('GPADL_TEARDOWN of the send buffer', 'the GPADL of the send buffer is not torn down'),
  row(
    '... and the memory is freed while the host has it',
    'the rings are freed, and their GPADL is left to UNLOAD',
    'the receive buffer is freed, and its GPADL is left to UNLOAD',
    'the pages of the connection are freed before UNLOAD is answered',
  ),
  row('REVOKE_SEND_BUFFER', 'an OS does not revoke its send buffer'),
  row('RNDIS HALT', 'no RNDIS HALT'),
  row('packet filter off', 'the packet filter is not cleared'),
  row('close of a device', 'the channel is not closed', 'devices that are open are not closed'),
  row("close of a service's channel", 'the channel of a service is not closed'),
  row(
    'pages stay reserved though the host has nothing there',
    'the pages of the connection stay reserved though UNLOAD was answered',
    'the pages of the registers stay reserved',
    'what UNLOAD ends stays reserved',
  ),
  row(
    'received packets are never completed',
    'a received packet is never completed',
    'no received packet is ever completed',
  ),
  row('event flags are left', 'message page and event page are not cleared at the end'),
];

/** When the audit knows it. */
function momentOf({ finds: { check, text } }: OmissionMutant): string {
  if (check === 'freed') return 'at the moment';
  if (check === 'omissions' && /UNLOAD was/.test(text.source)) return 'at the next contact';
  if (check === 'omissions' && /CLOSE_CHANNEL|GPADL_TEARDOWN/.test(text.source)) return 'at UNLOAD';
  return check === 'omissions' || check === 'completions' ? 'at the end of the channel' : 'handoff';
}

/** A mutant, what catches it, and when. */
type Line = readonly [name: string, by: string, when: string];

const EXPLORED: readonly Line[] = [
  ...MUTANTS.map(({ name, found }): Line => [name, 'exploration', `\`${found[0]}\``]),
  ...RACE_MUTANTS.map(({ name, on }): Line => [name, 'races', `\`race.N\`, ${on.join(', ')}`]),
  ...C_RACE_MUTANTS.map(({ name, race }): Line => [name, 'races', `\`${race}\``]),
  ...[...C_EQUIVALENT, ...C_MISSED].map(({ name, reason }): Line => {
    return [name, `nothing: ${reason}`, ''];
  }),
  ...TESTED_MUTANTS.map(({ name, path, test }): Line => [name, `\`${path}\``, test]),
  ...EQUIVALENT.map(({ name, path, reason }): Line => {
    return [name, `nothing: ${reason}`, `\`${path}\` passes`];
  }),
];

const TOLD = [...OMISSION_MUTANTS, ...OMISSION_FLOW_MUTANTS].map((mutant): Line => {
  const { check, severity } = mutant.finds;
  return [mutant.name, `audit: \`${check}\`, ${severity}`, momentOf(mutant)];
});

const SILENT = SILENT_OMISSIONS.map(({ name, reason, status }): Line => {
  return [name, `not told: ${reason}`, status ? `\`${status}\`` : ''];
});

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** @throws Error if a mistake has a mutant that is not in the lines */
function mistakes(of: readonly Mistake[], lines: readonly Line[]): string {
  const rows = of.flatMap(({ mistake, mutants }) =>
    mutants.map((mutant, i) => {
      const line = lines.find(([name]) => name === mutant);
      if (!line) throw new Error(`no mutant: ${mutant}`);
      return [i === 0 ? mistake : '', ...line];
    }),
  );
  return table(['mistake', 'mutant', 'caught by', 'when'], rows);
}

/**
 * The tables, by the title of their section.
 *
 * @throws Error if a mistake has a mutant that is in no list
 */
export function tables(): Record<string, string> {
  const head = ['mutant', 'caught by', 'when'];
  const counts: readonly (readonly [string, number])[] = [
    ['found by exploration', MUTANTS.length],
    ['found by races', RACE_MUTANTS.length + C_RACE_MUTANTS.length],
    ['found by tests', TESTED_MUTANTS.length],
    ['no mistake', EQUIVALENT.length + C_EQUIVALENT.length],
    ['found by nothing', C_MISSED.length],
    ['steps left out that the audit tells', TOLD.length],
    ['steps left out that it does not tell', SILENT.length],
  ];
  return {
    'How many': table(
      ['list', 'mutants'],
      counts.map(([list, count]) => [list, String(count)]),
    ),
    'Mistakes that once survived': mistakes(SURVIVORS, EXPLORED),
    'Steps that could once be left out without a word': mistakes(UNTOLD, [...TOLD, ...SILENT]),
    'All mistakes': table(head, EXPLORED),
    'All steps that are told': table(head, TOLD),
    'All steps that are not told': table(head, SILENT),
  };
}
