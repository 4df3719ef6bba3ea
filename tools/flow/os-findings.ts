// SPDX-License-Identifier: GPL-2.0-or-later

/** What the loaded OS says about the state in which it found the machine. */

import type { OsReport } from '../os/loaded-os.ts';
import { UNLOAD_TIMEOUT_MS } from '../os/os-kernel.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { VmbusInspection } from '../simulator/vmbus-server/inspection.ts';
import { LinkHarm, NETWORK_HARMED } from './link-harm.ts';
import { nicsThere } from './nics-there.ts';

/** Frames that a NIC's network has got from the host, and that have come from it. */
interface Traffic {
  readonly sent: number;
  readonly came: number;
}

/** The machine before a kernel: against it is judged what the kernel finds. */
export interface OsStart {
  /** In ticks. */
  readonly at: number;
  /** How channels were numbered for the one before it. */
  readonly numbering: VmbusInspection['numbering'];
  /** How often each device had come or gone, by instance. */
  readonly changesOf: ReadonlyMap<string, number>;
  /** What had gone over each NIC, by instance. */
  readonly traffic: ReadonlyMap<string, Traffic>;
  /** What the links had harmed. */
  readonly harm: LinkHarm;
  /** Contacts that the host had ignored. */
  readonly contactsIgnored: number;
}

/** Take down what there is before a kernel. */
export function osStart(machine: SimulatedMachine): OsStart {
  const { numbering, changesOf, contactsIgnored } = machine.vmbus.inspect();
  return {
    at: machine.clock.now,
    numbering,
    changesOf,
    traffic: nicTraffic(machine),
    harm: new LinkHarm(machine),
    contactsIgnored,
  };
}

/** What went over each NIC so far, by instance. What came and was dropped has come, too. */
function nicTraffic(machine: SimulatedMachine): ReadonlyMap<string, Traffic> {
  return new Map(
    machine.nics.map(({ instanceId, statistics }) => {
      const { framesFromGuest, framesToGuest, framesDropped } = statistics;
      return [instanceId, { sent: framesFromGuest, came: framesToGuest + framesDropped }];
    }),
  );
}

function isOutOfMemory(error: string): boolean {
  return error.startsWith('OutOfMemory');
}

/** A NIC as the host names it: guests put braces around it. */
function bare(instance: string): string {
  return instance.replace(/[{}]/g, '');
}

/**
 * Judge what the OS reports. What the host has done meanwhile is nobody's fault: a device that it
 * took away, or brought (back), a message that it lost.
 *
 * @param start what there was when the OS started
 * @param cramped it has no room for all that it wants, and that is nobody's fault
 * @param ownedSince when whoever is judged got the machine, in ticks
 */
export function auditOs(
  os: OsReport,
  machine: SimulatedMachine,
  start: OsStart,
  cramped = false,
  ownedSince = -1,
): Finding[] {
  const findings: Finding[] = [];
  const report = (text: string, severity: Finding['severity'] = 'error'): void => {
    findings.push({ check: 'next-os', severity, text });
  };

  // An OS that is too new for the host says nothing about the firmware
  if (os.refused && machine.vmbus.inspect().numbering.at <= start.at) {
    report(`the OS does not run on this host: ${os.error ?? ''}`, 'info');
    return findings;
  }
  const { host } = machine.partition.omissions;
  const view: OsView = {
    ...{ os, machine, start, report, cramped },
    lost: host.hasLost(start.at),
    refused: host.hasRefused(start.at),
  };
  if (os.error !== undefined) {
    const small = cramped && isOutOfMemory(os.error);
    const { contactsIgnored, connectedAt, phase } = machine.vmbus.inspect();
    const ignored = contactsIgnored > start.contactsIgnored && phase !== 'disconnected';
    const why =
      ignored && connectedAt <= ownedSince ? ' (the host keeps an earlier connection)' : '';
    const severity = small || why !== '' ? 'info' : 'error';
    report(`the OS could not come up: ${os.error}${roomOf(small)}${why}`, severity);
  }
  nics(view);

  // Nothing may reach the next owner before it has contacted the host
  for (const event of os.staleEvents) {
    const text = `${event} of the one before it reached the OS before it had contacted the host`;
    findings.push({ check: 'leftovers', severity: 'warning', text });
  }
  outstanding(view);
  numbers(view);
  return findings;
}

