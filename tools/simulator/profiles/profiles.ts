// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The host profiles. VMBus versions by generation are those of Linux `include/linux/hyperv.h` and
 * mu_msvm; answers by generation those of OpenVMM's `vmbus_server` and Linux's history. What no
 * public source says is marked as inferred in the profile's `source`.
 */

import {
  HvFeature,
  HvMiscFeature,
  HvPrivilege,
  HvRecommendation,
} from '../../../src/hyperv/protocol.ts';
import { BEFORE_2012_R2, OPENVMM, QEMU, SINCE_2022, WINDOWS } from './host-knobs.ts';
import type { HostKnobs, HostProfile } from './profile.ts';

/** VMBus versions, oldest first, as Linux names them. */
const WS2008 = 0x0000000d;
const WIN7 = 0x00010001;
const WIN8 = 0x00020004;
const WIN8_1 = 0x00030000;
const WIN10 = 0x00040000;
const WIN10_V4_1 = 0x00040001;
const WIN10_V5 = 0x00050000;
const WIN10_V5_1 = 0x00050001;
const WIN10_V5_2 = 0x00050002;
const WIN10_V5_3 = 0x00050003;
const WIN10_V6_0 = 0x00060000;
const TO_RS1 = [WS2008, WIN7, WIN8, WIN8_1, WIN10];
const TO_RS5 = [...TO_RS1, WIN10_V4_1, WIN10_V5, WIN10_V5_1, WIN10_V5_2];
const TO_COPPER = [...TO_RS5, WIN10_V5_3, WIN10_V6_0];

/** NVSP versions, oldest first (OpenVMM `netvsp/src/protocol.rs`). */
const NVSP_1 = 0x00000002;
const NVSP_2 = 0x00030002;
const NVSP_4 = 0x00040000;
const NVSP_5 = 0x00050000;
const NVSP_6 = 0x00060000;
const NVSP_6_1 = 0x00060001;
const TO_NVSP_5 = [NVSP_1, NVSP_2, NVSP_4, NVSP_5];
const TO_NVSP_6_1 = [...TO_NVSP_5, NVSP_6, NVSP_6_1];

/** VMBus feature flags of 6.0 (OpenVMM `FeatureFlags`). */
const GUEST_SPECIFIED_SIGNAL_PARAMETERS = 0x1;
const CHANNEL_INTERRUPT_REDIRECTION = 0x2;
const MODIFY_CONNECTION = 0x4;
const CLIENT_ID = 0x8;
const PAUSE_RESUME = 0x20;

/** CPUID 0x40000003 EAX of the first hosts: also run time (bit 0) and APIC registers (bit 4). */
const FEATURES_2008 =
  0x11 |
  HvFeature.TIME_REF_COUNT |
  HvFeature.SYNIC |
  HvFeature.SYNTHETIC_TIMERS |
  HvFeature.HYPERCALL |
  HvFeature.VP_INDEX;
/** With the reference TSC page, guest idle and frequency registers. */
const FEATURES_2012 = FEATURES_2008 | HvFeature.REFERENCE_TSC | 0xc00;
/** With re-enlightenment controls: the value that the recorded iPXE session saw. */
const FEATURES_2016 = FEATURES_2012 | 0x2000;

/** What QEMU's `hv-*` flags switch on in KVM, which has no guest idle register. */
const FEATURES_QEMU = FEATURES_2008 | HvFeature.REFERENCE_TSC | 0x800;
/** OpenVMM `virt/src/x86`, `hv_cpuid_leaves`: as QEMU's. */
const FEATURES_OPENVMM = FEATURES_QEMU;

const PRIVILEGES_2008 = HvPrivilege.POST_MESSAGES | HvPrivilege.SIGNAL_EVENTS;
const PRIVILEGES_2016 = 0x003b8030;
/** Extended ranges and start of processors; messages and registers (4, 5, 17) are inferred. */
const PRIVILEGES_OPENVMM = 0x00228030;
const MISC_2012 = HvMiscFeature.FREQUENCY_MSRS | HvMiscFeature.GUEST_CRASH | 0x2b2;
const MISC_2019 = 0x000ed7b2;
const MISC_QEMU =
  HvMiscFeature.FREQUENCY_MSRS | HvMiscFeature.GUEST_CRASH | HvMiscFeature.STIMER_DIRECT;
/** XMM registers (4) and extended ranges (14); the crash registers are inferred. */
const MISC_OPENVMM = MISC_QEMU | 0x4010;

/** CPUID 0x40000004 EAX: use MSRs for the APIC, relaxed timing. */
const RECOMMENDATIONS_2008 = 0x2c;
/** As Linux prints it on hosts from build 17763 on, with and without AutoEOI. */
const RECOMMENDATIONS_2019 = 0x00024c2c;
const RECOMMENDATIONS_2022 = 0x00064c24 | HvRecommendation.DEPRECATE_AUTO_EOI;
/** Relaxed timing and extended sets of processors, on a machine with an x2APIC. */
const RECOMMENDATIONS_OPENVMM = 0x00000820 | HvRecommendation.DEPRECATE_AUTO_EOI;

