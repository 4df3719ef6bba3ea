// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Every constant of the protocol files against those of other implementations. A constant that is
 * neither pinned nor on the list of those that no golden file has is a failure.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as hyperv from '../../../src/hyperv/protocol.ts';
import * as netvsc from '../../../src/netvsc/protocol.ts';
import * as rndis from '../../../src/rndis/protocol.ts';
import * as utility from '../../../src/services/protocol.ts';
import * as vmbus from '../../../src/vmbus/protocol.ts';
import * as host from '../../../tools/simulator/vmbus-server/host-protocol.ts';
import { guidBytes, guidText } from '../../../src/wire.ts';
import {
  type ConstantPins,
  HOST_CONSTANTS,
  HYPERV_CONSTANTS,
  VMBUS_CONSTANTS,
} from '../../rigs/golden/constants.ts';
import {
  NETVSC_CONSTANTS,
  RNDIS_CONSTANTS,
  UTILITY_CONSTANTS,
} from '../../rigs/golden/device-constants.ts';
import { goldenStruct, goldenValues, isStruct, openvmmMessage } from '../../rigs/golden/golden.ts';

/** What no golden file has: the value again, from the document that is named. */
const WITHOUT_GOLDEN: Readonly<Record<string, readonly [value: number | bigint, why: string]>> = {
  'hyperv.Cpuid.MAX_BASIC': [0, 'x86 architecture, not of Hyper-V'],
  'hyperv.Cpuid.MAX_EXTENDED': [0x80000000, 'x86 architecture, not of Hyper-V'],
  'hyperv.Cpuid.EXTENDED_FEATURES': [0x80000001, 'x86 architecture, not of Hyper-V'],
  'hyperv.HV_HYPERCALL_LOCKED': [2n, 'TLFS 3.13: MSR 0x40000001 bit 1; Linux does not name it'],
  'hyperv.HV_PAGE_REGISTER_MASK': [0xfffn, 'complement of Linux HV_HYP_PAGE_MASK, tested below'],
  'hyperv.GuestOsId.UEFI_ARM64': [0x1040000000000n, 'mu_msvm on arm64: vendor 1, OS 4'],
  'hyperv.HvFlush.ALL_PROCESSORS': [1, 'arm64 header: HV_FLUSH_ALL_PROCESSORS'],
  'hyperv.HvFlush.ALL_VIRTUAL_ADDRESS_SPACES': [
    2,
    'arm64 header: HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES',
  ],
  'hyperv.HvFlush.NON_GLOBAL_MAPPINGS_ONLY': [4, 'arm64 header: HV_FLUSH_NON_GLOBAL_MAPPINGS_ONLY'],
  'hyperv.HvFlush.USE_EXTENDED_RANGE_FORMAT': [
    8,
    'arm64 header: HV_FLUSH_USE_EXTENDED_RANGE_FORMAT',
  ],
  'hyperv.HvRegister.IMPLEMENTATION_LIMITS': [0x202, 'arm64 header; tested in arm64-golden'],
  'hyperv.HvRegister.INTERFACE_VERSION': [0x90006, 'arm64 header; tested in arm64-golden'],
  'hyperv.Sint.AS_INTERCEPT': [0x80000n, 'TLFS 11.6: SINTx bit 19; Linux calls it reserved'],
  'hyperv.Sint.PROXY': [0x100000n, 'OpenVMM HvSynicSint bit 20; not in the extract'],
  'hyperv.HvControl.CODE_MASK': [0xffffn, 'TLFS 3.7: call code in bits 15-0; Linux has no name'],
  'vmbus.VERSION_RESPONSE_MIN': [9, 'VersionResponse up to its connection state, tested below'],
  'vmbus.OFFER_CHANNEL_MIN': [190, 'OFFER_CHANNEL up to its monitor, tested below'],
  'hyperv.HvFeature.INTR_CONTROL': [0x10, 'TLFS: AccessIntrCtrlRegs, bit 4 of EAX'],
  'rndis.RNDIS_INFO_VLAN': [6, 'NDIS Ieee8021QNetBufferListInfo; Linux IEEE_8021Q_INFO'],
  'rndis.RNDIS_VLAN_SHIFT': [4, 'bits 15 to 4: Linux struct ndis_pkt_8021q_info, vlanid'],
  'rndis.RNDIS_VLAN_MASK': [0xfff, 'twelve bits: Linux struct ndis_pkt_8021q_info, vlanid'],
  'vmbus.MONITOR_NONE': [0xff, 'value of monitorid in the sample offer_channel_nic'],
  'vmbus.GPADL_HEADER_PFNS': [26, 'samples gpadl_header_40pages: 26 and 14, tested below'],
  'vmbus.GPADL_BODY_PFNS': [28, '(240 - 16) / 8, tested below'],
  'vmbus.VERSION_RESPONSE2_SIZE': [20, 'OpenVMM VersionResponse2, tested below'],
  'host.IMPLEMENTED_FEATURES': [0x2f, 'the members of FeatureFlag together, tested below'],
  'host.OPEN_CHANNEL2_FEATURES': [0x3, 'OpenVMM OpenChannel2: features 0x1 or 0x2'],
  'host.OFFER_FLAGS_NEGOTIATED': [0xe, 'OpenVMM OfferFlags, tested below'],
  'host.OFFER_CHANNEL_SHORT': [190, 'OFFER_CHANNEL up to its monitor, tested below'],
  'host.INITIATE_CONTACT_CLIENT_SIZE': [56, 'OpenVMM InitiateContact2, tested below'],
  'host.CHANNEL_CONNECTION_BASE': [0x2000, 'SINT 2 << 12, tested below'],
  'netvsc.NdisCapability.SRIOV': [0x4, 'bit 2, in the sample nvsp_ndis_config_v61'],
  'netvsc.NdisCapability.IEEE8021Q': [0x8, 'bit 3, in the sample nvsp_ndis_config_v61'],
  'netvsc.NdisCapability.TEAMING': [0x20, 'bit 5, in the sample nvsp_ndis_config_v61'],
  'netvsc.NVSP_MESSAGE_SIZE': [32, 'iPXE pads all messages to 32, tested in golden-structs'],
  'utility.ShutdownFlag.FORCE': [1, 'OpenVMM shutdown flags, bit 0; not in the extract'],
  'utility.ShutdownFlag.RESTART': [2, 'OpenVMM shutdown flags, bit 1; not in the extract'],
  'utility.ShutdownFlag.HIBERNATE': [4, 'OpenVMM shutdown flags, bit 2; not in the extract'],
  'netvsc.NVSP_RECEIVE_BUFFER_COMPLETE_MIN': [28, 'completion and one section, tested below'],
};

