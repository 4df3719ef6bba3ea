// SPDX-License-Identifier: GPL-2.0-or-later

/** As `golden-encodings.ts`, for the devices: NVSP, RNDIS and the utility services. */

import * as netvsc from '../../../src/netvsc/protocol.ts';
import * as rndis from '../../../src/rndis/protocol.ts';
import * as utility from '../../../src/services/protocol.ts';
import * as vmbus from '../../../src/vmbus/protocol.ts';
import { encode, join } from './encode.ts';
import { RECEIVE_ID } from './encodings.ts';

const N = netvsc.NvspType;
const R = rndis.RndisType;

const RECEIVE_GPADL = 0xe1e12;

/** An NVSP message, filled up to its size on the ring before the padding to 8. */
const nvsp = (...pieces: Uint8Array[]) => join(netvsc.NVSP_MESSAGE_SIZE_V1, ...pieces);

/** Linux's capabilities: SR-IOV, 802.1Q, teaming, RSC (bits of nvsp_2_vsc_capability). */
const CAPABILITIES = (1n << 2n) | (1n << 3n) | (1n << 5n) | (1n << 7n);

const NVSP: Readonly<Record<string, () => Uint8Array>> = {
  nvsp_init_v1: () =>
    nvsp(
      encode(netvsc.NvspInit, {
        type: N.INIT,
        minVersion: netvsc.NvspVersion.V1,
        maxVersion: netvsc.NvspVersion.V1,
      }),
    ),
  nvsp_init_v61: () =>
    join(
      netvsc.NVSP_MESSAGE_SIZE_V6_1,
      encode(netvsc.NvspInit, {
        type: N.INIT,
        minVersion: netvsc.NvspVersion.V6_1,
        maxVersion: netvsc.NvspVersion.V6_1,
      }),
    ),
  nvsp_ndis_version_6_30: () =>
    nvsp(encode(netvsc.NvspNdisVersion, { type: N.SEND_NDIS_VERSION, major: 6, minor: 30 })),
  nvsp_send_recv_buf: () =>
    nvsp(
      encode(netvsc.NvspSendBuffer, {
        type: N.SEND_RECEIVE_BUFFER,
        gpadl: RECEIVE_GPADL,
        id: RECEIVE_ID,
      }),
    ),
  nvsp_send_recv_buf_complete: () =>
    nvsp(
      encode(netvsc.NvspReceiveBufferComplete, {
        type: N.SEND_RECEIVE_BUFFER_COMPLETE,
        status: netvsc.NvspStatus.SUCCESS,
        sectionCount: 1,
      }),
      encode(netvsc.NvspReceiveBufferSection, {
        subAllocationSize: 1728,
        subAllocationCount: 37,
        endOffset: 63936,
      }),
    ),
  nvsp_revoke_recv_buf: () =>
    nvsp(encode(netvsc.NvspRevokeBuffer, { type: N.REVOKE_RECEIVE_BUFFER, id: RECEIVE_ID })),
  nvsp_send_rndis_control: () =>
    nvsp(
      encode(netvsc.NvspRndisPacket, {
        type: N.SEND_RNDIS_PACKET,
        channelType: netvsc.RndisChannel.CONTROL,
        sendBufferIndex: netvsc.NVSP_NO_SEND_BUFFER,
      }),
    ),
  nvsp_send_rndis_complete: () =>
    nvsp(
      encode(netvsc.NvspRndisPacketComplete, {
        type: N.SEND_RNDIS_PACKET_COMPLETE,
        status: netvsc.NvspStatus.SUCCESS,
      }),
    ),
  nvsp_ndis_config_v61: () =>
    nvsp(
      encode(netvsc.NvspNdisConfig, {
        type: N.SEND_NDIS_CONFIG,
        mtu: 1514,
        capabilities: CAPABILITIES,
      }),
    ),
  nvsp_vf_association: () =>
    nvsp(
      encode(netvsc.NvspVfAssociation, {
        type: N.SEND_VF_ASSOCIATION,
        allocated: 1,
        serial: 0x17,
      }),
    ),
  nvsp_subchannel_request: () =>
    nvsp(encode(netvsc.NvspSubchannelRequest, { type: N.SUBCHANNEL, operation: 1, count: 3 })),
};

