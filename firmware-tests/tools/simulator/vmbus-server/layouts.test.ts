// SPDX-License-Identifier: GPL-2.0-or-later

/** What only the VMBus server defines of the wire, against OpenVMM's layouts. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  InitiateContact,
  TlConnectRequest,
  TlConnectResult,
} from '../../../../src/vmbus/protocol.ts';
import {
  CHANNEL_CONNECTION_BASE,
  FeatureFlag,
  IMPLEMENTED_FEATURES,
  INITIATE_CONTACT_CLIENT_SIZE,
  ModifyConnection,
  ModifyConnectionResponse,
  OpenChannel2,
  VersionResponse2,
} from '../../../../tools/simulator/vmbus-server/host-protocol.ts';
import type { Struct } from '../../../../src/wire.ts';
import { SAMPLES, goldenStruct, goldenValues } from '../../../rigs/golden/golden.ts';
import { Rig, RigDevice } from '../../../rigs/vmbus-server-rig.ts';

const layouts = suite('vmbus-server: layouts');

/** Each field that both know by the given names lies where OpenVMM has it. */
function pin<F extends string>(ours: Struct<F>, theirs: string, names: Record<string, F>): void {
  const golden = goldenStruct('openvmm', theirs);
  assert.is(ours.size, golden.size, theirs);
  for (const [name, field] of Object.entries(names)) {
    const found = golden.fields[name];
    assert.ok(found, `${theirs}.${name}`);
    assert.equal([ours.at[field], ours.sizes[field]], [found.offset, found.size], name);
  }
}

layouts('messages of 6.0 and of hvsocket', () => {
  pin(OpenChannel2, 'OpenChannel2', {
    connection_id: 'connectionId',
    event_flag: 'eventFlag',
    flags: 'flags',
  });
  pin(VersionResponse2, 'VersionResponse2', { supported_features: 'featureFlags' });
  pin(ModifyConnection, 'ModifyConnection', {
    parent_to_child_monitor_page_gpa: 'monitorIn',
    child_to_parent_monitor_page_gpa: 'monitorOut',
  });
  pin(ModifyConnectionResponse, 'ModifyConnectionResponse', {});
  const ids = { endpoint_id: 'endpointId', service_id: 'serviceId' } as const;
  pin(TlConnectRequest, 'TlConnectRequest', ids);
  pin(TlConnectResult, 'TlConnectResult', { ...ids, status: 'status' });
  assert.is(goldenStruct('openvmm', 'InitiateContact').size, InitiateContact.size);
  assert.is(goldenStruct('openvmm', 'InitiateContact2').size, INITIATE_CONTACT_CLIENT_SIZE);
});

layouts('feature flags', () => {
  const names = {
    GUEST_SPECIFIED_SIGNAL_PARAMETERS: 'guest_specified_signal_parameters',
    CHANNEL_INTERRUPT_REDIRECTION: 'channel_interrupt_redirection',
    MODIFY_CONNECTION: 'modify_connection',
    CLIENT_ID: 'client_id',
    PAUSE_RESUME: 'pause_resume',
  } as const;
  let all = 0;
  for (const [ours, theirs] of Object.entries(names)) {
    const value = FeatureFlag[ours as keyof typeof names];
    assert.equal(goldenValues(`vmbus_feature_flags.${theirs}`), [BigInt(value)]);
    all |= value;
  }
  assert.is(IMPLEMENTED_FEATURES, all);
});

layouts('connection IDs of channels', () => {
  // Relid 5 has connection 0x2005 in the golden offer
  const offer = SAMPLES['offer_channel_nic']!.hex;
  assert.is(offer.slice(192 * 2), '05200000');
  assert.is(CHANNEL_CONNECTION_BASE, 0x2000);
  const rig = new Rig({ devices: [new RigDevice(1)] });
  assert.is(rig.boot()[0]!.slice(192 * 2), '01200000');
});

layouts.run();
