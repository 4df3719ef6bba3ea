// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Mutants of the firmware: each lacks something that it must not lack, and the exploration must
 * find that out. `found` are runs that do, when this was written: the quick test makes them first,
 * and other runs of their kinds only if the flow has changed since.
 */

import type { Patch } from './bundle.ts';

export interface Mutant extends Patch {
  readonly name: string;
  /** Plans that have a finding, or had. */
  readonly found: readonly string[];
}

export const MUTANTS: readonly Mutant[] = [
  // --- missing teardowns ---
  {
    name: 'no UNLOAD at the end',
    file: 'src/vmbus/bus.ts',
    search: 'if (connection.mustUnload) {',
    replace: 'if (false as boolean) {',
    found: ['none'],
  },
  {
    name: 'a bus that fails does not disconnect',
    file: 'src/vmbus/bus.ts',
    search: `    } catch (error) {
      this.#disconnect();
      throw error;`,
    replace: `    } catch (error) {
      this.connection.tearDown();
      throw error;`,
    found: ['step.34/handoff'],
  },
  {
    name: 'the SINT stays unmasked',
    file: 'src/vmbus/connection.ts',
    search: `    this.hv.disableSint(this.sint);
`,
    replace: '',
    found: ['none'],
  },
  {
    name: 'the event page stays mapped',
    file: 'src/hyperv/hyperv.ts',
    search: 'if (page.mapped) this.#attempt',
    replace: "if (page.mapped && page.name !== 'register SIEFP') this.#attempt",
    found: ['none'],
  },
  {
    name: 'the message page stays mapped, and is freed',
    file: 'src/hyperv/hyperv.ts',
    search: 'if (page.mapped) this.#attempt',
    replace: `if (page.name === 'register SIMP') this.pages.revoke(page.region, 'nothing');
      else if (page.mapped) this.#attempt`,
    found: ['none'],
  },
  {
    name: 'the guest keeps its identity',
    file: 'src/hyperv/hyperv.ts',
    search: '      platform.write(Msr.GUEST_OS_ID, 0n);',
    replace: '',
    found: ['none'],
  },
  {
    name: 'hypervisor left mapped when the bus fails',
    file: 'src/driver.ts',
    search: `        this.hv.remove();
        throw error;`,
    replace: '        throw error;',
    found: ['step.0/handoff'],
  },
  {
    name: 'the receive buffer is freed without asking the host',
    file: 'src/netvsc/netvsc.ts',
    search: 'this.device.teardownGpadl(this.#receiveGpadl);',
    replace: `this.device.pages.revoke(this.#receiveBuffer!, '');`,
    found: ['none'],
  },
  {
    name: 'quiesced drivers are removed without taking the machine back',
    file: 'src/driver.ts',
    search: 'if (!this.hv.isRunning) {',
    replace: 'if (false as boolean) {',
    found: ['loader:step.148/give-up'],
  },
  // --- believing what was not said ---
  {
    name: 'shared memory is freed at once',
    file: 'src/memory/shared-memory.ts',
    search: `    if (region.state === 'private') {
      this.#regions.delete`,
    replace: `    if (region.state === 'private' || region.state === 'shared') {
      this.#regions.delete`,
    found: ['loader:call.6/status-ever:18'],
  },
  {
    name: 'an unanswered GPADL teardown counts as done',
    file: 'src/vmbus/gpadl.ts',
    search: "if (!error) this.#forget(gpadl, 'GPADL_TORNDOWN');",
    replace: "this.#forget(gpadl, error ? 'hope' : 'GPADL_TORNDOWN');",
    found: ['call.44/status:2'],
  },
  {
    name: 'a GPADL_TORNDOWN of any GPADL will do',
    file: 'src/vmbus/gpadl.ts',
    search: '({ view }) => view.getUint32(GpadlTorndown.at.gpadl, true) === id,',
    replace: '() => true,',
    found: ['message.15/twice'],
  },
  {
    name: 'an unanswered UNLOAD counts as answered',
    file: 'src/vmbus/connection.ts',
    search: `    this.wait(MessageType.UNLOAD_RESPONSE, MessageHeader.size, undefined, timeoutMs);
`,
    replace: '',
    found: ['none'],
  },
  {
    name: 'a contact that nobody has answered is not ended',
    file: 'src/vmbus/connection.ts',
    search: 'this.mustUnload &&= true;',
    replace: 'this.mustUnload = false;',
    found: ['message.0/mute', 'message.0/drop+message.1/drop'],
  },
  {
    name: 'an UNLOAD that could not be posted counts as answered',
    file: 'src/vmbus/bus.ts',
    search: '    connection.tearDown();\n    this.part',
    replace: "    connection.disconnected('hope');\n    connection.tearDown();\n    this.part",
    found: ['loader:call.6/status-ever:18'],
  },
  {
    name: 'the memory map forgets what could not be revoked',
    file: 'src/memory/shared-memory.ts',
    search: 'for (const region of this.outstanding()) {',
    replace: 'for (const region of [] as Region[]) {',
    found: ['loader:call.6/status-ever:18'],
  },
  {
    name: 'a reset forgets the live connection',
    file: 'src/vmbus/connection.ts',
    search: '    this.version = 0;\n\n    // What lies',
    replace: '    this.mustUnload = false;\n    this.version = 0;\n\n    // What lies',
    found: ['loader:step.160/give-up'],
  },
  {
    name: 'a GPADL whose bodies could not be posted is forgotten',
    file: 'src/vmbus/gpadl.ts',
    search: 'if (posted === 0) this.#forget',
    replace: 'if (posted >= 0) this.#forget',
    found: ['message.7/field:gpadl=dec'],
  },
  // --- wrong order ---
  {
    name: 'rings are freed before the channel is closed',
    file: 'src/vmbus/device.ts',
    search: `    this.teardownGpadl(this.#gpadl!);
    this.#freeRing();`,
    replace: `    this.pages.revoke(this.#ring!, 'nothing');
    this.#freeRing();`,
    found: ['none'],
  },
  {
    name: 'the SynIC is unmapped before UNLOAD',
    file: 'src/driver.ts',
    search: `    this.bus.remove();
    this.hv.remove();`,
    replace: `    this.hv.remove();
    this.bus.remove();`,
    found: ['none'],
  },
  // --- missing bounds ---
  {
    name: 'messages are waited for without a time limit',
    file: 'src/vmbus/connection.ts',
    search: 'waitFor(this.hv.clock, timeoutMs,',
    replace: 'waitFor(this.hv.clock, Infinity,',
    found: ['loader:message.0/slot:length=0'],
  },
  {
    name: 'messages are posted again for ever',
    file: 'src/hyperv/hyperv.ts',
    search: 'if (attempt === POST_TRIES_MAX) {',
    replace: 'if (attempt < 0) {',
    found: ['loader:call.6/status-ever:18'],
  },
  {
    name: 'NVSP requests are waited for without a time limit',
    file: 'src/netvsc/netvsc.ts',
    search: 'waitAnswer(this, timeoutMs,',
    replace: 'waitAnswer(this, Infinity,',
    found: ['packet.19/field:descriptor.transactionId=inc'],
  },
  {
    name: 'RNDIS requests are waited for without a time limit',
    file: 'src/rndis/rndis.ts',
    search: 'waitAnswer(this.#transport, timeoutMs,',
    replace: 'waitAnswer(this.#transport, Infinity,',
    found: ['loader:packet.21/field:descriptor.type=0'],
  },
  // --- unchecked lengths, offsets and indices ---
  {
    name: 'ranges are not checked against the receive buffer',
    file: 'src/netvsc/netvsc.ts',
    search: 'const inside = offset <= size && length <= size - offset;',
    replace: 'const inside = offset >= 0;',
    found: ['loader:packet.11/field:range0.offset=top'],
  },
  {
    name: 'the count of ranges is believed',
    file: 'src/vmbus/packet.ts',
    search:
      'return packet.rangeCount === (packet.payload - XferPageHeader.size) / XferPageRange.size;',
    replace: 'return true;',
    found: ['packet.31/field:pages.rangeCount=top'],
  },
  {
    name: 'packets longer than the buffer are taken',
    file: 'src/vmbus/channel.ts',
    search: 'if (length <= packet.bytes.length) return length;',
    replace: 'if (length > 0) return length;',
    found: ['packet.24/field:descriptor.qlen=big+packet.24/index:prod=65528'],
  },
  // --- errors that nobody can do anything with ---
  {
    name: 'an allocation that fails goes on',
    file: 'src/memory/shared-memory.ts',
    search: 'if (address === undefined) {',
    replace: 'if (address === null) {',
    found: ['loader:alloc.6/fail'],
  },
  {
    name: 'a refused GPADL is an error without a name',
    file: 'src/vmbus/gpadl.ts',
    search: "throw new HypxeError('GpadlRefused', `${name}",
    replace: 'throw new Error(`${name}',
    found: ['message.8/field:status=top'],
  },
  {
    name: 'a cancelled boot is cancelled again while it cleans up',
    file: 'src/hyperv/clock.ts',
    search: `    this.#cancel = undefined;
    throw new HypxeError('Cancelled'`,
    replace: `    throw new HypxeError('Cancelled'`,
    found: ['step.34/handoff'],
  },
  {
    name: 'removing the drivers can be cancelled',
    file: 'src/hyperv/clock.ts',
    search: `  finish(): void {
    this.#cancel = undefined;`,
    replace: `  finish(): void {`,
    found: ['step.202/handoff'],
  },
];
