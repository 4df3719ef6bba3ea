// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Every structure of the protocol files, field by field, against the layouts of other
 * implementations. A structure or field that is neither pinned nor on the list of those that no
 * golden file has is a failure: so is an entry of the tables that has become superfluous.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as hyperv from '../../../src/hyperv/protocol.ts';
import * as netvsc from '../../../src/netvsc/protocol.ts';
import * as rndis from '../../../src/rndis/protocol.ts';
import * as utility from '../../../src/services/protocol.ts';
import * as vmbus from '../../../src/vmbus/protocol.ts';
import { type Struct, struct } from '../../../src/wire.ts';
import * as host from '../../../tools/simulator/vmbus-server/host-protocol.ts';
import {
  NETVSC_STRUCTS,
  RNDIS_STRUCTS,
  UTILITY_STRUCTS,
} from '../../rigs/golden/device-structs.ts';
import {
  HOST_STRUCTS,
  HYPERV_STRUCTS,
  type StructPin,
  VMBUS_STRUCTS,
} from '../../rigs/golden/structs.ts';
import { SOURCES, goldenStruct, isStruct } from '../../rigs/golden/golden.ts';

/** What no golden file has, and what pins it instead. */
const WITHOUT_GOLDEN: Readonly<Record<string, string>> = {
  'vmbus.SignalParameters': 'the end of OpenVMM OpenChannel2; pinned by hand below',
  'vmbus.TargetInfo': 'OpenVMM writes it as nested Rust types; pinned by hand below',
  'hyperv.VpRegisterAssignment': 'Linux gives only the size of the element; pinned by hand below',
  'vmbus.TlConnectResult.type': 'Linux has no such structure; MessageHeader pins it',
  'vmbus.TlConnectResult.reserved': 'Linux has no such structure; MessageHeader pins it',
  'host.CloseReservedResponse.type': 'OpenVMM has the header apart; MessageHeader pins it',
  'host.CloseReservedResponse.reserved': 'OpenVMM has the header apart; MessageHeader pins it',
  'host.ModifyConnectionResponse.type': 'OpenVMM has the header apart; MessageHeader pins it',
  'host.ModifyConnectionResponse.reserved': 'OpenVMM has the header apart; MessageHeader pins it',
  'netvsc.NvspRndisPacketComplete.type': 'Linux keeps the header apart: nvsp_message, below',
  'netvsc.NvspNdisConfig.type': 'Linux keeps the header apart: nvsp_message, below',
  'netvsc.NvspVfAssociation.type': 'Linux keeps the header apart: nvsp_message, below',
  'netvsc.NvspSubchannelRequest.type': 'Linux keeps the header apart: nvsp_message, below',
  'netvsc.NvspSendTable.type': 'Linux keeps the header apart: nvsp_message, below',
  'netvsc.NvspSubchannelComplete.type': 'Linux keeps the header apart: nvsp_message, below',
};

/** RNDIS messages repeat the header, which Linux and iPXE keep apart: RndisHeader pins it. */
const RNDIS_HEADER_FIELDS = ['type', 'length'];

const LAYERS: readonly [string, Readonly<Record<string, unknown>>, Record<string, StructPin>][] = [
  ['hyperv', hyperv, HYPERV_STRUCTS],
  ['vmbus', vmbus, VMBUS_STRUCTS],
  ['host', hostAlone(), HOST_STRUCTS],
  ['netvsc', netvsc, NETVSC_STRUCTS],
  ['rndis', rndis, RNDIS_STRUCTS],
  ['utility', utility, UTILITY_STRUCTS],
];

/** What the host defines and VMBus does not; where both do, the fields have to agree. */
function hostAlone(): Record<string, unknown> {
  return Object.fromEntries(Object.entries(host).filter(([name]) => !(name in vmbus)));
}

