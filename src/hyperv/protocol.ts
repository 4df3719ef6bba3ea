// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The hypervisor's wire definitions: CPUID leaves, synthetic registers, hypercalls, the SynIC's
 * pages. Names and values are those of the TLFS as Linux and iPXE spell them; the tests pin each to
 * the golden layouts. Nothing but definitions.
 */

import { struct } from '../wire.ts';

/** CPUID leaves. */
export const Cpuid = {
  MAX_BASIC: 0x00000000,
  FEATURES: 0x00000001,
  MAX_EXTENDED: 0x80000000,
  EXTENDED_FEATURES: 0x80000001,
  HV_VENDOR_ID: 0x40000000,
  HV_INTERFACE_ID: 0x40000001,
  HV_HYPERVISOR_ID: 0x40000002,
  HV_FEATURES: 0x40000003,
  HV_ENLIGHTENMENTS: 0x40000004,
  HV_IMPLEMENTATION_LIMITS: 0x40000005,
} as const;

/** CPUID.1:ECX bit 31: a hypervisor is present. */
export const CPUID_HYPERVISOR_PRESENT = 0x80000000;

/** CPUID 0x40000001 EAX of Hyper-V: "Hv#1". */
export const HV_INTERFACE_ID = 0x31237648;

/** CPUID 0x40000003 EAX: access to synthetic registers. */
export const HvFeature = {
  TIME_REF_COUNT: 1 << 1,
  SYNIC: 1 << 2,
  SYNTHETIC_TIMERS: 1 << 3,
  /** APIC registers, and the VP assist page. */
  INTR_CONTROL: 1 << 4,
  HYPERCALL: 1 << 5,
  VP_INDEX: 1 << 6,
  REFERENCE_TSC: 1 << 9,
} as const;

/** CPUID 0x40000003 EBX: privileges of the partition. */
export const HvPrivilege = {
  POST_MESSAGES: 1 << 4,
  SIGNAL_EVENTS: 1 << 5,
} as const;

/** CPUID 0x40000003 EDX: further features. */
export const HvMiscFeature = {
  FREQUENCY_MSRS: 1 << 8,
  GUEST_CRASH: 1 << 10,
  STIMER_DIRECT: 0x80000,
} as const;

/** CPUID 0x40000004 EAX: what the hypervisor recommends. */
export const HvRecommendation = {
  DEPRECATE_AUTO_EOI: 1 << 9,
} as const;

/** Synthetic MSRs of x64. */
export const Msr = {
  GUEST_OS_ID: 0x40000000,
  HYPERCALL: 0x40000001,
  VP_INDEX: 0x40000002,
  TIME_REF_COUNT: 0x40000020,
  REFERENCE_TSC: 0x40000021,
  TSC_FREQUENCY: 0x40000022,
  APIC_FREQUENCY: 0x40000023,
  VP_ASSIST_PAGE: 0x40000073,
  SCONTROL: 0x40000080,
  SVERSION: 0x40000081,
  SIEFP: 0x40000082,
  SIMP: 0x40000083,
  EOM: 0x40000084,
  SINT0: 0x40000090,
  STIMER0_CONFIG: 0x400000b0,
  STIMER0_COUNT: 0x400000b1,
  CRASH_P0: 0x40000100,
  CRASH_P1: 0x40000101,
  CRASH_P2: 0x40000102,
  CRASH_P3: 0x40000103,
  CRASH_P4: 0x40000104,
  CRASH_CTL: 0x40000105,
} as const;

/**
 * The same registers by their VP register number, for HvGetVpRegisters and HvSetVpRegisters: on
 * arm64 the only way to them.
 */
export const HvRegister = {
  HYPERVISOR_VERSION: 0x00000100,
  /** What CPUID 0x40000003 says on x64, as 128 bits: EAX in the low word. */
  FEATURES: 0x00000200,
  /** What CPUID 0x40000004 says on x64. */
  ENLIGHTENMENTS: 0x00000201,
  /** What CPUID 0x40000005 says on x64. */
  IMPLEMENTATION_LIMITS: 0x00000202,
  CRASH_P0: 0x00000210,
  CRASH_P1: 0x00000211,
  CRASH_P2: 0x00000212,
  CRASH_P3: 0x00000213,
  CRASH_P4: 0x00000214,
  CRASH_CTL: 0x00000215,
  GUEST_OS_ID: 0x00090002,
  VP_INDEX: 0x00090003,
  TIME_REF_COUNT: 0x00090004,
  /** What CPUID 0x40000001 says on x64. */
  INTERFACE_VERSION: 0x00090006,
  VP_ASSIST_PAGE: 0x00090013,
  REFERENCE_TSC: 0x00090017,
  SINT0: 0x000a0000,
  SCONTROL: 0x000a0010,
  SVERSION: 0x000a0011,
  SIEFP: 0x000a0012,
  SIMP: 0x000a0013,
  EOM: 0x000a0014,
  SIRBP: 0x000a0015,
  STIMER0_CONFIG: 0x000b0000,
  STIMER0_COUNT: 0x000b0001,
} as const;

