// SPDX-License-Identifier: GPL-2.0-or-later

/** What the loaded OS says about the state in which it found the machine. */

import type { OsReport } from '../os/loaded-os.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

/** Numbers of the channels as they were last offered, by instance; without sub-channels. */
export function channelNumbers(machine: SimulatedMachine): ReadonlyMap<string, number> {
  const { channels } = machine.vmbus.inspect();
  const primary = channels.filter(({ subchannelIndex }) => subchannelIndex === 0);
  return new Map(primary.map(({ instanceId, lastId }) => [instanceId, lastId]));
}

/** Frames that a NIC's network has got from the host, and that have come from it. */
interface Traffic {
  readonly sent: number;
  readonly came: number;
}

/** What went over each NIC so far, by instance. What came and was dropped has come, too. */
export function nicTraffic(machine: SimulatedMachine): ReadonlyMap<string, Traffic> {
  return new Map(
    machine.nics.map(({ instanceId, statistics }) => {
      const { framesFromGuest, framesToGuest, framesDropped } = statistics;
      return [`{${instanceId}}`, { sent: framesFromGuest, came: framesToGuest + framesDropped }];
    }),
  );
}

/**
 * Judge what the OS reports.
 *
 * @param before numbers of the channels as the firmware saw them; 0 if it saw none
 * @param changed the host has taken devices away meanwhile, or brought them (back), or has lost
 * messages: what the OS then finds is nobody's fault
 * @param traffic what had gone over each NIC when the OS started
 */
export function auditOs(
  os: OsReport,
  machine: SimulatedMachine,
  before: ReadonlyMap<string, number>,
  changed = false,
  traffic: ReadonlyMap<string, Traffic> = new Map(),
): Finding[] {
  const findings: Finding[] = [];
  const report = (text: string, severity: Finding['severity'] = 'error'): void => {
    findings.push({ check: 'next-os', severity, text });
  };

  // An OS that is too new for the host says nothing about the firmware
  if (os.refused) {
    report(`the OS does not run on this host: ${os.error ?? ''}`, 'info');
    return findings;
  }
  if (os.error !== undefined) report(`the OS could not come up: ${os.error}`);
  // A network that has never answered anybody says nothing about the handoff
  const after = nicTraffic(machine);
  const isSilent = (instance: string): boolean => {
    const [then, now] = [traffic.get(instance), after.get(instance)];
    return then?.came === 0 && now!.came === 0 && now!.sent > then.sent;
  };
  for (const { name, instance, error, received } of os.nics) {
    const asked = error === undefined || /^NoDhcpAnswer\b/.test(error);
    if (received === 0 && asked && isSilent(instance)) {
      report(`nothing came to ${name} over the network, which got what the OS sent`, 'info');
      continue;
    }
    const gone = changed && error?.startsWith('ChannelRescinded') === true;
    const severity = gone ? 'info' : 'error';
    if (error !== undefined) report(`the OS has no network on ${name}: ${error}`, severity);
    else if (received === 0) report(`the OS received nothing on ${name}`);
  }
  const offered = offeredNics(machine);
  if (os.error === undefined && os.nics.length < offered && !changed) {
    report(`the OS found ${os.nics.length} of ${offered} NICs`);
  }

  // Nothing may reach the next owner before it has contacted the host
  for (const event of os.staleEvents) {
    const text = `${event} of the one before it reached the OS before it had contacted the host`;
    findings.push({ check: 'leftovers', severity: 'warning', text });
  }

  // Where nobody can disconnect, the OS cannot either
  if (os.outstanding > 0) {
    const never = machine.partition.profile.knobs.unloadAnswer === 'never';
    const text = `the OS could not get back ${os.outstanding} of its own shared regions`;
    if (never) report(`${text}: this host does not answer UNLOAD`, 'info');
    else if (changed) report(`${text}: this host has lost messages`, 'info');
    else report(text);
  }

  // Drivers find their devices by number (OpenVMM, "identical relids")
  if (changed) return findings;
  const numbers = channelNumbers(machine);
  for (const [instance, channel] of before) {
    const now = numbers.get(instance);
    if (channel === 0 || now === undefined || now === channel) continue;
    report(`{${instance}} was channel ${channel} and is channel ${now} for the OS`);
  }
  return findings;
}

/**
 * NICs that are there for the next owner: those that the host has rescinded are nobody's fault, and
 * a reserved channel is a debugger's, and offered to nobody else.
 */
function offeredNics(machine: SimulatedMachine): number {
  const { channels } = machine.vmbus.inspect();
  return machine.nics.filter((nic) =>
    channels.some(
      ({ instanceId, state, reserved }) =>
        instanceId === nic.instanceId && state !== 'revoked' && !reserved,
    ),
  ).length;
}
