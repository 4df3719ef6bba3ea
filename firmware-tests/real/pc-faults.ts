// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What Debian's iPXE does when something goes wrong: single faults with findings, found by `hypxe
 * explore --pc`, each with what `--only` says of it today.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { IPXE, type PcFlowCase } from './pc-flows.ts';

/** A fault, and what it comes to. */
export interface FaultRow {
  readonly plan: string;
  readonly host: string;
  /** What goes wrong, in words. */
  readonly fault: string;
  /** How the run ended. */
  readonly status: string;
  /** Kind and cause of each finding. */
  readonly findings: readonly string[];
}

/** Faults, on which host, and what they are. */
export const FAULTS: readonly Pick<FaultRow, 'plan' | 'host' | 'fault'>[] = [
  { plan: 'register.21/refuse', host: 'server2019', fault: 'a register write is refused' },
  { plan: 'packet.25/cut:24', host: 'server2019', fault: 'a packet whose end is cut off' },
  {
    ...{ plan: 'call.4/status-ever:5', host: 'server2019' },
    fault: 'the message behind the contact cannot be posted, and none after it',
  },
  {
    ...{ plan: 'call.14/status-ever:18', host: 'server2019' },
    fault: 'with its NIC open no message can be posted any more',
  },
];

/** What these runs need. */
export const FAULT_NEEDS: Pick<PcFlowCase, 'needs'> = { needs: ['ipxe', 'seabios'] };

/** What `hypxe explore --json --only PLAN` says. */
interface Document {
  readonly status: string;
  readonly findings: readonly { readonly kind: string; readonly cause: string }[];
}

/** Make the run of a fault. `hypxe`: runs the command. @throws Error with what is wrong */
export async function runFault(
  { plan, host, fault }: (typeof FAULTS)[number],
  directory: string,
  hypxe: (args: readonly string[]) => Promise<{ readonly stderr: string }>,
): Promise<FaultRow> {
  const file = path.join(directory, 'run.json');
  const args = ['explore', '--pc', IPXE, '--host', host, '--only', plan, '--json', '-o', file];
  const { stderr } = await hypxe(args);
  if (!fs.existsSync(file)) throw new Error(`no document: ${stderr}`);
  const { status, findings } = JSON.parse(fs.readFileSync(file, 'utf8')) as Document;
  const told = findings.map(({ kind, cause }) => `${kind}: ${cause}`);
  return { plan, host, fault, status, findings: told };
}
