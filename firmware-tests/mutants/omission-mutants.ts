// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Mutants of the firmware that forget one step of the clean-up, each alone, and what the audit says
 * of it. UNLOAD at the end heals most of them: none may pass without a word.
 */

import type { AuditCheck, Severity } from '../../tools/simulator/audit/audit-findings.ts';
import type { OmissionFlow } from '../rigs/omission-rig.ts';
import type { Patch } from './bundle.ts';

export interface OmissionMutant extends Partial<OmissionFlow> {
  readonly name: string;
  readonly patches: readonly Patch[];
  /** The finding that names it. Flow and host: where it matters; default a boot on server2022. */
  readonly finds: {
    readonly check: AuditCheck;
    readonly severity: Severity;
    readonly text: RegExp;
  };
}

export const patch = (file: string, search: string, replace = ''): Patch => ({
  ...{ file, search, replace },
});

export const omitted = (text: RegExp) =>
  ({ check: 'omissions', severity: 'warning', text }) as const;
export const freed = (text: RegExp) => ({ check: 'freed', severity: 'error', text }) as const;
/** The firmware's own ledger knows it, and reserves the page: safe, but lost. */
export const kept = (check: AuditCheck, text: RegExp) =>
  ({ check, severity: 'warning', text }) as const;
export const found = (check: AuditCheck, text: RegExp) =>
  ({ check, severity: 'error', text }) as const;

