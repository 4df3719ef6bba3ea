// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * iPXE's four files beside ours, function by function: in which rows of the list what hypxe does
 * there differs, or why nothing does. Each branch that was seen to differ is in a row of the
 * function that has it. What was read, both sides branch by branch: at commit
 * 0ab2277c40f1de56c736b9e7db7ee23d52509ec5 of iPXE `src/arch/x86/drivers/hyperv/hyperv.c`,
 * `src/interface/hyperv/vmbus.c`, `src/drivers/net/netvsc.c` and `src/net/rndis.c`; of ours
 * `src/hyperv/` without arm64, `src/memory/`, `src/vmbus/`, `src/netvsc/`, `src/rndis/` and
 * `src/driver.ts`, without their tables of constants (`protocol.ts`). iPXE's own drivers were run
 * beside the reference guest on hosts with random faults.
 */

/** Why a function has no row of its own. */
export const SAME = 'every branch does the same on the wire';

/** A function of iPXE's, and the rows of the list that are about it, or a reason for none. */
export type FunctionRow = readonly [name: string, ...rows: readonly string[]] | readonly [string];

/** A function that has no row: its name, and why. */
type Reason = readonly [name: string, reason: string];

/** Functions in which hypxe differs. */
export const DIFFERING_FUNCTIONS: readonly FunctionRow[] = [
  // hyperv.c
  ['hv_check_features', 'reference-time-required'],
  ['hv_check_uefi', 'foreign-identity-overwritten'],
  [
    'hv_map_hypercall',
    ...['hypercall-page-checked', 'earlier-owner-switched-off', 'refused-registers-are-errors'],
  ],
  ['hv_unmap_hypercall', 'foreign-identity-overwritten', 'refused-registers-are-errors'],
  [
    'hv_map_synic',
    ...['scontrol-as-found', 'earlier-owner-switched-off', 'refused-registers-are-errors'],
  ],
  ['hv_unmap_synic', 'scontrol-as-found', 'event-page-cleared', 'refused-registers-are-errors'],
  ['hv_unmap_synic_no_scontrol', 'event-page-cleared', 'refused-registers-are-errors'],
  [
    'hv_enable_sint',
    ...['eom-only-when-pending', 'sints-as-at-reset', 'refused-registers-are-errors'],
  ],
  ['hv_disable_sint', 'sints-as-at-reset', 'refused-registers-are-errors'],
  [
    'hv_post_message',
    ...['posts-are-retried', 'quiesced-device-is-silent', 'no-clobber-list'],
    'waits-can-be-cancelled',
  ],
  [
    'hv_wait_for_message',
    ...['message-length-checked', 'eom-only-when-pending', 'prompt-waits'],
    ...['waits-can-be-cancelled', 'slow-devices-are-tried-again', 'refused-registers-are-errors'],
  ],
  ['hv_signal_event', 'signals-are-retried', 'quiesced-device-is-silent'],
  ['hv_remove', 'remove-while-quiesced'],
  ['hv_quiesce', 'sints-as-at-reset', 'quiesced-device-is-silent'],
  ['hv_probe', 'scontrol-as-found', 'earlier-owner-switched-off'],
  [
    'hv_unquiesce',
    ...['reset-is-retried', 'earlier-owner-switched-off', 'hypercall-page-checked'],
    'foreign-identity-overwritten',
  ],
  ['hv_timer_probe', 'reference-time-required'],
  ['hv_currticks', 'exact-clock', 'stopped-clock-is-named'],
  ['hv_udelay', 'stopped-clock-is-named', 'waits-can-be-cancelled'],
  // vmbus.c
  [
    'vmbus_wait_for_message',
    ...['waits-are-bounded', 'late-answers-belong-to-their-request', 'late-offers-are-devices'],
  ],
  ['vmbus_wait_for_any_message', 'bus-survives', 'short-messages-refused'],
  [
    'vmbus_initiate_contact',
    ...['connection-state-checked', 'pages-kept-without-unload'],
    ...['late-answers-belong-to-their-request', 'short-messages-refused'],
    'slow-devices-are-tried-again',
  ],
  ['vmbus_unload', 'pages-kept-without-unload', 'slow-devices-are-tried-again'],
  ['vmbus_negotiate_version', 'version-negotiation', 'pages-kept-without-unload'],
  [
    'vmbus_establish_gpadl',
    ...['gpadl-of-any-size', 'buffer-kept-without-answer', 'short-messages-refused'],
    'late-answers-belong-to-their-request',
  ],
  [
    'vmbus_gpadl_teardown',
    ...['late-answers-belong-to-their-request', 'old-channel-not-closed'],
    ...['short-messages-refused', 'unclosed-channel-keeps-memory'],
  ],
  [
    'vmbus_open',
    ...['ring-gpadl-torn-down', 'open-of-unknown-end-closed', 'short-messages-refused'],
    ...['late-answers-belong-to-their-request', 'rescinds-are-heard', 'robust-by-default'],
  ],
  [
    'vmbus_close',
    ...['close-leaves-nothing-behind', 'unclosed-channel-keeps-memory', 'rescinds-are-heard'],
    'signal-bit-taken-back',
  ],
  ['vmbus_signal_monitor', 'offers-checked'],
  ['vmbus_signal_event', 'signals-are-retried'],
  ['vmbus_send', 'signalling-rule', 'ring-indices-checked', 'full-ring-defers'],
  ['vmbus_send_data', 'reserved-bytes-are-zero', 'packet-buffer-not-shared'],
  ['vmbus_send_control', 'packet-buffer-not-shared'],
  ['vmbus_send_cancellation', 'packet-buffer-not-shared'],
  [
    'vmbus_send_completion',
    ...['every-packet-completed', 'packet-buffer-not-shared', 'robust-by-default'],
  ],
  [
    'vmbus_xfer_page_iobufs',
    ...['ranges-in-order', 'range-count-checked', 'bad-packets-are-consumed'],
    'no-allocation-per-message',
  ],
  [
    'vmbus_poll',
    ...['bad-packets-are-consumed', 'ring-indices-checked', 'packet-limit-is-policy'],
    ...['packet-buffer-not-shared', 'drops-are-counted', 'host-is-told-of-room'],
    ...['every-packet-completed', 'signals-are-retried'],
  ],
  [
    'vmbus_probe_channels',
    ...['bus-survives', 'offers-checked', 'offers-may-not-end', 'waits-are-bounded'],
    'rescinds-are-heard',
  ],
  [
    'vmbus_reset_channels',
    ...['offers-matched-after-reset', 'bus-survives', 'rescinds-are-heard'],
    ...['offers-checked', 'offers-may-not-end', 'waits-are-bounded'],
  ],
  ['vmbus_remove_channels', 'bus-survives'],
  ['vmbus_probe', 'pages-kept-without-unload', 'prompt-waits'],
  ['vmbus_remove', 'pages-kept-without-unload'],
  ['vmbus_reset', 'reset-is-retried', 'old-channel-not-closed', 'prompt-waits'],
  // netvsc.c
  [
    'netvsc_control',
    ...['prompt-waits', 'waits-are-bounded', 'rescinds-are-heard'],
    ...['slow-devices-are-tried-again', 'waits-can-be-cancelled'],
  ],
  ['netvsc_initialised', 'short-init-completion-taken', 'error-classes'],
  ['netvsc_rx_established_buffer', 'short-answers-wake', 'error-classes'],
  ['netvsc_recv_data', 'every-packet-completed', 'drops-are-counted', 'error-classes'],
  ['netvsc_recv_control', 'drops-are-counted', 'error-classes'],
  [
    'netvsc_recv_completion',
    ...['transactions-compared-whole', 'completion-status-checked', 'drops-are-counted'],
  ],
  ['netvsc_recv_cancellation', 'drops-are-counted'],
  [
    'netvsc_poll',
    ...['bad-packets-are-consumed', 'full-ring-defers', 'polls-are-bounded'],
    'rescinds-are-heard',
  ],
  ['netvsc_transmit', 'control-messages-have-slots', 'full-ring-defers', 'drop-is-named'],
  [
    'netvsc_create_buffer',
    ...['buffer-kept-without-answer', 'receive-buffer-zeroed', 'robust-by-default'],
  ],
  ['netvsc_destroy_buffer', 'close-leaves-nothing-behind', 'unclosed-channel-keeps-memory'],
  ['netvsc_open', 'no-allocation-per-message', 'robust-by-default'],
  [
    'netvsc_close',
    ...['frames-given-up-last', 'robust-by-default', 'rescinds-are-heard'],
    'quiesced-device-is-silent',
  ],
  ['netvsc_cancel_transmit', 'control-messages-have-slots', 'frames-given-up-last'],
  ['netvsc_destroy_ring', 'frames-given-up-last'],
  ['netvsc_reset', 'old-channel-not-closed', 'offers-matched-after-reset'],
  // rndis.c
  ['rndis_alloc_iob', 'no-allocation-per-message', 'headroom-comment'],
  [
    'rndis_wait',
    ...['prompt-waits', 'late-answers-belong-to-their-request', 'rescinds-are-heard'],
    ...['slow-devices-are-tried-again', 'waits-can-be-cancelled'],
  ],
  ['rndis_tx_data', 'frames-not-padded', 'frame-length-limited', 'drop-is-named'],
  ['rndis_tx_defer', 'deferral-is-no-error', 'deferral-is-bounded', 'no-allocation-per-message'],
  ['rndis_tx_oid', 'byte-order', 'late-answers-belong-to-their-request'],
  ['rndis_rx_data', 'short-frames-rejected', 'packet-info-checked'],
  ['rndis_rx_initialise', 'answers-have-their-type', 'short-answers-wake'],
  [
    'rndis_rx_query_oid',
    ...['addresses-checked', 'answers-have-their-type', 'short-answers-wake', 'error-classes'],
  ],
  ['rndis_rx_set_oid', 'answers-have-their-type', 'short-answers-wake'],
  ['rndis_rx_message', 'keepalive-answered'],
  ['rndis_rx', 'ranges-bound-messages'],
  ['rndis_describe', 'full-open-at-probe', 'slow-devices-are-tried-again'],
  ['rndis_open', 'failed-open-clears-filter', 'slow-devices-are-tried-again'],
  ['rndis_close', 'quiesced-device-is-silent', 'rescinds-are-heard'],
];