/** Number of synthetic interrupt sources of a virtual processor. */
export const SINT_COUNT = 16;

/** Number of synthetic timers of a virtual processor. */
export const STIMER_COUNT = 4;

/** Bit 0 of SCONTROL, SIMP, SIEFP, HYPERCALL, REFERENCE_TSC and VP_ASSIST_PAGE. */
export const HV_ENABLE = 1n;

/** HYPERCALL bit 1: the register is locked until reset. */
export const HV_HYPERCALL_LOCKED = 2n;

/** Low 12 bits of the page registers: control and reserved bits; the rest is the page's address. */
export const HV_PAGE_REGISTER_MASK = 0xfffn;

/** SINT register. */
export const Sint = {
  VECTOR_MASK: 0xffn,
  MASKED: 0x10000n,
  AUTO_EOI: 0x20000n,
  POLLING: 0x40000n,
  AS_INTERCEPT: 0x80000n,
  PROXY: 0x100000n,
} as const;

/** STIMERn_CONFIG register. Vector and SINT are numbers at their shift. */
export const StimerConfig = {
  ENABLE: 0x1n,
  PERIODIC: 0x2n,
  LAZY: 0x4n,
  AUTO_ENABLE: 0x8n,
  /** Direct mode: the interrupt vector. */
  APIC_VECTOR_SHIFT: 4n,
  APIC_VECTOR_MASK: 0xff0n,
  DIRECT_MODE: 0x1000n,
  /** Message mode: the SINT that gets the message. 0 keeps the timer from being enabled. */
  SINT_SHIFT: 16n,
  SINT_MASK: 0xf0000n,
} as const;

/** CRASH_CTL register. */
export const CrashControl = {
  /** The parameters are written: report the crash. */
  NOTIFY: 0x8000000000000000n,
  /** P3 and P4 are the address and the length of a message. */
  MESSAGE: 0x4000000000000000n,
} as const;

/** Guest OS identities that matter here. */
export const GuestOsId = {
  /** iPXE, and hypxe after it: open source, vendor 0x18ae, version and build 0. */
  IPXE: 0x98ae000000000000n,
  /** Microsoft's Gen 2 UEFI firmware: taking over from it crashes the VM (iPXE 936657832). */
  UEFI: 0x0000010000000000n,
  /** The same firmware on arm64 (mu_msvm: vendor 1, OS 4). */
  UEFI_ARM64: 0x0001040000000000n,
} as const;

/** Vendor in a Linux guest's identity, bits 48 to 63 (HV_LINUX_VENDOR_ID). */
export const HV_LINUX_VENDOR_ID = 0x8100;

/** Hypercall codes. */
export const HvCall = {
  FLUSH_VIRTUAL_ADDRESS_SPACE: 0x0002,
  FLUSH_VIRTUAL_ADDRESS_LIST: 0x0003,
  NOTIFY_LONG_SPIN_WAIT: 0x0008,
  SEND_IPI: 0x000b,
  FLUSH_VIRTUAL_ADDRESS_SPACE_EX: 0x0013,
  FLUSH_VIRTUAL_ADDRESS_LIST_EX: 0x0014,
  SEND_IPI_EX: 0x0015,
  GET_VP_REGISTERS: 0x0050,
  SET_VP_REGISTERS: 0x0051,
  POST_MESSAGE: 0x005c,
  SIGNAL_EVENT: 0x005d,
  RETARGET_INTERRUPT: 0x007e,
  START_VP: 0x0099,
} as const;

/** Flags of the calls that flush address spaces (arm64 header, HV_FLUSH_*). */
export const HvFlush = {
  ALL_PROCESSORS: 1 << 0,
  ALL_VIRTUAL_ADDRESS_SPACES: 1 << 1,
  NON_GLOBAL_MAPPINGS_ONLY: 1 << 2,
  USE_EXTENDED_RANGE_FORMAT: 1 << 3,
} as const;

/** Fields of the hypercall control word. */
export const HvControl = {
  CODE_MASK: 0xffffn,
  FAST: 0x10000n,
  VARIABLE_HEADER_MASK: 0x7fe0000n,
  NESTED: 0x80000000n,
  REP_COUNT_SHIFT: 32n,
  REP_COUNT_MASK: 0xfff00000000n,
  REP_START_MASK: 0xfff000000000000n,
} as const;

/** Hypercall status, the low 16 bits of the result. */
export const HvStatus = {
  SUCCESS: 0x0000,
  INVALID_HYPERCALL_CODE: 0x0002,
  INVALID_HYPERCALL_INPUT: 0x0003,
  INVALID_ALIGNMENT: 0x0004,
  INVALID_PARAMETER: 0x0005,
  ACCESS_DENIED: 0x0006,
  OPERATION_DENIED: 0x0008,
  INSUFFICIENT_MEMORY: 0x000b,
  INVALID_PORT_ID: 0x0011,
  INVALID_CONNECTION_ID: 0x0012,
  INSUFFICIENT_BUFFERS: 0x0013,
  INVALID_SYNIC_STATE: 0x0018,
  TIME_OUT: 0x0078,
} as const;

