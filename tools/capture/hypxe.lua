-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Wireshark dissector for the VMBus interface of hypxe's captures (LINKTYPE_USER0).
-- Made by tools/capture/dissector.ts from the project's structures: do not edit.
--
--     wireshark -X lua_script:hypxe.lua boot.pcapng
--     tshark -X lua_script:hypxe.lua -r boot.pcapng -Y 'vmbus.msg.type == 16'

local p_hypxe = Proto.new("hypxe", "hypxe capture record")
local p_hv = Proto.new("hyperv", "Hyper-V hypervisor interface")
local p_vmbus = Proto.new("vmbus", "Hyper-V VMBus")
local p_nvsp = Proto.new("nvsp", "Hyper-V NetVSP")
local p_rndis = Proto.new("rndis", "Remote NDIS")
local p_ic = Proto.new("ic", "Hyper-V integration components")
local p_hv_keyboard = Proto.new("hv_keyboard", "Hyper-V keyboard")

local V = {}
V.HvCall = {
  [2] = "FLUSH_VIRTUAL_ADDRESS_SPACE",
  [3] = "FLUSH_VIRTUAL_ADDRESS_LIST",
  [8] = "NOTIFY_LONG_SPIN_WAIT",
  [11] = "SEND_IPI",
  [19] = "FLUSH_VIRTUAL_ADDRESS_SPACE_EX",
  [20] = "FLUSH_VIRTUAL_ADDRESS_LIST_EX",
  [21] = "SEND_IPI_EX",
  [80] = "GET_VP_REGISTERS",
  [81] = "SET_VP_REGISTERS",
  [92] = "POST_MESSAGE",
  [93] = "SIGNAL_EVENT",
  [126] = "RETARGET_INTERRUPT",
  [153] = "START_VP",
}
V.HvStatus = {
  [0] = "SUCCESS",
  [2] = "INVALID_HYPERCALL_CODE",
  [3] = "INVALID_HYPERCALL_INPUT",
  [4] = "INVALID_ALIGNMENT",
  [5] = "INVALID_PARAMETER",
  [6] = "ACCESS_DENIED",
  [8] = "OPERATION_DENIED",
  [11] = "INSUFFICIENT_MEMORY",
  [17] = "INVALID_PORT_ID",
  [18] = "INVALID_CONNECTION_ID",
  [19] = "INSUFFICIENT_BUFFERS",
  [24] = "INVALID_SYNIC_STATE",
  [120] = "TIME_OUT",
}
V.HvMessageType = {
  [0] = "NONE",
  [2147483648] = "UNMAPPED_GPA",
  [2147483649] = "GPA_INTERCEPT",
  [2147483664] = "TIMER_EXPIRED",
  [2147483680] = "INVALID_VP_REGISTER_VALUE",
  [2147483681] = "UNRECOVERABLE_EXCEPTION",
  [2147483682] = "UNSUPPORTED_FEATURE",
  [2147483712] = "EVENTLOG_BUFFER_COMPLETE",
}
V.Msr = {
  [1073741824] = "GUEST_OS_ID",
  [1073741825] = "HYPERCALL",
  [1073741826] = "VP_INDEX",
  [1073741856] = "TIME_REF_COUNT",
  [1073741857] = "REFERENCE_TSC",
  [1073741858] = "TSC_FREQUENCY",
  [1073741859] = "APIC_FREQUENCY",
  [1073741939] = "VP_ASSIST_PAGE",
  [1073741952] = "SCONTROL",
  [1073741953] = "SVERSION",
  [1073741954] = "SIEFP",
  [1073741955] = "SIMP",
  [1073741956] = "EOM",
  [1073741968] = "SINT0",
  [1073742000] = "STIMER0_CONFIG",
  [1073742001] = "STIMER0_COUNT",
  [1073742080] = "CRASH_P0",
  [1073742081] = "CRASH_P1",
  [1073742082] = "CRASH_P2",
  [1073742083] = "CRASH_P3",
  [1073742084] = "CRASH_P4",
  [1073742085] = "CRASH_CTL",
  [1073741969] = "SINT1",
  [1073741970] = "SINT2",
  [1073741971] = "SINT3",
  [1073741972] = "SINT4",
  [1073741973] = "SINT5",
  [1073741974] = "SINT6",
  [1073741975] = "SINT7",
  [1073741976] = "SINT8",
  [1073741977] = "SINT9",
  [1073741978] = "SINT10",
  [1073741979] = "SINT11",
  [1073741980] = "SINT12",
  [1073741981] = "SINT13",
  [1073741982] = "SINT14",
  [1073741983] = "SINT15",
  [1073742002] = "STIMER1_CONFIG",
  [1073742003] = "STIMER1_COUNT",
  [1073742004] = "STIMER2_CONFIG",
  [1073742005] = "STIMER2_COUNT",
  [1073742006] = "STIMER3_CONFIG",
  [1073742007] = "STIMER3_COUNT",
}
V.HvRegister = {
  [256] = "HYPERVISOR_VERSION",
  [512] = "FEATURES",
  [513] = "ENLIGHTENMENTS",
  [514] = "IMPLEMENTATION_LIMITS",
  [528] = "CRASH_P0",
  [529] = "CRASH_P1",
  [530] = "CRASH_P2",
  [531] = "CRASH_P3",
  [532] = "CRASH_P4",
  [533] = "CRASH_CTL",
  [589826] = "GUEST_OS_ID",
  [589827] = "VP_INDEX",
  [589828] = "TIME_REF_COUNT",
  [589830] = "INTERFACE_VERSION",
  [589843] = "VP_ASSIST_PAGE",
  [589847] = "REFERENCE_TSC",
  [655360] = "SINT0",
  [655376] = "SCONTROL",
  [655377] = "SVERSION",
  [655378] = "SIEFP",
  [655379] = "SIMP",
  [655380] = "EOM",
  [655381] = "SIRBP",
  [720896] = "STIMER0_CONFIG",
  [720897] = "STIMER0_COUNT",
  [655361] = "SINT1",
  [655362] = "SINT2",
  [655363] = "SINT3",
  [655364] = "SINT4",
  [655365] = "SINT5",
  [655366] = "SINT6",
  [655367] = "SINT7",
  [655368] = "SINT8",
  [655369] = "SINT9",
  [655370] = "SINT10",
  [655371] = "SINT11",
  [655372] = "SINT12",
  [655373] = "SINT13",
  [655374] = "SINT14",
  [655375] = "SINT15",
  [720898] = "STIMER1_CONFIG",
  [720899] = "STIMER1_COUNT",
  [720900] = "STIMER2_CONFIG",
  [720901] = "STIMER2_COUNT",
  [720902] = "STIMER3_CONFIG",
  [720903] = "STIMER3_COUNT",
}
V.MessageType = {
  [1] = "OFFER_CHANNEL",
  [2] = "RESCIND_CHANNEL_OFFER",
  [3] = "REQUEST_OFFERS",
  [4] = "ALL_OFFERS_DELIVERED",
  [5] = "OPEN_CHANNEL",
  [6] = "OPEN_CHANNEL_RESULT",
  [7] = "CLOSE_CHANNEL",
  [8] = "GPADL_HEADER",
  [9] = "GPADL_BODY",
  [10] = "GPADL_CREATED",
  [11] = "GPADL_TEARDOWN",
  [12] = "GPADL_TORNDOWN",
  [13] = "RELID_RELEASED",
  [14] = "INITIATE_CONTACT",
  [15] = "VERSION_RESPONSE",
  [16] = "UNLOAD",
  [17] = "UNLOAD_RESPONSE",
  [18] = "OPEN_RESERVED_CHANNEL",
  [19] = "CLOSE_RESERVED_CHANNEL",
  [20] = "CLOSE_RESERVED_RESPONSE",
  [21] = "TL_CONNECT_REQUEST",
  [22] = "MODIFY_CHANNEL",
  [23] = "TL_CONNECT_RESULT",
  [24] = "MODIFY_CHANNEL_RESPONSE",
  [25] = "MODIFY_CONNECTION",
  [26] = "MODIFY_CONNECTION_RESPONSE",
  [27] = "PAUSE",
  [28] = "PAUSE_RESPONSE",
  [29] = "RESUME",
}
V.PacketType = {
  [6] = "DATA_INBAND",
  [7] = "DATA_XFER_PAGES",
  [9] = "DATA_GPA_DIRECT",
  [10] = "CANCELLATION",
  [11] = "COMPLETION",
}
V.ConnectionState = {
  [0] = "SUCCESSFUL",
  [1] = "FAILED_LOW_RESOURCES",
  [2] = "FAILED_UNKNOWN_FAILURE",
}
V.VmbusVersion = {
  [13] = "0.13",
  [65537] = "1.1",
  [131076] = "2.4",
  [196608] = "3.0",
  [262144] = "4.0",
  [262145] = "4.1",
  [327680] = "5.0",
  [327681] = "5.1",
  [327682] = "5.2",
  [327683] = "5.3",
  [393216] = "6.0",
}
V.NvspType = {
  [1] = "INIT",
  [2] = "INIT_COMPLETE",
  [100] = "SEND_NDIS_VERSION",
  [101] = "SEND_RECEIVE_BUFFER",
  [102] = "SEND_RECEIVE_BUFFER_COMPLETE",
  [103] = "REVOKE_RECEIVE_BUFFER",
  [104] = "SEND_SEND_BUFFER",
  [105] = "SEND_SEND_BUFFER_COMPLETE",
  [106] = "REVOKE_SEND_BUFFER",
  [107] = "SEND_RNDIS_PACKET",
  [108] = "SEND_RNDIS_PACKET_COMPLETE",
  [125] = "SEND_NDIS_CONFIG",
  [128] = "SEND_VF_ASSOCIATION",
  [129] = "SWITCH_DATA_PATH",
  [133] = "SUBCHANNEL",
  [134] = "SEND_INDIRECTION_TABLE",
}
V.NvspStatus = {
  [0] = "NONE",
  [1] = "SUCCESS",
  [2] = "FAIL",
  [3] = "PROTOCOL_TOO_NEW",
  [4] = "PROTOCOL_TOO_OLD",
  [5] = "INVALID_RNDIS_PACKET",
  [6] = "BUSY",
  [7] = "PROTOCOL_UNSUPPORTED",
}
V.NvspVersion = {
  [2] = "V1",
  [196610] = "V2",
  [262144] = "V4",
  [327680] = "V5",
  [393216] = "V6",
  [393217] = "V6_1",
}
V.RndisChannel = {
  [0] = "DATA",
  [1] = "CONTROL",
}
V.RndisType = {
  [1] = "PACKET",
  [2] = "INITIALISE",
  [3] = "HALT",
  [4] = "QUERY",
  [5] = "SET",
  [6] = "RESET",
  [7] = "INDICATE_STATUS",
  [8] = "KEEPALIVE",
  [2147483650] = "INITIALISE_CMPLT",
  [2147483652] = "QUERY_CMPLT",
  [2147483653] = "SET_CMPLT",
  [2147483654] = "RESET_CMPLT",
  [2147483656] = "KEEPALIVE_CMPLT",
}
V.RndisStatus = {
  [0] = "SUCCESS",
  [1073807371] = "MEDIA_CONNECT",
  [1073807372] = "MEDIA_DISCONNECT",
  [1073872902] = "TASK_OFFLOAD_CURRENT_CONFIG",
  [3221225473] = "FAILURE",
  [3221225659] = "NOT_SUPPORTED",
}
V.Oid = {
  [65793] = "GEN_SUPPORTED_LIST",
  [65794] = "GEN_HARDWARE_STATUS",
  [65795] = "GEN_MEDIA_SUPPORTED",
  [65796] = "GEN_MEDIA_IN_USE",
  [65798] = "GEN_MAXIMUM_FRAME_SIZE",
  [65799] = "GEN_LINK_SPEED",
  [65806] = "GEN_CURRENT_PACKET_FILTER",
  [65809] = "GEN_MAXIMUM_TOTAL_SIZE",
  [65812] = "GEN_MEDIA_CONNECT_STATUS",
  [16843009] = "OID_802_3_PERMANENT_ADDRESS",
  [16843010] = "OID_802_3_CURRENT_ADDRESS",
  [16843012] = "OID_802_3_MAXIMUM_LIST_SIZE",
}
V.IcType = {
  [0] = "NEGOTIATE",
  [1] = "HEARTBEAT",
  [2] = "KVP_EXCHANGE",
  [3] = "SHUTDOWN",
  [4] = "TIME_SYNC",
  [5] = "VSS",
  [7] = "FILE_COPY",
}
V.IcStatus = {
  [0] = "SUCCESS",
  [2147500037] = "FAIL",
  [2147942450] = "NOT_SUPPORTED",
  [2147942480] = "ALREADY_EXISTS",
  [2147942487] = "INVALID_ARGUMENT",
  [2147942512] = "DISK_FULL",
  [2147942659] = "MORE_DATA",
  [2147749890] = "NOT_FOUND",
}
V.FileCopyOperation = {
  [0] = "START",
  [1] = "WRITE",
  [2] = "COMPLETE",
  [3] = "CANCEL",
}
V.CaptureKind = {
  [1] = "HYPERCALL",
  [2] = "HOST_MESSAGE",
  [3] = "RING_PACKET",
  [4] = "MSR_WRITE",
  [5] = "REGISTER_WRITE",
  [6] = "EVENT_FLAG",
  [7] = "MONITOR_SIGNAL",
  [8] = "MESSAGE_TAKEN",
  [9] = "NOTE",
}
V.CaptureDirection = {
  [0] = "UNKNOWN",
  [1] = "INBOUND",
  [2] = "OUTBOUND",
}
V.CaptureChange = {
  [0] = "NONE",
  [1] = "DELIVER",
  [2] = "QUEUE",
  [3] = "DROP",
  [4] = "SET",
  [5] = "ALREADY_SET",
  [6] = "LOST",
}
V.CaptureDevice = {
  [0] = "UNKNOWN",
  [1] = "NETWORK",
  [2] = "UTILITY",
  [16] = "KEYBOARD",
}
local S = {}
S.CaptureHeader = { name = "HYPXE_CAPTURE_HEADER", size = 36, least = 36, fields = {
  { 0, 1, "hypxe.version" },
  { 1, 1, "hypxe.kind" },
  { 2, 1, "hypxe.direction" },
  { 3, 1, "hypxe.change" },
  { 4, 4, "hypxe.channel" },
  { 8, 4, "hypxe.vp" },
  { 12, 1, "hypxe.sint" },
  { 13, 1, "hypxe.secondary" },
  { 14, 2, "hypxe.status" },
  { 16, 4, "hypxe.number" },
  { 20, 4, "hypxe.ring_offset" },
  { 24, 4, "hypxe.length" },
  { 28, 4, "hypxe.attached" },
  { 32, 1, "hypxe.device" },
  { 33, 3, "hypxe.padding" },
} }
S.MonitorPage = { name = "HV_MONITOR_PAGE", size = 4096, least = 4096, fields = {
  { 0, 4, "hyperv.monitor_page.flags" },
  { 8, 32, "hyperv.monitor_page.trigger" },
  { 576, 256, "hyperv.monitor_page.latency" },
  { 1088, 1024, "hyperv.monitor_page.parameter" },
} }
S.MonitorParameter = { name = "HV_MONITOR_PARAMETER", size = 8, least = 8, fields = {
  { 0, 4, "hyperv.monitor_parameter.connection_id" },
  { 4, 2, "hyperv.monitor_parameter.flag" },
  { 6, 2, "hyperv.monitor_parameter.reserved" },
} }
S.MonitorTrigger = { name = "HV_MONITOR_TRIGGER", size = 8, least = 8, fields = {
  { 0, 4, "hyperv.monitor_trigger.pending" },
  { 4, 4, "hyperv.monitor_trigger.armed" },
} }
S.PostMessage = { name = "HvPostMessage", size = 256, least = 16, fields = {
  { 0, 4, "hyperv.post_message.connection_id" },
  { 4, 4, "hyperv.post_message.reserved" },
  { 8, 4, "hyperv.post_message.type" },
  { 12, 4, "hyperv.post_message.length" },
  { 16, 240, "hyperv.post_message.data" },
} }
S.ReferenceTscPage = { name = "HV_REFERENCE_TSC_PAGE", size = 24, least = 24, fields = {
  { 0, 4, "hyperv.reference_tsc_page.sequence" },
  { 4, 4, "hyperv.reference_tsc_page.reserved" },
  { 8, 8, "hyperv.reference_tsc_page.scale" },
  { 16, 8, "hyperv.reference_tsc_page.offset" },
} }
S.SignalEvent = { name = "HvSignalEvent", size = 8, least = 8, fields = {
  { 0, 4, "hyperv.signal_event.connection_id" },
  { 4, 2, "hyperv.signal_event.flag" },
  { 6, 2, "hyperv.signal_event.reserved" },
} }
S.SynicMessage = { name = "HV_MESSAGE", size = 256, least = 256, fields = {
  { 0, 4, "hyperv.synic_message.type" },
  { 4, 1, "hyperv.synic_message.length" },
  { 5, 1, "hyperv.synic_message.flags" },
  { 6, 2, "hyperv.synic_message.reserved" },
  { 8, 8, "hyperv.synic_message.origin" },
  { 16, 240, "hyperv.synic_message.data" },
} }
S.TimerMessage = { name = "HV_TIMER_MESSAGE_PAYLOAD", size = 24, least = 24, fields = {
  { 0, 4, "hyperv.timer_message.timer_index" },
  { 4, 4, "hyperv.timer_message.reserved" },
  { 8, 8, "hyperv.timer_message.expiration_time" },
  { 16, 8, "hyperv.timer_message.delivery_time" },
} }
S.VpRegisterAssignment = { name = "HV_REGISTER_ASSOC", size = 32, least = 32, fields = {
  { 0, 4, "hyperv.vp_register_assignment.name" },
  { 4, 12, "hyperv.vp_register_assignment.reserved" },
  { 16, 16, "hyperv.vp_register_assignment.value" },
} }
S.VpRegistersInput = { name = "HV_VP_REGISTERS_INPUT", size = 16, least = 16, fields = {
  { 0, 8, "hyperv.vp_registers_input.partition_id" },
  { 8, 4, "hyperv.vp_registers_input.vp_index" },
  { 12, 1, "hyperv.vp_registers_input.input_vtl" },
  { 13, 3, "hyperv.vp_registers_input.padding" },
} }
S.CloseChannel = { name = "CLOSE_CHANNEL", size = 12, least = 12, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.channel" },
} }
S.GpaDirectHeader = { name = "VMBUS_GPA_DIRECT_HEADER", size = 24, least = 24, fields = {
  { 0, 2, "vmbus.packet.type" },
  { 2, 2, "vmbus.packet.header_qlen" },
  { 4, 2, "vmbus.packet.qlen" },
  { 6, 2, "vmbus.packet.flags" },
  { 8, 8, "vmbus.packet.transaction_id" },
  { 16, 4, "vmbus.packet.reserved" },
  { 20, 4, "vmbus.packet.range_count" },
} }
S.GpaRange = { name = "GPA_RANGE", size = 8, least = 8, fields = {
  { 0, 4, "vmbus.gpa_range.byte_count" },
  { 4, 4, "vmbus.gpa_range.byte_offset" },
} }
S.GpadlBody = { name = "GPADL_BODY", size = 16, least = 16, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.message_number" },
  { 12, 4, "vmbus.msg.gpadl" },
} }
S.GpadlCreated = { name = "GPADL_CREATED", size = 20, least = 20, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.channel" },
  { 12, 4, "vmbus.msg.gpadl" },
  { 16, 4, "vmbus.msg.status" },
} }
S.GpadlHeader = { name = "GPADL_HEADER", size = 20, least = 20, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.channel" },
  { 12, 4, "vmbus.msg.gpadl" },
  { 16, 2, "vmbus.msg.range_length" },
  { 18, 2, "vmbus.msg.range_count" },
} }
S.GpadlTeardown = { name = "GPADL_TEARDOWN", size = 16, least = 16, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.channel" },
  { 12, 4, "vmbus.msg.gpadl" },
} }
S.GpadlTorndown = { name = "GPADL_TORNDOWN", size = 12, least = 12, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.gpadl" },
} }
S.InitiateContact = { name = "INITIATE_CONTACT", size = 40, least = 40, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.version" },
  { 12, 4, "vmbus.msg.target_vp" },
  { 16, 8, "vmbus.msg.interrupt_page" },
  { 24, 8, "vmbus.msg.monitor_in" },
  { 32, 8, "vmbus.msg.monitor_out" },
} }
S.InterruptPage = { name = "VMBUS_INTERRUPT_PAGE", size = 4096, least = 4096, fields = {
  { 0, 2048, "vmbus.interrupt_page.in" },
  { 2048, 2048, "vmbus.interrupt_page.out" },
} }
S.MessageHeader = { name = "VMBUS_MESSAGE_HEADER", size = 8, least = 8, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
} }
S.ModifyChannel = { name = "MODIFY_CHANNEL", size = 16, least = 16, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.channel" },
  { 12, 4, "vmbus.msg.target_vp" },
} }
S.ModifyChannelResponse = { name = "MODIFY_CHANNEL_RESPONSE", size = 16, least = 16, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.channel" },
  { 12, 4, "vmbus.msg.status" },
} }
S.OfferChannel = { name = "OFFER_CHANNEL", size = 196, least = 196, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 16, "vmbus.msg.interface_id" },
  { 24, 16, "vmbus.msg.instance_id" },
  { 40, 16, "vmbus.msg.reserved_a" },
  { 56, 2, "vmbus.msg.flags" },
  { 58, 2, "vmbus.msg.mmio_megabytes" },
  { 60, 120, "vmbus.msg.user_defined" },
  { 180, 2, "vmbus.msg.subchannel_index" },
  { 182, 2, "vmbus.msg.mmio_megabytes_optional" },
  { 184, 4, "vmbus.msg.channel" },
  { 188, 1, "vmbus.msg.monitor" },
  { 189, 1, "vmbus.msg.monitored" },
  { 190, 2, "vmbus.msg.is_dedicated" },
  { 192, 4, "vmbus.msg.connection_id" },
} }
S.OpenChannel = { name = "OPEN_CHANNEL", size = 148, least = 148, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.channel" },
  { 12, 4, "vmbus.msg.open_id" },
  { 16, 4, "vmbus.msg.gpadl" },
  { 20, 4, "vmbus.msg.target_vp" },
  { 24, 4, "vmbus.msg.out_pages" },
  { 28, 120, "vmbus.msg.user_data" },
} }
S.OpenChannelResult = { name = "OPEN_CHANNEL_RESULT", size = 20, least = 20, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.channel" },
  { 12, 4, "vmbus.msg.open_id" },
  { 16, 4, "vmbus.msg.status" },
} }
S.PacketFooter = { name = "VMBUS_PACKET_FOOTER", size = 8, least = 8, fields = {
  { 0, 4, "vmbus.packet_footer.reserved" },
  { 4, 4, "vmbus.packet_footer.offset" },
} }
S.PacketHeader = { name = "VMBUS_PACKET_HEADER", size = 16, least = 16, fields = {
  { 0, 2, "vmbus.packet.type" },
  { 2, 2, "vmbus.packet.header_qlen" },
  { 4, 2, "vmbus.packet.qlen" },
  { 6, 2, "vmbus.packet.flags" },
  { 8, 8, "vmbus.packet.transaction_id" },
} }
S.PipeHeader = { name = "VMBUS_PIPE_HEADER", size = 8, least = 8, fields = {
  { 0, 4, "vmbus.pipe_header.type" },
  { 4, 4, "vmbus.pipe_header.length" },
} }
S.RelidReleased = { name = "RELID_RELEASED", size = 12, least = 12, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.channel" },
} }
S.RescindChannelOffer = { name = "RESCIND_CHANNEL_OFFER", size = 12, least = 12, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 4, "vmbus.msg.channel" },
} }
S.RingControl = { name = "VMBUS_RING_CONTROL", size = 4096, least = 4096, fields = {
  { 0, 4, "vmbus.ring_control.prod" },
  { 4, 4, "vmbus.ring_control.cons" },
  { 8, 4, "vmbus.ring_control.interrupt_mask" },
  { 12, 4, "vmbus.ring_control.pending_send_size" },
  { 64, 4, "vmbus.ring_control.feature_bits" },
} }
S.SignalParameters = { name = "SIGNAL_PARAMETERS", size = 8, least = 8, fields = {
  { 0, 4, "vmbus.signal_parameters.connection_id" },
  { 4, 2, "vmbus.signal_parameters.event_flag" },
  { 6, 2, "vmbus.signal_parameters.flags" },
} }
S.TargetInfo = { name = "VMBUS_TARGET_INFO", size = 8, least = 8, fields = {
  { 0, 1, "vmbus.target_info.sint" },
  { 1, 1, "vmbus.target_info.vtl" },
  { 2, 2, "vmbus.target_info.reserved" },
  { 4, 4, "vmbus.target_info.feature_flags" },
} }
S.TlConnectRequest = { name = "TL_CONNECT_REQUEST", size = 40, least = 40, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 16, "vmbus.msg.endpoint_id" },
  { 24, 16, "vmbus.msg.service_id" },
} }
S.TlConnectResult = { name = "TL_CONNECT_RESULT", size = 44, least = 44, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 16, "vmbus.msg.endpoint_id" },
  { 24, 16, "vmbus.msg.service_id" },
  { 40, 4, "vmbus.msg.status" },
} }
S.VersionResponse = { name = "VERSION_RESPONSE", size = 16, least = 9, fields = {
  { 0, 4, "vmbus.msg.type" },
  { 4, 4, "vmbus.msg.reserved" },
  { 8, 1, "vmbus.msg.supported" },
  { 9, 1, "vmbus.msg.connection_state" },
  { 10, 2, "vmbus.msg.padding" },
  { 12, 4, "vmbus.msg.version" },
} }
S.XferPageHeader = { name = "VMBUS_XFER_PAGE_HEADER", size = 24, least = 24, fields = {
  { 0, 2, "vmbus.packet.type" },
  { 2, 2, "vmbus.packet.header_qlen" },
  { 4, 2, "vmbus.packet.qlen" },
  { 6, 2, "vmbus.packet.flags" },
  { 8, 8, "vmbus.packet.transaction_id" },
  { 16, 2, "vmbus.packet.page_set" },
  { 18, 1, "vmbus.packet.owner" },
  { 19, 1, "vmbus.packet.xfer_page_header.reserved" },
  { 20, 4, "vmbus.packet.range_count" },
} }
S.XferPageRange = { name = "VMBUS_XFER_PAGE_RANGE", size = 8, least = 8, fields = {
  { 0, 4, "vmbus.xfer_page_range.length" },
  { 4, 4, "vmbus.xfer_page_range.offset" },
} }
S.NvspType = { name = "NVSP", size = 4, least = 4, fields = {
  { 0, 4, "nvsp.type" },
} }
S.NvspInit = { name = "NVSP_INIT", size = 12, least = 12, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.min_version" },
  { 8, 4, "nvsp.max_version" },
} }
S.NvspInitComplete = { name = "NVSP_INIT_COMPLETE", size = 16, least = 16, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.version" },
  { 8, 4, "nvsp.max_mdl_chain_length" },
  { 12, 4, "nvsp.status" },
} }
S.NvspNdisConfig = { name = "NVSP_SEND_NDIS_CONFIG", size = 20, least = 20, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.mtu" },
  { 8, 4, "nvsp.reserved" },
  { 12, 8, "nvsp.capabilities" },
} }
S.NvspNdisVersion = { name = "NVSP_SEND_NDIS_VERSION", size = 12, least = 12, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.major" },
  { 8, 4, "nvsp.minor" },
} }
S.NvspReceiveBufferComplete = { name = "NVSP_SEND_RECEIVE_BUFFER_COMPLETE", size = 12, least = 12, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.status" },
  { 8, 4, "nvsp.section_count" },
} }
S.NvspReceiveBufferSection = { name = "NVSP_RECEIVE_BUFFER_SECTION", size = 16, least = 16, fields = {
  { 0, 4, "nvsp.offset" },
  { 4, 4, "nvsp.sub_allocation_size" },
  { 8, 4, "nvsp.sub_allocation_count" },
  { 12, 4, "nvsp.end_offset" },
} }
S.NvspRevokeBuffer = { name = "NVSP_REVOKE_BUFFER", size = 6, least = 6, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 2, "nvsp.id" },
} }
S.NvspRndisPacket = { name = "NVSP_SEND_RNDIS_PACKET", size = 16, least = 16, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.channel_type" },
  { 8, 4, "nvsp.send_buffer_index" },
  { 12, 4, "nvsp.send_buffer_size" },
} }
S.NvspRndisPacketComplete = { name = "NVSP_SEND_RNDIS_PACKET_COMPLETE", size = 8, least = 8, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.status" },
} }
S.NvspSendBuffer = { name = "NVSP_SEND_BUFFER", size = 10, least = 10, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.gpadl" },
  { 8, 2, "nvsp.id" },
} }
S.NvspSendBufferComplete = { name = "NVSP_SEND_SEND_BUFFER_COMPLETE", size = 12, least = 12, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.status" },
  { 8, 4, "nvsp.section_size" },
} }
S.NvspSendTable = { name = "NVSP_SEND_INDIRECTION_TABLE", size = 12, least = 12, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.count" },
  { 8, 4, "nvsp.offset" },
} }
S.NvspSubchannelComplete = { name = "NVSP_SUBCHANNEL_COMPLETE", size = 12, least = 12, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.status" },
  { 8, 4, "nvsp.count" },
} }
S.NvspSubchannelRequest = { name = "NVSP_SUBCHANNEL", size = 12, least = 12, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.operation" },
  { 8, 4, "nvsp.count" },
} }
S.NvspVfAssociation = { name = "NVSP_SEND_VF_ASSOCIATION", size = 12, least = 12, fields = {
  { 0, 4, "nvsp.type" },
  { 4, 4, "nvsp.allocated" },
  { 8, 4, "nvsp.serial" },
} }
S.RndisHalt = { name = "RNDIS_HALT", size = 12, least = 12, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.request_id" },
} }
S.RndisHeader = { name = "RNDIS_HEADER", size = 8, least = 8, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
} }
S.RndisIndicateStatus = { name = "RNDIS_INDICATE_STATUS", size = 20, least = 20, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.status" },
  { 12, 4, "rndis.buffer_length" },
  { 16, 4, "rndis.buffer_offset" },
} }
S.RndisInitialise = { name = "RNDIS_INITIALISE", size = 24, least = 24, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.request_id" },
  { 12, 4, "rndis.major" },
  { 16, 4, "rndis.minor" },
  { 20, 4, "rndis.max_transfer" },
} }
S.RndisInitialiseComplete = { name = "RNDIS_INITIALISE_CMPLT", size = 52, least = 52, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.request_id" },
  { 12, 4, "rndis.status" },
  { 16, 4, "rndis.major" },
  { 20, 4, "rndis.minor" },
  { 24, 4, "rndis.device_flags" },
  { 28, 4, "rndis.medium" },
  { 32, 4, "rndis.max_packets" },
  { 36, 4, "rndis.max_transfer" },
  { 40, 4, "rndis.packet_alignment" },
  { 44, 8, "rndis.reserved" },
} }
S.RndisKeepalive = { name = "RNDIS_KEEPALIVE", size = 12, least = 12, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.request_id" },
} }
S.RndisKeepaliveComplete = { name = "RNDIS_KEEPALIVE_CMPLT", size = 16, least = 16, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.request_id" },
  { 12, 4, "rndis.status" },
} }
S.RndisPacket = { name = "RNDIS_PACKET", size = 44, least = 44, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.data_offset" },
  { 12, 4, "rndis.data_length" },
  { 16, 4, "rndis.oob_offset" },
  { 20, 4, "rndis.oob_length" },
  { 24, 4, "rndis.oob_count" },
  { 28, 4, "rndis.ppi_offset" },
  { 32, 4, "rndis.ppi_length" },
  { 36, 8, "rndis.reserved" },
} }
S.RndisPacketInfo = { name = "RNDIS_PER_PACKET_INFO", size = 12, least = 12, fields = {
  { 0, 4, "rndis.ppi.size" },
  { 4, 4, "rndis.ppi.type" },
  { 8, 4, "rndis.ppi.data_offset" },
} }
S.RndisQueryComplete = { name = "RNDIS_QUERY_CMPLT", size = 24, least = 24, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.request_id" },
  { 12, 4, "rndis.status" },
  { 16, 4, "rndis.info_length" },
  { 20, 4, "rndis.info_offset" },
} }
S.RndisRequest = { name = "RNDIS_REQUEST", size = 28, least = 28, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.request_id" },
  { 12, 4, "rndis.oid" },
  { 16, 4, "rndis.info_length" },
  { 20, 4, "rndis.info_offset" },
  { 24, 4, "rndis.device_vc_handle" },
} }
S.RndisReset = { name = "RNDIS_RESET", size = 12, least = 12, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.rndis_reset.reserved" },
} }
S.RndisResetComplete = { name = "RNDIS_RESET_CMPLT", size = 16, least = 16, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.status" },
  { 12, 4, "rndis.addressing_reset" },
} }
S.RndisSetComplete = { name = "RNDIS_SET_CMPLT", size = 16, least = 16, fields = {
  { 0, 4, "rndis.type" },
  { 4, 4, "rndis.length" },
  { 8, 4, "rndis.request_id" },
  { 12, 4, "rndis.status" },
} }
S.FileCopyData = { name = "HV_FCOPY_DATA", size = 6196, least = 52, fields = {
  { 0, 4, "ic.file_copy_data.operation" },
  { 4, 16, "ic.file_copy_data.service_id0" },
  { 20, 16, "ic.file_copy_data.service_id1" },
  { 36, 4, "ic.file_copy_data.padding" },
  { 40, 8, "ic.file_copy_data.offset" },
  { 48, 4, "ic.file_copy_data.length" },
  { 52, 6144, "ic.file_copy_data.data" },
} }
S.FileCopyHeader = { name = "HV_FCOPY_HEADER", size = 36, least = 36, fields = {
  { 0, 4, "ic.file_copy_header.operation" },
  { 4, 16, "ic.file_copy_header.service_id0" },
  { 20, 16, "ic.file_copy_header.service_id1" },
} }
S.FileCopyStart = { name = "HV_FCOPY_START", size = 1088, least = 1088, fields = {
  { 0, 4, "ic.file_copy_start.operation" },
  { 4, 16, "ic.file_copy_start.service_id0" },
  { 20, 16, "ic.file_copy_start.service_id1" },
  { 36, 520, "ic.file_copy_start.file_name" },
  { 556, 520, "ic.file_copy_start.path_name" },
  { 1076, 4, "ic.file_copy_start.copy_flags" },
  { 1080, 8, "ic.file_copy_start.file_size" },
} }
S.HeartbeatMessage = { name = "IC_HEARTBEAT", size = 40, least = 40, fields = {
  { 0, 8, "ic.heartbeat_message.sequence" },
  { 8, 32, "ic.heartbeat_message.reserved" },
} }
S.IcHeader = { name = "IC_MESSAGE_HEADER", size = 20, least = 20, fields = {
  { 0, 2, "ic.framework_major" },
  { 2, 2, "ic.framework_minor" },
  { 4, 2, "ic.type" },
  { 6, 2, "ic.message_major" },
  { 8, 2, "ic.message_minor" },
  { 10, 2, "ic.length" },
  { 12, 4, "ic.status" },
  { 16, 1, "ic.transaction_id" },
  { 17, 1, "ic.flags" },
  { 18, 2, "ic.reserved" },
} }
S.IcNegotiate = { name = "IC_NEGOTIATE", size = 8, least = 8, fields = {
  { 0, 2, "ic.ic_negotiate.framework_count" },
  { 2, 2, "ic.ic_negotiate.message_count" },
  { 4, 4, "ic.ic_negotiate.reserved" },
} }
S.IcVersion = { name = "IC_VERSION", size = 4, least = 4, fields = {
  { 0, 2, "ic.ic_version.major" },
  { 2, 2, "ic.ic_version.minor" },
} }
S.ShutdownMessage = { name = "IC_SHUTDOWN", size = 2060, least = 12, fields = {
  { 0, 4, "ic.shutdown_message.reason_code" },
  { 4, 4, "ic.shutdown_message.timeout_seconds" },
  { 8, 4, "ic.shutdown_message.flags" },
  { 12, 2048, "ic.shutdown_message.display_message" },
} }
S.TimeSyncMessage = { name = "IC_TIME_SYNC", size = 25, least = 25, fields = {
  { 0, 8, "ic.time_sync_message.parent_time" },
  { 8, 8, "ic.time_sync_message.child_time" },
  { 16, 8, "ic.time_sync_message.round_trip_time" },
  { 24, 1, "ic.time_sync_message.flags" },
} }
S.TimeSyncReferenceMessage = { name = "IC_TIME_SYNC_REFERENCE", size = 22, least = 22, fields = {
  { 0, 8, "ic.time_sync_reference_message.parent_time" },
  { 8, 8, "ic.time_sync_reference_message.reference_time" },
  { 16, 1, "ic.time_sync_reference_message.flags" },
  { 17, 1, "ic.time_sync_reference_message.leap_flags" },
  { 18, 1, "ic.time_sync_reference_message.stratum" },
  { 19, 3, "ic.time_sync_reference_message.reserved" },
} }
local messages = {
  [1] = S.OfferChannel,
  [2] = S.RescindChannelOffer,
  [3] = S.MessageHeader,
  [4] = S.MessageHeader,
  [5] = S.OpenChannel,
  [6] = S.OpenChannelResult,
  [7] = S.CloseChannel,
  [8] = S.GpadlHeader,
  [9] = S.GpadlBody,
  [10] = S.GpadlCreated,
  [11] = S.GpadlTeardown,
  [12] = S.GpadlTorndown,
  [13] = S.RelidReleased,
  [14] = S.InitiateContact,
  [15] = S.VersionResponse,
  [16] = S.MessageHeader,
  [17] = S.MessageHeader,
  [22] = S.ModifyChannel,
  [24] = S.ModifyChannelResponse,
}
local nvsp_messages = {
  [1] = S.NvspInit,
  [2] = S.NvspInitComplete,
  [100] = S.NvspNdisVersion,
  [101] = S.NvspSendBuffer,
  [102] = S.NvspReceiveBufferComplete,
  [103] = S.NvspRevokeBuffer,
  [104] = S.NvspSendBuffer,
  [105] = S.NvspSendBufferComplete,
  [106] = S.NvspRevokeBuffer,
  [107] = S.NvspRndisPacket,
  [108] = S.NvspRndisPacketComplete,
  [125] = S.NvspNdisConfig,
  [128] = S.NvspVfAssociation,
  [133] = S.NvspSubchannelRequest,
  [134] = S.NvspSendTable,
}
local rndis_messages = {
  [1] = S.RndisPacket,
  [2] = S.RndisInitialise,
  [3] = S.RndisHalt,
  [4] = S.RndisRequest,
  [5] = S.RndisRequest,
  [6] = S.RndisReset,
  [7] = S.RndisIndicateStatus,
  [8] = S.RndisKeepalive,
  [2147483650] = S.RndisInitialiseComplete,
  [2147483652] = S.RndisQueryComplete,
  [2147483653] = S.RndisSetComplete,
  [2147483654] = S.RndisResetComplete,
  [2147483656] = S.RndisKeepaliveComplete,
}
local ic_messages = {
  [0] = S.IcNegotiate,
  [1] = S.HeartbeatMessage,
  [3] = S.ShutdownMessage,
  [4] = S.TimeSyncMessage,
}
S.hv_keyboard_1 = { name = "SYNTH_KBD_PROTOCOL_REQUEST", size = 8, least = 8, fields = {
  { 0, 4, "hv_keyboard.type" },
  { 4, 4, "hv_keyboard.version" },
} }
S.hv_keyboard_2 = { name = "SYNTH_KBD_PROTOCOL_RESPONSE", size = 8, least = 8, fields = {
  { 0, 4, "hv_keyboard.type" },
  { 4, 4, "hv_keyboard.status" },
} }
S.hv_keyboard_3 = { name = "SYNTH_KBD_KEYSTROKE", size = 12, least = 12, fields = {
  { 0, 4, "hv_keyboard.type" },
  { 4, 2, "hv_keyboard.make_code" },
  { 6, 2, "hv_keyboard.reserved" },
  { 8, 4, "hv_keyboard.info" },
} }
S.hv_keyboard_4 = { name = "SYNTH_KBD_LED_INDICATORS", size = 8, least = 8, fields = {
  { 0, 4, "hv_keyboard.type" },
  { 4, 4, "hv_keyboard.state" },
} }
S.hv_keyboard_header = { name = "SYNTH_KBD_MSG_HDR", size = 4, least = 4, fields = {
  { 0, 4, "hv_keyboard.type" },
} }
V.hv_keyboard = {
  [1] = "PROTOCOL_REQUEST",
  [2] = "PROTOCOL_RESPONSE",
  [3] = "EVENT",
  [4] = "LED_INDICATORS",
}
local described = {
  [16] = {
    name = "keyboard", proto = p_hv_keyboard, types = V.hv_keyboard,
    type_at = 0, header = S.hv_keyboard_header,
    messages = { [1] = S.hv_keyboard_1, [2] = S.hv_keyboard_2, [3] = S.hv_keyboard_3, [4] = S.hv_keyboard_4 },
  },
}
local F = {}
F["hypxe.version"] = ProtoField.uint8("hypxe.version", "version", base.HEX)
F["hypxe.kind"] = ProtoField.uint8("hypxe.kind", "kind", base.HEX, V.CaptureKind)
F["hypxe.direction"] = ProtoField.uint8("hypxe.direction", "direction", base.HEX, V.CaptureDirection)
F["hypxe.change"] = ProtoField.uint8("hypxe.change", "change", base.HEX, V.CaptureChange)
F["hypxe.channel"] = ProtoField.uint32("hypxe.channel", "channel", base.DEC)
F["hypxe.vp"] = ProtoField.uint32("hypxe.vp", "vp", base.DEC)
F["hypxe.sint"] = ProtoField.uint8("hypxe.sint", "sint", base.DEC)
F["hypxe.secondary"] = ProtoField.uint8("hypxe.secondary", "secondary", base.DEC)
F["hypxe.status"] = ProtoField.uint16("hypxe.status", "status", base.HEX)
F["hypxe.number"] = ProtoField.uint32("hypxe.number", "number", base.DEC)
F["hypxe.ring_offset"] = ProtoField.uint32("hypxe.ring_offset", "ring offset", base.HEX)
F["hypxe.length"] = ProtoField.uint32("hypxe.length", "length", base.DEC)
F["hypxe.attached"] = ProtoField.uint32("hypxe.attached", "attached", base.HEX)
F["hypxe.device"] = ProtoField.uint8("hypxe.device", "device", base.HEX, V.CaptureDevice)
F["hypxe.padding"] = ProtoField.bytes("hypxe.padding", "padding")
F["hyperv.monitor_page.flags"] = ProtoField.uint32("hyperv.monitor_page.flags", "flags", base.HEX)
F["hyperv.monitor_page.trigger"] = ProtoField.bytes("hyperv.monitor_page.trigger", "trigger")
F["hyperv.monitor_page.latency"] = ProtoField.bytes("hyperv.monitor_page.latency", "latency")
F["hyperv.monitor_page.parameter"] = ProtoField.bytes("hyperv.monitor_page.parameter", "parameter")
F["hyperv.monitor_parameter.connection_id"] = ProtoField.uint32("hyperv.monitor_parameter.connection_id", "connection id", base.HEX)
F["hyperv.monitor_parameter.flag"] = ProtoField.uint16("hyperv.monitor_parameter.flag", "flag", base.HEX)
F["hyperv.monitor_parameter.reserved"] = ProtoField.uint16("hyperv.monitor_parameter.reserved", "reserved", base.HEX)
F["hyperv.monitor_trigger.pending"] = ProtoField.uint32("hyperv.monitor_trigger.pending", "pending", base.HEX)
F["hyperv.monitor_trigger.armed"] = ProtoField.uint32("hyperv.monitor_trigger.armed", "armed", base.HEX)
F["hyperv.post_message.connection_id"] = ProtoField.uint32("hyperv.post_message.connection_id", "connection id", base.HEX)
F["hyperv.post_message.reserved"] = ProtoField.uint32("hyperv.post_message.reserved", "reserved", base.HEX)
F["hyperv.post_message.type"] = ProtoField.uint32("hyperv.post_message.type", "type", base.HEX)
F["hyperv.post_message.length"] = ProtoField.uint32("hyperv.post_message.length", "length", base.DEC)
F["hyperv.post_message.data"] = ProtoField.bytes("hyperv.post_message.data", "data")
F["hyperv.reference_tsc_page.sequence"] = ProtoField.uint32("hyperv.reference_tsc_page.sequence", "sequence", base.DEC)
F["hyperv.reference_tsc_page.reserved"] = ProtoField.uint32("hyperv.reference_tsc_page.reserved", "reserved", base.HEX)
F["hyperv.reference_tsc_page.scale"] = ProtoField.uint64("hyperv.reference_tsc_page.scale", "scale", base.HEX)
F["hyperv.reference_tsc_page.offset"] = ProtoField.uint64("hyperv.reference_tsc_page.offset", "offset", base.HEX)
F["hyperv.signal_event.connection_id"] = ProtoField.uint32("hyperv.signal_event.connection_id", "connection id", base.HEX)
F["hyperv.signal_event.flag"] = ProtoField.uint16("hyperv.signal_event.flag", "flag", base.HEX)
F["hyperv.signal_event.reserved"] = ProtoField.uint16("hyperv.signal_event.reserved", "reserved", base.HEX)
F["hyperv.synic_message.type"] = ProtoField.uint32("hyperv.synic_message.type", "type", base.HEX, V.HvMessageType)
F["hyperv.synic_message.length"] = ProtoField.uint8("hyperv.synic_message.length", "length", base.DEC)
F["hyperv.synic_message.flags"] = ProtoField.uint8("hyperv.synic_message.flags", "flags", base.HEX)
F["hyperv.synic_message.reserved"] = ProtoField.uint16("hyperv.synic_message.reserved", "reserved", base.HEX)
F["hyperv.synic_message.origin"] = ProtoField.uint64("hyperv.synic_message.origin", "origin", base.HEX)
F["hyperv.synic_message.data"] = ProtoField.bytes("hyperv.synic_message.data", "data")
F["hyperv.timer_message.timer_index"] = ProtoField.uint32("hyperv.timer_message.timer_index", "timer index", base.DEC)
F["hyperv.timer_message.reserved"] = ProtoField.uint32("hyperv.timer_message.reserved", "reserved", base.HEX)
F["hyperv.timer_message.expiration_time"] = ProtoField.uint64("hyperv.timer_message.expiration_time", "expiration time", base.HEX)
F["hyperv.timer_message.delivery_time"] = ProtoField.uint64("hyperv.timer_message.delivery_time", "delivery time", base.HEX)
F["hyperv.vp_register_assignment.name"] = ProtoField.uint32("hyperv.vp_register_assignment.name", "name", base.HEX, V.HvRegister)
F["hyperv.vp_register_assignment.reserved"] = ProtoField.bytes("hyperv.vp_register_assignment.reserved", "reserved")
F["hyperv.vp_register_assignment.value"] = ProtoField.bytes("hyperv.vp_register_assignment.value", "value")
F["hyperv.vp_registers_input.partition_id"] = ProtoField.uint64("hyperv.vp_registers_input.partition_id", "partition id", base.HEX)
F["hyperv.vp_registers_input.vp_index"] = ProtoField.uint32("hyperv.vp_registers_input.vp_index", "vp index", base.DEC)
F["hyperv.vp_registers_input.input_vtl"] = ProtoField.uint8("hyperv.vp_registers_input.input_vtl", "input vtl", base.HEX)
F["hyperv.vp_registers_input.padding"] = ProtoField.bytes("hyperv.vp_registers_input.padding", "padding")
F["vmbus.msg.type"] = ProtoField.uint32("vmbus.msg.type", "type", base.HEX, V.MessageType)
F["vmbus.msg.reserved"] = ProtoField.uint32("vmbus.msg.reserved", "reserved", base.HEX)
F["vmbus.msg.channel"] = ProtoField.uint32("vmbus.msg.channel", "channel", base.DEC)
F["vmbus.packet.type"] = ProtoField.uint16("vmbus.packet.type", "type", base.HEX, V.PacketType)
F["vmbus.packet.header_qlen"] = ProtoField.uint16("vmbus.packet.header_qlen", "header qlen", base.DEC)
F["vmbus.packet.qlen"] = ProtoField.uint16("vmbus.packet.qlen", "qlen", base.DEC)
F["vmbus.packet.flags"] = ProtoField.uint16("vmbus.packet.flags", "flags", base.HEX)
F["vmbus.packet.transaction_id"] = ProtoField.uint64("vmbus.packet.transaction_id", "transaction id", base.HEX)
F["vmbus.packet.reserved"] = ProtoField.uint32("vmbus.packet.reserved", "reserved", base.HEX)
F["vmbus.packet.range_count"] = ProtoField.uint32("vmbus.packet.range_count", "range count", base.DEC)
F["vmbus.gpa_range.byte_count"] = ProtoField.uint32("vmbus.gpa_range.byte_count", "byte count", base.DEC)
F["vmbus.gpa_range.byte_offset"] = ProtoField.uint32("vmbus.gpa_range.byte_offset", "byte offset", base.HEX)
F["vmbus.msg.message_number"] = ProtoField.uint32("vmbus.msg.message_number", "message number", base.DEC)
F["vmbus.msg.gpadl"] = ProtoField.uint32("vmbus.msg.gpadl", "gpadl", base.HEX)
F["vmbus.msg.status"] = ProtoField.uint32("vmbus.msg.status", "status", base.HEX)
F["vmbus.msg.range_length"] = ProtoField.uint16("vmbus.msg.range_length", "range length", base.DEC)
F["vmbus.msg.range_count"] = ProtoField.uint16("vmbus.msg.range_count", "range count", base.DEC)
F["vmbus.msg.version"] = ProtoField.uint32("vmbus.msg.version", "version", base.HEX, V.VmbusVersion)
F["vmbus.msg.target_vp"] = ProtoField.uint32("vmbus.msg.target_vp", "target vp", base.DEC)
F["vmbus.msg.interrupt_page"] = ProtoField.uint64("vmbus.msg.interrupt_page", "interrupt page", base.HEX)
F["vmbus.msg.monitor_in"] = ProtoField.uint64("vmbus.msg.monitor_in", "monitor in", base.HEX)
F["vmbus.msg.monitor_out"] = ProtoField.uint64("vmbus.msg.monitor_out", "monitor out", base.HEX)
F["vmbus.interrupt_page.in"] = ProtoField.bytes("vmbus.interrupt_page.in", "in")
F["vmbus.interrupt_page.out"] = ProtoField.bytes("vmbus.interrupt_page.out", "out")
F["vmbus.msg.interface_id"] = ProtoField.guid("vmbus.msg.interface_id", "interface id")
F["vmbus.msg.instance_id"] = ProtoField.guid("vmbus.msg.instance_id", "instance id")
F["vmbus.msg.reserved_a"] = ProtoField.bytes("vmbus.msg.reserved_a", "reserved a")
F["vmbus.msg.flags"] = ProtoField.uint16("vmbus.msg.flags", "flags", base.HEX)
F["vmbus.msg.mmio_megabytes"] = ProtoField.uint16("vmbus.msg.mmio_megabytes", "mmio megabytes", base.HEX)
F["vmbus.msg.user_defined"] = ProtoField.bytes("vmbus.msg.user_defined", "user defined")
F["vmbus.msg.subchannel_index"] = ProtoField.uint16("vmbus.msg.subchannel_index", "subchannel index", base.DEC)
F["vmbus.msg.mmio_megabytes_optional"] = ProtoField.uint16("vmbus.msg.mmio_megabytes_optional", "mmio megabytes optional", base.HEX)
F["vmbus.msg.monitor"] = ProtoField.uint8("vmbus.msg.monitor", "monitor", base.HEX)
F["vmbus.msg.monitored"] = ProtoField.uint8("vmbus.msg.monitored", "monitored", base.HEX)
F["vmbus.msg.is_dedicated"] = ProtoField.uint16("vmbus.msg.is_dedicated", "is dedicated", base.HEX)
F["vmbus.msg.connection_id"] = ProtoField.uint32("vmbus.msg.connection_id", "connection id", base.HEX)
F["vmbus.msg.open_id"] = ProtoField.uint32("vmbus.msg.open_id", "open id", base.HEX)
F["vmbus.msg.out_pages"] = ProtoField.uint32("vmbus.msg.out_pages", "out pages", base.DEC)
F["vmbus.msg.user_data"] = ProtoField.bytes("vmbus.msg.user_data", "user data")
F["vmbus.packet_footer.reserved"] = ProtoField.uint32("vmbus.packet_footer.reserved", "reserved", base.HEX)
F["vmbus.packet_footer.offset"] = ProtoField.uint32("vmbus.packet_footer.offset", "offset", base.HEX)
F["vmbus.pipe_header.type"] = ProtoField.uint32("vmbus.pipe_header.type", "type", base.HEX)
F["vmbus.pipe_header.length"] = ProtoField.uint32("vmbus.pipe_header.length", "length", base.DEC)
F["vmbus.ring_control.prod"] = ProtoField.uint32("vmbus.ring_control.prod", "prod", base.HEX)
F["vmbus.ring_control.cons"] = ProtoField.uint32("vmbus.ring_control.cons", "cons", base.HEX)
F["vmbus.ring_control.interrupt_mask"] = ProtoField.uint32("vmbus.ring_control.interrupt_mask", "interrupt mask", base.HEX)
F["vmbus.ring_control.pending_send_size"] = ProtoField.uint32("vmbus.ring_control.pending_send_size", "pending send size", base.DEC)
F["vmbus.ring_control.feature_bits"] = ProtoField.uint32("vmbus.ring_control.feature_bits", "feature bits", base.HEX)
F["vmbus.signal_parameters.connection_id"] = ProtoField.uint32("vmbus.signal_parameters.connection_id", "connection id", base.HEX)
F["vmbus.signal_parameters.event_flag"] = ProtoField.uint16("vmbus.signal_parameters.event_flag", "event flag", base.HEX)
F["vmbus.signal_parameters.flags"] = ProtoField.uint16("vmbus.signal_parameters.flags", "flags", base.HEX)
F["vmbus.target_info.sint"] = ProtoField.uint8("vmbus.target_info.sint", "sint", base.DEC)
F["vmbus.target_info.vtl"] = ProtoField.uint8("vmbus.target_info.vtl", "vtl", base.HEX)
F["vmbus.target_info.reserved"] = ProtoField.uint16("vmbus.target_info.reserved", "reserved", base.HEX)
F["vmbus.target_info.feature_flags"] = ProtoField.uint32("vmbus.target_info.feature_flags", "feature flags", base.HEX)
F["vmbus.msg.endpoint_id"] = ProtoField.guid("vmbus.msg.endpoint_id", "endpoint id")
F["vmbus.msg.service_id"] = ProtoField.guid("vmbus.msg.service_id", "service id")
F["vmbus.msg.supported"] = ProtoField.uint8("vmbus.msg.supported", "supported", base.HEX)
F["vmbus.msg.connection_state"] = ProtoField.uint8("vmbus.msg.connection_state", "connection state", base.HEX, V.ConnectionState)
F["vmbus.msg.padding"] = ProtoField.uint16("vmbus.msg.padding", "padding", base.HEX)
F["vmbus.packet.page_set"] = ProtoField.uint16("vmbus.packet.page_set", "page set", base.HEX)
F["vmbus.packet.owner"] = ProtoField.uint8("vmbus.packet.owner", "owner", base.HEX)
F["vmbus.packet.xfer_page_header.reserved"] = ProtoField.uint8("vmbus.packet.xfer_page_header.reserved", "reserved", base.HEX)
F["vmbus.xfer_page_range.length"] = ProtoField.uint32("vmbus.xfer_page_range.length", "length", base.DEC)
F["vmbus.xfer_page_range.offset"] = ProtoField.uint32("vmbus.xfer_page_range.offset", "offset", base.HEX)
F["nvsp.type"] = ProtoField.uint32("nvsp.type", "type", base.HEX, V.NvspType)
F["nvsp.min_version"] = ProtoField.uint32("nvsp.min_version", "min version", base.HEX, V.NvspVersion)
F["nvsp.max_version"] = ProtoField.uint32("nvsp.max_version", "max version", base.DEC, V.NvspVersion)
F["nvsp.version"] = ProtoField.uint32("nvsp.version", "version", base.HEX, V.NvspVersion)
F["nvsp.max_mdl_chain_length"] = ProtoField.uint32("nvsp.max_mdl_chain_length", "max mdl chain length", base.DEC)
F["nvsp.status"] = ProtoField.uint32("nvsp.status", "status", base.HEX, V.NvspStatus)
F["nvsp.mtu"] = ProtoField.uint32("nvsp.mtu", "mtu", base.DEC)
F["nvsp.reserved"] = ProtoField.uint32("nvsp.reserved", "reserved", base.HEX)
F["nvsp.capabilities"] = ProtoField.uint64("nvsp.capabilities", "capabilities", base.HEX)
F["nvsp.major"] = ProtoField.uint32("nvsp.major", "major", base.DEC)
F["nvsp.minor"] = ProtoField.uint32("nvsp.minor", "minor", base.DEC)
F["nvsp.section_count"] = ProtoField.uint32("nvsp.section_count", "section count", base.DEC)
F["nvsp.offset"] = ProtoField.uint32("nvsp.offset", "offset", base.HEX)
F["nvsp.sub_allocation_size"] = ProtoField.uint32("nvsp.sub_allocation_size", "sub allocation size", base.DEC)
F["nvsp.sub_allocation_count"] = ProtoField.uint32("nvsp.sub_allocation_count", "sub allocation count", base.DEC)
F["nvsp.end_offset"] = ProtoField.uint32("nvsp.end_offset", "end offset", base.HEX)
F["nvsp.id"] = ProtoField.uint16("nvsp.id", "id", base.HEX)
F["nvsp.channel_type"] = ProtoField.uint32("nvsp.channel_type", "channel type", base.HEX, V.RndisChannel)
F["nvsp.send_buffer_index"] = ProtoField.uint32("nvsp.send_buffer_index", "send buffer index", base.DEC)
F["nvsp.send_buffer_size"] = ProtoField.uint32("nvsp.send_buffer_size", "send buffer size", base.DEC)
F["nvsp.gpadl"] = ProtoField.uint32("nvsp.gpadl", "gpadl", base.HEX)
F["nvsp.section_size"] = ProtoField.uint32("nvsp.section_size", "section size", base.DEC)
F["nvsp.count"] = ProtoField.uint32("nvsp.count", "count", base.DEC)
F["nvsp.operation"] = ProtoField.uint32("nvsp.operation", "operation", base.HEX)
F["nvsp.allocated"] = ProtoField.uint32("nvsp.allocated", "allocated", base.HEX)
F["nvsp.serial"] = ProtoField.uint32("nvsp.serial", "serial", base.HEX)
F["rndis.type"] = ProtoField.uint32("rndis.type", "type", base.HEX, V.RndisType)
F["rndis.length"] = ProtoField.uint32("rndis.length", "length", base.DEC)
F["rndis.request_id"] = ProtoField.uint32("rndis.request_id", "request id", base.HEX)
F["rndis.status"] = ProtoField.uint32("rndis.status", "status", base.HEX, V.RndisStatus)
F["rndis.buffer_length"] = ProtoField.uint32("rndis.buffer_length", "buffer length", base.DEC)
F["rndis.buffer_offset"] = ProtoField.uint32("rndis.buffer_offset", "buffer offset", base.HEX)
F["rndis.major"] = ProtoField.uint32("rndis.major", "major", base.DEC)
F["rndis.minor"] = ProtoField.uint32("rndis.minor", "minor", base.DEC)
F["rndis.max_transfer"] = ProtoField.uint32("rndis.max_transfer", "max transfer", base.DEC)
F["rndis.device_flags"] = ProtoField.uint32("rndis.device_flags", "device flags", base.HEX)
F["rndis.medium"] = ProtoField.uint32("rndis.medium", "medium", base.HEX)
F["rndis.max_packets"] = ProtoField.uint32("rndis.max_packets", "max packets", base.DEC)
F["rndis.packet_alignment"] = ProtoField.uint32("rndis.packet_alignment", "packet alignment", base.HEX)
F["rndis.reserved"] = ProtoField.uint64("rndis.reserved", "reserved", base.HEX)
F["rndis.data_offset"] = ProtoField.uint32("rndis.data_offset", "data offset", base.HEX)
F["rndis.data_length"] = ProtoField.uint32("rndis.data_length", "data length", base.DEC)
F["rndis.oob_offset"] = ProtoField.uint32("rndis.oob_offset", "oob offset", base.HEX)
F["rndis.oob_length"] = ProtoField.uint32("rndis.oob_length", "oob length", base.DEC)
F["rndis.oob_count"] = ProtoField.uint32("rndis.oob_count", "oob count", base.DEC)
F["rndis.ppi_offset"] = ProtoField.uint32("rndis.ppi_offset", "ppi offset", base.HEX)
F["rndis.ppi_length"] = ProtoField.uint32("rndis.ppi_length", "ppi length", base.DEC)
F["rndis.ppi.size"] = ProtoField.uint32("rndis.ppi.size", "size", base.DEC)
F["rndis.ppi.type"] = ProtoField.uint32("rndis.ppi.type", "type", base.HEX)
F["rndis.ppi.data_offset"] = ProtoField.uint32("rndis.ppi.data_offset", "data offset", base.HEX)
F["rndis.info_length"] = ProtoField.uint32("rndis.info_length", "info length", base.DEC)
F["rndis.info_offset"] = ProtoField.uint32("rndis.info_offset", "info offset", base.HEX)
F["rndis.oid"] = ProtoField.uint32("rndis.oid", "oid", base.HEX, V.Oid)
F["rndis.device_vc_handle"] = ProtoField.uint32("rndis.device_vc_handle", "device vc handle", base.HEX)
F["rndis.rndis_reset.reserved"] = ProtoField.uint32("rndis.rndis_reset.reserved", "reserved", base.HEX)
F["rndis.addressing_reset"] = ProtoField.uint32("rndis.addressing_reset", "addressing reset", base.HEX)
F["ic.file_copy_data.operation"] = ProtoField.uint32("ic.file_copy_data.operation", "operation", base.HEX, V.FileCopyOperation)
F["ic.file_copy_data.service_id0"] = ProtoField.guid("ic.file_copy_data.service_id0", "service id0")
F["ic.file_copy_data.service_id1"] = ProtoField.guid("ic.file_copy_data.service_id1", "service id1")
F["ic.file_copy_data.padding"] = ProtoField.uint32("ic.file_copy_data.padding", "padding", base.HEX)
F["ic.file_copy_data.offset"] = ProtoField.uint64("ic.file_copy_data.offset", "offset", base.HEX)
F["ic.file_copy_data.length"] = ProtoField.uint32("ic.file_copy_data.length", "length", base.DEC)
F["ic.file_copy_data.data"] = ProtoField.bytes("ic.file_copy_data.data", "data")
F["ic.file_copy_header.operation"] = ProtoField.uint32("ic.file_copy_header.operation", "operation", base.HEX, V.FileCopyOperation)
F["ic.file_copy_header.service_id0"] = ProtoField.guid("ic.file_copy_header.service_id0", "service id0")
F["ic.file_copy_header.service_id1"] = ProtoField.guid("ic.file_copy_header.service_id1", "service id1")
F["ic.file_copy_start.operation"] = ProtoField.uint32("ic.file_copy_start.operation", "operation", base.HEX, V.FileCopyOperation)
F["ic.file_copy_start.service_id0"] = ProtoField.guid("ic.file_copy_start.service_id0", "service id0")
F["ic.file_copy_start.service_id1"] = ProtoField.guid("ic.file_copy_start.service_id1", "service id1")
F["ic.file_copy_start.file_name"] = ProtoField.bytes("ic.file_copy_start.file_name", "file name")
F["ic.file_copy_start.path_name"] = ProtoField.bytes("ic.file_copy_start.path_name", "path name")
F["ic.file_copy_start.copy_flags"] = ProtoField.uint32("ic.file_copy_start.copy_flags", "copy flags", base.HEX)
F["ic.file_copy_start.file_size"] = ProtoField.uint64("ic.file_copy_start.file_size", "file size", base.DEC)
F["ic.heartbeat_message.sequence"] = ProtoField.uint64("ic.heartbeat_message.sequence", "sequence", base.DEC)
F["ic.heartbeat_message.reserved"] = ProtoField.bytes("ic.heartbeat_message.reserved", "reserved")
F["ic.framework_major"] = ProtoField.uint16("ic.framework_major", "framework major", base.DEC)
F["ic.framework_minor"] = ProtoField.uint16("ic.framework_minor", "framework minor", base.DEC)
F["ic.type"] = ProtoField.uint16("ic.type", "type", base.HEX, V.IcType)
F["ic.message_major"] = ProtoField.uint16("ic.message_major", "message major", base.DEC)
F["ic.message_minor"] = ProtoField.uint16("ic.message_minor", "message minor", base.DEC)
F["ic.length"] = ProtoField.uint16("ic.length", "length", base.DEC)
F["ic.status"] = ProtoField.uint32("ic.status", "status", base.HEX, V.IcStatus)
F["ic.transaction_id"] = ProtoField.uint8("ic.transaction_id", "transaction id", base.HEX)
F["ic.flags"] = ProtoField.uint8("ic.flags", "flags", base.HEX)
F["ic.reserved"] = ProtoField.uint16("ic.reserved", "reserved", base.HEX)
F["ic.ic_negotiate.framework_count"] = ProtoField.uint16("ic.ic_negotiate.framework_count", "framework count", base.DEC)
F["ic.ic_negotiate.message_count"] = ProtoField.uint16("ic.ic_negotiate.message_count", "message count", base.DEC)
F["ic.ic_negotiate.reserved"] = ProtoField.uint32("ic.ic_negotiate.reserved", "reserved", base.HEX)
F["ic.ic_version.major"] = ProtoField.uint16("ic.ic_version.major", "major", base.DEC)
F["ic.ic_version.minor"] = ProtoField.uint16("ic.ic_version.minor", "minor", base.DEC)
F["ic.shutdown_message.reason_code"] = ProtoField.uint32("ic.shutdown_message.reason_code", "reason code", base.HEX)
F["ic.shutdown_message.timeout_seconds"] = ProtoField.uint32("ic.shutdown_message.timeout_seconds", "timeout seconds", base.DEC)
F["ic.shutdown_message.flags"] = ProtoField.uint32("ic.shutdown_message.flags", "flags", base.HEX)
F["ic.shutdown_message.display_message"] = ProtoField.bytes("ic.shutdown_message.display_message", "display message")
F["ic.time_sync_message.parent_time"] = ProtoField.uint64("ic.time_sync_message.parent_time", "parent time", base.HEX)
F["ic.time_sync_message.child_time"] = ProtoField.uint64("ic.time_sync_message.child_time", "child time", base.HEX)
F["ic.time_sync_message.round_trip_time"] = ProtoField.uint64("ic.time_sync_message.round_trip_time", "round trip time", base.HEX)
F["ic.time_sync_message.flags"] = ProtoField.uint8("ic.time_sync_message.flags", "flags", base.HEX)
F["ic.time_sync_reference_message.parent_time"] = ProtoField.uint64("ic.time_sync_reference_message.parent_time", "parent time", base.HEX)
F["ic.time_sync_reference_message.reference_time"] = ProtoField.uint64("ic.time_sync_reference_message.reference_time", "reference time", base.HEX)
F["ic.time_sync_reference_message.flags"] = ProtoField.uint8("ic.time_sync_reference_message.flags", "flags", base.HEX)
F["ic.time_sync_reference_message.leap_flags"] = ProtoField.uint8("ic.time_sync_reference_message.leap_flags", "leap flags", base.HEX)
F["ic.time_sync_reference_message.stratum"] = ProtoField.uint8("ic.time_sync_reference_message.stratum", "stratum", base.HEX)
F["ic.time_sync_reference_message.reserved"] = ProtoField.bytes("ic.time_sync_reference_message.reserved", "reserved")
F["hv_keyboard.type"] = ProtoField.uint32("hv_keyboard.type", "type", base.HEX, V.hv_keyboard)
F["hv_keyboard.version"] = ProtoField.uint32("hv_keyboard.version", "version", base.HEX)
F["hv_keyboard.status"] = ProtoField.uint32("hv_keyboard.status", "status", base.HEX)
F["hv_keyboard.make_code"] = ProtoField.uint16("hv_keyboard.make_code", "make code", base.HEX)
F["hv_keyboard.reserved"] = ProtoField.uint16("hv_keyboard.reserved", "reserved", base.HEX)
F["hv_keyboard.info"] = ProtoField.uint32("hv_keyboard.info", "info", base.HEX)
F["hv_keyboard.state"] = ProtoField.uint32("hv_keyboard.state", "state", base.HEX)
F["hypxe.note"] = ProtoField.string("hypxe.note", "note")
F["hyperv.call"] = ProtoField.uint32("hyperv.call", "call", base.HEX, V.HvCall)
F["hyperv.status"] = ProtoField.uint16("hyperv.status", "status", base.HEX, V.HvStatus)
F["hyperv.msr"] = ProtoField.uint32("hyperv.msr", "msr", base.HEX, V.Msr)
F["hyperv.register"] = ProtoField.uint32("hyperv.register", "register", base.HEX, V.HvRegister)
F["hyperv.value"] = ProtoField.uint64("hyperv.value", "value", base.HEX)
F["hyperv.event_flag"] = ProtoField.uint32("hyperv.event_flag", "event flag", base.HEX)
F["vmbus.pfn"] = ProtoField.uint64("vmbus.pfn", "page number", base.DEC)
F["vmbus.payload"] = ProtoField.bytes("vmbus.payload", "payload")
F["vmbus.msg.features"] = ProtoField.uint32("vmbus.msg.features", "features", base.HEX)
F["nvsp.send_table.channel"] = ProtoField.uint32("nvsp.send_table.channel", "channel", base.DEC)
F["rndis.ppi.data"] = ProtoField.bytes("rndis.ppi.data", "data")
F["rndis.info"] = ProtoField.bytes("rndis.info", "information")
F["rndis.data"] = ProtoField.bytes("rndis.data", "data")
F["ic.file.bytes"] = ProtoField.bytes("ic.file.bytes", "bytes of the file")
p_hypxe.fields = {
  F["hypxe.version"],
  F["hypxe.kind"],
  F["hypxe.direction"],
  F["hypxe.change"],
  F["hypxe.channel"],
  F["hypxe.vp"],
  F["hypxe.sint"],
  F["hypxe.secondary"],
  F["hypxe.status"],
  F["hypxe.number"],
  F["hypxe.ring_offset"],
  F["hypxe.length"],
  F["hypxe.attached"],
  F["hypxe.device"],
  F["hypxe.padding"],
  F["hypxe.note"],
}
p_hv.fields = {
  F["hyperv.monitor_page.flags"],
  F["hyperv.monitor_page.trigger"],
  F["hyperv.monitor_page.latency"],
  F["hyperv.monitor_page.parameter"],
  F["hyperv.monitor_parameter.connection_id"],
  F["hyperv.monitor_parameter.flag"],
  F["hyperv.monitor_parameter.reserved"],
  F["hyperv.monitor_trigger.pending"],
  F["hyperv.monitor_trigger.armed"],
  F["hyperv.post_message.connection_id"],
  F["hyperv.post_message.reserved"],
  F["hyperv.post_message.type"],
  F["hyperv.post_message.length"],
  F["hyperv.post_message.data"],
  F["hyperv.reference_tsc_page.sequence"],
  F["hyperv.reference_tsc_page.reserved"],
  F["hyperv.reference_tsc_page.scale"],
  F["hyperv.reference_tsc_page.offset"],
  F["hyperv.signal_event.connection_id"],
  F["hyperv.signal_event.flag"],
  F["hyperv.signal_event.reserved"],
  F["hyperv.synic_message.type"],
  F["hyperv.synic_message.length"],
  F["hyperv.synic_message.flags"],
  F["hyperv.synic_message.reserved"],
  F["hyperv.synic_message.origin"],
  F["hyperv.synic_message.data"],
  F["hyperv.timer_message.timer_index"],
  F["hyperv.timer_message.reserved"],
  F["hyperv.timer_message.expiration_time"],
  F["hyperv.timer_message.delivery_time"],
  F["hyperv.vp_register_assignment.name"],
  F["hyperv.vp_register_assignment.reserved"],
  F["hyperv.vp_register_assignment.value"],
  F["hyperv.vp_registers_input.partition_id"],
  F["hyperv.vp_registers_input.vp_index"],
  F["hyperv.vp_registers_input.input_vtl"],
  F["hyperv.vp_registers_input.padding"],
  F["hyperv.call"],
  F["hyperv.status"],
  F["hyperv.msr"],
  F["hyperv.register"],
  F["hyperv.value"],
  F["hyperv.event_flag"],
}
p_vmbus.fields = {
  F["vmbus.msg.type"],
  F["vmbus.msg.reserved"],
  F["vmbus.msg.channel"],
  F["vmbus.packet.type"],
  F["vmbus.packet.header_qlen"],
  F["vmbus.packet.qlen"],
  F["vmbus.packet.flags"],
  F["vmbus.packet.transaction_id"],
  F["vmbus.packet.reserved"],
  F["vmbus.packet.range_count"],
  F["vmbus.gpa_range.byte_count"],
  F["vmbus.gpa_range.byte_offset"],
  F["vmbus.msg.message_number"],
  F["vmbus.msg.gpadl"],
  F["vmbus.msg.status"],
  F["vmbus.msg.range_length"],
  F["vmbus.msg.range_count"],
  F["vmbus.msg.version"],
  F["vmbus.msg.target_vp"],
  F["vmbus.msg.interrupt_page"],
  F["vmbus.msg.monitor_in"],
  F["vmbus.msg.monitor_out"],
  F["vmbus.interrupt_page.in"],
  F["vmbus.interrupt_page.out"],
  F["vmbus.msg.interface_id"],
  F["vmbus.msg.instance_id"],
  F["vmbus.msg.reserved_a"],
  F["vmbus.msg.flags"],
  F["vmbus.msg.mmio_megabytes"],
  F["vmbus.msg.user_defined"],
  F["vmbus.msg.subchannel_index"],
  F["vmbus.msg.mmio_megabytes_optional"],
  F["vmbus.msg.monitor"],
  F["vmbus.msg.monitored"],
  F["vmbus.msg.is_dedicated"],
  F["vmbus.msg.connection_id"],
  F["vmbus.msg.open_id"],
  F["vmbus.msg.out_pages"],
  F["vmbus.msg.user_data"],
  F["vmbus.packet_footer.reserved"],
  F["vmbus.packet_footer.offset"],
  F["vmbus.pipe_header.type"],
  F["vmbus.pipe_header.length"],
  F["vmbus.ring_control.prod"],
  F["vmbus.ring_control.cons"],
  F["vmbus.ring_control.interrupt_mask"],
  F["vmbus.ring_control.pending_send_size"],
  F["vmbus.ring_control.feature_bits"],
  F["vmbus.signal_parameters.connection_id"],
  F["vmbus.signal_parameters.event_flag"],
  F["vmbus.signal_parameters.flags"],
  F["vmbus.target_info.sint"],
  F["vmbus.target_info.vtl"],
  F["vmbus.target_info.reserved"],
  F["vmbus.target_info.feature_flags"],
  F["vmbus.msg.endpoint_id"],
  F["vmbus.msg.service_id"],
  F["vmbus.msg.supported"],
  F["vmbus.msg.connection_state"],
  F["vmbus.msg.padding"],
  F["vmbus.packet.page_set"],
  F["vmbus.packet.owner"],
  F["vmbus.packet.xfer_page_header.reserved"],
  F["vmbus.xfer_page_range.length"],
  F["vmbus.xfer_page_range.offset"],
  F["vmbus.pfn"],
  F["vmbus.payload"],
  F["vmbus.msg.features"],
}
p_nvsp.fields = {
  F["nvsp.type"],
  F["nvsp.min_version"],
  F["nvsp.max_version"],
  F["nvsp.version"],
  F["nvsp.max_mdl_chain_length"],
  F["nvsp.status"],
  F["nvsp.mtu"],
  F["nvsp.reserved"],
  F["nvsp.capabilities"],
  F["nvsp.major"],
  F["nvsp.minor"],
  F["nvsp.section_count"],
  F["nvsp.offset"],
  F["nvsp.sub_allocation_size"],
  F["nvsp.sub_allocation_count"],
  F["nvsp.end_offset"],
  F["nvsp.id"],
  F["nvsp.channel_type"],
  F["nvsp.send_buffer_index"],
  F["nvsp.send_buffer_size"],
  F["nvsp.gpadl"],
  F["nvsp.section_size"],
  F["nvsp.count"],
  F["nvsp.operation"],
  F["nvsp.allocated"],
  F["nvsp.serial"],
  F["nvsp.send_table.channel"],
}
p_rndis.fields = {
  F["rndis.type"],
  F["rndis.length"],
  F["rndis.request_id"],
  F["rndis.status"],
  F["rndis.buffer_length"],
  F["rndis.buffer_offset"],
  F["rndis.major"],
  F["rndis.minor"],
  F["rndis.max_transfer"],
  F["rndis.device_flags"],
  F["rndis.medium"],
  F["rndis.max_packets"],
  F["rndis.packet_alignment"],
  F["rndis.reserved"],
  F["rndis.data_offset"],
  F["rndis.data_length"],
  F["rndis.oob_offset"],
  F["rndis.oob_length"],
  F["rndis.oob_count"],
  F["rndis.ppi_offset"],
  F["rndis.ppi_length"],
  F["rndis.ppi.size"],
  F["rndis.ppi.type"],
  F["rndis.ppi.data_offset"],
  F["rndis.info_length"],
  F["rndis.info_offset"],
  F["rndis.oid"],
  F["rndis.device_vc_handle"],
  F["rndis.rndis_reset.reserved"],
  F["rndis.addressing_reset"],
  F["rndis.ppi.data"],
  F["rndis.info"],
  F["rndis.data"],
}
p_ic.fields = {
  F["ic.file_copy_data.operation"],
  F["ic.file_copy_data.service_id0"],
  F["ic.file_copy_data.service_id1"],
  F["ic.file_copy_data.padding"],
  F["ic.file_copy_data.offset"],
  F["ic.file_copy_data.length"],
  F["ic.file_copy_data.data"],
  F["ic.file_copy_header.operation"],
  F["ic.file_copy_header.service_id0"],
  F["ic.file_copy_header.service_id1"],
  F["ic.file_copy_start.operation"],
  F["ic.file_copy_start.service_id0"],
  F["ic.file_copy_start.service_id1"],
  F["ic.file_copy_start.file_name"],
  F["ic.file_copy_start.path_name"],
  F["ic.file_copy_start.copy_flags"],
  F["ic.file_copy_start.file_size"],
  F["ic.heartbeat_message.sequence"],
  F["ic.heartbeat_message.reserved"],
  F["ic.framework_major"],
  F["ic.framework_minor"],
  F["ic.type"],
  F["ic.message_major"],
  F["ic.message_minor"],
  F["ic.length"],
  F["ic.status"],
  F["ic.transaction_id"],
  F["ic.flags"],
  F["ic.reserved"],
  F["ic.ic_negotiate.framework_count"],
  F["ic.ic_negotiate.message_count"],
  F["ic.ic_negotiate.reserved"],
  F["ic.ic_version.major"],
  F["ic.ic_version.minor"],
  F["ic.shutdown_message.reason_code"],
  F["ic.shutdown_message.timeout_seconds"],
  F["ic.shutdown_message.flags"],
  F["ic.shutdown_message.display_message"],
  F["ic.time_sync_message.parent_time"],
  F["ic.time_sync_message.child_time"],
  F["ic.time_sync_message.round_trip_time"],
  F["ic.time_sync_message.flags"],
  F["ic.time_sync_reference_message.parent_time"],
  F["ic.time_sync_reference_message.reference_time"],
  F["ic.time_sync_reference_message.flags"],
  F["ic.time_sync_reference_message.leap_flags"],
  F["ic.time_sync_reference_message.stratum"],
  F["ic.time_sync_reference_message.reserved"],
  F["ic.file.bytes"],
}
p_hv_keyboard.fields = {
  F["hv_keyboard.type"],
  F["hv_keyboard.version"],
  F["hv_keyboard.status"],
  F["hv_keyboard.make_code"],
  F["hv_keyboard.reserved"],
  F["hv_keyboard.info"],
  F["hv_keyboard.state"],
}