export const OMISSION_MUTANTS: readonly OmissionMutant[] = [
  // --- left to the next contact, to UNLOAD, or to the end of the channel ---
  {
    name: 'no UNLOAD between the contact with 3.0 and the one that stays',
    patches: [patch('src/vmbus/contact.ts', '  connection.unload();\n')],
    finds: omitted(/^UNLOAD was left out for the connection/),
  },
  {
    name: 'the packet filter is not cleared',
    patches: [
      patch(
        'src/rndis/rndis.ts',
        "    if (this.#hears) this.#attempt('receive filter not cleared', clear);\n",
      ),
    ],
    finds: omitted(/^packet filter 0 was left out for NIC 0/),
  },
  {
    name: 'no RNDIS HALT',
    patches: [
      patch(
        'src/rndis/rndis.ts',
        "this.#attempt('not halted', () => this.#send(RndisType.HALT, 0));",
      ),
    ],
    finds: omitted(/^RNDIS HALT was left out for NIC 0/),
  },
  {
    name: 'the receive buffer is not revoked',
    patches: [patch('src/netvsc/netvsc.ts', '      this.part.closing();\n')],
    finds: omitted(/^REVOKE_RECEIVE_BUFFER was left out for NIC 0/),
  },
  {
    name: 'the channel is not closed',
    patches: [
      patch('src/vmbus/device.ts', '    if (!this.rescinded) this.#postClose();\n'),
      // Else the host keeps the rings, and the firmware waits for them
      patch('src/vmbus/device.ts', '    this.teardownGpadl(this.#gpadl!);\n    this.#freeRing();'),
    ],
    finds: omitted(/^CLOSE_CHANNEL was left out for channel 3/),
  },
  {
    name: 'the GPADL of the rings is not torn down',
    patches: [
      patch(
        'src/vmbus/device.ts',
        '    this.teardownGpadl(this.#gpadl!);\n    this.#freeRing();',
        '    this.#freeRing();',
      ),
    ],
    finds: omitted(/^GPADL_TEARDOWN was left out for the rings of channel 3/),
  },
  {
    name: 'the GPADL of the receive buffer is not torn down',
    patches: [
      patch(
        'src/netvsc/netvsc.ts',
        '    if (this.#receiveGpadl) this.device.teardownGpadl(this.#receiveGpadl);\n',
      ),
    ],
    finds: omitted(/^GPADL_TEARDOWN was left out for the receive buffer/),
  },
  // --- memory that is given back while the host has it ---
  {
    name: 'the rings are freed, and their GPADL is left to UNLOAD',
    patches: [
      patch(
        'src/vmbus/device.ts',
        '    this.teardownGpadl(this.#gpadl!);\n    this.#freeRing();',
        `    this.pages.revoke(this.#ring!, 'nothing');\n    this.#freeRing();`,
      ),
    ],
    finds: freed(/^ring was freed while the host could write to the rings of channel 3/),
  },
  {
    name: 'the receive buffer is freed, and its GPADL is left to UNLOAD',
    patches: [
      patch(
        'src/netvsc/netvsc.ts',
        'if (this.#receiveGpadl) this.device.teardownGpadl(this.#receiveGpadl);',
        "this.device.pages.revoke(this.#receiveBuffer!, 'nothing');",
      ),
    ],
    finds: freed(/^rx-buffer was freed while the host could write to the receive buffer/),
  },
  {
    name: 'the pages of the connection are freed before UNLOAD is answered',
    patches: [
      patch(
        'src/vmbus/connection.ts',
        "    this.mustUnload = 'sent';\n",
        `    this.mustUnload = 'sent';
    for (const page of this.#pages) {
      this.hv.pages.revoke(page, 'nothing');
      this.hv.pages.free(page);
    }
`,
      ),
    ],
    finds: freed(/was freed while the host could write to the (interrupt|monitor) page/),
  },
  // --- memory that is lost for nothing ---
  {
    name: 'the pages of the connection stay reserved though UNLOAD was answered',
    patches: [patch('src/vmbus/connection.ts', '    if (by) this.#revoke(by);\n')],
    finds: {
      check: 'reserved',
      severity: 'warning',
      text: /reserved for good, but the host has nothing there/,
    },
  },
  // --- the connection and the registers ---
  {
    name: 'no UNLOAD at the end',
    patches: [patch('src/vmbus/bus.ts', '() => connection.unload());', '() => {});')],
    finds: found('unload', /^no UNLOAD was sent/),
  },
  {
    name: 'the answer to UNLOAD is not waited for',
    patches: [
      patch(
        'src/vmbus/connection.ts',
        '    this.wait(MessageType.UNLOAD_RESPONSE, MessageHeader.size, undefined, timeoutMs);\n',
      ),
    ],
    finds: freed(/was freed while the host could write to the (interrupt|monitor) page/),
    host: 'server2012r2',
  },
  {
    name: 'the SINT is not masked',
    patches: [patch('src/vmbus/connection.ts', '    this.hv.disableSint(this.sint);\n')],
    finds: found('sints', /^SINT2 of VP 0 is .* not masked/),
  },
  {
    name: 'the guest keeps its identity',
    patches: [patch('src/hyperv/hyperv.ts', '      platform.write(Msr.GUEST_OS_ID, 0n);\n')],
    finds: found('hypercall', /^GUEST_OS_ID is /),
  },
  ...(['SIMP', 'SIEFP'] as const).map((name) => ({
    name: `${name} stays mapped`,
    patches: [
      patch(
        'src/hyperv/hyperv.ts',
        'if (page.mapped) this.#attempt(() =>',
        `if (page.mapped && page.name !== 'register ${name}') this.#attempt(() =>`,
      ),
    ],
    finds: kept('synic-pages', new RegExp(`^${name} of VP 0 is enabled`)),
  })),
  {
    name: 'the hypercall page stays mapped',
    host: 'openvmm',
    patches: [
      patch(
        'src/hyperv/hyperv.ts',
        'if (page.mapped) this.#attempt(() =>',
        "if (page.mapped && page.name !== 'register HYPERCALL') this.#attempt(() =>",
      ),
    ],
    finds: kept('hypercall', /^HYPERCALL is enabled/),
  },
  // --- packets ---
  {
    name: 'a received packet is never completed',
    patches: [
      patch(
        'src/netvsc/netvsc.ts',
        '    channel?.complete(idLow, idHigh);\n',
        '    if (this.#skipped++ !== 3) channel?.complete(idLow, idHigh);\n',
      ),
      patch('src/netvsc/netvsc.ts', '  readonly #bytes', '  #skipped = 0;\n  readonly #bytes'),
    ],
    finds: found(
      'completions',
      /^NIC 0: 1 received packet never completed, though a later one was/,
    ),
  },
];
