// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The clean-up of the example in C, done by halves: another field, another order, a wrong length,
 * too early, twice. Each is a change of its sources, and what a boot of it, strictly judged, says.
 */

import type { Edit } from './c-race-mutants.ts';

export interface CleanUpMutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** What is said of it: `severity check: text`, or how it ends; undefined: nothing. */
  readonly says: RegExp | undefined;
  /** Default 1. */
  readonly nics?: number;
}

const mutant = (name: string, says: RegExp | undefined, ...edits: readonly Edit[]) => ({
  ...{ name, says, edits },
});

const FREED = '\t\thypxe_page_free(gpadl->pages, gpadl->bytes);\n\t}\n\tgpadl->pages = NULL;';
const TORN_DOWN =
  '\t\tif (!rc)\n' +
  '\t\t\trc = wait_for(GPADL_TORNDOWN, 12, &gpadl->id, NULL, VMBUS_ANSWER_MS, NULL);\n';
const FILTER = '(void)rndis_filter(nic, 0);\n#endif';
const REVOKE = '{ NVSP_REVOKE_RECEIVE_BUFFER, PAGE_SET }';
const HALT = '{ RNDIS_HALT, 12, 0 }';
const CLOSE = 'post(CLOSE_CHANNEL, &offer->channel, 1, 0)';
const COMPLETE = '\tif (nic->owed_count == 0 && send';
const CLOSED = '\trndis_close(nic);\n\tnetvsc_close(nic);';
const GONE = '\thv_running = 0;\n';
const IDENTITY = '\thypxe_wrmsr(MSR_GUEST_OS_ID, 0);\n#endif';
const LEAKS = '\tif (rc == 0)\n\t\tfree_leaks();\n';
const BUFFER = '\tvmbus_close(&nic->channel);\n\t/* The';