/** What differs between one of ours and what it is pinned to, as lines of text. */
function differences(name: string, ours: Struct<string>, pin: StructPin): string[] {
  const found: string[] = [];
  SOURCES.forEach((source, index) => {
    const golden = pin.golden[index];
    if (golden === undefined || golden === null) return;
    const theirs = goldenStruct(source, golden);
    const base = source === 'openvmm' ? 0 : (pin.base?.[source] ?? 0);
    const longer = source === 'openvmm' ? 0 : (pin.longer?.[source] ?? 0);
    if (ours.size !== base + theirs.size - longer) {
      found.push(`${name}: size ${ours.size}, ${source} ${golden} ${base + theirs.size - longer}`);
    }
    for (const [key, names] of Object.entries(pin.fields)) {
      const path = names[index];
      if (path === undefined || path === null) continue;
      const field = theirs.fields[path];
      const place = `${ours.at[key]}+${ours.sizes[key]}`;
      const expected = field && `${field.offset + base}+${field.size}`;
      if (place !== expected) {
        found.push(`${name}.${key}: at ${place}, ${source} ${golden}.${path} ${expected}`);
      }
    }
  });
  return found;
}

const layouts = suite('golden structures');

for (const [layer, exported, pins] of LAYERS) {
  const structs = Object.entries(exported).filter(([, value]) => isStruct(value));

  layouts(`${layer}: each structure and field lies where the golden layouts have it`, () => {
    const found = structs.flatMap(([name, ours]) => {
      const pin = pins[name];
      return pin ? differences(`${layer}.${name}`, ours as Struct<string>, pin) : [];
    });
    assert.equal(found, []);
    assert.ok(structs.length > 3);
  });

  layouts(`${layer}: each structure and field is pinned, and each pin is used`, () => {
    const ours = new Set<string>();
    const pinned = new Set<string>();
    for (const [name, value] of structs) {
      for (const key of Object.keys((value as Struct<string>).at)) {
        if (WITHOUT_GOLDEN[`${layer}.${name}`] !== undefined) continue;
        if (WITHOUT_GOLDEN[`${layer}.${name}.${key}`] !== undefined) continue;
        if (layer === 'rndis' && pins[name]?.base && RNDIS_HEADER_FIELDS.includes(key)) continue;
        ours.add(`${name}.${key}`);
      }
    }
    for (const [name, pin] of Object.entries(pins)) {
      for (const [key, names] of Object.entries(pin.fields)) {
        assert.ok(
          names.some((path, index) => path !== null && pin.golden[index] !== null),
          `${layer}.${name}.${key} is in the table without a counterpart`,
        );
        pinned.add(`${name}.${key}`);
      }
    }
    assert.equal([...ours].sort(), [...pinned].sort());
  });
}

layouts('the list of what no golden file has names only what is there', () => {
  for (const name of Object.keys(WITHOUT_GOLDEN)) {
    const [layer, object = '', field] = name.split('.');
    const exported = LAYERS.find(([candidate]) => candidate === layer)?.[1][object];
    assert.ok(isStruct(exported), name);
    if (field !== undefined) assert.type(exported.at[field], 'number', name);
  }
});

layouts('what no golden file has lies where its documents have it', () => {
  // OpenVMM protocol.rs OpenChannel2: an OpenChannel, then these
  for (const key of ['connectionId', 'eventFlag', 'flags'] as const) {
    const at = vmbus.OpenChannel.size + vmbus.SignalParameters.at[key];
    assert.is(at, host.OpenChannel2.at[key], key);
  }
  assert.is(vmbus.OpenChannel.size + vmbus.SignalParameters.size, host.OpenChannel2.size);

  // OpenVMM protocol.rs TargetInfo: {u8 sint, u8 vtl, u16 0, u32 feature flags}
  assert.equal(vmbus.TargetInfo.at, { sint: 0, vtl: 1, reserved: 2, featureFlags: 4 });
  const linux = goldenStruct('linux', 'vmbus_channel_initiate_contact').fields;
  assert.is(linux['msg_sint']!.offset, vmbus.InitiateContact.at.interruptPage);
  assert.is(linux['msg_vtl']!.offset, vmbus.InitiateContact.at.interruptPage + 1);

  // TLFS HvSetVpRegisters: HV_REGISTER_ASSOC {u32 name, 12 reserved, 16 value}
  assert.equal(hyperv.VpRegisterAssignment.at, { name: 0, reserved: 4, value: 16 });
  assert.is(hyperv.VpRegisterAssignment.size, 32);

  // The type of each NVSP message is the header of Linux's nvsp_message
  const header = goldenStruct('linux', 'nvsp_message').fields['hdr.msg_type']!;
  for (const [name, value] of Object.entries(netvsc)) {
    if (!isStruct(value) || value.at['type'] === undefined) continue;
    assert.equal([value.at['type'], value.sizes['type']], [header.offset, header.size], name);
  }
});

