// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The steps of the clean-up that a plain boot does not show, or shows only by failing: each left
 * out alone, in a flow in which it matters.
 */

import { HvCall, HvStatus } from '../../src/hyperv/protocol.ts';
import { MessageType, VmbusVersion } from '../../src/vmbus/protocol.ts';
import type { SimulatedMachine } from '../../tools/simulator/machine.ts';
import { found, freed, kept, omitted, patch, type OmissionMutant } from './omission-mutants.ts';

const HV = 'src/hyperv/hyperv.ts';
const OWNER = 'src/hyperv/owner.ts';
const CONNECTION = 'src/vmbus/connection.ts';
const BUS = 'src/vmbus/bus.ts';
const DEVICE = 'src/vmbus/device.ts';
const NETVSC = 'src/netvsc/netvsc.ts';
const RNDIS = 'src/rndis/rndis.ts';
const TSC = 'src/os/reference-tsc.ts';
const OS_NETVSC = 'src/os/netvsc-part.ts';

/** The host loses all messages of a type. */
const loses = (type: number) => (machine: SimulatedMachine) => {
  machine.vmbus.faults = { message: (sent) => (sent === type ? 'drop' : undefined) };
};

/** The network device loses its nth RNDIS message, counted from 0. */
const losesRndis = (nth: number) => (machine: SimulatedMachine) => {
  let count = 0;
  machine.nics[0]!.faults.message = () => (count++ === nth ? 'drop' : 'send');
};

/** The host refuses its nth message, counted from 0, or all of them. */
export const refusesPost = (nth?: number) => (machine: SimulatedMachine) => {
  let count = 0;
  machine.partition.faults.hypercall = (code) => {
    if (code !== HvCall.POST_MESSAGE) return undefined;
    return nth === undefined || count++ === nth ? HvStatus.INVALID_PARAMETER : undefined;
  };
};

/** A register that an earlier owner has left, out of the list of those that are reset. */
const left = (name: string, line: string, finds: OmissionMutant['finds']): OmissionMutant => ({
  name: `${name} of an earlier owner is not reset`,
  flow: 'owner',
  patches: [patch(OWNER, line)],
  finds,
});