/** The calling partition, and the calling virtual processor. */
export const HV_PARTITION_ID_SELF = 0xffffffffffffffffn;
export const HV_VP_INDEX_SELF = 0xfffffffe;

/** Start of the input of HvGetVpRegisters and HvSetVpRegisters. */
export const VpRegistersInput = struct('HV_VP_REGISTERS_INPUT', 16, {
  partitionId: [0, 8],
  vpIndex: [8, 4],
  inputVtl: [12, 1],
  padding: [13, 3],
  /** Of HvGetVpRegisters the u32 register numbers, of HvSetVpRegisters VpRegisterAssignment. */
  elements: [16, 0],
});

/** One register of HvSetVpRegisters. */
export const VpRegisterAssignment = struct('HV_REGISTER_ASSOC', 32, {
  name: [0, 4],
  reserved: [4, 12],
  value: [16, 16],
});

/** SMCCC function of a hypercall on arm64, and of the question who the hypervisor is. */
export const HV_SMCCC_HYPERCALL = 0x46000001;
export const SMCCC_VENDOR_HYP_UID = 0x8600ff01;

/** The answer of SMCCC_VENDOR_HYP_UID on Hyper-V, in W0 to W3. */
export const HV_SMCCC_UID = [0x4d32ba58, 0xcd244764, 0x8eef6c75, 0x16597024] as const;

/** Largest payload of a SynIC message, in bytes. */
export const HV_MESSAGE_PAYLOAD_MAX = 240;

/** Input of HvPostMessage (iPXE `struct hv_post_message`). */
export const PostMessage = struct('HvPostMessage', 256, {
  connectionId: [0, 4],
  reserved: [4, 4],
  type: [8, 4],
  length: [12, 4],
  data: [16, 240],
});

/** Input of HvSignalEvent (iPXE `struct hv_signal_event`). */
export const SignalEvent = struct('HvSignalEvent', 8, {
  connectionId: [0, 4],
  flag: [4, 2],
  reserved: [6, 2],
});

/** One slot of the message page; slot n belongs to SINT n (iPXE `struct hv_message`). */
export const SynicMessage = struct('HV_MESSAGE', 256, {
  type: [0, 4],
  length: [4, 1],
  flags: [5, 1],
  reserved: [6, 2],
  origin: [8, 8],
  data: [16, 240],
});

/** SynicMessage.flags bit 0: more messages wait for this slot. */
export const HV_MESSAGE_PENDING = 1;

/** SynIC message types. */
export const HvMessageType = {
  NONE: 0x00000000,
  UNMAPPED_GPA: 0x80000000,
  GPA_INTERCEPT: 0x80000001,
  TIMER_EXPIRED: 0x80000010,
  INVALID_VP_REGISTER_VALUE: 0x80000020,
  UNRECOVERABLE_EXCEPTION: 0x80000021,
  UNSUPPORTED_FEATURE: 0x80000022,
  EVENTLOG_BUFFER_COMPLETE: 0x80000040,
} as const;

/** Payload of a TIMER_EXPIRED message. */
export const TimerMessage = struct('HV_TIMER_MESSAGE_PAYLOAD', 24, {
  timerIndex: [0, 4],
  reserved: [4, 4],
  expirationTime: [8, 8],
  deliveryTime: [16, 8],
});

/** Event flags of one SINT in the event page, in bytes: 2048 flags. */
export const HV_EVENT_FLAGS_SIZE = 256;

/** Event flags of one SINT. */
export const HV_EVENT_FLAGS_COUNT = 2048;

/** Monitor page, as far as a guest uses it (iPXE `struct hv_monitor`). */
export const MonitorPage = struct('HV_MONITOR_PAGE', 4096, {
  flags: [0, 4],
  trigger: [8, 32],
  latency: [576, 256],
  parameter: [1088, 1024],
});

/** One trigger group of a monitor page (iPXE `struct hv_monitor_trigger`). */
export const MonitorTrigger = struct('HV_MONITOR_TRIGGER', 8, {
  pending: [0, 4],
  armed: [4, 4],
});

/** One parameter of a monitor page: what the host signals for the trigger (iPXE). */
export const MonitorParameter = struct('HV_MONITOR_PARAMETER', 8, {
  connectionId: [0, 4],
  flag: [4, 2],
  reserved: [6, 2],
});

/**
 * Start of the reference TSC page: time = (TSC * scale >> 64) + offset, in ticks, valid while the
 * sequence is the same before and after, and not HV_REFERENCE_TSC_SEQUENCE_INVALID.
 */
export const ReferenceTscPage = struct('HV_REFERENCE_TSC_PAGE', 24, {
  sequence: [0, 4],
  reserved: [4, 4],
  scale: [8, 8],
  offset: [16, 8],
});

/** ReferenceTscPage.sequence: fall back to the TIME_REF_COUNT register. */
export const HV_REFERENCE_TSC_SEQUENCE_INVALID = 0;

/** Frequency of the partition reference time, in Hz: one tick is 100 ns. */
export const HV_REFERENCE_HZ = 10_000_000;
