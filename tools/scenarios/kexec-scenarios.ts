// SPDX-License-Identifier: GPL-2.0-or-later

/** Kernels that hand over to the next one by kexec, and what they forgot. */

import type { KernelPlan } from '../flow/os-chain.ts';
import type { OsBug } from '../os/os-bugs.ts';
import { HvStatus } from '../../src/hyperv/protocol.ts';
import { runChain, type HostSetup } from './rig.ts';
import type { Scenario } from './scenario.ts';

/** A scenario of two kernels, the first of which has a bug. */
type KexecScenario = Omit<Scenario, 'run' | 'mistake'> & HostSetup & { readonly bug: OsBug };

function kexecScenario({ bug, ...rest }: KexecScenario): Scenario {
  const { host, knobs, processors = 2, prepare, ...scenario } = rest;
  const setup: HostSetup = {
    processors,
    ...(host === undefined ? {} : { host }),
    ...(knobs === undefined ? {} : { knobs }),
    ...(prepare === undefined ? {} : { prepare }),
  };
  const kernels = (bugs: readonly OsBug[]): KernelPlan[] => [
    { end: 'kexec', bugs },
    { end: 'shutdown' },
  ];
  return {
    ...scenario,
    mistake: 'kernel',
    run: (half, _, seen) =>
      runChain({ ...setup, seen, kernels: kernels(half === 'broken' ? [bug] : []) }),
  };
}

const FIX_KEXEC = 'Linux "x86/hyperv: Fix kexec panic/hang issues"';

export const KEXEC_SCENARIOS: readonly Scenario[] = [
  kexecScenario({
    name: 'kexec-without-unload',
    text: 'the old kernel does not disconnect: the host goes on as if it were there',
    references: ['Linux 2db84eff127e', 'systemd #20072', 'nixos-anywhere #400'],
    bug: 'no-unload',
    caughtBy: { check: 'unload' },
  }),
  kexecScenario({
    name: 'kexec-sub-channels-open',
    text: 'eight channels and the send buffer of a NIC stay with the host in the next kernel',
    references: ['Linux rndis_set_subchannel, netvsc_init_buf', 'Linux 2db84eff127e'],
    processors: 8,
    bug: 'no-unload',
    caughtBy: { check: 'channels', says: /the host may still write to the send buffer/ },
  }),
  kexecScenario({
    name: 'kexec-unload-twice',
    text: 'UNLOAD is sent by two handlers: nobody answers the second, which waits for ever',
    references: ['Linux vmbus_initiate_unload (connection state DISCONNECTED)'],
    bug: 'unload-twice',
    caughtBy: { ended: 'hang' },
  }),
  kexecScenario({
    name: 'kexec-timer-armed',
    text: 'a synthetic timer stays armed, and fires into the next kernel',
    references: ['Linux hv_stimer_global_cleanup'],
    bug: 'timers-left',
    caughtBy: { check: 'timers' },
  }),
  kexecScenario({
    name: 'kexec-synic-of-other-processors',
    text: 'message and event pages of the other processors hide memory of the next kernel',
    references: ['Linux hv_kexec_handler (hv_synic_cleanup on every CPU)'],
    processors: 4,
    bug: 'synic-of-others-left',
    caughtBy: { check: 'synic-pages', says: /of VP 3 is enabled/ },
  }),
  kexecScenario({
    name: 'kexec-vp-assist-page',
    text: 'the hypervisor goes on writing to the VP assist pages of the old kernel',
    references: [FIX_KEXEC, 'Linux hv_cpu_die'],
    bug: 'vp-assist-left',
    caughtBy: { check: 'clock-pages', says: /^VP_ASSIST_PAGE/ },
  }),
  kexecScenario({
    name: 'kexec-tsc-page',
    text: 'the reference TSC page stays enabled over memory of the next kernel',
    references: ['Linux 5647dbf8f080'],
    bug: 'tsc-page-left',
    caughtBy: { check: 'clock-pages', says: /^REFERENCE_TSC/ },
  }),
  kexecScenario({
    name: 'kexec-hypercall-page',
    text: 'the hypercall page stays enabled on a host that does not tie it to the identity',
    references: ['Linux d6f3609d2b4c'],
    knobs: { osIdZero: 'independent' },
    bug: 'hypercall-page-left',
    caughtBy: { check: 'hypercall', says: /^HYPERCALL/ },
  }),
  kexecScenario({
    name: 'kexec-hypercall-page-too-early',
    text: 'the hypercall page is disabled while other processors still call the host',
    references: [FIX_KEXEC],
    bug: 'hypercall-page-off-early',
    caughtBy: { ended: 'crash' },
  }),
  kexecScenario({
    name: 'kexec-identity',
    text: 'the old kernel keeps its guest OS identity',
    references: ['Linux hyperv_cleanup'],
    bug: 'identity-left',
    caughtBy: { check: 'hypercall', says: /GUEST_OS_ID/ },
  }),
  kexecScenario({
    name: 'kexec-messages-throttled',
    text: 'the host refuses messages that come too fast: a kernel that gives up has no devices',
    references: ['Linux 89f9f6796d41', 'Linux c0bb03924f1a', 'Linux e917a5e23a87'],
    host: 'copper',
    knobs: { throttleMessages: 2, throttleStatus: HvStatus.INVALID_CONNECTION_ID },
    bug: 'no-post-retries',
    caughtBy: { check: 'next-os' },
  }),
];
