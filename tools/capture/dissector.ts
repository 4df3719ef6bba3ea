// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Makes the Wireshark dissector (hypxe.lua) from the structures and constants that the firmware and
 * the simulator themselves use, so that each field has its name and its place.
 *
 *     node --import ./tools/build/ts-hook.mjs tools/capture/write-dissector.ts
 */

import * as hyperv from '../../src/hyperv/protocol.ts';
import * as nvsp from '../../src/netvsc/protocol.ts';
import * as rndis from '../../src/rndis/protocol.ts';
import * as utility from '../../src/services/protocol.ts';
import * as vmbus from '../../src/vmbus/protocol.ts';
import { struct, type Struct } from '../../src/wire.ts';
import { MESSAGE_STRUCTS, NVSP_STRUCTS, RNDIS_STRUCTS } from '../replay/structs.ts';
import { DEVICES } from '../simulator/services/devices.ts';
import type { DeviceDescription } from '../simulator/vmbus-server/device-description.ts';
import { DISSECTOR_BODY } from './dissector-body.ts';
import { FieldTable, snake } from './dissector-fields.ts';
import * as capture from './protocol.ts';

type AnyStruct = Struct<string>;
type Structs = Readonly<Record<string, AnyStruct>>;
type Values = Readonly<Record<string, number>>;

/** Where the generated file lies, from the project's root. */
export const DISSECTOR_PATH = 'tools/capture/hypxe.lua';

const HEAD = `-- SPDX-License-Identifier: GPL-2.0-or-later
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
${DEVICES.map(protocolLua).join('\n')}
`;

/** The dissector. */
export function dissector(): string {
  const fields = new FieldTable();
  const out: string[] = [HEAD];
  out.push(values());

  // Structures; their fields join the table
  out.push('local S = {}');
  const add = (structs: Structs, protocol: string, prefix: (name: string) => string): void => {
    for (const [name, of] of Object.entries(structs)) {
      out.push(structLua(name, of, fields, protocol, prefix(name)));
    }
  };
  add(structsOf(capture), 'hypxe', () => 'hypxe');
  add(structsOf(hyperv), 'hyperv', (name) => `hyperv.${snake(name)}`);
  add(structsOf(vmbus), 'vmbus', (name) => `vmbus.${vmbusGroup(name)}`);
  const nvspType = struct('NVSP', 4, { type: [0, 4] });
  add({ NvspType: nvspType, ...structsOf(nvsp) }, 'nvsp', () => 'nvsp');
  add(structsOf(rndis), 'rndis', (name) => (name === 'RndisPacketInfo' ? 'rndis.ppi' : 'rndis'));
  add(structsOf(utility), 'ic', (name) => (name === 'IcHeader' ? 'ic' : `ic.${snake(name)}`));

  // Which structure a message has
  out.push(tableOf('messages', MESSAGE_STRUCTS, structsOf(vmbus)));
  out.push(tableOf('nvsp_messages', NVSP_STRUCTS, structsOf(nvsp), { 134: 'NvspSendTable' }));
  out.push(tableOf('rndis_messages', RNDIS_STRUCTS, structsOf(rndis)));
  const ic = {
    [utility.IcType.NEGOTIATE]: utility.IcNegotiate,
    [utility.IcType.HEARTBEAT]: utility.HeartbeatMessage,
    [utility.IcType.SHUTDOWN]: utility.ShutdownMessage,
    [utility.IcType.TIME_SYNC]: utility.TimeSyncMessage,
  };
  out.push(tableOf('ic_messages', ic, structsOf(utility)));
  out.push(...DEVICES.flatMap((device) => deviceLua(device, fields)), describedLua());
  addFurtherFields(fields);
  return `${out.join('\n')}\n${fields.lua()}\n${DISSECTOR_BODY}`;
}

// --- devices that describe themselves ---

/** Name of a device's protocol, in filters and in Lua. */
function protocolOf({ name }: DeviceDescription): string {
  return `hv_${snake(name).replaceAll('-', '_')}`;
}

