// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The hand-written part of the Wireshark dissector: how structures follow each other. What the
 * structures are is generated in front of it, from the project's own definitions (dissector.ts).
 */

/** Lua 5.2, as Wireshark 4.0 has it. Uses the tables `F`, `S`, `V` and the protocols. */
export const DISSECTOR_BODY = String.raw`
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
`;
