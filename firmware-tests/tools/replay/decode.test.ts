// SPDX-License-Identifier: GPL-2.0-or-later

/** The decoder: every field by name, nothing beyond the bytes, nothing hidden. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  decodeMessage,
  decodePacket,
  decodePost,
  decodeRndis,
  decodeSignal,
  describeLayers,
  msrName,
} from '../../../tools/replay/index.ts';
import { fromHex } from '../../../tools/replay/hex.ts';
import { readTrace } from '../../rigs/replay-rig.ts';

function bytes(...parts: readonly string[]): Uint8Array {
  return fromHex(parts.join('').replaceAll(' ', ''));
}

const decode = suite('decoder');

decode('INITIATE_CONTACT as it is posted', () => {
  const input = bytes(
    '01000000 00000000 01000000 28000000',
    '0e000000 00000000 00000300 00000000 00400010 00000000 00500010 00000000 00600010 00000000',
  );
  assert.equal(describeLayers(decodePost(input)), [
    'HvPostMessage connectionId=0x1 reserved=0x0 type=0x1 length=40',
    'INITIATE_CONTACT type=INITIATE_CONTACT reserved=0x0 version=3.0 targetVp=0x0 ' +
      'interruptPage=0x10004000 monitorIn=0x10005000 monitorOut=0x10006000',
  ]);
});
decode('a GPADL with its pages, and a body', () => {
  const header = bytes(
    '08000000 00000000 05000000 0200ae18 28000100 00400000 00000000',
    '17000100 00000000 18000100 00000000 19000100 00000000 1a000100 00000000',
  );
  const [layer] = decodeMessage(header);
  const value = (name: string): unknown =>
    layer!.fields.find((field) => field.name === name)?.value;
  assert.is(value('gpadl'), 0x18ae0002);
  assert.is(value('rangeLength'), 40);
  assert.is(value('range[0].byteCount'), 16384);
  assert.is(value('range[0].pfn[0]'), 0x10017n);
  assert.is(value('range[0].pfn[3]'), 0x1001an);
  assert.equal(
    describeLayers(
      decodeMessage(bytes('09000000 00000000 01000000 0200ae18', '1b000100 00000000')),
    ),
    ['GPADL_BODY type=GPADL_BODY reserved=0x0 messageNumber=0x1 gpadl=0x18ae0002 pfn[0]=0x1001b'],
  );
});
decode('NVSP INIT and a transfer-page packet with three ranges', () => {
  const init = bytes(
    '06000200 06000100 2000ae18 00000000',
    '01000000 02000000 02000000',
    '00'.repeat(20),
    '00000000 38000000',
  );
  assert.equal(describeLayers(decodePacket(init)), [
    'DATA_INBAND type=DATA_INBAND headerQlen=2 qlen=6 flags=0x1 transactionId=0x18ae0020 ' +
      'footer.reserved=0x0 footer.offset=56',
    'INIT type=INIT minVersion=V1 maxVersion=V1',
  ]);
  const pages = bytes(
    '07000600 0a000100 07100000 00000000 adbe0000 03000000',
    '36000000 00000000 36000000 00080000 38000000 00100000',
    '6b000000 00000000 ffffffff 00000000 00000000 00000000 00000000 00000000',
  );
  assert.equal(describeLayers(decodePacket(pages)), [
    'DATA_XFER_PAGES type=DATA_XFER_PAGES headerQlen=6 qlen=10 flags=0x1 transactionId=0x1007 ' +
      'pageSet=0xbead owner=0x0 reserved=0x0 rangeCount=3 ' +
      'range[0].length=54 range[0].offset=0 range[1].length=54 range[1].offset=2048 ' +
      'range[2].length=56 range[2].offset=4096',
    'SEND_RNDIS_PACKET type=SEND_RNDIS_PACKET channelType=0x0 sendBufferIndex=0xffffffff ' +
      'sendBufferSize=0',
  ]);
});
decode('RNDIS requests, answers and unknown messages', () => {
  const filter = bytes('05000000 20000000 0e010100 0e010100 04000000 14000000 00000000 2f000000');
  assert.equal(describeLayers(decodeRndis(filter)), [
    'SET type=SET length=32 requestId=0x1010e oid=GEN_CURRENT_PACKET_FILTER infoLength=4 ' +
      'infoOffset=20 deviceVcHandle=0x0 data=2f000000',
  ]);
  assert.equal(describeLayers(decodeRndis(bytes('99000000 0c000000 01020304'))), [
    'message 0x99 data=990000000c00000001020304',
  ]);
});
decode('signals and registers', () => {
  assert.equal(describeLayers(decodeSignal(bytes('02000000 00000000'))), [
    'HvSignalEvent connectionId=0x2 flag=0x0 reserved=0x0',
  ]);
  assert.is(msrName(0x40000092), 'SINT2');
  assert.is(msrName(0x40000083), 'SIMP');
  assert.is(msrName(0x40000fff), '0x40000fff');
});
decode('bytes that no field explains are shown', () => {
  assert.match(describeLayers(decodeMessage(bytes('11000000 00000000 01')))[0]!, /trailing=01$/);
  assert.match(describeLayers(decodeMessage(bytes('63000000 00000000')))[0]!, /^message 99 data=/);
});
decode('any prefix of any message or packet decodes without reading beyond it', () => {
  for (const name of ['01-boot', '03-rndis-indications', '12a-underlength-header']) {
    for (const event of readTrace(name).events) {
      const hex =
        event.op === 'ring-write' || event.op === 'host-ring-write'
          ? event.bytes
          : event.op === 'hypercall'
            ? event.input
            : event.op === 'host-message'
              ? event.payload
              : '';
      const whole = fromHex(hex);
      for (let length = 0; length <= whole.length; length += length < 64 ? 1 : 37) {
        const part = whole.slice(0, length);
        for (const decoder of [decodePost, decodePacket, decodeMessage, decodeRndis]) {
          for (const { fields } of decoder(part))
            for (const field of fields) assert.type(field.text, 'string');
        }
      }
    }
  }
});
decode('lengths and counts out of range do not run away', () => {
  const packet = bytes('0900ffff ffff0100 01000000 00000000 00000000 ffffffff', 'ff'.repeat(64));
  assert.ok(decodePacket(packet)[0]!.fields.length < 100);
  const gpadl = bytes(
    '08000000 00000000 05000000 0200ae18 ffffffff ffffffff ffffffff',
    'ff'.repeat(64),
  );
  assert.ok(decodeMessage(gpadl)[0]!.fields.length < 100);
});
decode.run();