function protocolLua(device: DeviceDescription): string {
  const protocol = protocolOf(device);
  return `local p_${protocol} = Proto.new("${protocol}", "Hyper-V ${device.name}")`;
}

/** The structures of a device, and the names of its messages. */
function deviceLua(device: DeviceDescription, fields: FieldTable): string[] {
  const { header, types, messages } = device.protocol;
  const protocol = protocolOf(device);
  const structs = Object.entries({ header, ...messages }).map(([type, of]) =>
    structLua(`${protocol}_${type}`, of, fields, protocol, protocol),
  );
  fields.add(protocol, `${protocol}.type`, 'uint32', 'type', `V.${protocol}`);
  return [...structs, tableLua(protocol, types)];
}

/** Which device has which structures, by CaptureHeader.device. */
function describedLua(): string {
  const lines = DEVICES.map((device, index) => {
    const protocol = protocolOf(device);
    const { header, messages } = device.protocol;
    const structs = Object.keys(messages).map((type) => `[${type}] = S.${protocol}_${type}`);
    return [
      `  [${capture.CaptureDevice.DESCRIBED + index}] = {`,
      `    name = "${device.name}", proto = p_${protocol}, types = V.${protocol},`,
      `    type_at = ${header.at.type}, header = S.${protocol}_header,`,
      `    messages = { ${structs.join(', ')} },`,
      '  },',
    ].join('\n');
  });
  return `local described = {\n${lines.join('\n')}\n}`;
}

/** Fields that are no member of a structure: flexible arrays, and copies of the header's number. */
function addFurtherFields(fields: FieldTable): void {
  fields.add('hypxe', 'hypxe.note', 'string', 'note');
  fields.add('hyperv', 'hyperv.call', 'uint32', 'call', 'V.HvCall');
  fields.add('hyperv', 'hyperv.status', 'uint16', 'status', 'V.HvStatus');
  fields.add('hyperv', 'hyperv.msr', 'uint32', 'msr', 'V.Msr');
  fields.add('hyperv', 'hyperv.register', 'uint32', 'register', 'V.HvRegister');
  fields.add('hyperv', 'hyperv.value', 'uint64', 'value');
  fields.add('hyperv', 'hyperv.event_flag', 'uint32', 'event flag');
  fields.add('vmbus', 'vmbus.pfn', 'uint64', 'page number');
  fields.add('vmbus', 'vmbus.payload', 'bytes', 'payload');
  fields.add('vmbus', 'vmbus.msg.features', 'uint32', 'features');
  fields.add('nvsp', 'nvsp.send_table.channel', 'uint32', 'channel');
  fields.add('rndis', 'rndis.ppi.data', 'bytes', 'data');
  fields.add('rndis', 'rndis.info', 'bytes', 'information');
  fields.add('rndis', 'rndis.data', 'bytes', 'data');
  fields.add('ic', 'ic.file.bytes', 'bytes', 'bytes of the file');
}

/** The structures among what a module exports. */
function structsOf(module: object): Structs {
  const found = Object.entries(module as Record<string, Partial<AnyStruct>>).filter(
    ([, value]) => typeof value === 'object' && value.at !== undefined && value.size !== undefined,
  );
  return Object.fromEntries(found) as Structs;
}

/** Control messages share their fields; headers of packets do, too. */
function vmbusGroup(name: string): string {
  if (Object.values(MESSAGE_STRUCTS).includes(structsOf(vmbus)[name]!)) return 'msg';
  if (name.startsWith('TlConnect')) return 'msg';
  if (['PacketHeader', 'GpaDirectHeader', 'XferPageHeader'].includes(name)) return 'packet';
  return snake(name);
}

/** Structures that may be shorter than they are, and by how much: none of them is cut short. */
const SHORTEST: Readonly<Record<string, number>> = {
  PostMessage: hyperv.PostMessage.at.data,
  VersionResponse: vmbus.VERSION_RESPONSE_MIN,
  ShutdownMessage: utility.ShutdownMessage.at.displayMessage,
  FileCopyData: utility.FileCopyData.at.data,
};

