// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Host profiles are data: which versions a host generation knows, what it refuses, which quirk it
 * has. No code path knows the name of a Windows release. The profiles themselves stand in
 * `profiles.ts`, each with its source.
 */

import type { LateAnswer } from './late-answers.ts';

/** How a host behaves where hosts, or the documents about them, differ. */
export interface HostKnobs {
  // --- hypervisor ---

  /** A message for a masked SINT: lost (OpenVMM, iPXE's comment) or kept in the slot (TLFS). */
  readonly maskedSint: 'drop' | 'keep';
  /** RAM under an overlay page once unmapped: comes back (TLFS) or stays overwritten (OpenVMM). */
  readonly overlay: 'preserve' | 'overwrite';
  /** Writing GUEST_OS_ID = 0 disables the hypercall page (TLFS, KVM), or not (OpenVMM). */
  readonly osIdZero: 'disables-hypercall-page' | 'independent';
  /** Enabling the hypercall page while GUEST_OS_ID is 0: ignored (TLFS, KVM) or accepted. */
  readonly hypercallPageWithoutOsId: 'ignored' | 'accepted';
  /**
   * When a message that waits moves into an emptied slot: on EOM, a write to the SINT or the next
   * message (TLFS), or on any exit of the guest (OpenVMM), which forgives a missing EOM.
   */
  readonly slotScan: 'eom' | 'exit';
  /**
   * Whose queues an EOM makes the host look at: the writer's (KVM `kvm_hv_notify_acked_sint`), or
   * those of all VPs whose slots were emptied. Linux `vmbus_wait_for_unload` empties the slots of
   * other CPUs and writes EOM on its own: inferred from that for Windows.
   */
  readonly eomScope: 'partition' | 'vp';
  /**
   * Writes of SIMP, SCONTROL and SINTs that enable something make the host look at the queues of
   * the VP. KVM and QEMU do not; of Windows nothing is known.
   */
  readonly scanOnEnable: boolean;
  /** The next message for a SINT makes the host look at its slot first. As `scanOnEnable`. */
  readonly scanOnPost: boolean;
  /**
   * A message for a VP whose SynIC is on and whose SIMP is off: lost (Hyper-V, as OpenVMM's
   * maintainers say in openvmm#2276), or kept until SIMP is on (OpenVMM).
   */
  readonly messageWithoutPage: 'drop' | 'keep';
  /**
   * A message for a VP whose SCONTROL is 0: it waits until it is 1, or it is delivered without an
   * interrupt (QEMU `cpu_post_msg` looks at SIMP alone). QEMU makes its way to the SINT at the
   * contact, and hears an EOM only if SCONTROL was 1 then (`hyperv_sint_route_new`): else the first
   * message that finds its slot full stays there for ever, and all behind it. OpenVMM does not look
   * at SCONTROL for messages, nor for their interrupts (`hv1_emulator` `SintState`).
   */
  readonly synicOff: 'waits' | 'delivers' | 'ignored';
  /**
   * SCONTROL at reset: 0 (TLFS text, KVM, QEMU), or 1 (Windows: mu_msvm EfiHvSynic.c never writes
   * it and works there, iPXE b91cc983d; OpenVMM `SyntheticMsrs::at_reset`).
   */
  readonly scontrolReset: 0 | 1;

  /**
   * How HvPostMessage and HvSignalEvent check their input: as the hypervisor does (TLFS, OpenVMM
   * `hv1_hypercall`), or as QEMU's `hyperv_hcall_*` does: fast posts are no such call, input may
   * cross pages and be aligned to 4, what is not RAM reads as zeros, bits 31:24 of a connection are
   * not looked at in a message, and what is no VMBus message is refused.
   */
  readonly hypercallChecks: 'hypervisor' | 'vmm';

  // --- messages ---