local truncated = ProtoExpert.new("hypxe.truncated", "Shorter than its structure",
  expert.group.MALFORMED, expert.severity.WARN)
p_hypxe.experts = { truncated }

-- The u32 or u16 at an offset, or nil where the bytes end.
local function u32(tvb, at)
  if at + 4 > tvb:len() then return nil end
  return tvb(at, 4):le_uint()
end

local function u16(tvb, at)
  if at + 2 > tvb:len() then return nil end
  return tvb(at, 2):le_uint()
end

local function rest(tvb, at)
  if at >= tvb:len() then return nil end
  return tvb(at):tvb()
end

-- The fields of a structure that lies at an offset, as one subtree.
local function add_struct(tree, proto, tvb, s, at)
  local left = tvb:len() - at
  if left <= 0 then return nil end
  local sub = tree:add(proto, tvb(at, math.min(s.size, left)), s.name)
  for _, field in ipairs(s.fields) do
    local offset, length, proto_field = field[1], field[2], F[field[3]]
    if offset + length > left then
      if left < s.least then sub:add_proto_expert_info(truncated) end
      if offset < left and offset >= s.least and length > 8 then
        sub:add(proto_field, tvb(at + offset))
      end
      break
    end
    sub:add_le(proto_field, tvb(at + offset, length))
  end
  return sub