const MEMORY = 'memory and names of iPXE’s own: nothing of it reaches the host';
const LOG = 'writes to the log alone';

/** Functions in which nothing differs, and why. */
export const SAME_FUNCTIONS: readonly Reason[] = [
  ['hv_check_hv', SAME],
  ...['hv_alloc_pages', 'hv_free_pages', 'hv_alloc_message', 'hv_free_message'].map(
    (name): Reason => [name, 'the same pages, zeroed, for the same time'],
  ),
  ...['vmbus_post_message', 'vmbus_post_empty_message', 'vmbus_produce', 'vmbus_consume'].map(
    (name): Reason => [name, SAME],
  ),
  ['vmbus_xfer_pages', SAME],
  ['vmbus_dump_channel', LOG],
  ['vmbus_find_driver', 'devices are matched by the same type'],
  ...['netvsc_completed', 'netvsc_initialise', 'netvsc_ndis_version'].map((name): Reason => [
    name,
    SAME,
  ]),
  ...['netvsc_establish_buffer', 'netvsc_revoke_buffer'].map((name): Reason => [name, SAME]),
  ['netvsc_buffer_copy', 'a range that is checked is copied whole'],
  ...['netvsc_create_ring', 'netvsc_probe', 'netvsc_remove'].map((name): Reason => [name, MEMORY]),
  ...['rndis_tx_message', 'rndis_tx_initialise', 'rndis_initialise', 'rndis_tx_halt'].map(
    (name): Reason => [name, SAME],
  ),
  ...['rndis_halt', 'rndis_oid', 'rndis_rx_status', 'rndis_rx_err', 'rndis_filter'].map(
    (name): Reason => [name, SAME],
  ),
  ...['rndis_transmit', 'rndis_poll', 'rndis_tx_complete_err'].map((name): Reason => [name, SAME]),
  ...['alloc_rndis', 'register_rndis', 'unregister_rndis', 'free_rndis'].map((name): Reason => [
    name,
    MEMORY,
  ]),
];
