// SPDX-License-Identifier: GPL-2.0-or-later

/** The part of the audit that looks at registers: overlay pages, SINTs, SynIC, identity, timers. */

import {
  HV_ENABLE,
  HV_HYPERCALL_LOCKED,
  HV_PAGE_REGISTER_MASK,
  SINT_COUNT,
  Sint,
} from '../../../src/hyperv/protocol.ts';
import type { Finding, FindingPages, HandoffKind } from './audit-findings.ts';
import type { Grant, GrantKind } from '../ledger/grants.ts';
import { hex } from '../base/hex.ts';
import type { SimulatedMachine } from '../machine.ts';

/**
 * The register of each overlay page, the check that it belongs to, and what an address is that
 * stays in it once it is disabled: it hurts nobody, since whoever enables it writes one.
 */
const PAGE_REGISTERS: Partial<
  Record<GrantKind, readonly [name: string, check: Finding['check'], stale: 'warning' | 'info']>
> = {
  // Linux `hv_synic_disable_regs` clears these, too
  'message-page': ['SIMP', 'synic-pages', 'warning'],
  'event-page': ['SIEFP', 'synic-pages', 'warning'],
  // ... and of these the enable bit alone: root partitions may not change the address
  'hypercall-page': ['HYPERCALL', 'hypercall', 'info'],
  'reference-tsc-page': ['REFERENCE_TSC', 'clock-pages', 'info'],
  'vp-assist-page': ['VP_ASSIST_PAGE', 'clock-pages', 'info'],
};

// --- 4 to 8 ---

/** Audit the registers of all virtual processors, and those of the partition. */
export function auditRegisters(
  machine: SimulatedMachine,
  kind: HandoffKind,
  describe: (grant: Grant) => FindingPages,
  nextSetsScontrol: boolean,
): Finding[] {
  const { inspection } = machine.partition;
  const findings = pageRegisters(machine, kind, describe);
  for (let vp = 0; vp < inspection.processorCount; vp++) {
    findings.push(...sints(machine, vp), ...auditScontrol(machine, vp, kind, nextSetsScontrol));
  }
  const identity = inspection.register(0, 'GUEST_OS_ID');
  if (identity !== 0n) {
    const text = `GUEST_OS_ID is ${hex(identity)}: the guest has not given up its identity`;
    findings.push({ check: 'hypercall', severity: 'error', text });
  }
  return findings;
}

/**
 * Who comes next writes all of these, whatever they hold (Linux `hyperv_init`, `hv_cpu_init`,
 * `hv_synic_enable_regs`): where its map reserves the page, the host hurts nobody until then. Not
 * so a hypercall page that is locked, which nobody can move, and a crash, whose memory is the dump.
 */
function pageRegisters(
  machine: SimulatedMachine,
  handoff: HandoffKind,
  describe: (grant: Grant) => FindingPages,
): Finding[] {
  const findings: Finding[] = [];
  const { inspection } = machine.partition;
  for (const { kind, vp, grant } of inspection.overlays()) {
    const entry = PAGE_REGISTERS[kind];
    if (entry === undefined) continue;
    // Hypercalls of arm64 are an instruction: there is no page, and no register for it
    if (kind === 'hypercall-page' && machine.partition.architecture === 'arm64') continue;
    const [register, check, stale] = entry;
    const value = inspection.register(vp ?? 0, register);
    const name = vp === undefined ? register : `${register} of VP ${vp}`;
    const where = vp === undefined ? {} : { vp };
    if ((value & HV_ENABLE) !== 0n) {
      const pages = grant === undefined ? undefined : describe(grant);
      const locked = kind === 'hypercall-page' && (value & HV_HYPERCALL_LOCKED) !== 0n;
      const safe = pages?.reserved === true && !locked && handoff !== 'crash';
      const severity = safe && handoff !== 'quiesce' ? 'warning' : 'error';
      const text = `${name} is enabled: ${hex(value)}`;
      findings.push({ check, severity, text, ...(pages && { pages }), ...where });
    } else if (kind === 'hypercall-page' && (value & HV_HYPERCALL_LOCKED) !== 0n) {
      const text = `${name} is disabled and locked: ${hex(value)}: nobody can enable it any more`;
      findings.push({ check, severity: 'error', text, ...where });
    } else if ((value & ~HV_PAGE_REGISTER_MASK) !== 0n) {
      const text = `${name} is disabled, but holds an address: ${hex(value)}`;
      findings.push({ check, severity: stale, text, ...where });
    }
  }
  return findings;
}

function sints(machine: SimulatedMachine, vp: number): Finding[] {
  const findings: Finding[] = [];
  for (let sint = 0; sint < SINT_COUNT; sint++) {
    const value = machine.partition.inspection.register(vp, `SINT${sint}`);
    if (value === Sint.MASKED) continue;
    const text = `SINT${sint} of VP ${vp} is ${hex(value)}`;
    if ((value & Sint.MASKED) === 0n) {
      findings.push({ check: 'sints', severity: 'error', text: `${text}: not masked`, vp });
    } else {
      const stale = `${text}: masked, with a stale vector or AutoEOI`;
      findings.push({ check: 'sints', severity: 'info', text: stale, vp });
    }
  }
  return findings;
}

/**
 * A handoff leaves SCONTROL as it was found: Microsoft's firmware (mu_msvm EfiHvSynic.c) and the
 * Windows loader never write it, and wait for ever where it is off. Linux and iPXE write it, and
 * leave it off themselves: off is a warning, unless it is known that who comes next does not.
 */
export function auditScontrol(
  machine: SimulatedMachine,
  vp: number,
  kind: HandoffKind,
  nextSetsScontrol: boolean,
): Finding[] {
  const on = (machine.partition.inspection.register(vp, 'SCONTROL') & HV_ENABLE) !== 0n;
  const onAtReset = machine.partition.profile.knobs.scontrolReset === 1;
  const report = (severity: Finding['severity'], text: string): Finding[] => [
    { check: 'scontrol', severity, text: `SCONTROL of VP ${vp} is ${text}`, vp },
  ];
  if (kind === 'quiesce') {
    // Of a processor that the firmware never used nobody expects anything (iPXE b91cc983d)
    if (on || vp !== machine.vmbus.inspect().targetVp) return [];
    return report('error', 'off: Windows Server 2016 then waits for ever');
  }
  if (on === onAtReset) return [];
  if (on) return report('info', 'on');
  return nextSetsScontrol
    ? report('warning', 'off, and was on at reset: a guest that never writes it waits for ever')
    : report('error', 'off, and was on at reset: who comes next never writes it');
}

// --- 9 ---

/** Audit the synthetic timers of all virtual processors. */
export function auditTimers(machine: SimulatedMachine): Finding[] {
  const { inspection } = machine.partition;
  const findings: Finding[] = [];
  for (let vp = 0; vp < inspection.processorCount; vp++) {
    for (const { index, enabled, due, config } of inspection.timers(vp)) {
      if (!enabled && !due) continue;
      const state = due ? 'due: its message waits for room' : 'enabled';
      const text = `timer ${index} of VP ${vp} is ${state} (CONFIG ${hex(config)})`;
      findings.push({ check: 'timers', severity: 'error', text, vp });
    }
  }
  return findings;
}