/**
 * What a guest may share through GPADLs: "approximately 384 Mbytes", from Windows Server 2019 on
 * "1280 Mbytes" (Linux Documentation/virt/hyperv/vmbus.rst). Of other hosts nothing is known.
 */
const SHARED_2008 = 384 << 20;
const SHARED_2019 = 1280 << 20;
const SHARED_UNKNOWN = 0;

const SOURCE =
  'VMBus versions: Linux include/linux/hyperv.h, mu_msvm; answers: OpenVMM vmbus_server, Linux';

/** CPUID 0x40000002 EBX. */
function version(major: number, minor: number): number {
  return major * 0x10000 + minor;
}

/** The profiles, oldest first; the two that are no Windows last. */
export const PROFILES: readonly HostProfile[] = [
  {
    name: 'server2008',
    description: 'Windows Server 2008: VMBus 0.13, no UNLOAD',
    source: `${SOURCE} (LIS 5ad123ae); CPUID and second contact inferred`,
    hypervisorBuild: 6002,
    hypervisorVersion: version(6, 0),
    features: FEATURES_2008,
    privileges: PRIVILEGES_2008,
    recommendations: RECOMMENDATIONS_2008,
    miscFeatures: 0,
    vmbusVersions: [WS2008],
    vmbusFeatures: 0,
    multiClientPort: false,
    nvspVersions: [NVSP_1],
    sharedMemoryMax: SHARED_2008,
    knobs: { ...WINDOWS, ...BEFORE_2012_R2 },
  },
  {
    name: 'server2008r2',
    description: 'Windows Server 2008 R2: VMBus 1.1, no UNLOAD',
    source: `${SOURCE} (LIS 5ad123ae); CPUID and second contact inferred`,
    hypervisorBuild: 7601,
    hypervisorVersion: version(6, 1),
    features: FEATURES_2008,
    privileges: PRIVILEGES_2008,
    recommendations: RECOMMENDATIONS_2008,
    miscFeatures: 0,
    vmbusVersions: [WS2008, WIN7],
    vmbusFeatures: 0,
    multiClientPort: false,
    nvspVersions: [NVSP_1, NVSP_2],
    sharedMemoryMax: SHARED_2008,
    knobs: { ...WINDOWS, ...BEFORE_2012_R2 },
  },
  {
    name: 'server2012',
    description: 'Windows Server 2012: VMBus 2.4, no UNLOAD',
    source: `${SOURCE} (LIS 5ad123ae); CPUID, NVSP maximum and second contact inferred`,
    hypervisorBuild: 9200,
    hypervisorVersion: version(6, 2),
    features: FEATURES_2012,
    privileges: PRIVILEGES_2008,
    recommendations: RECOMMENDATIONS_2008,
    miscFeatures: MISC_2012,
    vmbusVersions: [WS2008, WIN7, WIN8],
    vmbusFeatures: 0,
    multiClientPort: false,
    nvspVersions: [NVSP_1, NVSP_2, NVSP_4],
    sharedMemoryMax: SHARED_2008,
    knobs: { ...WINDOWS, ...BEFORE_2012_R2 },
  },
  {
    name: 'server2012r2',
    description: 'Windows Server 2012 R2: VMBus 3.0, the first with a real UNLOAD',
    source: `${SOURCE}; malformed status 0x40020006: iPXE 639632b05; CPUID, NVSP maximum inferred`,
    hypervisorBuild: 9600,
    hypervisorVersion: version(6, 3),
    features: FEATURES_2012,
    privileges: PRIVILEGES_2008,
    recommendations: RECOMMENDATIONS_2008,
    miscFeatures: MISC_2012,
    vmbusVersions: [WS2008, WIN7, WIN8, WIN8_1],
    vmbusFeatures: 0,
    multiClientPort: false,
    nvspVersions: TO_NVSP_5,
    sharedMemoryMax: SHARED_2008,
    knobs: WINDOWS,
  },
  {
    name: 'server2016',
    description: 'Windows Server 2016: VMBus 4.0',
    source: `${SOURCE}; NVSP maximum inferred`,
    hypervisorBuild: 14393,
    hypervisorVersion: version(10, 0),
    features: FEATURES_2016,
    privileges: PRIVILEGES_2016,
    recommendations: RECOMMENDATIONS_2019,
    miscFeatures: MISC_2012,
    vmbusVersions: TO_RS1,
    vmbusFeatures: 0,
    multiClientPort: false,
    nvspVersions: [...TO_NVSP_5, NVSP_6],
    sharedMemoryMax: SHARED_2008,
    knobs: WINDOWS,
  },
  {
    name: 'server2019',
    description: 'Windows Server 2019: VMBus 5.2',
    source: `${SOURCE}; CPUID: recorded iPXE session 01 (build 17763); NVSP maximum inferred`,
    hypervisorBuild: 17763,
    hypervisorVersion: version(10, 0),
    features: FEATURES_2016,
    privileges: PRIVILEGES_2016,
    recommendations: RECOMMENDATIONS_2019,
    miscFeatures: MISC_2019,
    vmbusVersions: TO_RS5,
    vmbusFeatures: 0,
    multiClientPort: true,
    nvspVersions: TO_NVSP_6_1,
    sharedMemoryMax: SHARED_2019,
    knobs: WINDOWS,
  },
  {
    name: 'server2022',
    description: 'Windows Server 2022: VMBus 5.3, AutoEOI deprecated',
    source: `${SOURCE}; CPUID as build 17763, recommendations inferred`,
    hypervisorBuild: 20348,
    hypervisorVersion: version(10, 0),
    features: FEATURES_2016,
    privileges: PRIVILEGES_2016,
    recommendations: RECOMMENDATIONS_2022,
    miscFeatures: MISC_2019,
    vmbusVersions: [...TO_RS5, WIN10_V5_3],
    vmbusFeatures: 0,
    multiClientPort: true,
    nvspVersions: TO_NVSP_6_1,
    sharedMemoryMax: SHARED_2019,
    knobs: SINCE_2022,
  },
  {
    name: 'copper',
    description: 'A host newer than Windows Server 2022 ("Copper"): VMBus 6.0',
    source: 'mu_msvm: features 0x7 of "Copper"; no public source names a release; rest inferred',
    hypervisorBuild: 26100,
    hypervisorVersion: version(10, 0),
    features: FEATURES_2016,
    privileges: PRIVILEGES_2016,
    recommendations: RECOMMENDATIONS_2022,
    miscFeatures: MISC_2019,
    vmbusVersions: TO_COPPER,
    vmbusFeatures:
      GUEST_SPECIFIED_SIGNAL_PARAMETERS | CHANNEL_INTERRUPT_REDIRECTION | MODIFY_CONNECTION,
    multiClientPort: true,
    nvspVersions: TO_NVSP_6_1,
    sharedMemoryMax: SHARED_2019,
    knobs: SINCE_2022,
  },
  {
    name: 'qemu',
    description: 'QEMU and KVM: VMBus to 4.0, one offer at a time, no version in the answer',
    source: 'QEMU hw/hyperv/{hyperv,vmbus}.c, KVM hyperv.c; it has no network device: inferred',
    hypervisorBuild: 14393,
    hypervisorVersion: version(10, 0),
    features: FEATURES_QEMU,
    privileges: PRIVILEGES_2008,
    recommendations: RECOMMENDATIONS_2008,
    miscFeatures: MISC_QEMU,
    vmbusVersions: TO_RS1,
    vmbusFeatures: 0,
    multiClientPort: false,
    nvspVersions: [NVSP_1, NVSP_2],
    sharedMemoryMax: SHARED_UNKNOWN,
    knobs: QEMU,
  },
  {
    name: 'openvmm',
    description: 'OpenVMM: VMBus 6.0, strict about what it reads: iPXE has no network there',
    source:
      'OpenVMM 1488a37b7cfe: vmbus_server, netvsp, virt (CPUID), hv1_emulator; build inferred',
    hypervisorBuild: 20348,
    hypervisorVersion: version(10, 0),
    features: FEATURES_OPENVMM,
    privileges: PRIVILEGES_OPENVMM,
    recommendations: RECOMMENDATIONS_OPENVMM,
    miscFeatures: MISC_OPENVMM,
    vmbusVersions: TO_COPPER,
    vmbusFeatures:
      GUEST_SPECIFIED_SIGNAL_PARAMETERS |
      CHANNEL_INTERRUPT_REDIRECTION |
      MODIFY_CONNECTION |
      CLIENT_ID |
      PAUSE_RESUME,
    multiClientPort: true,
    nvspVersions: TO_NVSP_6_1,
    sharedMemoryMax: SHARED_UNKNOWN,
    knobs: OPENVMM,
  },
];

/** Name of the profile that is used if none is asked for. */
export const DEFAULT_PROFILE = 'server2022';

/** The profile of this name, or undefined. */
export function profileNamed(name: string): HostProfile | undefined {
  return PROFILES.find((profile) => profile.name === name);
}

/** A copy of a profile with some knobs turned. */
export function withKnobs(profile: HostProfile, knobs: Partial<HostKnobs>): HostProfile {
  return { ...profile, knobs: { ...profile.knobs, ...knobs } };
}