export const CLEAN_UP_MUTANTS: readonly CleanUpMutant[] = [
  // --- other fields ---
  mutant(
    'the filter is narrowed, not cleared',
    /^warning omissions: packet filter 0 was left out/,
    ['guest.c', FILTER, '(void)rndis_filter(nic, FILTER_DIRECTED);\n#endif'],
  ),
  mutant(
    'another section is revoked',
    /^warning omissions: REVOKE_RECEIVE_BUFFER .* died of what the guest did \(revoke of receive/,
    ['netvsc.c', REVOKE, '{ NVSP_REVOKE_RECEIVE_BUFFER, PAGE_SET + 1 }'],
  ),
  mutant(
    'another channel is closed',
    /^warning omissions: CLOSE_CHANNEL was left out for channel 3/,
    ['vmbus.c', CLOSE, CLOSE.replace('&offer->channel', '&(uint32_t){ offer->channel + 6 }')],
  ),
  mutant(
    'memory of another channel is asked back',
    /^warning omissions: GPADL_TEARDOWN was left out/,
    [
      'vmbus.c',
      'uint32_t words[2] = { channel, gpadl->id };\n\tint undoing',
      'uint32_t words[2] = { channel + 1, gpadl->id };\n\tint undoing',
    ],
  ),
  mutant('another SINT is masked', /^error sints: SINT2 of VP 0/, [
    'hyperv.c',
    '#ifndef NO_SINT_OFF\n\tset_register(MSR_SINT0 + SINT,',
    '#ifndef NO_SINT_OFF\n\tset_register(MSR_SINT0 + SINT + 1,',
  ]),
  mutant('the identity becomes another one', /^error hypercall: GUEST_OS_ID is/, [
    'hyperv.c',
    IDENTITY,
    '\thypxe_wrmsr(MSR_GUEST_OS_ID, OS_ID + 1);\n#endif',
  ]),
  mutant('completions have another number', /^error completions: /, [
    'netvsc.c',
    'ring_send(&nic->channel, VMBUS_COMPLETION, 0, id,',
    'ring_send(&nic->channel, VMBUS_COMPLETION, 0, id + 1,',
  ]),
  mutant('the filter is cleared, and set again', /^warning omissions: packet filter 0 was left/, [
    'guest.c',
    FILTER,
    '(void)rndis_filter(nic, 0);\n\t(void)rndis_filter(nic, FILTER_DIRECTED);\n#endif',
  ]),
  // --- what failed, or was never used ---
  {
    ...mutant(
      'the first NIC fails to open behind its filter',
      /^warning omissions: packet filter 0 was left out for NIC 0: frames came/,
      [
        'guest.c',
        '\tif (rc) {\n\t\tnic->open = 0;',
        '\tif (!rc && device == 0) {\n\t\tnic->open = 0;\n\t\treturn -EIO;\n\t}\n' +
          '\tif (rc) {\n\t\tnic->open = 0;',
      ],
    ),
    nics: 2,
  },
  {
    ...mutant(
      'the second NIC is given up behind INITIALISE',
      /^warning omissions: RNDIS HALT was left out for NIC 1: the end of the channel/,
      [
        'rndis.c',
        '\tat = query(nic, OID_CURRENT_ADDRESS, MAC_LENGTH);',
        '\tif (nic->index == 1) {\n\t\tnic->initialised = 0;\n\t\treturn -EIO;\n\t}\n' +
          '\tat = query(nic, OID_CURRENT_ADDRESS, MAC_LENGTH);',
      ],
    ),
    nics: 2,
  },
  mutant(
    'nothing is undone, and a packet lies unread in the ring',
    /^warning omissions: RNDIS HALT was left out for NIC 0: the end of the channel/,
    ['guest.c', FILTER, ';\n#endif'],
    ['guest.c', '\trndis_close(nic);\n', ''],
    ['netvsc.c', '(void)request(nic, revoke, 2, 0, 0, REVOKE_MS);', '(void)revoke;'],
    [
      'netvsc.c',
      '\tvmbus_close(&nic->channel);\n\t/* The',
      '\tuint32_t unread[NVSP_WORDS] = { NVSP_SEND_RNDIS_PACKET_COMPLETE, NVSP_SUCCESS };\n' +
        '\tnic->channel.unsignalled = 1;\n' +
        '\tring_send(&nic->channel, VMBUS_DATA_INBAND, 0, 7, NULL, 0, unread, 32);\n' +
        '\tvmbus_close(&nic->channel);\n\t/* The',
    ],
    ['vmbus.h', '\tint signal_due;\n', '\tint signal_due, unsignalled;\n'],
    [
      'ring.c',
      'if (!out->interrupt_mask &&',
      'if (!channel->unsignalled && !out->interrupt_mask &&',
    ],
  ),
  // --- wrong lengths, parts ---
  mutant('HALT is too short', /^warning omissions: RNDIS HALT was left out/, [
    'rndis.c',
    HALT,
    '{ RNDIS_HALT, 8, 0 }',
  ]),
  mutant('HALT is longer than it is', /^warning omissions: RNDIS HALT was left out/, [
    'rndis.c',
    HALT,
    '{ RNDIS_HALT, 4096, 0 }',
  ]),
  mutant('CLOSE has no channel', /^warning omissions: CLOSE_CHANNEL was left out/, [
    'vmbus.c',
    CLOSE,
    CLOSE.replace('1, 0', '0, 0'),
  ]),
  mutant('a page less is freed', /^warning reserved: 1 page from .* reserved for good/, [
    'vmbus.c',
    FREED,
    FREED.replace('bytes)', 'bytes - PAGE_SIZE)'),
  ]),
  mutant('every second packet is completed', /^error completions: .* though a later one was/, [
    'netvsc.c',
    COMPLETE,
    `\tstatic int odd;\n\tif ((odd ^= 1)) return;\n${COMPLETE}`,
  ]),
  mutant('the last packets are not completed', /^error completions: .* when the guest closed/, [
    'netvsc.c',
    COMPLETE,
    `\tif (hv_undoing) return;\n${COMPLETE}`,
  ]),
  {
    ...mutant('the second NIC is not closed', /^warning omissions: CLOSE_CHANNEL .* channel 4/, [
      'guest.c',
      '\t\tclose_nic(&nics[i - 1]);',
      '\t\tif (i == 1)\n\t\t\tclose_nic(&nics[i - 1]);',
    ]),
    nics: 2,
  },
  // --- other orders, too early ---
  mutant(
    'HALT comes behind the revoke and the close',
    /^warning omissions: RNDIS HALT was left out/,
    ['guest.c', CLOSED, '\tnetvsc_close(nic);\n\trndis_close(nic);'],
  ),
  mutant('TORNDOWN is not waited for', /^error freed: rings was freed while the host could write/, [
    'vmbus.c',
    TORN_DOWN,
    '',
  ]),
  mutant(
    'memory is freed before it is asked back',
    /^error freed: rings was freed while the host/,
    [
      'vmbus.c',
      '\tif (gpadl->live) {\n',
      '\thypxe_page_free(gpadl->pages, gpadl->bytes);\n\tif (gpadl->live) {\n',
    ],
    ['vmbus.c', `\t} else {\n${FREED}`, '\t}\n\tgpadl->pages = NULL;'],
  ),
  mutant(
    'frames are freed before the host has read of them',
    /^error freed: frames in flight was freed while a packet of channel 3 pointed to it, unread/,
    [
      'netvsc.c',
      '\t\tdrain(nic);\n',
      '\t\thypxe_page_free(nic->tx_pages, TX_SLOTS * TX_SLOT_BYTES);\n\t\tnic->tx_pages = NULL;\n',
    ],
  ),
  mutant('the message page is freed before it is off', /^error freed: message page was freed/, [
    'hyperv.c',
    '\tswitch_off();\n\tfree_pages();\n}',
    '\tfree_page(&message_page);\n\tswitch_off();\n\tfree_pages();\n}',
  ]),
  mutant(
    'UNLOAD comes before the devices are closed',
    /^warning omissions: CLOSE_CHANNEL was left out/,
    [
      'guest.c',
      '\tfor (i = nic_count; i > 0; i--) {\n\t\thypxe_close(i - 1);',
      '\tvmbus_remove();\n\tfor (i = nic_count; i > 0; i--) {\n\t\thypxe_close(i - 1);',
    ],
  ),
  mutant(
    'the answer to UNLOAD is not waited for',
    /^error unload: the host has not read 1 message/,
    ['vmbus.c', '\t\t\trc = wait_for(UNLOAD_RESPONSE, 8, NULL, NULL, UNLOAD_MS, NULL);\n', ''],
  ),
  // --- twice, and once more ---
  mutant('memory is freed twice', /^crash: .*page_free of .*: not allocated/, [
    'vmbus.c',
    FREED,
    `\t\thypxe_page_free(gpadl->pages, gpadl->bytes);\n${FREED}`,
  ]),
  mutant('a contact behind UNLOAD', /^error unload: no UNLOAD was sent/, [
    'vmbus.c',
    LEAKS,
    `${LEAKS}\t(void)contact();\n`,
  ]),
  mutant('the identity is taken again', /^error hypercall: GUEST_OS_ID is/, [
    'hyperv.c',
    IDENTITY,
    `${IDENTITY}\n\thypxe_wrmsr(MSR_GUEST_OS_ID, OS_ID);`,
  ]),
  mutant('a timer runs on', /^error timers: timer 0 of VP 0 is enabled/, [
    'hyperv.c',
    `${GONE}\tmemset`,
    `${GONE}\thypxe_wrmsr(MSR_STIMER0_CONFIG + 1, 1000000000);\n` +
      '\thypxe_wrmsr(MSR_STIMER0_CONFIG, 0x20009);\n\tmemset',
  ]),
  mutant('the TSC page lies in memory that is freed', /^error freed: hypercall input was freed/, [
    'hyperv.c',
    '\tfree_pages();\n}\n\n/*\n * Leave',
    '\thypxe_wrmsr(MSR_REFERENCE_TSC, (uintptr_t)input_page | 1);\n' +
      '\tfree_pages();\n}\n\n/*\n * Leave',
  ]),
  // --- of which the host has nothing left ---
  mutant('CLOSE is sent twice', undefined, [
    'vmbus.c',
    `if (${CLOSE})`,
    `(void)${CLOSE};\n\tif (${CLOSE})`,
  ]),
  mutant('UNLOAD is sent twice', undefined, [
    'vmbus.c',
    '\t\t\trc = post(UNLOAD, NULL, 0, 0);',
    '\t\t\t(void)post(UNLOAD, NULL, 0, 0);\n\t\t\trc = post(UNLOAD, NULL, 0, 0);',
  ]),
  mutant('any TORNDOWN will do', undefined, [
    'vmbus.c',
    'wait_for(GPADL_TORNDOWN, 12, &gpadl->id, NULL',
    'wait_for(GPADL_TORNDOWN, 12, NULL, NULL',
  ]),
  mutant('the buffer is asked back before the close', undefined, [
    'netvsc.c',
    BUFFER,
    `\tgpadl_teardown(&nic->rx_buffer, nic->channel.offer->channel);\n${BUFFER}`,
  ]),
  mutant('completions say that the packet was not taken', undefined, [
    'netvsc.c',
    '{ NVSP_SEND_RNDIS_PACKET_COMPLETE, NVSP_SUCCESS }',
    '{ NVSP_SEND_RNDIS_PACKET_COMPLETE, 2 }',
  ]),
];
