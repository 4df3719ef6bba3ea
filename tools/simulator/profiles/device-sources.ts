// SPDX-License-Identifier: GPL-2.0-or-later

/** Where the habits of network devices and services are known from; see `knob-sources.ts`. */

import type { HostKnobs } from './profile.ts';

/** One knob's source. */
export interface KnobSource {
  /** For each value of a profile, where it is known from; for ranges the whole. */
  readonly from: string;
  /** Test file below `firmware-tests/tools/simulator`, without its ending. */
  readonly file: string;
  /** Title of a test in it, or how it begins. */
  readonly title: string;
}

/** Makes one. */
export function shown(from: string, file: string, title: string): KnobSource {
  return { from, file, title };
}

/** The knobs from `emptyCompletion` on, in the order of {@link HostKnobs}. */
export const DEVICE_SOURCES = {
  emptyCompletion: shown(
    'tolerate: Windows, since iPXE sends them; fatal: OpenVMM netvsp',
    'netvsp/receive',
    'knob emptyCompletion',
  ),
  revoke: shown(
    'complete: recorded iPXE session; silent: OpenVMM netvsp',
    'netvsp/negotiation',
    'knob revoke silent',
  ),
  cancelPacket: shown(
    'accept: Windows, since iPXE sends them; fatal: OpenVMM netvsp',
    'netvsp/transmit',
    'knob cancelPacket fatal',
  ),
  rndisReset: shown(
    'answer: the RNDIS specification; fatal: OpenVMM netvsp',
    'netvsp/rndis',
    'send_rndis_reset_message: answered, or the end of the channel',
  ),
  malformedStatus: shown(
    'true: iPXE 639632b05; false: Linux `rndis_filter.c` ("pre-Fe": before 2022), OpenVMM, and ' +
      'before 2012 R2 inferred',
    'netvsp/rndis',
    'the malformed 0x40020006 precedes the next message',
  ),
  vfAssociation: shown(
    'false: a NIC without SR-IOV; true: Linux `netvsc.c`, OpenVMM netvsp',
    'netvsp/virtual-function',
    'initialize_rndis_with_vf: announced after INITIALISE',
  ),
  tableOffset: shown(
    'too-small: Linux `netvsc_send_table`; right: OpenVMM netvsp',
    'netvsp/queues',
    'knob tableOffset',
  ),
  rangesPerPacket: shown(
    '375: OpenVMM `NVSP_MAX_PACKETS_PER_RECEIVE`; 32: inferred; 1: explored',
    'netvsp/receive',
    'frames of one moment share packets of as many ranges',
  ),
  rxMessageLength: shown(
    'exact: recorded iPXE session; sub-allocation: OpenVMM netvsp',
    'netvsp/receive',
    'rndis_rx: OpenVMM claims whole sections',
  ),
  rxDataPadding: shown(
    'explored: FreeBSD and DPDK take any offset',
    'netvsp/offloads',
    'FreeBSD, DPDK: the data of a frame begin at any offset',
  ),
  ppiEvery: shown(
    '1: OpenVMM netvsp; others explored: information comes only if there is some',
    'netvsp/receive',
    'per-packet information in front of every nth frame',
  ),
  linkAnnouncement: shown(
    'initialise, filter: mu_msvm NetvscDxe waits for it; which of both inferred; never: OpenVMM',
    'netvsp/peers',
    'P-M3 NetvscDxe: Windows hosts announce the link',
  ),
  controlSections: shown(
    '0: mu_msvm `NetvscDxe.c` ("can deadlock"), inferred; ' +
      '16: OpenVMM `RX_RESERVED_CONTROL_BUFFERS`',
    'netvsp/peers',
    'P-M8 NetvscDxe: frames may use every section',
  ),
  failedBuffer: shown(
    'answer: Linux `netvsc_init_buf` looks at the status; fatal: OpenVMM netvsp',
    'netvsp/peers',
    'L4 Linux: a buffer without a section is answered',
  ),
  packetFilter: shown(
    'bits: NDIS, OID_GEN_CURRENT_PACKET_FILTER; any: OpenVMM netvsp',
    'netvsp/peers',
    'L9 Linux: each bit of the filter',
  ),
  hashlessScaling: shown(
    'refuse: a log of a Windows host (0xc000000d), inferred; disable: OpenVMM netvsp',
    'netvsp/queues',
    'P-B9 a Windows host: receive scaling without a hash',
  ),
  shortInit: shown(
    'silent: FreeBSD, OpenBSD ("Hypervisor would never reply"); answer: OpenVMM netvsp',
    'netvsp/peers',
    'P-B6 FreeBSD, OpenBSD: an INIT in less than 32 bytes',
  ),
  queryBuffer: shown(
    'checked: FreeBSD `hn_rndis.c`; ignored: OpenVMM netvsp',
    'netvsp/peers',
    'P-B7 FreeBSD: QUERY with a buffer',
  ),
  malformedControl: shown(
    'fail: inferred; fatal: OpenVMM netvsp',
    'netvsp/peers',
    'O-B3 OpenVMM: a control message that is too short',
  ),
  objects: shown(
    'vmswitch: what Linux, FreeBSD and NetvscDxe ask for, partly inferred; netvsp: OpenVMM',
    'netvsp/peers',
    'O-B8 OpenVMM: the objects of its netvsp',
  ),
  offloads: shown(
    'rsc: Linux `rndis_filter.c` (NVSP 6.1); none: OpenVMM without a back end; others explored',
    'netvsp/offloads',
    'L10 RSC is there from NVSP 6.1 on',
  ),
  vlanTag: shown(
    'info: FreeBSD `hn_rxfilter`, Linux; always explored: openvmm#3552, DPDK guide to netvsc; ' +
      'frame: OpenVMM netvsp',
    'netvsp/offloads',
    'P-B2 FreeBSD: a tag moves beside the frame',
  ),
  hashInfo: shown(
    'true: FreeBSD and DPDK read it; false: OpenVMM netvsp',
    'netvsp/offloads',
    'L10 DPDK: the hash is told',
  ),
  shutdownFlags: shown(
    'by-version: OpenBSD and FreeBSD answer E_FAIL below 3.1; always: OpenVMM',
    'services/versions',
    'P-B3 ',
  ),
} as const satisfies Partial<Record<keyof HostKnobs, KnobSource>>;
