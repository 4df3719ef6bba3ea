// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Faults as data: where, what, with which argument; and the text by which a run is repeated:
 * `message.4/field:status=max+step.120/handoff`. The same text always means the same run.
 */

import { didYouMean } from '../simulator/base/nearest.ts';
import { argumentFault } from './fault-arguments.ts';

/**
 * What can be counted, from 0, while a guest runs:
 * - `step`: register writes, hypercalls, pauses, messages and ring packets in both directions
 * - `call`: hypercalls that post a message or signal an event
 * - `message`: messages of the host, `packet`: packets that it puts into a ring
 * - `rndis`: RNDIS messages of the host, `transmit`: those of the guest
 * - `alloc`: allocations of shared memory
 * - `register`: writes of registers, refused ones and their repetitions too
 * - `owner`: who had the machine before, once
 * - `network`: what the network is like, once; `nic`: when the NIC is there and has a link, once
 * - `read`: a word that the host may write is read once more, without an exit in between
 * - `race`: the ways in which a host can act at the same time as the guest (`race-policy.ts`)
 */
export type Place =
  | 'step'
  | 'call'
  | 'register'
  | 'owner'
  | 'network'
  | 'nic'
  | 'message'
  | 'packet'
  | 'rndis'
  | 'transmit'
  | 'alloc'
  | 'read'
  | 'race';

/**
 * Who drives the firmware's drivers: its own boot over the network, a loader on top of them
 * (`loader.ts`), or its boot of what the host pushes (`push-flow.ts`).
 */
export const FLOWS = ['boot', 'loader', 'push'] as const;
export type FlowName = (typeof FLOWS)[number];

/** One fault. */
export interface Fault {
  readonly place: Place;
  /** Which occurrence of the place, from 0. */
  readonly index: number;
  readonly kind: string;
  /** Whatever the kind needs, or ''. */
  readonly argument: string;
}

/** What one run does. Without faults it is the flow as it is. */
export interface Plan {
  readonly flow: FlowName;
  readonly faults: readonly Fault[];
}

/** Something about each kind of fault, by place. */
type ByKind = Readonly<Record<Place, Readonly<Record<string, string>>>>;

const KINDS = {
  step: { handoff: '', 'give-up': '', rescind: '', renumber: '' },
  call: { status: 'hypercall status', 'status-ever': 'hypercall status', lost: '' },
  register: { refuse: '', 'refuse-ever': '' },
  owner: { left: 'what it has left, or all' },
  network: { is: 'what it is like' },
  nic: { arrives: 'ms after the enumeration', unplugged: 'ms after the enumeration' },
  message: {
    drop: '',
    mute: '',
    late: 'ticks',
    twice: '',
    field: 'FIELD=OPERATION',
    cut: 'bytes',
    pad: 'value of a byte',
    before: 'message type',
    after: 'message type',
    'synic-type': 'SynIC message type',
    slot: 'FIELD=value',
  },
  packet: {
    drop: '',
    mute: '',
    late: 'ticks',
    twice: '',
    field: 'FIELD=OPERATION',
    cut: 'bytes',
    index: 'prod or cons=value',
    inject: 'packet type',
    scribble: 'exits of the guest from now',
  },
  rndis: {
    drop: '',
    late: 'ticks',
    twice: '',
    field: 'FIELD=OPERATION',
    cut: 'bytes',
    after: 'message type',
    scribble: 'exits of the guest from now',
  },
  transmit: { withhold: '' },
  alloc: { fail: '', 'fail-ever': '' },
  read: { value: 'OPERATION' },
  race: { strong: '', 'store-buffer': '', weak: '' },
} as const satisfies ByKind;

/** The kinds of faults by place, each with what its argument is, or '' if it has none. */
export const FAULT_KINDS: ByKind = KINDS;

/** A text for each kind of fault: what lacks one, or has one for a kind that is not, is no such. */
export type FaultTexts = {
  readonly [P in Place]: Readonly<Record<keyof (typeof KINDS)[P], string>>;
};

/** A text that names no run; `advice` says what to do, as a sentence. */
export class PlanError extends Error {
  readonly advice: string;

  constructor(message: string, advice = 'hypxe explore --help has all places and faults.') {
    super(message);
    this.advice = advice;
  }
}

/** The text of a fault: `message.4/field:status=max`. */
export function faultText({ place, index, kind, argument }: Fault): string {
  return `${place}.${index}/${kind}${argument === '' ? '' : `:${argument}`}`;
}

/** The text of a plan; `none` if it has no faults. */
export function planText({ flow, faults }: Plan): string {
  const text = faults.length === 0 ? 'none' : faults.map(faultText).join('+');
  return flow === 'boot' ? text : `${flow}:${text}`;
}

const FAULT = /^([a-z]+)\.([0-9]{1,9})\/([a-z-]+)(?::([^+:]+))?$/;

/** Read a fault. @throws PlanError that says what is wrong */
export function parseFault(text: string): Fault {
  const match = FAULT.exec(text);
  if (match === null) {
    throw new PlanError(`"${text}" is no fault: write PLACE.NUMBER/FAULT or .../FAULT:ARGUMENT`);
  }
  const [, place, index, kind, argument = ''] = match as unknown as [
    string,
    string,
    string,
    string,
  ];
  if (!Object.hasOwn(FAULT_KINDS, place)) {
    const advice = didYouMean(place, Object.keys(FAULT_KINDS));
    throw new PlanError(`there is no place "${place}"`, advice);
  }
  const kinds = FAULT_KINDS[place as Place];
  const wanted = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (wanted === undefined) {
    const advice = didYouMean(kind, Object.keys(kinds));
    throw new PlanError(`there is no fault "${kind}" at a ${place}`, advice);
  }
  if ((wanted === '') !== (argument === '')) {
    const text2 = wanted === '' ? 'takes no argument' : `needs an argument: ${wanted}`;
    throw new PlanError(`${place}.${index}/${kind} ${text2}`);
  }
  const bad = argument === '' ? undefined : argumentFault(place, kind, argument);
  if (bad !== undefined) throw new PlanError(`${place}.${index}/${kind}: ${bad}`);
  return { place: place as Place, index: Number(index), kind, argument };
}

/** Read a plan; the inverse of {@link planText}. @throws PlanError */
export function parsePlan(text: string): Plan {
  const flow = FLOWS.find((name) => text.startsWith(`${name}:`));
  const faults = flow === undefined ? text : text.slice(flow.length + 1);
  return {
    flow: flow ?? 'boot',
    faults: faults === 'none' ? [] : faults.split('+').map(parseFault),
  };
}

/** Whether a fault is none: the host only acts at the same time as the guest. */
export function isRace({ place }: Fault): boolean {
  return place === 'race';
}

/** Places and kinds of what a host, a network or an allocator may do. */
const LAWFUL: readonly string[] = [
  ...(['race', 'owner', 'network', 'nic', 'alloc'] satisfies Place[]),
  ...['handoff', 'give-up', 'rescind', 'renumber'],
];

/** Whether the host does nothing wrong in a fault: a cut, a race, or a device that goes. */
export function isLawful({ place, kind }: Fault): boolean {
  return LAWFUL.includes(place) || (place === 'step' && LAWFUL.includes(kind));
}