/** Functions, which have no value to pin. */
const FUNCTIONS = ['vmbus.versionText'];

const LAYERS: readonly [string, Readonly<Record<string, unknown>>, ConstantPins][] = [
  ['hyperv', hyperv, HYPERV_CONSTANTS],
  ['vmbus', vmbus, VMBUS_CONSTANTS],
  ['host', host, HOST_CONSTANTS],
  ['netvsc', netvsc, NETVSC_CONSTANTS],
  ['rndis', rndis, RNDIS_CONSTANTS],
  ['utility', utility, UTILITY_CONSTANTS],
];

type Scalar = number | bigint | string;

/** All constants that a protocol file exports: `NAME` or `Object.NAME`, and the value. */
function constants(exported: Readonly<Record<string, unknown>>): Map<string, Scalar> {
  const found = new Map<string, Scalar>();
  for (const [name, value] of Object.entries(exported)) {
    if (typeof value === 'function' || value instanceof Map || isStruct(value)) continue;
    if (typeof value !== 'object') found.set(name, value as Scalar);
    else
      for (const [key, member] of Object.entries(value ?? {})) found.set(`${name}.${key}`, member);
  }
  return found;
}

/** The golden names by the same names as {@link constants}. */
function pinned(pins: ConstantPins): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const [name, entry] of Object.entries(pins)) {
    if (Array.isArray(entry)) found.set(name, entry);
    else for (const [key, names] of Object.entries(entry)) found.set(`${name}.${key}`, names);
  }
  return found;
}

/** Names of the golden files whose value differs from ours. */
function differences(ours: Scalar, names: readonly string[]): string[] {
  const value = typeof ours === 'number' ? BigInt(ours) : ours;
  return names
    .flatMap((name) => goldenValues(name).map((theirs) => [name, theirs] as const))
    .filter(([, theirs]) => theirs !== value)
    .map(([name, theirs]) => `${value} but ${name} is ${theirs}`);
}

const values = suite('golden constants');

