// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Steps of the firmware's clean-up that the audit does not tell when they are left out, each with
 * the reason: nothing of them reaches the host, or something else does the same.
 */

import { MessageType, VMBUS_MESSAGE_TYPE } from '../../src/vmbus/protocol.ts';
import type { SimulatedMachine } from '../../tools/simulator/machine.ts';
import type { OmissionFlow } from '../rigs/omission-rig.ts';
import type { Patch } from './bundle.ts';
import { patch } from './omission-mutants.ts';
import { refusesPost } from './omission-flow-mutants.ts';

export interface SilentOmission extends Partial<OmissionFlow> {
  readonly name: string;
  readonly patches: readonly Patch[];
  readonly reason: string;
  /** What becomes of the boot, where it is not as without the mutation. */
  readonly status?: string;
}

/** A message comes right behind the answer to UNLOAD. */
const afterUnload = (machine: SimulatedMachine): void => {
  machine.events.listen((event) => {
    if (event.kind !== 'vmbus' || event.change !== 'unloaded') return;
    const late = Uint8Array.of(MessageType.ALL_OFFERS_DELIVERED, 0, 0, 0, 0, 0, 0, 0);
    const post = () => machine.partition.postMessage(0, 2, VMBUS_MESSAGE_TYPE, late);
    machine.clock.schedule(1, post);
  });
};

const HV = 'src/hyperv/hyperv.ts';
const CONNECTION = 'src/vmbus/connection.ts';
const BUS = 'src/vmbus/bus.ts';
const DEVICE = 'src/vmbus/device.ts';
const GPADL = 'src/vmbus/gpadl.ts';
const NETVSC = 'src/netvsc/netvsc.ts';
const TIMER = 'src/os/synthetic-timer.ts';

/** Memory that is given back to the firmware's own allocator: the map that it hands on has it. */
const OWN_MEMORY = 'memory of its own that is not given back is usable for who comes next';
/** What the ledger does not strike out when the host confirms it, it strikes out at UNLOAD. */
const AT_UNLOAD = 'the ledger keeps it until UNLOAD is answered, and no longer';

const silent = (
  name: string,
  reason: string,
  patches: readonly Patch[],
  where: Partial<SilentOmission> = {},
): SilentOmission => ({ name, reason, patches, ...where });