end

local function add_bytes(tree, name, tvb, at, length)
  length = math.min(length or tvb:len(), tvb:len() - at)
  if length > 0 then tree:add(F[name], tvb(at, length)) end
end

-- Ranges of guest memory with their page numbers, up to the end; the next offset.
local function add_ranges(tree, tvb, at, finish)
  finish = math.min(finish, tvb:len())
  while at + 8 <= finish do
    local count, offset = tvb(at, 4):le_uint(), tvb(at + 4, 4):le_uint()
    local sub = add_struct(tree, p_vmbus, tvb, S.GpaRange, at)
    local pages = math.ceil((count + offset) / 4096)
    at = at + 8
    for _ = 1, pages do
      if at + 8 > finish then return finish end
      sub:add_le(F["vmbus.pfn"], tvb(at, 8))
      at = at + 8
    end
    if pages == 0 then return at end
  end
  return at
end

local function add_each(tree, field, tvb, at, size)
  while at + size <= tvb:len() do
    tree:add_le(F[field], tvb(at, size))
    at = at + size
  end
end

-- Control messages ---------------------------------------------------------------------------

local more = {
  [14] = function(sub, tvb)
    if (u32(tvb, 8) or 0) >= 0x50000 then add_struct(sub, p_vmbus, tvb, S.TargetInfo, 16) end
  end,
  [15] = function(sub, tvb)
    if tvb:len() >= 20 then sub:add_le(F["vmbus.msg.features"], tvb(16, 4)) end
  end,
  [5] = function(sub, tvb)
    if tvb:len() >= 156 then add_struct(sub, p_vmbus, tvb, S.SignalParameters, 148) end
  end,
  [8] = function(sub, tvb) add_ranges(sub, tvb, 20, tvb:len()) end,
  [9] = function(sub, tvb) add_each(sub, "vmbus.pfn", tvb, 16, 8) end,
}