for (const [layer, exported, pins] of LAYERS) {
  const ours = constants(exported);
  const theirs = pinned(pins);

  values(`${layer}: each constant has the value that the golden files have`, () => {
    const found = [...theirs].flatMap(([name, names]) => {
      const value = ours.get(name);
      if (value === undefined) return [`${layer}.${name} is pinned but does not exist`];
      return differences(value, names).map((text) => `${layer}.${name}: ${text}`);
    });
    assert.equal(found, []);
    for (const [name, names] of theirs) assert.ok(names.length > 0, name);
  });

  values(`${layer}: each constant is pinned or has its reason`, () => {
    const missing = [...ours.keys()].filter(
      (name) => !theirs.has(name) && WITHOUT_GOLDEN[`${layer}.${name}`] === undefined,
    );
    assert.equal(missing, []);
    for (const [name, value] of Object.entries(exported)) {
      if (typeof value === 'function') assert.ok(FUNCTIONS.includes(`${layer}.${name}`), name);
    }
  });
}

values('what no golden file has is as its document has it', () => {
  for (const [path, [value]] of Object.entries(WITHOUT_GOLDEN)) {
    const [layer = '', ...rest] = path.split('.');
    const [, exported, pins] = LAYERS.find(([candidate]) => candidate === layer)!;
    assert.is(constants(exported).get(rest.join('.')), value, path);
    assert.not.ok(pinned(pins).has(rest.join('.')), `${path} is on both lists`);
  }

  // Those that follow from something that is pinned
  const pageMask = goldenValues('HV_HYP_PAGE_MASK')[0] as bigint;
  assert.is(hyperv.HV_PAGE_REGISTER_MASK, ~pageMask & 0xffffffffffffffffn);
  assert.is(vmbus.VERSION_RESPONSE2_SIZE, host.VersionResponse2.size);
  assert.is(vmbus.VERSION_RESPONSE_MIN, vmbus.VersionResponse.at.connectionState);
  assert.is(vmbus.OFFER_CHANNEL_MIN, vmbus.OfferChannel.at.isDedicated);
  const features = Object.values(host.FeatureFlag).reduce((all, flag) => all | flag, 0);
  assert.is(host.IMPLEMENTED_FEATURES, features);
  assert.is(host.INITIATE_CONTACT_CLIENT_SIZE, goldenStruct('openvmm', 'InitiateContact2').size);
  const negotiated = ['confidential_ring_buffer', 'confidential_external_memory'];
  const offerFlags = [...negotiated, 'require_pinned_external_memory'].map((name) =>
    Number(goldenValues(`vmbus_offer_flags.${name}`)[0]),
  );
  assert.is(host.OFFER_FLAGS_NEGOTIATED, offerFlags[0]! | offerFlags[1]! | offerFlags[2]!);
  assert.is(host.OFFER_CHANNEL_SHORT, vmbus.OfferChannel.at.isDedicated);
  assert.is(host.CHANNEL_CONNECTION_BASE, vmbus.VMBUS_MESSAGE_SINT << 12);
  const room = hyperv.HV_MESSAGE_PAYLOAD_MAX;
  const header = vmbus.GpadlHeader.size + vmbus.GpaRange.size;
  assert.is(vmbus.GPADL_HEADER_PFNS, Math.floor((room - header) / 8));
  assert.is(vmbus.GPADL_BODY_PFNS, (room - vmbus.GpadlBody.size) / 8);
  assert.is(
    netvsc.NVSP_RECEIVE_BUFFER_COMPLETE_MIN,
    netvsc.NvspReceiveBufferComplete.size + netvsc.NvspReceiveBufferSection.size,
  );
});

