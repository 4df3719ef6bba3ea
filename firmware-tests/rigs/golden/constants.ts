// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Which constant of Linux, iPXE and OpenVMM each of our constants is: the names as `goldenValues`
 * of `golden.ts` reads them. A value must equal what every file has under each of its names.
 */

/** Names of a single constant, or of each member of a constant object. */
export type ConstantPins = Readonly<
  Record<string, readonly string[] | Readonly<Record<string, readonly string[]>>>
>;

/** The same prefix for names that are otherwise ours. */
function same(prefix: string, names: readonly string[]): Record<string, readonly string[]> {
  return Object.fromEntries(names.map((name) => [name, [`${prefix}${name}`]]));
}

export const HYPERV_CONSTANTS: ConstantPins = {
  Cpuid: {
    FEATURES: ['hv_misc.HV_CPUID_FUNCTION_VERSION_AND_FEATURES'],
    HV_VENDOR_ID: ['HYPERV_CPUID_VENDOR_AND_MAX_FUNCTIONS', 'HV_CPUID_VENDOR_ID'],
    HV_INTERFACE_ID: ['HYPERV_CPUID_INTERFACE', 'HV_CPUID_INTERFACE_ID'],
    HV_HYPERVISOR_ID: ['HYPERV_CPUID_VERSION', 'HV_CPUID_HYPERVISOR_ID'],
    HV_FEATURES: ['HYPERV_CPUID_FEATURES', 'HV_CPUID_FEATURES'],
    HV_ENLIGHTENMENTS: ['HYPERV_CPUID_ENLIGHTMENT_INFO'],
    HV_IMPLEMENTATION_LIMITS: ['HYPERV_CPUID_IMPLEMENT_LIMITS'],
  },
  CPUID_HYPERVISOR_PRESENT: ['HYPERV_HYPERVISOR_PRESENT_BIT'],
  HV_INTERFACE_ID: ['HV_INTERFACE_ID'],
  HvFeature: {
    TIME_REF_COUNT: ['HV_MSR_TIME_REF_COUNT_AVAILABLE', 'HV_FEATURES_AVAIL_TIME_REF_COUNT_MSR'],
    SYNIC: ['HV_MSR_SYNIC_AVAILABLE', 'HV_FEATURES_AVAIL_SYNIC_MSR'],
    SYNTHETIC_TIMERS: ['HV_MSR_SYNTIMER_AVAILABLE'],
    HYPERCALL: ['HV_MSR_HYPERCALL_AVAILABLE', 'HV_FEATURES_AVAIL_HYPERCALL_MSR'],
    VP_INDEX: ['HV_MSR_VP_INDEX_AVAILABLE'],
    REFERENCE_TSC: ['HV_MSR_REFERENCE_TSC_AVAILABLE'],
  },
  HvPrivilege: {
    POST_MESSAGES: ['HV_POST_MESSAGES', 'HV_FEATURES_PERM_POST_MESSAGES'],
    SIGNAL_EVENTS: ['HV_SIGNAL_EVENTS', 'HV_FEATURES_PERM_SIGNAL_EVENTS'],
  },
  HvMiscFeature: {
    FREQUENCY_MSRS: ['HV_FEATURE_FREQUENCY_MSRS_AVAILABLE'],
    GUEST_CRASH: ['HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE'],
    STIMER_DIRECT: ['HV_STIMER_DIRECT_MODE_AVAILABLE'],
  },
  HvRecommendation: { DEPRECATE_AUTO_EOI: ['HV_DEPRECATING_AEOI_RECOMMENDED'] },
  Msr: {
    GUEST_OS_ID: ['HV_X64_MSR_GUEST_OS_ID', 'hv_msrs_x64.HV_X64_MSR_GUEST_OS_ID'],
    HYPERCALL: ['HV_X64_MSR_HYPERCALL', 'hv_msrs_x64.HV_X64_MSR_HYPERCALL'],
    VP_INDEX: ['HV_X64_MSR_VP_INDEX', 'hv_msrs_x64.HV_X64_MSR_VP_INDEX'],
    TIME_REF_COUNT: ['HV_X64_MSR_TIME_REF_COUNT', 'hv_msrs_x64.HV_X64_MSR_TIME_REF_COUNT'],
    REFERENCE_TSC: ['HV_X64_MSR_REFERENCE_TSC', 'hv_msrs_x64.HV_X64_MSR_REFERENCE_TSC'],
    TSC_FREQUENCY: ['HV_X64_MSR_TSC_FREQUENCY', 'hv_msrs_x64.HV_X64_MSR_TSC_FREQUENCY'],
    APIC_FREQUENCY: ['HV_X64_MSR_APIC_FREQUENCY', 'hv_msrs_x64.HV_X64_MSR_APIC_FREQUENCY'],
    VP_ASSIST_PAGE: ['HV_X64_MSR_VP_ASSIST_PAGE', 'hv_msrs_x64.HV_X64_MSR_VP_ASSIST_PAGE'],
    SCONTROL: ['HV_X64_MSR_SCONTROL', 'hv_msrs_x64.HV_X64_MSR_SCONTROL'],
    SVERSION: ['HV_X64_MSR_SVERSION', 'hv_msrs_x64.HV_X64_MSR_SVERSION'],
    SIEFP: ['HV_X64_MSR_SIEFP', 'hv_msrs_x64.HV_X64_MSR_SIEFP'],
    SIMP: ['HV_X64_MSR_SIMP', 'hv_msrs_x64.HV_X64_MSR_SIMP'],
    EOM: ['HV_X64_MSR_EOM', 'hv_msrs_x64.HV_X64_MSR_EOM'],
    SINT0: ['HV_X64_MSR_SINT0', 'HV_X64_MSR_SINT(0)', 'hv_msrs_x64.HV_X64_MSR_SINT0'],
    STIMER0_CONFIG: ['HV_X64_MSR_STIMER0_CONFIG', 'hv_msrs_x64.HV_X64_MSR_STIMER0_CONFIG'],
    STIMER0_COUNT: ['HV_X64_MSR_STIMER0_COUNT', 'hv_msrs_x64.HV_X64_MSR_STIMER0_COUNT'],
    CRASH_P0: ['HV_X64_MSR_CRASH_P0', 'hv_msrs_x64.HV_X64_MSR_GUEST_CRASH_P0'],
    CRASH_P1: ['HV_X64_MSR_CRASH_P1', 'hv_msrs_x64.HV_X64_MSR_GUEST_CRASH_P1'],
    CRASH_P2: ['HV_X64_MSR_CRASH_P2', 'hv_msrs_x64.HV_X64_MSR_GUEST_CRASH_P2'],
    CRASH_P3: ['HV_X64_MSR_CRASH_P3', 'hv_msrs_x64.HV_X64_MSR_GUEST_CRASH_P3'],
    CRASH_P4: ['HV_X64_MSR_CRASH_P4', 'hv_msrs_x64.HV_X64_MSR_GUEST_CRASH_P4'],
    CRASH_CTL: ['HV_X64_MSR_CRASH_CTL', 'hv_msrs_x64.HV_X64_MSR_GUEST_CRASH_CTL'],
  },
  HvRegister: {
    HYPERVISOR_VERSION: [
      'HV_REGISTER_HYPERVISOR_VERSION',
      'hv_registers.arm64_only.HypervisorVersion',
    ],
    FEATURES: ['HV_REGISTER_FEATURES', 'hv_registers.arm64_only.PrivilegesAndFeaturesInfo'],
    ENLIGHTENMENTS: ['HV_REGISTER_ENLIGHTENMENTS', 'hv_registers.arm64_only.FeaturesInfo'],
    CRASH_P0: ['HV_REGISTER_GUEST_CRASH_P0', 'arm64:HV_MSR_CRASH_P0'],
    CRASH_P1: ['HV_REGISTER_GUEST_CRASH_P1', 'arm64:HV_MSR_CRASH_P1'],
    CRASH_P2: ['HV_REGISTER_GUEST_CRASH_P2', 'arm64:HV_MSR_CRASH_P2'],
    CRASH_P3: ['HV_REGISTER_GUEST_CRASH_P3', 'arm64:HV_MSR_CRASH_P3'],
    CRASH_P4: ['HV_REGISTER_GUEST_CRASH_P4', 'arm64:HV_MSR_CRASH_P4'],
    CRASH_CTL: ['HV_REGISTER_GUEST_CRASH_CTL', 'hv_registers.GuestCrashCtl'],
    GUEST_OS_ID: ['HV_REGISTER_GUEST_OS_ID', 'hv_registers.GuestOsId'],
    VP_INDEX: ['HV_REGISTER_VP_INDEX', 'arm64:HV_MSR_VP_INDEX', 'hv_registers.VpIndex'],
    TIME_REF_COUNT: ['HV_REGISTER_TIME_REF_COUNT', 'hv_registers.TimeRefCount'],
    VP_ASSIST_PAGE: ['hv_registers.VpAssistPage'],
    REFERENCE_TSC: ['HV_REGISTER_REFERENCE_TSC', 'hv_registers.ReferenceTsc'],
    SINT0: ['HV_REGISTER_SINT0', 'arm64:HV_MSR_SINT0', 'hv_registers.Sint0'],
    SCONTROL: ['HV_REGISTER_SCONTROL', 'arm64:HV_MSR_SCONTROL', 'hv_registers.Scontrol'],
    SVERSION: ['hv_registers.Sversion'],
    SIEFP: ['HV_REGISTER_SIEFP', 'arm64:HV_MSR_SIEFP', 'hv_registers.Sifp'],
    SIMP: ['HV_REGISTER_SIMP', 'arm64:HV_MSR_SIMP', 'hv_registers.Sipp'],
    EOM: ['HV_REGISTER_EOM', 'arm64:HV_MSR_EOM', 'hv_registers.Eom'],
    SIRBP: ['hv_registers.Sirbp'],
    STIMER0_CONFIG: ['HV_REGISTER_STIMER0_CONFIG', 'hv_registers.Stimer0Config'],
    STIMER0_COUNT: ['HV_REGISTER_STIMER0_COUNT', 'hv_registers.Stimer0Count'],
  },
  SINT_COUNT: ['HV_SYNIC_SINT_COUNT', 'hv_misc.NUM_SINTS'],
  STIMER_COUNT: ['HV_SYNIC_STIMER_COUNT', 'hv_misc.NUM_TIMERS'],
  HV_ENABLE: [
    ...['HV_SYNIC_CONTROL_ENABLE', 'HV_SYNIC_SIMP_ENABLE', 'HV_SYNIC_SIEFP_ENABLE'],
    ...['HV_SCONTROL_ENABLE', 'HV_SIMP_ENABLE', 'HV_SIEFP_ENABLE', 'HV_HYPERCALL_ENABLE'],
    ...['HV_X64_MSR_HYPERCALL_ENABLE', 'HV_X64_MSR_TSC_REFERENCE_ENABLE'],
    ...['HV_X64_MSR_VP_ASSIST_PAGE_ENABLE', 'mask:hv_reference_tsc_msr.enable'],
  ],
  Sint: {
    VECTOR_MASK: ['HV_SYNIC_SINT_VECTOR_MASK', 'HV_SINT_VECTOR_MASK', 'mask:hv_synic_sint.vector'],
    MASKED: ['HV_SYNIC_SINT_MASKED', 'HV_SINT_MASKED', 'mask:hv_synic_sint.masked'],
    AUTO_EOI: ['HV_SYNIC_SINT_AUTO_EOI', 'HV_SINT_AUTO_EOI', 'mask:hv_synic_sint.auto_eoi'],
    POLLING: ['mask:hv_synic_sint.polling'],
  },
  StimerConfig: {
    ENABLE: ['mask:hv_stimer_config.enable'],
    PERIODIC: ['mask:hv_stimer_config.periodic'],
    LAZY: ['mask:hv_stimer_config.lazy'],
    AUTO_ENABLE: ['mask:hv_stimer_config.auto_enable'],
    APIC_VECTOR_SHIFT: ['shift:hv_stimer_config.apic_vector'],
    APIC_VECTOR_MASK: ['mask:hv_stimer_config.apic_vector'],
    DIRECT_MODE: ['mask:hv_stimer_config.direct_mode'],
    SINT_SHIFT: ['shift:hv_stimer_config.sintx'],
    SINT_MASK: ['mask:hv_stimer_config.sintx'],
  },
  CrashControl: {
    NOTIFY: ['HV_CRASH_CTL_CRASH_NOTIFY'],
    MESSAGE: ['HV_CRASH_CTL_CRASH_NOTIFY_MSG'],
  },
  GuestOsId: { IPXE: ['HV_GUEST_OS_ID_IPXE'], UEFI: ['HV_GUEST_OS_ID_UEFI'] },
  HV_LINUX_VENDOR_ID: ['HV_LINUX_VENDOR_ID'],
  HvCall: {
    FLUSH_VIRTUAL_ADDRESS_SPACE: ['HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE'],
    FLUSH_VIRTUAL_ADDRESS_LIST: ['HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST'],
    NOTIFY_LONG_SPIN_WAIT: ['HVCALL_NOTIFY_LONG_SPIN_WAIT'],
    SEND_IPI: ['HVCALL_SEND_IPI'],
    FLUSH_VIRTUAL_ADDRESS_SPACE_EX: ['HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX'],
    FLUSH_VIRTUAL_ADDRESS_LIST_EX: ['HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX'],
    SEND_IPI_EX: ['HVCALL_SEND_IPI_EX'],
    RETARGET_INTERRUPT: ['HVCALL_RETARGET_INTERRUPT'],
    START_VP: ['HVCALL_START_VP'],
    GET_VP_REGISTERS: ['HVCALL_GET_VP_REGISTERS', 'hv_call_codes.HvCallGetVpRegisters'],
    SET_VP_REGISTERS: ['HVCALL_SET_VP_REGISTERS', 'hv_call_codes.HvCallSetVpRegisters'],
    POST_MESSAGE: ['HVCALL_POST_MESSAGE', 'HV_POST_MESSAGE', 'hv_call_codes.HvCallPostMessage'],
    SIGNAL_EVENT: ['HVCALL_SIGNAL_EVENT', 'HV_SIGNAL_EVENT', 'hv_call_codes.HvCallSignalEvent'],
  },
  HvControl: {
    FAST: ['HV_HYPERCALL_FAST_BIT'],
    VARIABLE_HEADER_MASK: ['HV_HYPERCALL_VARHEAD_MASK'],
    NESTED: ['HV_HYPERCALL_NESTED'],
    REP_COUNT_SHIFT: ['HV_HYPERCALL_REP_COMP_OFFSET'],
    REP_COUNT_MASK: ['HV_HYPERCALL_REP_COMP_MASK'],
    REP_START_MASK: ['HV_HYPERCALL_REP_START_MASK'],
  },
  HvStatus: {
    SUCCESS: ['HV_STATUS_SUCCESS', 'hv_status.Success'],
    INVALID_HYPERCALL_CODE: ['HV_STATUS_INVALID_HYPERCALL_CODE', 'hv_status.InvalidHypercallCode'],
    INVALID_HYPERCALL_INPUT: [
      'HV_STATUS_INVALID_HYPERCALL_INPUT',
      'hv_status.InvalidHypercallInput',
    ],
    INVALID_ALIGNMENT: ['HV_STATUS_INVALID_ALIGNMENT', 'hv_status.InvalidAlignment'],
    INVALID_PARAMETER: ['HV_STATUS_INVALID_PARAMETER', 'hv_status.InvalidParameter'],
    ACCESS_DENIED: ['HV_STATUS_ACCESS_DENIED', 'hv_status.AccessDenied'],
    OPERATION_DENIED: ['HV_STATUS_OPERATION_DENIED', 'hv_status.OperationDenied'],
    INSUFFICIENT_MEMORY: ['HV_STATUS_INSUFFICIENT_MEMORY', 'hv_status.InsufficientMemory'],
    INVALID_PORT_ID: ['HV_STATUS_INVALID_PORT_ID', 'hv_status.InvalidPortId'],
    INVALID_CONNECTION_ID: ['HV_STATUS_INVALID_CONNECTION_ID', 'hv_status.InvalidConnectionId'],
    INSUFFICIENT_BUFFERS: ['HV_STATUS_INSUFFICIENT_BUFFERS', 'hv_status.InsufficientBuffers'],
    INVALID_SYNIC_STATE: ['hv_status.InvalidSynicState'],
    TIME_OUT: ['HV_STATUS_TIME_OUT', 'hv_status.Timeout'],
  },
  HV_PARTITION_ID_SELF: ['HV_PARTITION_ID_SELF'],
  HV_VP_INDEX_SELF: ['HV_VP_INDEX_SELF', 'hv_misc.HV_VP_INDEX_SELF'],
  HV_SMCCC_HYPERCALL: ['HV_FUNC_ID_ARM64_SMCCC'],
  SMCCC_VENDOR_HYP_UID: ['ARM_SMCCC_VENDOR_HYP_CALL_UID_FUNC_ID'],
  HV_SMCCC_UID: {
    0: ['hv_misc.smccc_uid_words.0'],
    1: ['hv_misc.smccc_uid_words.1'],
    2: ['hv_misc.smccc_uid_words.2'],
    3: ['hv_misc.smccc_uid_words.3'],
  },
  HV_MESSAGE_PAYLOAD_MAX: ['HV_MESSAGE_PAYLOAD_BYTE_COUNT', 'hv_misc.HV_MESSAGE_PAYLOAD_SIZE'],
  HV_MESSAGE_PENDING: ['mask:hv_message_flags.msg_pending'],
  HvMessageType: {
    NONE: ['HVMSG_NONE', 'hv_message_types.HvMessageTypeNone'],
    TIMER_EXPIRED: ['HVMSG_TIMER_EXPIRED', 'hv_message_types.HvMessageTypeTimerExpired'],
    UNMAPPED_GPA: ['HVMSG_UNMAPPED_GPA'],
    GPA_INTERCEPT: ['HVMSG_GPA_INTERCEPT'],
    INVALID_VP_REGISTER_VALUE: ['HVMSG_INVALID_VP_REGISTER_VALUE'],
    UNRECOVERABLE_EXCEPTION: ['HVMSG_UNRECOVERABLE_EXCEPTION'],
    UNSUPPORTED_FEATURE: ['HVMSG_UNSUPPORTED_FEATURE'],
    EVENTLOG_BUFFER_COMPLETE: ['HVMSG_EVENTLOG_BUFFERCOMPLETE'],
  },
  HV_EVENT_FLAGS_SIZE: ['size:hv_synic_event_flags'],
  HV_EVENT_FLAGS_COUNT: ['HV_EVENT_FLAGS_COUNT'],
  HV_REFERENCE_TSC_SEQUENCE_INVALID: ['hv_misc.HV_REFERENCE_TSC_SEQUENCE_INVALID'],
  HV_REFERENCE_HZ: ['HV_CLOCK_HZ', 'HV_TIMER_HZ'],
};