export const OMISSION_FLOW_MUTANTS: readonly OmissionMutant[] = [
  // --- what an earlier owner has left ---
  left(
    'a timer',
    '  [Msr.STIMER0_CONFIG, 2 * STIMER_COUNT, HvFeature.SYNTHETIC_TIMERS, 0n, 0n],\n',
    found('timers', /^timer 0 of VP 0 is/),
  ),
  left(
    'a SINT',
    '  [Msr.SINT0, SINT_COUNT, HvFeature.SYNIC, SINT_RESERVED, Sint.MASKED],\n',
    found('sints', /^SINT4 of VP 0 is .* not masked/),
  ),
  {
    name: 'two timers of four of an earlier owner are not reset',
    flow: 'owner',
    patches: [patch(OWNER, ' 2 * STIMER_COUNT,', ' STIMER_COUNT,')],
    finds: found('timers', /^timer 3 of VP 0 is/),
  },
  {
    name: 'the last SINT of an earlier owner is not reset',
    flow: 'owner',
    patches: [patch(OWNER, ' SINT_COUNT, HvFeature', ' SINT_COUNT - 1, HvFeature')],
    finds: found('sints', /^SINT15 of VP 0 is .* not masked/),
  },
  left(
    'the VP assist page',
    '  [Msr.VP_ASSIST_PAGE, 1, HvFeature.INTR_CONTROL, PAGE_RESERVED, 0n],\n',
    found('clock-pages', /^VP_ASSIST_PAGE of VP 0 is enabled/),
  ),
  left(
    'the reference TSC page',
    '  [Msr.REFERENCE_TSC, 1, HvFeature.REFERENCE_TSC, PAGE_RESERVED, 0n],\n',
    found('clock-pages', /^REFERENCE_TSC is enabled/),
  ),
  left(
    'the hypercall page',
    '  [Msr.HYPERCALL, 1, HvFeature.HYPERCALL, PAGE_RESERVED, 0n],\n',
    found('hypercall', /^HYPERCALL is enabled/),
  ),
  {
    name: 'no EOM when the SINT is enabled: a message waits for the one that the owner had',
    flow: 'owner',
    patches: [
      patch(
        HV,
        `    // A message may wait whose slot somebody has emptied without a word
    this.#endOfMessage();
`,
      ),
    ],
    finds: found('unload', /^the host has not read \d+ messages of the guest/),
  },
  // --- messages, pages, registers ---
  {
    name: 'no EOM after a message behind which others wait',
    patches: [
      patch(
        HV,
        '    if (message.pending && (taken || this.#leftFlag++ % EOM_LOOKS ===' +
          ' 0)) this.#endOfMessage();\n',
      ),
    ],
    finds: found('unload', /^the host has not read 1 message of the guest/),
  },
  {
    name: 'the slot of a message is not released',
    patches: [
      patch(
        'src/hyperv/message.ts',
        '    Atomics.compareExchange(words, slot / 4, word, HvMessageType.NONE);\n',
      ),
    ],
    finds: found('unload', /^no UNLOAD was sent/),
  },
  {
    name: 'message page and event page are not cleared at the end',
    patches: [
      patch(
        HV,
        '    if (register !== Msr.HYPERCALL) this.pages.memory.zero(region.address, PAGE_SIZE);\n',
      ),
    ],
    finds: kept('leftovers', /^event flag 0 of SINT2 of VP 0 is set/),
  },
  {
    name: 'the parts are not told: the reference TSC page stays mapped',
    patches: [
      patch(HV, '    for (const part of this.parts) this.#attempt(() => part.unmapping?.());\n'),
    ],
    finds: kept('clock-pages', /^REFERENCE_TSC is enabled/),
  },
  {
    name: 'the reference TSC page stays mapped, and is freed',
    patches: [
      patch(
        TSC,
        '    platform.write(Msr.REFERENCE_TSC, platform.read(Msr.REFERENCE_TSC) & RESERVED);\n',
      ),
    ],
    finds: freed(/^reference-tsc was freed while the host could write/),
  },
  {
    name: 'the reference TSC page stays reserved',
    patches: [patch(TSC, '    pages.revoke(this.#region, BY);\n')],
    finds: kept('reserved', /reserved for good, but the host has nothing there \(reference-tsc/),
  },
  {
    name: 'the pages of the registers stay reserved',
    patches: [patch(HV, '    this.pages.revoke(region, page.name);\n')],
    finds: kept('reserved', /reserved for good, but the host has nothing there \(simp/),
  },
  {
    name: 'quiesced firmware leaves its SINTs unmasked',
    flow: 'san',
    patches: [
      patch(HV, '    for (let sint = 0; sint < SINT_COUNT; sint++) this.disableSint(sint);\n'),
    ],
    finds: found('sints', /^SINT2 of VP 0 is .* not masked/),
  },
  {
    name: 'quiesced firmware leaves its pages mapped',
    flow: 'san',
    patches: [
      patch(
        HV,
        'this.disableSint(sint);\n    this.#unmapAll(false);\n',
        'this.disableSint(sint);\n',
      ),
    ],
    finds: found('synic-pages', /^SIMP of VP 0 is enabled/),
  },
  {
    name: 'the hypervisor is not let go of',
    patches: [
      patch(
        'src/driver.ts',
        '    this.bus.remove();\n    this.hv.remove();',
        '    this.bus.remove();',
      ),
    ],
    finds: found('hypercall', /^GUEST_OS_ID is /),
  },
  // --- the connection ---
  {
    name: 'the bus is not let go of',
    patches: [
      patch(
        'src/driver.ts',
        '    this.bus.remove();\n    this.hv.remove();',
        '    this.hv.remove();',
      ),
    ],
    finds: found('unload', /^no UNLOAD was sent/),
  },
  {
    name: 'the connection is unloaded and not torn down',
    patches: [patch(BUS, '    connection.tearDown();\n    this.part', '    this.part')],
    finds: found('sints', /^SINT2 of VP 0 is .* not masked/),
  },
  {
    name: 'pages of a contact that was refused stay reserved',
    versions: [VmbusVersion.V5_3],
    patches: [
      patch(
        CONNECTION,
        "      this.disconnected('VERSION_RESPONSE');\n      log.info",
        '      log.info',
      ),
    ],
    finds: kept('reserved', /has nothing there \(interrupt-page \(INITIATE_CONTACT/),
  },
  {
    name: 'pages of a contact that was never sent stay reserved',
    prepare: refusesPost(),
    patches: [
      patch(
        CONNECTION,
        "        if (!this.mustUnload && contacts === 1) this.#revoke('never sent');\n",
      ),
    ],
    finds: kept('reserved', /has nothing there \(monitor-in \(INITIATE_CONTACT/),
  },
  {
    name: 'what UNLOAD ends stays reserved',
    host: 'server2012r2',
    knobs: { teardownAfterClose: 'ignored-below-4.0' },
    patches: [
      patch(BUS, "    if (connection.hasLetGo) this.gpadls.forgetAll('UNLOAD_RESPONSE');\n"),
    ],
    finds: kept('reserved', /has nothing there \(ring \(GPADL/),
  },
  // --- channels and devices ---
  {
    name: 'devices that are open are not closed',
    flow: 'driver',
    patches: [
      patch(BUS, '    for (const { instance } of this.#bound.reverse()) instance!.remove();\n'),
    ],
    finds: omitted(/^CLOSE_CHANNEL was left out for channel 3/),
  },
  {
    name: 'a device stays open after it was described',
    patches: [patch(RNDIS, '    });\n    this.#stop();\n  }\n\n  open', '    });\n  }\n\n  open')],
    finds: omitted(/^RNDIS HALT was left out for NIC 0/),
  },
  {
    name: 'a device that could not be started stays open',
    prepare: losesRndis(0),
    patches: [patch(RNDIS, '      this.#isMute = isTimeout(error);\n      this.#stop();\n')],
    finds: omitted(/^GPADL_TEARDOWN was left out for the receive buffer/),
  },
  {
    name: 'the packet filter stays set where the link cannot be asked for',
    prepare: losesRndis(8),
    patches: [patch(RNDIS, '      this.#hears = true;\n')],
    finds: omitted(/^packet filter 0 was left out for NIC 0/),
  },
  {
    name: 'a channel whose negotiation failed stays open',
    prepare: ({ nics: [nic] }) => void (nic!.faults.packet = () => 'drop'),
    patches: [patch(NETVSC, '      this.#tearDown();\n      throw error;', '      throw error;')],
    finds: omitted(/^GPADL_TEARDOWN was left out for the rings of channel 3/),
  },
  {
    name: 'a channel of which nobody knows whether it is open is not closed',
    prepare: loses(MessageType.OPEN_CHANNEL_RESULT),
    patches: [patch(DEVICE, '      if (maybeOpen) this.#postClose();\n')],
    finds: omitted(/^CLOSE_CHANNEL was left out for channel 3/),
  },
  {
    name: 'the rings of a channel that was not opened are left to UNLOAD',
    prepare: loses(MessageType.OPEN_CHANNEL_RESULT),
    patches: [patch(DEVICE, '      if (this.#gpadl) this.teardownGpadl(this.#gpadl);\n')],
    finds: omitted(/^GPADL_TEARDOWN was left out for the rings of channel 3/),
  },
  {
    name: 'the rings of a channel that could not be closed are asked back, and freed',
    flow: 'driver',
    host: 'qemu',
    prepare: refusesPost(10),
    patches: [patch(DEVICE, '!this.#unclosed && ')],
    finds: freed(/^ring was freed while the host could write to the rings of channel/),
  },
  {
    name: 'a GPADL without an answer is not torn down',
    prepare: loses(MessageType.GPADL_CREATED),
    patches: [
      patch('src/vmbus/gpadl.ts', '      this.teardown(gpadl);\n      throw', '      throw'),
    ],
    finds: omitted(/^GPADL_TEARDOWN was left out for the GPADL/),
  },
  {
    name: 'what packets in flight pointed to stays reserved',
    patches: [
      patch('src/netvsc/transmit-path.ts', "    this.#letGo('completion');\n"),
      patch('src/vmbus/gpadl.ts', '      pages.revoke(packets, by);\n'),
    ],
    finds: kept('reserved', /has nothing there \(tx-buffer/),
  },
  {
    name: 'no received packet is ever completed',
    patches: [patch(NETVSC, '    channel?.complete(idLow, idHigh);\n')],
    finds: found('completions', /received packets not completed when the guest closed the channel/),
  },
  {
    name: 'devices are not abandoned with the connection that was lost',
    flow: 'resumed',
    patches: [patch(BUS, '    for (const device of this.#bound) device.abandon();\n')],
    finds: kept('reserved', /has nothing there \(tx-buffer/),
  },
  // --- services, and what an OS adds ---
  {
    name: 'the channel of a service is not closed',
    flow: 'services',
    patches: [patch('src/services/ic-channel.ts', '    this.#device.close();\n')],
    finds: omitted(/^CLOSE_CHANNEL was left out for channel 2/),
  },
  {
    name: 'services are not removed',
    flow: 'services',
    patches: [
      patch(
        'src/services/driver.ts',
        '      remove: () => gone(() => channel.finish()),',
        '      remove: () => {},',
      ),
    ],
    finds: omitted(/^GPADL_TEARDOWN was left out for the rings of channel 3/),
  },
  {
    name: 'an OS does not revoke its receive buffer',
    flow: 'os',
    patches: [
      patch(OS_NETVSC, '    this.#revoke(NvspType.REVOKE_RECEIVE_BUFFER, this.#netvsc.pageSet);\n'),
    ],
    finds: omitted(/^REVOKE_RECEIVE_BUFFER was left out for NIC 0/),
  },
  {
    name: 'an OS does not revoke its send buffer',
    flow: 'os',
    patches: [
      patch(
        OS_NETVSC,
        '    if (this.#sectionSize !== 0)' +
          ' this.#revoke(NvspType.REVOKE_SEND_BUFFER, SEND_BUFFER_ID);\n',
      ),
    ],
    finds: omitted(/^REVOKE_SEND_BUFFER was left out for NIC 0/),
  },
  {
    name: 'the GPADL of the send buffer is not torn down',
    flow: 'os',
    patches: [
      patch(
        OS_NETVSC,
        '    if (this.#sendGpadl !== undefined) device.teardownGpadl(this.#sendGpadl);\n',
      ),
    ],
    finds: omitted(/^GPADL_TEARDOWN was left out for the send buffer/),
  },
  {
    name: 'a timer is not stopped',
    flow: 'os',
    patches: [
      patch(
        'src/os/synthetic-timer.ts',
        '    for (let timer = 0; timer < STIMER_COUNT; timer++) this.stop(timer);\n',
      ),
    ],
    finds: found('timers', /^timer 1 of VP 0 is enabled/),
  },
];