values('control messages are numbered as Linux and iPXE number them', () => {
  const linux: Readonly<Record<string, readonly string[]>> = {
    OFFER_CHANNEL: ['CHANNELMSG_OFFERCHANNEL', 'VMBUS_OFFER_CHANNEL'],
    RESCIND_CHANNEL_OFFER: ['CHANNELMSG_RESCIND_CHANNELOFFER'],
    REQUEST_OFFERS: ['CHANNELMSG_REQUESTOFFERS', 'VMBUS_REQUEST_OFFERS'],
    ALL_OFFERS_DELIVERED: ['CHANNELMSG_ALLOFFERS_DELIVERED', 'VMBUS_ALL_OFFERS_DELIVERED'],
    OPEN_CHANNEL: ['CHANNELMSG_OPENCHANNEL', 'VMBUS_OPEN_CHANNEL'],
    OPEN_CHANNEL_RESULT: ['CHANNELMSG_OPENCHANNEL_RESULT', 'VMBUS_OPEN_CHANNEL_RESULT'],
    CLOSE_CHANNEL: ['CHANNELMSG_CLOSECHANNEL', 'VMBUS_CLOSE_CHANNEL'],
    GPADL_HEADER: ['CHANNELMSG_GPADL_HEADER', 'VMBUS_GPADL_HEADER'],
    GPADL_BODY: ['CHANNELMSG_GPADL_BODY'],
    GPADL_CREATED: ['CHANNELMSG_GPADL_CREATED', 'VMBUS_GPADL_CREATED'],
    GPADL_TEARDOWN: ['CHANNELMSG_GPADL_TEARDOWN', 'VMBUS_GPADL_TEARDOWN'],
    GPADL_TORNDOWN: ['CHANNELMSG_GPADL_TORNDOWN', 'VMBUS_GPADL_TORNDOWN'],
    INITIATE_CONTACT: ['CHANNELMSG_INITIATE_CONTACT', 'VMBUS_INITIATE_CONTACT'],
    VERSION_RESPONSE: ['CHANNELMSG_VERSION_RESPONSE', 'VMBUS_VERSION_RESPONSE'],
    UNLOAD: ['CHANNELMSG_UNLOAD', 'VMBUS_UNLOAD'],
    OPEN_RESERVED_CHANNEL: ['CHANNELMSG_18'],
    CLOSE_RESERVED_CHANNEL: ['CHANNELMSG_19'],
    CLOSE_RESERVED_RESPONSE: ['CHANNELMSG_20'],
    TL_CONNECT_REQUEST: ['CHANNELMSG_TL_CONNECT_REQUEST'],
    MODIFY_CHANNEL: ['CHANNELMSG_MODIFYCHANNEL'],
    MODIFY_CHANNEL_RESPONSE: ['CHANNELMSG_MODIFYCHANNEL_RESPONSE'],
    TL_CONNECT_RESULT: ['vmbus_messages.TL_CONNECT_REQUEST_RESULT'],
    UNLOAD_RESPONSE: ['vmbus_messages.UNLOAD_COMPLETE'],
  };
  const ours: Readonly<Record<string, number>> = vmbus.MessageType;
  for (const [name, names] of Object.entries(linux)) {
    assert.equal(differences(ours[name]!, names), [], name);
  }
});

values('the host takes from guests what OpenVMM takes, from the same version on', () => {
  const ours: Readonly<Record<string, number>> = vmbus.MessageType;
  for (const [type, rule] of host.GUEST_MESSAGES) {
    assert.is(type, ours[rule.name], rule.name);
    const { size, minVersion } = openvmmMessage(type);
    assert.is(rule.minLength, size, `length of ${rule.name}`);
    assert.is(rule.minVersion, minVersion, rule.name);
  }
  assert.ok(host.GUEST_MESSAGES.size > 10);
});

values('a GUID goes to its wire form and back', () => {
  const hex = '635161f83edfc546913ff2d2f965ed0e';
  assert.is(Buffer.from(guidBytes(vmbus.DeviceClass.NETWORK)).toString('hex'), hex);
  for (const text of Object.values(vmbus.DeviceClass)) {
    assert.is(guidText(guidBytes(text)), text);
    const shifted = new Uint8Array(20);
    shifted.set(guidBytes(text), 3);
    assert.is(guidText(shifted, 3), text);
  }
});

values('a wrong value, an unknown name and a wrong GUID are seen', () => {
  assert.is(differences(4, ['HV_MSR_SYNIC_AVAILABLE', 'HV_FEATURES_AVAIL_SYNIC_MSR']).length, 0);
  assert.is(differences(5, ['HV_MSR_SYNIC_AVAILABLE', 'HV_FEATURES_AVAIL_SYNIC_MSR']).length, 2);
  assert.is(differences(vmbus.DeviceClass.SCSI, ['guid:HV_NIC_GUID']).length, 1);
  for (const name of ['NO_SUCH', 'hv_status.NoSuch', 'guid:NO_SUCH', 'mask:hv_message_flags.no']) {
    assert.throws(() => goldenValues(name), /no golden file/, name);
  }
});

values.run();