layouts('structures that serve two messages fit both', () => {
  const twice: readonly [Struct<string>, StructPin][] = [
    [
      netvsc.NvspSendBuffer,
      {
        ...NETVSC_STRUCTS['NvspSendBuffer']!,
        golden: ['nvsp_1_message_send_send_buffer', null, null],
      },
    ],
    [
      netvsc.NvspRevokeBuffer,
      {
        ...NETVSC_STRUCTS['NvspRevokeBuffer']!,
        golden: ['nvsp_1_message_revoke_send_buffer', null, null],
      },
    ],
    [
      rndis.RndisRequest,
      { ...RNDIS_STRUCTS['RndisRequest']!, golden: ['rndis_set_request', null, null] },
    ],
    [
      hyperv.VpRegistersInput,
      { ...HYPERV_STRUCTS['VpRegistersInput']!, golden: ['hv_set_vp_registers_input', null, null] },
    ],
  ];
  for (const [ours, pin] of twice) assert.equal(differences(ours.name, ours, pin), []);
});

layouts('what both the host and VMBus define is the same', () => {
  const shared: Readonly<Record<string, unknown>> = vmbus;
  for (const [name, theirs] of Object.entries(host)) {
    const ours = shared[name];
    if (!isStruct(theirs) || !isStruct(ours)) continue;
    assert.is(theirs.size, ours.size, name);
    for (const [key, at] of Object.entries(theirs.at)) {
      assert.equal([at, theirs.sizes[key]], [ours.at[key], ours.sizes[key]], `${name}.${key}`);
    }
  }
});

layouts('the fields of a structure do not overlap and leave no gap', () => {
  const gaps: string[] = [];
  for (const [layer, exported] of LAYERS) {
    for (const [name, value] of Object.entries(exported)) {
      // The host's structures name only what the shorter form does not have
      if (layer === 'host' || !isStruct(value)) continue;
      let end = 0;
      for (const [key, at] of Object.entries(value.at).sort((a, b) => a[1] - b[1])) {
        if (at < end) gaps.push(`${layer}.${name}.${key} overlaps`);
        if (at > end) gaps.push(`${layer}.${name}: ${at - end} bytes before ${key}`);
        end = at + value.sizes[key]!;
      }
      if (end < value.size) gaps.push(`${layer}.${name}: ${value.size - end} bytes at the end`);
    }
  }
  // Pages, of which only the parts in use have names
  assert.equal(gaps, [
    'hyperv.MonitorPage: 4 bytes before trigger',
    'hyperv.MonitorPage: 536 bytes before latency',
    'hyperv.MonitorPage: 256 bytes before parameter',
    'hyperv.MonitorPage: 1984 bytes at the end',
    'vmbus.RingControl: 48 bytes before featureBits',
    'vmbus.RingControl: 4028 bytes at the end',
  ]);
});

layouts('a wrong offset, size or name is seen', () => {
  const wrong = struct('WRONG', 20, {
    type: [0, 4],
    reserved: [4, 4],
    channel: [12, 4],
    openId: [8, 4],
    status: [16, 2],
  });
  assert.equal(differences('wrong', wrong, VMBUS_STRUCTS['OpenChannelResult']!).length, 9);
  assert.throws(() => goldenStruct('linux', 'no_such_struct'), /no structure/);
});

layouts.run();