local function control_message(tvb, pinfo, tree)
  local kind = u32(tvb, 0)
  if kind == nil then return end
  local s = messages[kind] or S.MessageHeader
  local sub = add_struct(tree, p_vmbus, tvb, s, 0)
  if more[kind] then more[kind](sub, tvb) end
  pinfo.cols.protocol = "VMBus"
  pinfo.cols.info:append(" " .. (V.MessageType[kind] or ("message " .. kind)))
end

-- RNDIS --------------------------------------------------------------------------------------

local function rndis_packet(sub, tvb)
  local at, length = u32(tvb, 28), u32(tvb, 32)
  if at == nil or length == nil then return end
  at = 8 + at
  local finish = math.min(at + length, tvb:len())
  while length > 0 and at + 12 <= finish do
    local size = math.min(tvb(at, 4):le_uint(), finish - at)
    local info = add_struct(sub, p_rndis, tvb, S.RndisPacketInfo, at)
    local offset = tvb(at + 8, 4):le_uint()
    if offset < size then add_bytes(info, "rndis.ppi.data", tvb, at + offset, size - offset) end
    if size < 12 then break end
    at = at + size
  end
  add_bytes(sub, "rndis.data", tvb, 8 + u32(tvb, 8), u32(tvb, 12))
end

local function rndis_info(length_at, offset_at)
  return function(sub, tvb)
    local length, offset = u32(tvb, length_at), u32(tvb, offset_at)
    if length and offset and length > 0 and 8 + offset < tvb:len() then
      add_bytes(sub, "rndis.info", tvb, 8 + offset, length)
    end
  end
