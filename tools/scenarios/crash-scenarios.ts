// SPDX-License-Identifier: GPL-2.0-or-later

/** Kernels that crash, and crash kernels. */

import type { KernelPlan } from '../flow/os-chain.ts';
import type { OsBug } from '../os/os-bugs.ts';
import { MessageHeader, MessageType, VMBUS_MESSAGE_SINT } from '../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { runChain, type HostSetup } from './rig.ts';
import type { Scenario } from './scenario.ts';

/** A scenario of a kernel that crashes, and of what comes after it. */
interface CrashScenario extends Omit<Scenario, 'run' | 'mistake'> {
  readonly setup?: HostSetup;
  readonly crashing?: Partial<KernelPlan>;
  /** The bug is the crashing kernel's, or (`next`) that of the kernel after it. */
  readonly bug?: OsBug | readonly OsBug[];
  readonly next?: OsBug;
}

function crashScenario(options: CrashScenario): Scenario {
  const { setup = {}, crashing = {}, bug = [], next, ...scenario } = options;
  const kernels = (broken: boolean): KernelPlan[] => {
    const end = crashing.end ?? 'crash';
    return [
      { ...crashing, end, bugs: broken ? [bug].flat() : [] },
      {
        end: end === 'panic' ? 'shutdown' : 'power-off',
        bugs: broken && next !== undefined ? [next] : [],
      },
    ];
  };
  return {
    ...scenario,
    mistake: 'kernel',
    run: (half, _, seen) => runChain({ ...setup, seen, kernels: kernels(half === 'broken') }),
  };
}

/** Answers that nobody has asked for fill the slot, and wait behind it. */
function occupySlot(machine: SimulatedMachine): void {
  const message = new Uint8Array(MessageHeader.size);
  message[0] = MessageType.ALL_OFFERS_DELIVERED;
  for (let i = 0; i < 3; i++) machine.vmbus.postUnsolicited(message);
}

/** The host signals the channel of the NIC, and the guest crashes before it looks. */
function signalNic(machine: SimulatedMachine): void {
  const { channels } = machine.vmbus.inspect();
  const nic = channels.find(({ instanceId }) => instanceId === machine.nics[0]!.instanceId)!;
  machine.partition.signalEvent(0, VMBUS_MESSAGE_SINT, nic.id);
}

const SCAN = 'Linux cd95aad55793 "handle various crash scenarios"';

export const CRASH_SCENARIOS: readonly Scenario[] = [
  crashScenario({
    name: 'crash-answer-on-other-processor',
    text: 'the answer to UNLOAD goes to the processor that connected, not to the one that crashes',
    references: [SCAN],
    setup: { processors: 4 },
    crashing: { crashVp: 2 },
    bug: 'unload-own-page-only',
    caughtBy: { check: 'unload', says: /answer to UNLOAD/ },
  }),
  crashScenario({
    name: 'crash-slot-occupied',
    text: 'other messages are in the way of the answer to UNLOAD, and are not taken out of it',
    references: ['Linux 59107e2f4883', SCAN],
    crashing: { beforeEnd: occupySlot },
    bug: 'unload-keeps-others',
    caughtBy: { check: 'unload' },
  }),
  crashScenario({
    name: 'crash-messages-on-other-processor',
    text: 'messages wait for processor 0 while another one crashes, which must empty that slot',
    references: [SCAN, 'lis-next #66, #122'],
    setup: { processors: 2 },
    crashing: { crashVp: 1, beforeEnd: occupySlot },
    bug: 'unload-own-page-only',
    caughtBy: { check: 'unload', says: /not answered|will act after the handoff/ },
  }),
  crashScenario({
    name: 'crash-before-devices',
    text: 'a kernel that has only asked for offers crashes elsewhere: there is a connection to end',
    references: ['lis-next #122', SCAN],
    setup: { processors: 2 },
    crashing: { crashVp: 1, panicAt: { after: MessageType.REQUEST_OFFERS } },
    bug: 'no-unload',
    caughtBy: { check: 'shared-pages', says: /monitor page/ },
  }),
  crashScenario({
    name: 'crash-waits-for-interrupt',
    text: 'the crashing processor waits for an interrupt handler that does not run any more',
    references: ['Linux "Drivers: hv: vmbus: avoid wait_for_completion() on crash"'],
    bug: 'unload-waits-for-interrupt',
    caughtBy: { ended: 'hang' },
  }),
  crashScenario({
    name: 'crash-late-answer',
    text: 'the host writes its disk caches for 50 s before it answers UNLOAD: 10 s are too short',
    references: ['Linux 911e1987efc8 (10 s)', 'Linux 77db0ec8b776 (100 s)'],
    setup: { knobs: { unloadAnswer: 50_000 * TICKS_PER_MS } },
    bug: 'unload-short-wait',
    caughtBy: { check: 'unload', says: /not answered/ },
  }),
  crashScenario({
    name: 'crash-absent-processor',
    text: 'a processor that never came online has no message page to look into',
    references: ['Linux "Fix vmbus_wait_for_unload() to scan present CPUs" (v2)'],
    setup: { processors: 4 },
    crashing: { online: [0, 1, 2], crashVp: 1 },
    bug: 'scans-absent-pages',
    caughtBy: { ended: 'crash' },
  }),
  crashScenario({
    name: 'crash-stale-channel-interrupt',
    text: 'an event for the old kernel reaches the crash kernel before it has a table of channels',
    references: ['fedora-coreos-tracker #1308'],
    crashing: { beforeEnd: signalNic },
    next: 'relid-unchecked',
    caughtBy: { ended: 'crash' },
  }),
  crashScenario({
    name: 'crash-kernel-on-other-processor',
    text: 'a crash kernel on another processor asks for its answers at processor 0',
    references: ['LIS b1f365ff (INITIATE_CONTACT must carry the current VP)'],
    setup: { processors: 4 },
    crashing: { crashVp: 2 },
    next: 'answers-to-vp0',
    caughtBy: { check: 'next-os', says: /could not come up/ },
  }),
  crashScenario({
    name: 'crash-timer-armed',
    text: 'the crashing processor leaves its own timer armed: no part of the known hole',
    references: ['Linux hv_crash_handler (hv_stimer_cleanup)'],
    setup: { processors: 2 },
    bug: 'timers-left',
    caughtBy: { check: 'timers' },
  }),
  crashScenario({
    name: 'panic-before-2012r2',
    text: 'hosts before 2012 R2 never answer UNLOAD: a kernel that asks them never reboots',
    references: ['LIS 5ad123ae "don\'t send CHANNELMSG_UNLOAD on pre-Win2012R2 hosts"'],
    setup: { host: 'server2012' },
    crashing: { end: 'panic' },
    bug: ['unload-on-old-host', 'unload-waits-for-interrupt'],
    caughtBy: { ended: 'hang' },
  }),
];