/** What a kernel's report is judged by. */
interface OsView {
  readonly os: OsReport;
  readonly machine: SimulatedMachine;
  readonly start: OsStart;
  readonly report: (text: string, severity?: Finding['severity']) => void;
  /** The host has lost messages meanwhile. */
  readonly lost: boolean;
  /** ... has refused messages of the OS. */
  readonly refused: boolean;
  /** It has no room for all that it wants, which is its own affair. */
  readonly cramped: boolean;
}

function nics({ os, machine, start, report, lost, cramped }: OsView): void {
  const { changesOf } = machine.vmbus.inspect();
  const touched = (instance: string): boolean =>
    changesOf.get(instance) !== start.changesOf.get(instance);

  // A network that has never answered anybody says nothing about the handoff
  const after = nicTraffic(machine);
  const isSilent = (instance: string): boolean => {
    const [then, now] = [start.traffic.get(instance), after.get(instance)];
    return then?.came === 0 && now!.came === 0 && now!.sent > then.sent;
  };
  for (const { name, instance, error, received } of os.nics) {
    const asked = error === undefined || /^NoDhcpAnswer\b/.test(error);
    if (received === 0 && asked && isSilent(bare(instance))) {
      report(`nothing came to ${name} over the network, which got what the OS sent`, 'info');
      continue;
    }
    if (error !== undefined && start.harm.excuses(error.split(':')[0], bare(instance))) {
      report(`the OS has no network on ${name}: ${error} (${NETWORK_HARMED})`, 'info');
      continue;
    }
    const small = cramped && error !== undefined && isOutOfMemory(error);
    const severity = small || touched(bare(instance)) ? 'info' : 'error';
    if (error !== undefined) report(`the OS has no network on ${name}: ${error}`, severity);
    else if (received === 0) report(`the OS received nothing on ${name}`, severity);
  }

  // An offer may be among the messages that were lost
  const offered = nicsThere(machine).filter((instance) => !touched(instance));
  const found = os.nics.filter(({ instance }) => offered.includes(bare(instance)));
  if (os.error !== undefined || found.length >= offered.length || lost) return;
  const text = `the OS found ${found.length} of ${offered.length} NICs${roomOf(cramped)}`;
  report(text, cramped ? 'info' : 'error');
}

/** Where nobody can disconnect, the OS cannot either. */
function outstanding({ os, machine, report, lost, refused }: OsView): void {
  if (os.outstanding === 0) return;
  const { unloadAnswer } = machine.partition.profile.knobs;
  const text = `the OS could not get back ${os.outstanding} of its own shared regions`;
  if (unloadAnswer === 'never') report(`${text}: this host does not answer UNLOAD`, 'info');
  else if (unloadAnswer > UNLOAD_TIMEOUT_MS * TICKS_PER_MS)
    report(`${text}: this host answers UNLOAD later than any kernel waits`, 'info');
  else if (lost) report(`${text}: this host has lost messages`, 'info');
  else if (refused) report(`${text}: this host has refused messages`, 'info');
  else report(text);
}

/**
 * Drivers find their devices by number (OpenVMM, "identical relids"), and with the same devices the
 * numbers are the same.
 */
function numbers({ machine, start, report }: OsView): void {
  const { numbering } = machine.vmbus.inspect();
  if (numbering.changes !== start.numbering.changes) return;
  for (const [instance, channel] of start.numbering.numbers) {
    const now = numbering.numbers.get(instance);
    if (now === undefined || now === channel) continue;
    report(`{${instance}} was channel ${channel} and is channel ${now} for the OS`);
  }
}

/** What is said of a kernel that has run out of memory. */
function roomOf(cramped: boolean): string {
  return cramped ? ' (it has no room for all that it wants)' : '';
}