end

local rndis_more = {
  [0x00000001] = rndis_packet,
  [0x00000004] = rndis_info(16, 20),
  [0x00000005] = rndis_info(16, 20),
  [0x80000004] = rndis_info(16, 20),
  [0x00000007] = rndis_info(12, 16),
}

local function rndis_message(tvb, pinfo, tree)
  local kind = u32(tvb, 0)
  if kind == nil then return end
  local sub = add_struct(tree, p_rndis, tvb, rndis_messages[kind] or S.RndisHeader, 0)
  if rndis_more[kind] and tvb:len() >= 20 then rndis_more[kind](sub, tvb) end
  pinfo.cols.protocol = "RNDIS"
  pinfo.cols.info:append(" " .. (V.RndisType[kind] or ("RNDIS " .. kind)))
end

-- Several messages may follow each other.
local function rndis_messages_of(tvb, pinfo, tree)
  local at = 0
  while at + 8 <= tvb:len() do
    local left = tvb:len() - at
    local length = math.min(tvb(at + 4, 4):le_uint(), left)
    if length < 8 then length = left end
    -- Of what is sent alone the length may lie: a message that nothing follows has all there is
    local follower = left - length >= 8 and tvb(at + length, 4):le_uint() or 0
    if follower ~= 1 then length = left end
    rndis_message(tvb(at, length):tvb(), pinfo, tree)
    at = at + length
  end
