// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Where each habit of a host is known from, and the test that shows it on the wire. `inferred`:
 * nobody says it, it follows from what guests do that work there. The table of the manual is made
 * of this.
 */

import { DEVICE_SOURCES, shown, type KnobSource } from './device-sources.ts';
import type { HostKnobs } from './profile.ts';

const QEMU = 'QEMU `hw/hyperv/vmbus.c`';

/** All knobs, in the order of {@link HostKnobs}. */
export const KNOB_SOURCES: { readonly [K in keyof HostKnobs]: KnobSource } = {
  maskedSint: shown(
    'drop: OpenVMM `virt/src/synic.rs`, a comment of iPXE `hyperv.c`; keep: TLFS, KVM',
    'hypervisor/synic',
    'of a masked SINT lose the message, or only the interrupt',
  ),
  overlay: shown(
    'preserve: TLFS "Overlay Pages"; overwrite: OpenVMM `hv1_emulator`',
    'hypervisor/overlays',
    'leave RAM overwritten on the other kind of host',
  ),
  osIdZero: shown(
    'disables-hypercall-page: TLFS, KVM `hyperv.c`; independent: OpenVMM `hv1_emulator`',
    'hypervisor/registers',
    'of the hypercall page lock, and follow the guest identity',
  ),
  hypercallPageWithoutOsId: shown(
    'ignored: TLFS, KVM `hyperv.c`; accepted: OpenVMM `hv1_emulator`',
    'hypervisor/registers',
    'of the hypercall page lock, and follow the guest identity',
  ),
  slotScan: shown(
    'eom: TLFS "SynIC Message Flags"; exit: OpenVMM `virt/src/synic.rs`',
    'hypervisor/synic',
    'that are emptied without EOM stay so',
  ),
  eomScope: shown(
    'vp: KVM `kvm_hv_notify_acked_sint`; partition: Linux `vmbus_wait_for_unload`, inferred',
    'hypervisor/synic',
    'H3 Linux: EOM lets through what waits for another VP',
  ),
  scanOnEnable: shown(
    'false: KVM and QEMU, which do not look; true: explored',
    'hypervisor/synic',
    'of a disabled SynIC or page queue, and deliver when enabled',
  ),
  scanOnPost: shown(
    'false: KVM and QEMU, which do not look; true: explored',
    'hypervisor/synic',
    'are rescanned when another message comes',
  ),
  messageWithoutPage: shown(
    "drop: openvmm#2276, a maintainer's word on Hyper-V; keep: OpenVMM `virt/src/synic.rs`",
    'hypervisor/synic',
    'H-H4 openvmm#2276: a message while SIMP is off is lost',
  ),
  synicOff: shown(
    'waits: TLFS; delivers: QEMU `hw/hyperv/hyperv.c` `cpu_post_msg`, `hyperv_sint_route_new`; ' +
      'ignored: OpenVMM `hv1_emulator` `SintState`',
    'peers/qemu',
    'P-Q4 QEMU: after a contact with SCONTROL 0 later messages stick',
  ),
  scontrolReset: shown(
    '1: mu_msvm `EfiHvSynic.c` never writes it, iPXE b91cc983d, OpenVMM `at_reset`; 0: TLFS, KVM',
    'peers/microsoft',
    'P-M1 Microsoft: where SCONTROL is 0 at reset it waits for ever',
  ),
  hypercallChecks: shown(
    'hypervisor: TLFS, OpenVMM `hv1_hypercall`; vmm: QEMU `hw/hyperv/hyperv.c`',
    'peers/qemu',
    'P-Q4 QEMU: HvPostMessage, ',
  ),
  messageLatencyTicks: shown(
    'explored: hosts answer within a millisecond, rarely within seconds (Linux 77db0ec8b776)',
    'vmbus-server/contact',
    'knob messageLatencyTicks',
  ),
  ringLatencyTicks: shown('explored', 'vmbus-server/rings', 'knob ringLatencyTicks'),
  offerPacing: shown(
    `burst: OpenVMM \`handle_request_offers\`; one-by-one: ${QEMU} \`send_offer\``,
    'vmbus-server/offers',
    'knob offerPacing',
  ),
  echoVersion: shown(
    `true: OpenVMM \`send_version_response\`; false: ${QEMU} \`send_handshake\``,
    'profiles/generations',
    'any version up to its own, the target VP of any version',
  ),
  returnedConnectionId: shown(
    '1: Linux commit "enable VMBus protocol version 5.0"; other values explored',
    'vmbus-server/contact',
    'knob returnedConnectionId',
  ),
  unloadAnswer: shown(
    'never: LIS 5ad123ae (before 2012 R2); 0: OpenVMM; others: Linux 77db0ec8b776 saw 50 s',
    'vmbus-server/contact',
    'knob unloadAnswer',
  ),
  behindUnload: shown(
    `handled: OpenVMM; dropped: ${QEMU} \`send_unload\``,
    'peers/qemu',
    'P-Q4 QEMU: what waits behind UNLOAD is dropped',
  ),
  unloadRefused: shown(
    `ignored: OpenVMM (not connected); answered: ${QEMU} \`handle_unload\``,
    'peers/qemu',
    'P-Q4 QEMU: UNLOAD after a refused version is answered',
  ),
  lostMessage: shown(
    `lost: OpenVMM; resets-bus: ${QEMU} \`vmbus_msg_cb\``,
    'peers/qemu',
    'P-Q4 QEMU: a message for a guest whose SIMP is off resets the bus',
  ),
  lateAnswer: shown(
    'none: a host that has nothing else to do; others explored: openvmm#2752, #2868, WSL#41165',
    'profiles/late-answers',
    'knob lateAnswer',
  ),
  lateTicks: shown(
    '1.5 s: the delay at which openvmm#2752 was met',
    'profiles/late-answers',
    'knob lateTicks',
  ),
  throttleMessages: shown(
    'Linux c0bb03924f1a, e917a5e23a87: "DoS protection" of Windows Server 2016; explored',
    'hypervisor/hypercalls',
    'is throttled by the millisecond',
  ),
  throttleStatus: shown(
    '18: Linux c0bb03924f1a; 19: OpenVMM, QEMU; 120: a comment of OpenVMM `synic.rs` on Azure',
    'hypervisor/hypercalls',
    'is throttled by the millisecond',
  ),
  backPressure: shown(
    'stop-reading: OpenVMM `run` with ports of the hypervisor; unbounded: `DirectGuestMessagePort`',
    'vmbus-server/offers',
    'knob backPressure',
  ),
  contactBehindMessages: shown(
    'waits: as all messages; read: explored, since crash kernels of Linux depend on it',
    'peers/linux-crash',
    'L6 Linux: a host that reads contacts all the same',
  ),
  reinitiate: shown(
    'disconnect: OpenVMM, QEMU; ignore: hosts before 2012 R2, inferred',
    'vmbus-server/contact',
    'knob reinitiate',
  ),
  versionMatch: shown(
    `exact: OpenVMM \`handle_initiate_contact\`; at-most: ${QEMU} \`vmbus_initialized\``,
    'peers/qemu',
    'P-Q4 QEMU: versions below 0.13 work',
  ),
  contactVp: shown(
    `from-3.0: OpenVMM; always: ${QEMU} \`handle_initiate_contact\``,
    'profiles/generations',
    'any version up to its own, the target VP of any version',
  ),
  refusalVp: shown(
    'requested: LIS b1f365ff, inferred; previous: OpenVMM',
    'vmbus-server/contact',
    'a refusal goes to the VP of before',
  ),
  contactPages: shown(
    `checked: OpenVMM; any: ${QEMU}`,
    'peers/qemu',
    'P-Q4 QEMU: pages that cannot be shared are accepted',
  ),
  targetVps: shown(
    'checked: inferred; any: OpenVMM',
    'peers/openvmm',
    'O-11 OpenVMM: a VP that does not exist is taken',
  ),
  modifyMonitored: shown(
    'moves: inferred; refused: OpenVMM `handle_modify_connection`',
    'peers/openvmm',
    'O-1 OpenVMM: MODIFY_CONNECTION while a monitored channel is open',
  ),
  secondRequest: shown(
    `ignored: OpenVMM (\`OffersAlreadySent\`); all-offers: ${QEMU} \`handle_request_offers\``,
    'peers/qemu',
    'P-Q4 QEMU: a second REQUEST_OFFERS',
  ),
  messageQueue: shown(
    `64: OpenVMM; 16: ${QEMU} (\`HV_MSG_QUEUE_LEN\`)`,
    'profiles/generations',
    'sixteen messages wait, then HvPostMessage fails',
  ),
  secondClient: shown(
    'refuse: OpenVMM; allow: Linux commit "enable VMBus protocol version 5.0"',
    'vmbus-server/clients',
    'a strict host refuses the second one',
  ),
  secondConnectionId: shown(
    'explored',
    'vmbus-server/clients',
    'the connection ID of the second driver is one that nothing else has',
  ),
  monitors: shown(
    `nic-and-scsi: OpenBSD \`hyperv.c\`, OpenVMM netvsp (100 us); none: ${QEMU}`,
    'peers/offers',
    'P-B1 OpenBSD: NIC and disk controller are monitored',
  ),
  noMonitor: shown(
    `255: OpenVMM; 0: ${QEMU} \`send_offer\``,
    'peers/qemu',
    'P-Q4 QEMU: in order of creation',
  ),
  channelNumbers: shown(
    `at-offer: OpenVMM \`handle_request_offers\`; at-creation: ${QEMU} \`init_channel\``,
    'peers/qemu',
    'P-Q4 QEMU: a channel is opened before it was offered',
  ),
  relidReleased: shown(
    `taken: OpenVMM; ignored: ${QEMU} \`process_message\``,
    'vmbus-server/offers',
    'knob relidReleased',
  ),
  shortOffers: shown(
    'false: OpenVMM; true: explored, the layout of `linux/hyperv.h` before 1.1',
    'profiles/generations',
    'knob shortOffers',
  ),
  channelConnections: shown(
    `by-sint: OpenVMM \`ConnectionId::new\`; from-16: ${QEMU}`,
    'profiles/generations',
    'connection IDs from 16 on, and flags of signals are refused',
  ),
  signalFlag: shown(
    'ignore: OpenVMM; refuse: QEMU `hyperv_hcall_signal_event`',
    'profiles/generations',
    'connection IDs from 16 on, and flags of signals are refused',
  ),
  oldInterrupts: shown(
    `flag-0: OpenVMM; page: ${QEMU} \`vmbus_channel_notify_guest\``,
    'peers/qemu',
    'P-Q4 QEMU: below 2.4 the interrupt page has the bit',
  ),
  gpadlChecks: shown(
    `full: OpenVMM \`handle_gpadl_header_core\`; shape: ${QEMU} \`handle_gpadl_header\``,
    'peers/qemu',
    'P-Q4 QEMU: failures are silent',
  ),
  emptyGpadls: shown(
    'refused: inferred; created: OpenVMM `gparange::parse`',
    'peers/openvmm',
    'O-6 OpenVMM: a GPADL without ranges is created',
  ),
  oddGpadls: shown(
    `accept: OpenVMM; ignore: ${QEMU} \`handle_gpadl_header\``,
    'vmbus-server/gpadls',
    'knob oddGpadls',
  ),
  failureStatus: shown(
    `2147549183: OpenVMM (STATUS_UNSUCCESSFUL); 1: ${QEMU} \`send_open_channel\``,
    'profiles/generations',
    'a GPADL that is not one range of whole pages is not answered',
  ),
  deviceStatus: shown(
    `told: OpenVMM; failure-status: ${QEMU} \`send_open_channel\``,
    'peers/qemu',
    'P-Q4 QEMU: what the device refuses has status 1',
  ),
  emptyRings: shown(
    'refused: QEMU `ringbufs_init`, Windows inferred; opened: OpenVMM `AlignedGpadlView`',
    'peers/openvmm',
    'O-9 OpenVMM: a ring of its control page alone',
  ),
  refusedPort: shown(
    'forgotten: inferred; kept: OpenVMM `open_channel`',
    'peers/openvmm',
    'O-10 OpenVMM: after a refused OPEN',
  ),
  torndownWhileOpen: shown(
    'by-version: Linux 0cf737808ae7, 0ef58b0a05c1, 1d674fd003fc, 2afc5d61a719, FreeBSD; ' +
      `deferred: OpenVMM; immediate: ${QEMU} \`handle_gpadl_teardown\``,
    'peers/teardown',
    'P-B4 FreeBSD, L1 Linux: ',
  ),
  teardownAfterClose: shown(
    'answered: iPXE waits for it at 0.13; ignored-below-4.0: Linux 0ef58b0a05c1, explored',
    'peers/teardown',
    'L1 Linux 0ef58b0a05c1: or below 4.0 it is not',
  ),
  ringUnstickTicks: shown(
    '0: inferred; 1000000: OpenVMM `unstick_channel`',
    'vmbus-server/rings',
    'a guest that ignored the signal before OPEN_CHANNEL_RESULT',
  ),
  ringPollTicks: shown(
    '0: Linux, OpenVMM `vmbus_ring` (`pending_send_sz`); others explored',
    'vmbus-server/rings',
    'a guest that makes room and does not signal',
  ),
  ringFaults: shown(
    `fatal: OpenVMM \`parse_packet\`; waits: ${QEMU} \`vmbus_channel_recv_peek\``,
    'peers/qemu',
    'P-Q4 QEMU: a bad index waits until it is mended',
  ),
  readSignals: shown(
    `asked: OpenVMM \`commit_read\`, Linux; unless-asked: ${QEMU} \`vmbus_channel_recv_done\``,
    'peers/qemu',
    'P-Q4 QEMU: a read is signalled unless',
  ),
  throttleSignals: shown(
    'Linux Documentation/virt/hyperv/vmbus.rst (excess signals); explored',
    'vmbus-server/rings',
    'knob throttleSignals',
  ),
  ...DEVICE_SOURCES,
};