function structLua(
  name: string,
  of: AnyStruct,
  fields: FieldTable,
  protocol: string,
  prefix: string,
): string {
  const least = SHORTEST[name] ?? of.size;
  const lines = [
    `S.${name} = { name = "${of.name}", size = ${of.size}, least = ${least}, fields = {`,
  ];
  for (const field of Object.keys(of.at)) {
    const [offset, size] = [of.at[field]!, of.sizes[field]!];
    if (size === 0) continue;
    const abbreviation = fields.member(protocol, prefix, name, field, size);
    lines.push(`  { ${offset}, ${size}, "${abbreviation}" },`);
  }
  return `${lines.join('\n')}\n} }`;
}

function tableOf(
  name: string,
  byType: Readonly<Record<number, AnyStruct>>,
  structs: Structs,
  more: Readonly<Record<number, string>> = {},
): string {
  const lines = Object.entries(byType).map(([type, of]) => {
    const entry = Object.entries(structs).find(([, each]) => each === of)!;
    return `  [${type}] = S.${entry[0]},`;
  });
  for (const [type, of] of Object.entries(more)) lines.push(`  [${type}] = S.${of},`);
  return `local ${name} = {\n${lines.join('\n')}\n}`;
}

/** What numbers mean, as Lua tables. */
function values(): string {
  const versions = Object.values(vmbus.VmbusVersion);
  const tables: Readonly<Record<string, Values>> = {
    HvCall: hyperv.HvCall,
    HvStatus: hyperv.HvStatus,
    HvMessageType: hyperv.HvMessageType,
    Msr: numbered(hyperv.Msr, 'Msr'),
    HvRegister: numbered(hyperv.HvRegister, 'HvRegister'),
    MessageType: vmbus.MessageType,
    PacketType: vmbus.PacketType,
    ConnectionState: vmbus.ConnectionState,
    VmbusVersion: Object.fromEntries(versions.map((each) => [vmbus.versionText(each), each])),
    NvspType: nvsp.NvspType,
    NvspStatus: nvsp.NvspStatus,
    NvspVersion: nvsp.NvspVersion,
    RndisChannel: nvsp.RndisChannel,
    RndisType: rndis.RndisType,
    RndisStatus: rndis.RndisStatus,
    Oid: rndis.Oid,
    IcType: utility.IcType,
    IcStatus: utility.IcStatus,
    FileCopyOperation: utility.FileCopyOperation,
    CaptureKind: capture.CaptureKind,
    CaptureDirection: capture.CaptureDirection,
    CaptureChange: capture.CaptureChange,
    CaptureDevice: captureDevices(),
  };
  const lines = Object.entries(tables).map(([name, table]) => tableLua(name, table));
  return `local V = {}\n${lines.join('\n')}`;
}

function tableLua(name: string, table: Values): string {
  const entries = Object.entries(table).map(([text, value]) => `  [${value}] = "${text}",`);
  return `V.${name} = {\n${entries.join('\n')}\n}`;
}

/** CaptureHeader.device: the fixed ones, and those that describe themselves. */
function captureDevices(): Values {
  const { DESCRIBED, ...fixed } = capture.CaptureDevice;
  const own = DEVICES.map(({ name }, index) => [name.toUpperCase(), DESCRIBED + index] as const);
  return { ...fixed, ...Object.fromEntries(own) };
}

/** Registers, with all of those that there are several of. */
function numbered(registers: Values, kind: 'Msr' | 'HvRegister'): Values {
  const all: Record<string, number> = { ...registers };
  for (let i = 1; i < hyperv.SINT_COUNT; i++) all[`SINT${i}`] = hyperv[kind].SINT0 + i;
  for (let i = 1; i < hyperv.STIMER_COUNT; i++) {
    all[`STIMER${i}_CONFIG`] = hyperv[kind].STIMER0_CONFIG + 2 * i;
    all[`STIMER${i}_COUNT`] = hyperv[kind].STIMER0_COUNT + 2 * i;
  }
  return all;
}