end

-- NVSP ---------------------------------------------------------------------------------------

local nvsp_more = {
  [102] = function(sub, tvb)
    for i = 0, math.min(u32(tvb, 8) or 0, 16) - 1 do
      if 12 + (i + 1) * 16 > tvb:len() then break end
      add_struct(sub, p_nvsp, tvb, S.NvspReceiveBufferSection, 12 + i * 16)
    end
  end,
  [134] = function(sub, tvb)
    local count, offset = u32(tvb, 4) or 0, u32(tvb, 8) or 0
    for i = 0, math.min(count, 64) - 1 do
      if offset + (i + 1) * 4 > tvb:len() then break end
      sub:add_le(F["nvsp.send_table.channel"], tvb(offset + i * 4, 4))
    end
  end,
}

local function nvsp_message(tvb, pinfo, tree, packet_type)
  local kind = u32(tvb, 0)
  if kind == nil then return end
  local s = nvsp_messages[kind] or S.NvspType
  if kind == 133 and packet_type == 11 then s = S.NvspSubchannelComplete end
  local sub = add_struct(tree, p_nvsp, tvb, s, 0)
  if nvsp_more[kind] then nvsp_more[kind](sub, tvb) end
  pinfo.cols.protocol = "NVSP"
  pinfo.cols.info:append(" " .. (V.NvspType[kind] or ("NVSP " .. kind)))