  /** Latency of the host, in ticks of 100 ns: message to answer, signal to reading the ring. */
  readonly messageLatencyTicks: number;
  readonly ringLatencyTicks: number;
  /** Offers: all at once, or the next when the slot was emptied (QEMU). */
  readonly offerPacing: 'burst' | 'one-by-one';
  /** The version field of VERSION_RESPONSE below 5.0: the version, or 0 (QEMU). */
  readonly echoVersion: boolean;
  /** Connection ID that the host returns from 5.0 on. */
  readonly returnedConnectionId: number;
  /** UNLOAD: answered after this time in ticks, or never (hosts before 2012 R2). */
  readonly unloadAnswer: number | 'never';
  /** What waits behind an UNLOAD: handled, or thrown away (QEMU `send_unload`). */
  readonly behindUnload: 'handled' | 'dropped';
  /** UNLOAD after a contact that was refused: not answered (OpenVMM), or answered (QEMU). */
  readonly unloadRefused: 'ignored' | 'answered';
  /** A message that cannot reach the guest: lost, or the end of the connection (QEMU). */
  readonly lostMessage: 'lost' | 'resets-bus';
  /** Which answers come late, and by how many ticks: a host under load (openvmm#2752). */
  readonly lateAnswer: LateAnswer;
  readonly lateTicks: number;
  /** Messages per millisecond before HvPostMessage is refused (0: never), and with which status. */
  readonly throttleMessages: number;
  readonly throttleStatus: number;
  /** Undelivered messages: the host stops reading new ones, or queues without bound (OpenVMM). */
  readonly backPressure: 'stop-reading' | 'unbounded';
  /**
   * INITIATE_CONTACT and UNLOAD of a guest that does not take its messages: they wait like all
   * others, or the host reads up to them. Documented nowhere: a crash kernel depends on it.
   */
  readonly contactBehindMessages: 'waits' | 'read';
  /** A second INITIATE_CONTACT while connected: disconnects, or is ignored (before 2012 R2). */
  readonly reinitiate: 'disconnect' | 'ignore';
  /** Versions are known by exact match, or all up to the newest (QEMU). */
  readonly versionMatch: 'exact' | 'at-most';
  /** From which version on INITIATE_CONTACT's target VP counts: 3.0, or always (QEMU). */
  readonly contactVp: 'from-3.0' | 'always';
  /**
   * Where a refused version is answered: at the VP that was asked for, or at that of the connection
   * before (OpenVMM). Crash kernels on any VP get through to Windows hosts (LIS b1f365ff):
   * inferred.
   */
  readonly refusalVp: 'requested' | 'previous';
  /** Pages of INITIATE_CONTACT that cannot be shared: refused, or not looked at (QEMU). */
  readonly contactPages: 'checked' | 'any';
  /**
   * Virtual processors that do not exist, in INITIATE_CONTACT, OPEN and MODIFY_CHANNEL: refused, or
   * taken, and all that goes there is lost (OpenVMM).
   */
  readonly targetVps: 'checked' | 'any';
  /**
   * MODIFY_CONNECTION while a monitored channel is open: the pages move (inferred), or it fails and
   * they stay (OpenVMM `handle_modify_connection`).
   */
  readonly modifyMonitored: 'moves' | 'refused';
  /** A second REQUEST_OFFERS: not answered, or answered with ALL_OFFERS_DELIVERED again (QEMU). */
  readonly secondRequest: 'ignored' | 'all-offers';
  /** Messages of the guest that wait before HvPostMessage fails (OpenVMM 64, QEMU 16). */
  readonly messageQueue: number;
  /** A driver on another SINT, from 5.0 on: refused (OpenVMM), or a client of its own (Linux). */
  readonly secondClient: 'refuse' | 'allow';
  /** Connection ID that the second client is told to use; the next one if it is taken. */
  readonly secondConnectionId: number;

  // --- channels ---