/** OpenVMM and Linux name control messages nearly as we do. */
const OPENVMM_MESSAGES = [
  ...['OFFER_CHANNEL', 'RESCIND_CHANNEL_OFFER', 'REQUEST_OFFERS', 'ALL_OFFERS_DELIVERED'],
  ...['OPEN_CHANNEL', 'OPEN_CHANNEL_RESULT', 'CLOSE_CHANNEL', 'GPADL_HEADER', 'GPADL_BODY'],
  ...['GPADL_CREATED', 'GPADL_TEARDOWN', 'GPADL_TORNDOWN', 'INITIATE_CONTACT'],
  ...['VERSION_RESPONSE', 'UNLOAD', 'OPEN_RESERVED_CHANNEL', 'CLOSE_RESERVED_CHANNEL'],
  ...['CLOSE_RESERVED_RESPONSE', 'TL_CONNECT_REQUEST', 'MODIFY_CHANNEL'],
  ...['MODIFY_CHANNEL_RESPONSE', 'MODIFY_CONNECTION', 'MODIFY_CONNECTION_RESPONSE'],
  ...['PAUSE', 'PAUSE_RESPONSE', 'RESUME'],
];

export const VMBUS_CONSTANTS: ConstantPins = {
  FeatureFlag: {
    GUEST_SPECIFIED_SIGNAL_PARAMETERS: ['vmbus_feature_flags.guest_specified_signal_parameters'],
    CHANNEL_INTERRUPT_REDIRECTION: ['vmbus_feature_flags.channel_interrupt_redirection'],
  },
  VmbusVersion: {
    V0_13: ['VERSION_WS2008', 'VMBUS_VERSION_WS2008', 'vmbus_versions.V1'],
    V1_1: ['VERSION_WIN7', 'VMBUS_VERSION_WIN7', 'vmbus_versions.Win7'],
    V2_4: ['VERSION_WIN8', 'VMBUS_VERSION_WIN8', 'vmbus_versions.Win8'],
    V3_0: ['VERSION_WIN8_1', 'VMBUS_VERSION_WIN8_1', 'vmbus_versions.Win8_1'],
    V4_0: ['VERSION_WIN10', 'vmbus_versions.Win10'],
    V4_1: ['VERSION_WIN10_V4_1', 'vmbus_versions.Win10Rs3_0'],
    V5_0: ['VERSION_WIN10_V5', 'vmbus_versions.Win10Rs3_1'],
    V5_1: ['VERSION_WIN10_V5_1', 'vmbus_versions.Win10Rs4'],
    V5_2: ['VERSION_WIN10_V5_2', 'vmbus_versions.Win10Rs5'],
    V5_3: ['VERSION_WIN10_V5_3', 'vmbus_versions.Iron'],
    V6_0: ['vmbus_versions.Copper'],
  },
  VMBUS_MESSAGE_CONNECTION_ID: [
    ...['VMBUS_MESSAGE_CONNECTION_ID', 'VMBUS_MESSAGE_ID', 'vmbus_server.MESSAGE_CONNECTION_ID'],
  ],
  VMBUS_EVENT_CONNECTION_ID: [
    ...['VMBUS_EVENT_CONNECTION_ID', 'VMBUS_EVENT_ID', 'vmbus_server.SHARED_EVENT_CONNECTION_ID'],
  ],
  VMBUS_MESSAGE_CONNECTION_ID_4: [
    ...['VMBUS_MESSAGE_CONNECTION_ID_4', 'vmbus_server.MULTICLIENT_MESSAGE_CONNECTION_ID'],
  ],
  VMBUS_MESSAGE_TYPE: ['VMBUS_MESSAGE_TYPE', 'vmbus_server.VMBUS_MESSAGE_TYPE'],
  VMBUS_MESSAGE_SINT: ['VMBUS_MESSAGE_SINT', 'vmbus_server.VMBUS_SINT'],
  VMBUS_CHANNEL_MAX: ['vmbus_server.MAX_CHANNELS'],
  MessageType: {
    ...same('vmbus_messages.', OPENVMM_MESSAGES),
    RELID_RELEASED: ['CHANNELMSG_RELID_RELEASED', 'vmbus_messages.REL_ID_RELEASED'],
    UNLOAD_RESPONSE: ['CHANNELMSG_UNLOAD_RESPONSE', 'VMBUS_UNLOAD_RESPONSE'],
    TL_CONNECT_RESULT: ['CHANNELMSG_TL_CONNECT_RESULT'],
  },
  ConnectionState: same('vmbus_misc.CONNECTION_STATE_', [
    ...['SUCCESSFUL', 'FAILED_LOW_RESOURCES', 'FAILED_UNKNOWN_FAILURE'],
  ]),
  OfferFlag: {
    ENUMERATE_DEVICE_INTERFACE: [
      'VMBUS_CHANNEL_ENUMERATE_DEVICE_INTERFACE',
      'vmbus_offer_flags.enumerate_device_interface',
    ],
    NAMED_PIPE_MODE: ['VMBUS_CHANNEL_NAMED_PIPE_MODE', 'vmbus_offer_flags.named_pipe_mode'],
    TLNPI_PROVIDER: ['VMBUS_CHANNEL_TLNPI_PROVIDER_OFFER', 'vmbus_offer_flags.tlnpi_provider'],
  },
  VP_INDEX_DISABLE_INTERRUPT: ['vmbus_misc.VP_INDEX_DISABLE_INTERRUPT'],
  STATUS_UNSUCCESSFUL: ['vmbus_misc.STATUS_UNSUCCESSFUL'],
  RING_FEATURE_PENDING_SEND_SIZE: ['ring.FEATURE_SUPPORTS_PENDING_SEND_SIZE'],
  PacketType: {
    DATA_INBAND: ['VM_PKT_DATA_INBAND', 'VMBUS_DATA_INBAND', 'ring.PACKET_TYPE_IN_BAND'],
    DATA_XFER_PAGES: [
      ...['VM_PKT_DATA_USING_XFER_PAGES', 'VMBUS_DATA_XFER_PAGES'],
      'ring.PACKET_TYPE_TRANSFER_PAGES',
    ],
    DATA_GPA_DIRECT: [
      ...['VM_PKT_DATA_USING_GPA_DIRECT', 'VMBUS_DATA_GPA_DIRECT'],
      'ring.PACKET_TYPE_GPA_DIRECT',
    ],
    CANCELLATION: ['VM_PKT_CANCEL_REQUEST', 'VMBUS_CANCELLATION'],
    COMPLETION: ['VM_PKT_COMP', 'VMBUS_COMPLETION', 'ring.PACKET_TYPE_COMPLETION'],
  },
  COMPLETION_REQUESTED: [
    ...['VMBUS_DATA_PACKET_FLAG_COMPLETION_REQUESTED', 'VMBUS_COMPLETION_REQUESTED'],
    'ring.PACKET_FLAG_COMPLETION_REQUESTED',
  ],
  PIPE_TYPE_DATA: ['ring.PIPE_PACKET_TYPE_DATA'],
  DeviceClass: {
    NETWORK: ['guid:HV_NIC_GUID', 'guid:netvsc', 'guid:guids.net_interface'],
    SCSI: ['guid:HV_SCSI_GUID', 'guid:guids.scsi_interface'],
    IDE: ['guid:HV_IDE_GUID', 'guid:guids.ide_accelerator_interface'],
    HEARTBEAT: ['guid:HV_HEART_BEAT_GUID', 'guid:guids.heartbeat_ic_interface'],
    SHUTDOWN: ['guid:HV_SHUTDOWN_GUID', 'guid:guids.shutdown_ic_interface'],
    TIME_SYNC: ['guid:HV_TS_GUID', 'guid:guids.timesync_ic_interface'],
    FILE_COPY: ['guid:HV_FCOPY_GUID'],
  },
};

/** Those of the simulated VMBus server alone. */
export const HOST_CONSTANTS: ConstantPins = {
  FeatureFlag: {
    GUEST_SPECIFIED_SIGNAL_PARAMETERS: ['vmbus_feature_flags.guest_specified_signal_parameters'],
    CHANNEL_INTERRUPT_REDIRECTION: ['vmbus_feature_flags.channel_interrupt_redirection'],
    MODIFY_CONNECTION: ['vmbus_feature_flags.modify_connection'],
    CLIENT_ID: ['vmbus_feature_flags.client_id'],
    PAUSE_RESUME: ['vmbus_feature_flags.pause_resume'],
  },
  OPEN_FLAG_REDIRECT_INTERRUPT: ['vmbus_misc.OPEN_CHANNEL_FLAG_REDIRECT_INTERRUPT'],
  REDIRECT_SINT: ['vmbus_server.REDIRECT_SINT'],
  STATUS_CONNECTION_REFUSED: ['vmbus_misc.STATUS_CONNECTION_REFUSED'],
};