end

-- Utility services ---------------------------------------------------------------------------

local function utility_message(tvb, pinfo, tree)
  add_struct(tree, p_vmbus, tvb, S.PipeHeader, 0)
  local ic = rest(tvb, 8)
  if ic == nil or ic:len() < 20 then return end
  add_struct(tree, p_ic, ic, S.IcHeader, 0)
  local kind, major, body = u16(ic, 4), u16(ic, 6), rest(ic, 20)
  pinfo.cols.protocol = "IC"
  pinfo.cols.info:append(" " .. (V.IcType[kind] or ("IC " .. kind)))
  if body == nil then return end
  local s = ic_messages[kind]
  if kind == 4 and major >= 4 then s = S.TimeSyncReferenceMessage end
  if kind == 7 then
    local operation = u32(body, 0)
    s = S.FileCopyHeader
    if operation == 0 then s = S.FileCopyStart end
  end
  if s == nil then return end
  local sub = add_struct(tree, p_ic, body, s, 0)
  if kind == 0 then
    local at = 8
    while at + 4 <= body:len() do
      add_struct(sub, p_ic, body, S.IcVersion, at)
      at = at + 4
    end
  end
  if kind == 7 and u32(body, 0) == 1 and body:len() >= 52 then
    add_struct(sub, p_ic, body, S.FileCopyData, 0)
    add_bytes(sub, "ic.file.bytes", body, 52, u32(body, 48))
  end
