// SPDX-License-Identifier: GPL-2.0-or-later

/** The audit of a trace: its checks, their findings by kind, and what each of them is about. */

import { MessageType } from '../../../src/vmbus/protocol.ts';
import { AUDIT_CHECKS, type AuditCheck } from '../../simulator/audit/audit-findings.ts';
import { messageType, registerOf } from './message.ts';
import { number, text, type TraceRecord } from './record.ts';
import type { Lane } from './lanes.ts';

/** Findings that differ only in numbers, and in who is meant. */
export interface FindingGroup {
  readonly severity: 'error' | 'warning' | 'info';
  readonly stage: string;
  /** The text of the first, and what all have in common: with `…` for what differs. */
  readonly text: string;
  readonly kind: string;
  readonly texts: string[];
  /** Lanes that they are about, by their numbers. */
  readonly lanes: number[];
  /** A hole that everybody knows. */
  readonly known: boolean;
}

export interface CheckView {
  readonly check: string;
  readonly number: number;
  readonly text: string;
  readonly state: 'error' | 'warning' | 'info' | 'not run' | 'unknown' | 'ok';
  readonly groups: readonly FindingGroup[];
  /** Lanes and events that the check looks at. */
  readonly lanes: readonly number[];
  readonly events: readonly number[];
}

/** Which grants a check is about, and which messages and registers. */
interface Subject {
  readonly grants?: readonly string[];
  readonly messages?: readonly number[];
  readonly registers?: RegExp;
  readonly kinds?: readonly string[];
}

const M = MessageType;

const SUBJECTS: Readonly<Partial<Record<AuditCheck, Subject>>> = {
  unload: { messages: [M.INITIATE_CONTACT, M.VERSION_RESPONSE, M.UNLOAD, M.UNLOAD_RESPONSE] },
  channels: {
    grants: ['gpadl', 'packet'],
    messages: [
      ...[M.OPEN_CHANNEL, M.OPEN_CHANNEL_RESULT, M.CLOSE_CHANNEL, M.GPADL_HEADER, M.GPADL_CREATED],
      ...[M.GPADL_TEARDOWN, M.GPADL_TORNDOWN],
    ],
  },
  'shared-pages': { grants: ['interrupt-page', 'monitor-page'], messages: [M.INITIATE_CONTACT] },
  'synic-pages': { grants: ['message-page', 'event-page'], registers: /^(SIMP|SIEFP)$/ },
  sints: { registers: /^SINT\d/ },
  scontrol: { registers: /^SCONTROL$/ },
  hypercall: { grants: ['hypercall-page'], registers: /^(HYPERCALL|GUEST_OS_ID)$/ },
  'clock-pages': {
    grants: ['reference-tsc-page', 'vp-assist-page'],
    registers: /^(REFERENCE_TSC|VP_ASSIST_PAGE)$/,
  },
  timers: { registers: /^STIMER/ },
  'late-writes': { kinds: ['late-write'] },
  'second-boot': { kinds: ['handoff'] },
  rescind: { kinds: ['vmbus'], messages: [M.RESCIND_CHANNEL_OFFER, M.RELID_RELEASED] },
};

/** Most events that a check is linked to. */
const EVENTS_MAX = 200;

const SEVERITIES = ['error', 'warning', 'info'] as const;

/** Checks by how bad it is, those that are alike by their numbers. */
const STATES: readonly CheckView['state'][] = [...SEVERITIES, 'unknown', 'not run', 'ok'];

function worstFirst(checks: readonly CheckView[]): CheckView[] {
  const order = ({ state }: CheckView): number => STATES.indexOf(state);
  return [...checks].sort((a, b) => order(a) - order(b) || a.number - b.number);
}

/** The checks, the worst first. */
export function checksOf(events: readonly TraceRecord[], lanes: readonly Lane[]): CheckView[] {
  const findings = events.filter(({ kind }) => kind === 'finding');
  const verdict = events.filter(({ kind }) => kind === 'verdict').at(-1);
  const notRun = Array.isArray(verdict?.notRun) ? (verdict.notRun as unknown[]) : [];
  const judged = findings.length > 0 || verdict !== undefined;
  const signs = events.map(signOf);
  const checks = (Object.keys(AUDIT_CHECKS) as AuditCheck[]).map((check): CheckView => {
    const groups = groupsOf(findings.filter((finding) => finding.check === check));
    const worst = SEVERITIES.find((each) => groups.some(({ severity }) => severity === each));
    const subject = SUBJECTS[check] ?? {};
    const about = lanes.filter(({ kind }) => subject.grants?.includes(kind) === true);
    return {
      ...{ check, ...AUDIT_CHECKS[check], groups },
      state: worst ?? (notRun.includes(check) ? 'not run' : judged ? 'ok' : 'unknown'),
      lanes: about.map(({ id }) => id),
      events: eventsAbout(signs, subject),
    };
  });
  const others = groupsOf(
    findings.filter((each) => !Object.hasOwn(AUDIT_CHECKS, text(each, 'check'))),
  );
  if (others.length === 0) return worstFirst(checks);
  const { severity: state } = others[0]!;
  return worstFirst([...checks, { ...OTHERS, groups: others, state, lanes: [], events: [] }]);
}

/** Findings of none of these checks: of whoever ran it. */
const OTHERS = { check: 'run', number: checkCount() + 1, text: 'what the run itself has found' };

function checkCount(): number {
  return Object.keys(AUDIT_CHECKS).length;
}

/** What a check looks for in an event. */
interface Sign {
  readonly kind: string;
  readonly message: number | undefined;
  readonly register: string | undefined;
}

function signOf(event: TraceRecord): Sign {
  return { kind: event.kind, message: messageType(event), register: registerOf(event) };
}

function eventsAbout(signs: readonly Sign[], subject: Subject): number[] {
  const { messages = [], registers, kinds = [] } = subject;
  const found: number[] = [];
  for (const [at, { kind, message, register }] of signs.entries()) {
    if (found.length === EVENTS_MAX) break;
    const isMessage = message !== undefined && messages.includes(message);
    const isRegister = register !== undefined && registers?.test(register) === true;
    if (isMessage || isRegister || kinds.includes(kind)) found.push(at);
  }
  return found;
}

/** Findings of one kind as one group: what differs between them are numbers. */
function groupsOf(findings: readonly TraceRecord[]): FindingGroup[] {
  const groups = new Map<string, FindingGroup>();
  for (const finding of findings) {
    const said = text(finding, 'text');
    const severity = SEVERITIES.find((each) => each === finding.severity) ?? 'info';
    const stage = text(finding, 'stage');
    const kind = said.replace(/0x[\da-f]+|\d+|\{[\da-f-]+\}/gi, '…');
    const key = `${severity} ${stage} ${kind}`;
    let group = groups.get(key);
    if (group === undefined) {
      const known = text(finding, 'known') !== '';
      group = { ...{ severity, stage, kind, known }, text: said, texts: [], lanes: [] };
      groups.set(key, group);
    }
    group.texts.push(said);
    const grant = number(finding, 'grant');
    if (grant !== undefined) group.lanes.push(grant);
  }
  const order = (group: FindingGroup): number => SEVERITIES.indexOf(group.severity);
  return [...groups.values()].sort((a, b) => order(a) - order(b));
}