export const SILENT_OMISSIONS: readonly SilentOmission[] = [
  // --- registers ---
  silent(
    'message page and event page of an earlier owner are not reset first',
    'the firmware writes both registers itself, and resets them at the end',
    [patch('src/hyperv/owner.ts', '  [Msr.SIEFP, 2, HvFeature.SYNIC, PAGE_RESERVED, 0n],\n')],
    { flow: 'owner' },
  ),
  silent(
    'SCONTROL is not switched off again where it was off',
    'on is information: nobody is hurt by it',
    [patch(HV, '      this.#attempt(() => platform.write(Msr.SCONTROL, this.#scontrol));\n')],
    { host: 'qemu' },
  ),
  silent('the clock goes on from a page that is unmapped', 'the part takes it back itself', [
    patch(HV, '    this.clock.use();\n    for', '    for'),
  ]),
  silent(
    'messages of an earlier owner are not taken before the contact',
    'its answers are taken for ours, or come while ours is waited for',
    [
      patch(
        CONNECTION,
        '    this.hv.enableSint(this.sint);\n    this.#take(MESSAGES_PER_WAIT_MAX, () => {});\n',
        '    this.hv.enableSint(this.sint);\n',
      ),
    ],
    { flow: 'owner' },
  ),
  silent(
    'the configuration of a timer is not cleared',
    'a count of 0 stops it',
    [
      patch(
        TIMER,
        '    this.#hv.platform.write(Msr.STIMER0_CONFIG + 2 * timer, 0n);\n    this.#used &=',
        '    this.#used &=',
      ),
    ],
    { flow: 'os' },
  ),
  silent(
    'the count of a timer is not cleared',
    'a configuration of 0 stops it',
    [
      patch(
        TIMER,
        '    this.#hv.platform.write(Msr.STIMER0_COUNT + 2 * timer, 0n);\n    this.#hv',
        '    this.#hv',
      ),
    ],
    { flow: 'os' },
  ),
  // --- the connection ---
  silent(
    'the pages of the connection are not zeroed when it is made anew',
    'the contact zeroes those that it shares anew',
    [
      patch(
        CONNECTION,
        '    for (const { address, length } of this.#pages)' +
          ' this.hv.pages.memory.zero(address, length);\n',
      ),
    ],
    { flow: 'resumed' },
  ),
  silent(
    'no UNLOAD between the contacts, where the host takes no second one',
    'the boot fails',
    [patch('src/vmbus/contact.ts', '  connection.unload();\n')],
    { knobs: { reinitiate: 'ignore' }, status: 'NoResponse' },
  ),
  silent(
    'the version of the old connection is kept until the new one',
    'nothing is sent by it in between',
    [patch(CONNECTION, '    this.version = 0;\n\n    // What lies', '\n    // What lies')],
    { flow: 'resumed' },
  ),
  silent(
    'a connection that is unloaded is still to be unloaded',
    'nobody asks again before the next contact, which decides it anew',
    [
      patch(
        CONNECTION,
        '    this.mustUnload = false;\n    this.hasLetGo = by',
        '    this.hasLetGo = by',
      ),
    ],
  ),
  silent(
    'a message behind the answer to UNLOAD is left in its slot',
    'the page is cleared at the end',
    [
      patch(
        CONNECTION,
        `    // Whoever comes next expects the slot empty
    this.#take(MESSAGES_PER_WAIT_MAX, () => {});
`,
      ),
    ],
    { prepare: afterUnload },
  ),
  silent('the pages of the connection are not given back', OWN_MEMORY, [
    patch(CONNECTION, '    for (const page of this.#pages) this.hv.pages.free(page);\n'),
  ]),
  silent(
    'the bit of a closed channel stays set in the interrupt page',
    'the page is given back, and zeroed before it is used again',
    [patch(DEVICE, '    this.connection.setSignal(this.channelId, false);\n')],
    { host: 'server2012r2' },
  ),
  // --- GPADLs ---
  silent('a GPADL that was torn down stays in the ledger', AT_UNLOAD, [
    patch(GPADL, "    if (!error) this.#forget(gpadl, 'GPADL_TORNDOWN');\n"),
  ]),
  silent(
    'a GPADL of which nothing was sent stays in the ledger',
    AT_UNLOAD,
    [patch(GPADL, "      if (posted === 0) this.#forget(gpadl, 'never sent');\n")],
    { prepare: refusesPost(2) },
  ),
  silent('a late GPADL_TORNDOWN is not looked at', AT_UNLOAD, [
    patch(BUS, '    else if (type === MessageType.GPADL_TORNDOWN) this.gpadls.late(message);\n'),
  ]),
  silent(
    'GPADLs of a connection that is over stay in the ledger',
    AT_UNLOAD,
    [patch(BUS, "this.gpadls.forgetAll('INITIATE_CONTACT');", 'undefined;')],
    { flow: 'resumed' },
  ),
  silent('what packets point to is not given back with the rings', 'it was, with the last packet', [
    patch(GPADL, '      pages.revoke(packets, by);\n'),
  ]),
  silent('what packets point to is not given back with the last of them', 'it is with the rings', [
    patch('src/netvsc/transmit-path.ts', "    this.#letGo('completion');\n"),
  ]),
  // --- devices ---
  silent(
    'a device that was taken away is not let go of by its driver',
    'the host has closed the channel, and UNLOAD ends the GPADLs',
    [patch(BUS, '    device.instance?.rescinded();\n')],
    { nicTimes: { leaves: 1 } },
  ),
  silent(
    'a device that was taken away is not released: it cannot come back',
    'the host cannot know whether the guest has read of it; the boot fails',
    [
      patch(
        BUS,
        '    device.instance?.rescinded();\n    device.release();\n',
        '    device.instance?.rescinded();\n',
      ),
    ],
    { nicTimes: { leaves: 1, returns: 1 }, status: 'NoNetworkDevice' },
  ),
  silent(
    'a device that was taken away is not forgotten: the next offer is ignored',
    'the host does not know; the boot fails',
    [patch(BUS, '    device.release();\n    this.#forget(device);\n', '    device.release();\n')],
    { nicTimes: { leaves: 1, returns: 1 }, status: 'NoNetworkDevice' },
  ),
  silent('completions are not waited for before the close', 'a close completes what is in flight', [
    patch(NETVSC, '      this.#drain();\n'),
  ]),
  silent('packets in flight are not cancelled', 'a close completes what is in flight', [
    patch(
      'src/netvsc/firmware-part.ts',
      '    netvsc.forEachInFlight((id) => netvsc.channel!.sendCancellation(BASE_ID + id));\n',
    ),
  ]),
  silent(
    'in-band packets are not completed',
    'what the host says of a virtual function it says once, and waits for nothing',
    [patch('src/vmbus/channel.ts', '    if (completes) this.complete(idLow, idHigh);\n')],
    { knobs: { vfAssociation: true } },
  ),
  silent(
    'the last answer of a service is not waited for',
    'it is an answer, and no clean-up',
    [
      patch(
        'src/services/ic-channel.ts',
        '    this.leaving = true;\n    this.poll();\n    this.#awaitLastAnswer();\n',
      ),
    ],
    { flow: 'services' },
  ),
  silent(
    'sub-channels are not closed by themselves',
    'the host takes them away with the channel that they belong to',
    [
      patch(
        'src/os/bus.ts',
        '    for (const subchannel of [...subchannels].reverse()) subchannel.close();\n',
      ),
    ],
    { flow: 'os' },
  ),
  // --- memory ---
  silent('the pages of the registers are not given back', OWN_MEMORY, [
    patch(HV, '    for (const region of this.#regions) this.pages.free(region);\n'),
  ]),
  silent('the reference TSC page is not given back', OWN_MEMORY, [
    patch('src/os/reference-tsc.ts', '    pages.free(this.#region);\n'),
  ]),
  silent('the receive buffer is not given back', OWN_MEMORY, [
    patch(NETVSC, '    if (this.#receiveBuffer) this.device.pages.free(this.#receiveBuffer);\n'),
  ]),
  silent('the transmit buffers are not given back', OWN_MEMORY, [
    patch(
      'src/netvsc/transmit-path.ts',
      '    if (this.packets) this.device.pages.free(this.packets);\n',
    ),
  ]),
  silent('transmits are not ended with the channel', OWN_MEMORY, [
    patch(NETVSC, '    this.closeTransmits();\n'),
  ]),
  silent(
    'the send buffer is not given back',
    OWN_MEMORY,
    [
      patch(
        'src/os/netvsc-part.ts',
        '    if (this.#sendBuffer !== undefined) device.pages.free(this.#sendBuffer);\n',
      ),
    ],
    { flow: 'os' },
  ),
  silent(
    'the rings of a device that lost its connection are not given back',
    OWN_MEMORY,
    [
      patch(
        DEVICE,
        "    this.channel.broken ??= 'ChannelBroken';\n    this.#freeRing();\n",
        "    this.channel.broken ??= 'ChannelBroken';\n",
      ),
    ],
    { flow: 'resumed' },
  ),
];