end

-- Devices that describe themselves -----------------------------------------------------------

local function described_message(device, tvb, pinfo, tree)
  local kind = u32(tvb, device.type_at)
  if kind == nil then return end
  add_struct(tree, device.proto, tvb, device.messages[kind] or device.header, 0)
  pinfo.cols.protocol = device.name
  pinfo.cols.info:append(" " .. (device.types[kind] or ("message " .. kind)))
end

-- Ring packets -------------------------------------------------------------------------------

local function ring_packet(tvb, attached, device, pinfo, tree)
  local kind, header = u16(tvb, 0), u16(tvb, 2)
  if header == nil then return end
  local finish = math.min(header * 8, tvb:len())
  local lengths = {}
  pinfo.cols.protocol = "VMBus"
  pinfo.cols.info:append(" " .. (V.PacketType[kind] or ("packet " .. kind)))
  if kind == 9 then
    local sub = add_struct(tree, p_vmbus, tvb, S.GpaDirectHeader, 0)
    add_ranges(sub, tvb, 24, finish)
  elseif kind == 7 then
    local sub = add_struct(tree, p_vmbus, tvb, S.XferPageHeader, 0)
    local at = 24
    for i = 1, math.min(u32(tvb, 20) or 0, 512) do
      if at + 8 > finish then break end
      lengths[i] = tvb(at, 4):le_uint()
      add_struct(sub, p_vmbus, tvb, S.XferPageRange, at)
      at = at + 8
    end
  else
    add_struct(tree, p_vmbus, tvb, S.PacketHeader, 0)
  end
  local payload = rest(tvb, header * 8)
  if payload == nil then return end
  if device == 2 then return utility_message(payload, pinfo, tree) end
  if described[device] then
    return described_message(described[device], payload, pinfo, tree)
  end
  if device ~= 1 then return add_bytes(tree, "vmbus.payload", payload, 0) end
  nvsp_message(payload, pinfo, tree, kind)
  if attached == nil then return end
  if kind ~= 7 then return rndis_messages_of(attached, pinfo, tree) end
  local at = 0
  for _, length in ipairs(lengths) do
    if length == 0 or at + length > attached:len() then break end
    rndis_message(attached(at, length):tvb(), pinfo, tree)
    at = at + length
  end
end

-- Hypercalls and registers -------------------------------------------------------------------

local function vp_registers(tvb, tree, code)
  local sub = add_struct(tree, p_hv, tvb, S.VpRegistersInput, 0)
  local at = 16
  while code == 0x50 and at + 4 <= tvb:len() do
    sub:add_le(F["hyperv.register"], tvb(at, 4))
    at = at + 4
  end
  while code == 0x51 and at + 32 <= tvb:len() do
    add_struct(sub, p_hv, tvb, S.VpRegisterAssignment, at)
    at = at + 32
  end
end

local function hypercall(tvb, pinfo, tree, code)
  pinfo.cols.protocol = "Hyper-V"
  pinfo.cols.info:append(" " .. (V.HvCall[code] or string.format("0x%04x", code)))
  if code == 0x5c then
    add_struct(tree, p_hv, tvb, S.PostMessage, 0)
    local length = u32(tvb, 12) or 0
    if u32(tvb, 8) == 1 and length > 0 and 16 + length <= tvb:len() then
      control_message(tvb(16, length):tvb(), pinfo, tree)
    end
  elseif code == 0x5d then
    add_struct(tree, p_hv, tvb, S.SignalEvent, 0)
  elseif code == 0x50 or code == 0x51 then
    vp_registers(tvb, tree, code)
  end
end

local function host_message(tvb, pinfo, tree, number)
  if number == 1 then return control_message(tvb, pinfo, tree) end
  pinfo.cols.protocol = "Hyper-V"
  pinfo.cols.info:append(" " .. (V.HvMessageType[number] or string.format("0x%08x", number)))
  if number == 0x80000010 then add_struct(tree, p_hv, tvb, S.TimerMessage, 0) end
end

local function register_write(field, values)
  return function(tvb, pinfo, tree, number, header)
    pinfo.cols.protocol = "Hyper-V"
    tree:add_le(F[field], header(16, 4))
    tree:add_le(F["hyperv.value"], tvb(0, 8))
    local name = values[number] or string.format("0x%08x", number)
    pinfo.cols.info:append(" " .. name .. " = 0x" .. tostring(tvb(0, 8):le_uint64():tohex()))
  end
end

local write_msr = register_write("hyperv.msr", V.Msr)
local write_register = register_write("hyperv.register", V.HvRegister)

-- Records ------------------------------------------------------------------------------------

function p_hypxe.dissector(tvb, pinfo, tree)
  if tvb:len() < S.CaptureHeader.size or tvb(0, 1):uint() ~= 1 then return 0 end
  local size = S.CaptureHeader.size
  local kind, number = tvb(1, 1):uint(), tvb(16, 4):le_uint()
  local length, more_length = tvb(24, 4):le_uint(), tvb(28, 4):le_uint()
  local outbound = tvb(2, 1):uint() == 2
  pinfo.cols.protocol = "hypxe"
  pinfo.cols.src = outbound and "guest" or "host"
  pinfo.cols.dst = outbound and "host" or "guest"
  pinfo.cols.info:set(V.CaptureKind[kind] or "record")
  local sub = add_struct(tree, p_hypxe, tvb, S.CaptureHeader, 0)
  local change = tvb(3, 1):uint()
  if change > 1 then pinfo.cols.info:append(" (" .. V.CaptureChange[change] .. ")") end

  local left = tvb:len() - size
  if length > left then
    sub:add_proto_expert_info(truncated)
    length = left
  end
  local payload = length > 0 and tvb(size, length):tvb() or nil
  local attached = nil
  if more_length > 0 and length + more_length <= left then
    attached = tvb(size + length, more_length):tvb()
  end

  if kind == 6 then
    sub:add_le(F["hyperv.event_flag"], tvb(16, 4))
    pinfo.cols.info:append(" " .. number)
  end
  if payload == nil then return tvb:len() end
  if kind == 1 then
    sub:add_le(F["hyperv.call"], tvb(16, 4))
    sub:add_le(F["hyperv.status"], tvb(14, 2))
    hypercall(payload, pinfo, tree, number)
  elseif kind == 2 then
    host_message(payload, pinfo, tree, number)
  elseif kind == 3 then
    ring_packet(payload, attached, tvb(32, 1):uint(), pinfo, tree)
  elseif kind == 4 then
    write_msr(payload, pinfo, tree, number, tvb)
  elseif kind == 5 then
    write_register(payload, pinfo, tree, number, tvb)
  elseif kind == 9 then
    tree:add(F["hypxe.note"], payload())
    pinfo.cols.info:set(payload():string())
  end
  return tvb:len()
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, p_hypxe)