const RNDIS: Readonly<Record<string, () => Uint8Array>> = {
  rndis_init: () =>
    encode(rndis.RndisInitialise, {
      type: R.INITIALISE,
      length: rndis.RndisInitialise.size,
      requestId: 1,
      major: 1,
      maxTransfer: 0x4000,
    }),
  rndis_init_complete: () =>
    encode(rndis.RndisInitialiseComplete, {
      type: R.INITIALISE_CMPLT,
      length: rndis.RndisInitialiseComplete.size,
      requestId: 1,
      status: rndis.RndisStatus.SUCCESS,
      major: 1,
      deviceFlags: 1,
      maxPackets: 8,
      maxTransfer: 0xefffffff,
      packetAlignment: 3,
    }),
  rndis_query_mac: () =>
    encode(rndis.RndisRequest, {
      type: R.QUERY,
      length: rndis.RndisRequest.size,
      requestId: 2,
      oid: rndis.Oid.OID_802_3_PERMANENT_ADDRESS,
      infoOffset: rndis.RndisRequest.size - rndis.RNDIS_BODY,
    }),
  rndis_set_filter: () =>
    join(
      undefined,
      encode(rndis.RndisRequest, {
        type: R.SET,
        length: rndis.RndisRequest.size + 4,
        requestId: 3,
        oid: rndis.Oid.GEN_CURRENT_PACKET_FILTER,
        infoLength: 4,
        infoOffset: rndis.RndisRequest.size - rndis.RNDIS_BODY,
      }),
      Uint8Array.of(
        rndis.PacketFilter.DIRECTED |
          rndis.PacketFilter.ALL_MULTICAST |
          rndis.PacketFilter.BROADCAST,
        ...[0, 0, 0],
      ),
    ),
  rndis_halt: () =>
    encode(rndis.RndisHalt, { type: R.HALT, length: rndis.RndisHalt.size, requestId: 4 }),
  rndis_indicate_media_connect: () =>
    encode(rndis.RndisIndicateStatus, {
      type: R.INDICATE_STATUS,
      length: rndis.RndisIndicateStatus.size,
      status: rndis.RndisStatus.MEDIA_CONNECT,
    }),
};

/** A message of a utility service in pipe mode. */
function ic(
  header: Partial<Record<keyof typeof utility.IcHeader.at, number>>,
  body: Uint8Array,
): Uint8Array {
  const length = utility.IcHeader.size + body.length;
  return join(
    undefined,
    encode(vmbus.PipeHeader, { type: vmbus.PIPE_TYPE_DATA, length }),
    encode(utility.IcHeader, {
      flags: utility.IcFlag.TRANSACTION | utility.IcFlag.REQUEST,
      ...header,
      length: body.length,
    }),
    body,
  );
}

const version = (major: number, minor = 0) => encode(utility.IcVersion, { major, minor });

const SERVICES: Readonly<Record<string, () => Uint8Array>> = {
  ic_negotiate_request: () =>
    ic(
      { type: utility.IcType.NEGOTIATE },
      join(
        undefined,
        encode(utility.IcNegotiate, { frameworkCount: 2, messageCount: 2 }),
        ...[version(1), version(3), version(1), version(3)],
      ),
    ),
  ic_heartbeat_request: () =>
    ic(
      {
        frameworkMajor: 3,
        type: utility.IcType.HEARTBEAT,
        messageMajor: 3,
        transactionId: 1,
      },
      encode(utility.HeartbeatMessage, { sequence: 9 }),
    ),
  ic_fcopy_complete_request: () =>
    ic(
      {
        frameworkMajor: 3,
        type: utility.IcType.FILE_COPY,
        messageMajor: 1,
        messageMinor: 1,
        transactionId: 2,
      },
      encode(utility.FileCopyHeader, { operation: utility.FileCopyOperation.COMPLETE }),
    ),
};

export const DEVICE_ENCODINGS = { ...NVSP, ...RNDIS, ...SERVICES };