  /**
   * NICs and disk controllers are offered with a monitor, services without: Windows (OpenBSD
   * attaches no NIC that has none), OpenVMM (its NIC at 100 us). QEMU offers none.
   */
  readonly monitors: 'nic-and-scsi' | 'none';
  /** Monitor number of an offer without a monitor: 0xff (OpenVMM), or 0 (QEMU). */
  readonly noMonitor: 0xff | 0;
  /**
   * Channels are sorted and numbered when they are offered (OpenVMM), or numbered as the devices
   * were created, which is also the order of their offers; they can be opened before (QEMU).
   */
  readonly channelNumbers: 'at-offer' | 'at-creation';
  /** RELID_RELEASED of a channel that is offered: the guest has it no more, or ignored (QEMU). */
  readonly relidReleased: 'taken' | 'ignored';
  /** Offers on versions below 1.1: 196 bytes (OpenVMM), or 190 without connection ID. */
  readonly shortOffers: boolean;
  /** Connection IDs of channels: number | SINT << 12 (OpenVMM), or number + 16 (QEMU). */
  readonly channelConnections: 'by-sint' | 'from-16';
  /** HvSignalEvent with a flag other than 0: ignored (OpenVMM), or INVALID_PORT_ID (QEMU). */
  readonly signalFlag: 'ignore' | 'refuse';
  /**
   * Interrupts below 2.4: the bit in the interrupt page and event flag 0 of VP 0 (OpenVMM); or the
   * bit alone, and without a page the flag of the channel on the VP that it was opened for (QEMU).
   */
  readonly oldInterrupts: 'flag-0' | 'page';
  /**
   * What is looked at in a GPADL: channel, ID within it and pages, and a failure is answered; or
   * its shape alone, a failure is not answered, and any channel may use it and tear it down (QEMU).
   */
  readonly gpadlChecks: 'full' | 'shape';
  /** GPADL_HEADER with a range count of 0: refused, or created (OpenVMM `gparange`). */
  readonly emptyGpadls: 'refused' | 'created';
  /** ... other than one range of whole pages, if all is checked: accepted, or not even answered. */
  readonly oddGpadls: 'accept' | 'ignore';
  /** Status of CREATED, OPEN and MODIFY results that failed: an NTSTATUS, or 1 (QEMU). */
  readonly failureStatus: number;
  /** OPEN that the device refuses: its status, or `failureStatus` (QEMU). */
  readonly deviceStatus: 'told' | 'failure-status';
  /** A ring that is nothing but its control page: refused, or opened and dead (OpenVMM). */
  readonly emptyRings: 'refused' | 'opened';
  /**
   * The guest's choice of a connection ID (6.0) in an OPEN that the device refused: forgotten, or
   * what the next OPEN has, whatever it says (OpenVMM).
   */
  readonly refusedPort: 'forgotten' | 'kept';
  /**
   * GPADL_TORNDOWN while the channel is open. By the version that was agreed: below 4.0 a buffer
   * that was revoked is let go at once, from 4.0 on when the channel is closed (Linux
   * 0cf737808ae7, 0ef58b0a05c1, 1d674fd003fc, 2afc5d61a719; FreeBSD `hn_chim_free`). Always
   * `deferred` (OpenVMM), or `immediate`, also of the ring, though it is used and its ID is taken
   * until the close (QEMU).
   */
  readonly torndownWhileOpen: 'by-version' | 'deferred' | 'immediate';
  /**
   * GPADL_TEARDOWN of a channel that was open and is closed: answered (iPXE waits for it at 0.13),
   * or below 4.0 not (Linux 0ef58b0a05c1: "on older hosts"): the host lets go in silence.
   */
  readonly teardownAfterClose: 'answered' | 'ignored-below-4.0';
  /**
   * How long after the open the host looks at both rings of its own accord, in ticks, for guests
   * that ignore signals before OPEN_CHANNEL_RESULT (OpenVMM `unstick_channel`: 100 ms); 0 is never.
   */
  readonly ringUnstickTicks: number;
  /**
   * How often a host that waits for room in a ring looks for it without a signal, in ticks; 0 is
   * never: the guest signals when `pending_send_sz` is free (Linux, OpenVMM `vmbus_ring`).
   */
  readonly ringPollTicks: number;
  /**
   * A packet or index that cannot be: the end of the channel (OpenVMM), or the host looks again at
   * the next signal, whether it has been mended (QEMU). It also takes indices that are not aligned
   * and unknown flags, and no packets of types that only hosts send.
   */
  readonly ringFaults: 'fatal' | 'waits';
  /**
   * When reading the guest's packets is signalled to it: if it waits for room, or also whenever its
   * ring does not say that it would (feature bit 0; QEMU `vmbus_channel_recv_done`).
   */
  readonly readSignals: 'asked' | 'unless-asked';
  /** Signals per virtual second with nothing to say before the guest is suspended; 0 is never. */
  readonly throttleSignals: number;

  // --- network device ---

  /** A completion without payload: accepted (Windows) or the end of the channel (OpenVMM). */
  readonly emptyCompletion: 'tolerate' | 'fatal';
  /** REVOKE_RECEIVE_BUFFER: completed (Windows), or silence until the close (OpenVMM). */
  readonly revoke: 'complete' | 'silent';
  /** Cancellation packets (type 10): accepted, or the end of the channel (OpenVMM). */
  readonly cancelPacket: 'accept' | 'fatal';
  /** RNDIS_RESET from the guest: answered (Windows), or the end of the channel (OpenVMM). */
  readonly rndisReset: 'answer' | 'fatal';
  /**
   * The malformed status 0x40020006 of Windows Server 2012 R2 (iPXE 639632b05), once after
   * INITIALISE; up to and not with Windows Server 2022 ("pre-Fe", Linux rndis_filter.c).
   */
  readonly malformedStatus: boolean;
  /** Announce a virtual function after INITIALISE, where NVSP and the guest allow it. */
  readonly vfAssociation: boolean;
  /** Offset in SEND_INDIRECTION_TABLE up to NVSP 6: too small (Windows, Linux), or right. */
  readonly tableOffset: 'too-small' | 'right';
  /** Most ranges (frames) that one transfer-page packet carries. */
  readonly rangesPerPacket: number;
  /** RNDIS MessageLength of received frames: exact (Windows) or the whole section (OpenVMM). */
  readonly rxMessageLength: 'exact' | 'sub-allocation';
  /**
   * Bytes between the headers of a received frame and its data, where messages are exact: nobody
   * says that data are aligned (FreeBSD and DPDK take any offset).
   */
  readonly rxDataPadding: number;
  /** Per-packet information in front of the data: on every nth received frame; 0 is never. */
  readonly ppiEvery: number;
  /**
   * When the guest is told the state of the link unasked: behind the answer to INITIALISE, with
   * the first packet filter that is not zero, or never (OpenVMM). Microsoft's NetvscDxe takes the
   * cable for unplugged until it is told.
   */
  readonly linkAnnouncement: 'initialise' | 'filter' | 'never';
  /**
   * Receive sections that only control messages use (OpenVMM `RX_RESERVED_CONTROL_BUFFERS`: 16); 0
   * is one pool for all, so that a guest that keeps every section gets no answers either
   * (NetvscDxe: "can deadlock").
   */
  readonly controlSections: number;
  /** A receive or send buffer that cannot be used: NVSP_STAT_FAIL, or the end of the channel. */
  readonly failedBuffer: 'answer' | 'fatal';
  /** The packet filter: each bit counts (NDIS), or only whether it is zero (OpenVMM's netvsp). */
  readonly packetFilter: 'bits' | 'any';
  /**
   * Receive scaling with a hash function or type of 0: refused with 0xc000000d (a log of a Windows
   * host; inferred), or switched off (OpenVMM).
   */
  readonly hashlessScaling: 'refuse' | 'disable';
  /**
   * NVSP INIT in less than 32 bytes: never answered (FreeBSD, OpenBSD: "Hypervisor would never
   * reply"), or answered (OpenVMM).
   */
  readonly shortInit: 'silent' | 'answer';
  /** QUERY whose buffer is not behind the request: fails (FreeBSD), or nobody looks (OpenVMM). */
  readonly queryBuffer: 'checked' | 'ignored';
  /** A control message that is too short: completed as failed, or the end of the channel. */
  readonly malformedControl: 'fail' | 'fatal';
  /** Objects of the device: those of Windows' switch (partly inferred), or OpenVMM's netvsp. */
  readonly objects: 'vmswitch' | 'netvsp';
  /**
   * Offloads that a guest may switch on: none (OpenVMM without a back end that has them),
   * checksums, large sends, too, or also the coalescing of received segments (Windows, from NVSP
   * 6.1 on; Linux).
   */
  readonly offloads: 'none' | 'checksum' | 'large-send' | 'rsc';
  /**
   * A VLAN tag of a received frame: beside it for guests that ask (Windows), or for all (so
   * reported of trunk ports: openvmm#3552, DPDK's guide to netvsc), or in it.
   */
  readonly vlanTag: 'info' | 'always' | 'frame';
  /** Tell the hash of received frames while receive scaling is on (FreeBSD, DPDK read it). */
  readonly hashInfo: boolean;

  // --- integration services ---

  /**
   * RESTART and HIBERNATE of a shutdown request: only at message versions that have them (3.1 and
   * 3.2; OpenBSD and FreeBSD answer E_FAIL below), or whatever was agreed (OpenVMM).
   */
  readonly shutdownFlags: 'by-version' | 'always';
}

/** A host generation. */
export interface HostProfile {
  /** Name on the command line: `server2022`. */
  readonly name: string;
  readonly description: string;
  /** Where the facts come from. */
  readonly source: string;
  /** CPUID leaf 0x40000002: {build, major << 16 | minor}. */
  readonly hypervisorBuild: number;
  readonly hypervisorVersion: number;
  /** Page registers and privileges: CPUID 0x40000003 EAX and EBX, 0x40000004 EAX. */
  readonly features: number;
  readonly privileges: number;
  readonly recommendations: number;
  /** CPUID 0x40000003 EDX: bit 8 frequency MSRs, 10 crash MSRs, 19 direct synthetic timers. */
  readonly miscFeatures: number;
  /** VMBus versions by exact match. */
  readonly vmbusVersions: readonly number[];
  /** Feature flags that the host supports from 6.0 on. */
  readonly vmbusFeatures: number;
  /** The host has message connection 4 (from 5.0 on). */
  readonly multiClientPort: boolean;
  /** NVSP versions by exact match. */
  readonly nvspVersions: readonly number[];
  /** Bytes that a guest may share through GPADLs at the same time; 0 where no limit is known. */
  readonly sharedMemoryMax: number;
  readonly knobs: HostKnobs;
}
