// SPDX-License-Identifier: GPL-2.0-or-later

/** RNDIS requests: what is asked at the bytes, and which answers are believed. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Oid, RndisType } from '../../../src/rndis/protocol.ts';
import { MessageType, PacketType } from '../../../src/vmbus/protocol.ts';
import type { OutgoingMessage } from '../../../tools/simulator/netvsp/faults.ts';
import { Rig, fails, hex, viewOf } from '../../rigs/driver-rig.ts';

/** Little-endian words as hexadecimal. */
function words(...values: number[]): string {
  return hex(new Uint8Array(Uint32Array.from(values).buffer));
}

/** Change the answer to the query of an object. */
function changeQuery(rig: Rig, oid: number, change: (message: OutgoingMessage) => void): void {
  rig.nic.faults.message = (message) => {
    const view = viewOf(message.bytes);
    const isQuery = view.getUint32(0, true) === RndisType.QUERY_CMPLT;
    if (isQuery && view.getUint32(8, true) === oid) change(message);
    return 'send';
  };
}

/** Let the query of an object bring other information. */
function answerWith(rig: Rig, oid: number, information: readonly number[]): void {
  changeQuery(rig, oid, (message) => {
    const bytes = new Uint8Array(24 + information.length);
    bytes.set(message.bytes.subarray(0, 24));
    bytes.set(information, 24);
    viewOf(bytes).setUint32(16, information.length, true);
    message.bytes = bytes;
    message.length = bytes.length;
  });
}

const requests = suite('RNDIS requests');

requests('full-open-at-probe: a probe opens, asks, halts and closes; an open asks anew', () => {
  const rig = new Rig();
  rig.probe();
  const initialise = words(2, 24, 0xe110e110, 1, 0, 2048);
  const query = (oid: number): string => words(4, 28, oid, oid, 0, 20, 0);
  const set = (filter: number): string => words(5, 32, 0x1010e, 0x1010e, 4, 20, 0, filter);
  const halt = words(3, 12, 0);
  assert.equal(
    rig.messages().map(({ bytes }) => hex(bytes)),
    [
      initialise,
      query(Oid.OID_802_3_PERMANENT_ADDRESS),
      query(Oid.OID_802_3_CURRENT_ADDRESS),
      query(Oid.GEN_MEDIA_CONNECT_STATUS),
      halt,
    ],
  );
  assert.is(rig.posted(MessageType.CLOSE_CHANNEL).length, 1);
  assert.not(rig.nic.state.open);
  assert.not(rig.device.isOpen);
  assert.equal(
    [hex(rig.device.permanentAddress), hex(rig.device.address), rig.device.link],
    [hex(rig.nic.permanentAddress), hex(rig.nic.address), 'up'],
  );
  rig.mark();
  rig.device.open();
  rig.device.close();
  assert.equal(
    rig.messages().map(({ bytes }) => hex(bytes)),
    [initialise, set(0x2f), query(Oid.GEN_MEDIA_CONNECT_STATUS), set(0), halt],
  );
  // NVSP: version 1, NDIS 6.1, the receive buffer of page set 0xbead; and its revoke
  assert.equal(
    rig.packets(PacketType.DATA_INBAND).map(({ bytes }) => hex(bytes.subarray(16, 28))),
    [words(1, 2, 2), words(100, 6, 1), words(101, 0x18ae0003, 0xbead), words(103, 0xbead, 0)],
  );
  assert.equal(
    rig.packets(PacketType.DATA_INBAND).map(({ transactionId }) => Number(transactionId)),
    [0x18ae0020, 0x18ae0021, 0x18ae0022, 0x18ae0023],
  );
});

requests('full-open-at-probe: without an INITIALISE that succeeded there is no HALT', () => {
  const rig = new Rig();
  rig.nic.faults.message = ({ bytes }) => {
    if (viewOf(bytes).getUint32(0, true) === RndisType.INITIALISE_CMPLT)
      viewOf(bytes).setUint32(12, 0xc0000001, true);
    return 'send';
  };
  fails('RequestFailed', () => rig.driver.probe());
  assert.equal(rig.messages(RndisType.HALT), []);
  rig.assertClean();
  // With one that did, also a failed probe halts
  const other = new Rig();
  answerWith(other, Oid.OID_802_3_CURRENT_ADDRESS, []);
  fails('BadAddress', () => other.driver.probe());
  assert.is(other.messages(RndisType.HALT).length, 1);
  other.assertClean();
});

requests('byte-order: a status is read as it lies on the wire, and is in the error', () => {
  const rig = new Rig();
  changeQuery(rig, Oid.OID_802_3_CURRENT_ADDRESS, ({ bytes }) => {
    bytes.set([0xbb, 0x00, 0x00, 0xc0], 12);
  });
  const error = fails('RequestFailed', () => rig.driver.probe());
  assert.is(error.status, 0xc00000bb);
  assert.ok(error.message.includes('0xc00000bb'));
});

requests('addresses-checked: a MAC address has six bytes', () => {
  for (const oid of [Oid.OID_802_3_PERMANENT_ADDRESS, Oid.OID_802_3_CURRENT_ADDRESS])
    for (const length of [0, 1, 5, 7, 8, 20]) {
      const rig = new Rig({ memory: new ArrayBuffer(2 << 20) });
      answerWith(rig, oid, Array<number>(length).fill(2));
      fails('BadAddress', () => rig.driver.probe());
      rig.assertClean();
    }
});

requests('addresses-checked: an answer must be of the type that was asked for', () => {
  // SET_CMPLT with the ID of the query: iPXE looks at the ID alone
  const rig = new Rig({ driver: { policy: { tries: 1 } } });
  changeQuery(rig, Oid.OID_802_3_CURRENT_ADDRESS, ({ bytes }) => {
    viewOf(bytes).setUint32(0, RndisType.SET_CMPLT, true);
  });
  fails('NoAnswer', () => rig.driver.probe());
  rig.assertClean();
});

requests('permanent and current address are not mixed up', () => {
  const permanentAddress = Uint8Array.of(2, 1, 1, 1, 1, 1);
  const address = Uint8Array.of(2, 2, 2, 2, 2, 2);
  const rig = new Rig({ nics: [{ permanentAddress, address }] });
  rig.probe();
  assert.is(hex(rig.device.permanentAddress), hex(permanentAddress));
  assert.is(hex(rig.device.address), hex(address));
});

requests('the link state has four bytes', () => {
  for (const length of [0, 3, 8]) {
    const rig = new Rig();
    answerWith(rig, Oid.GEN_MEDIA_CONNECT_STATUS, Array<number>(length).fill(0));
    fails('BadRndisMessage', () => rig.driver.probe());
    rig.assertClean();
  }
});

requests('short-answers-wake: information that lies outside of the answer ends the wait', () => {
  const places: readonly (readonly [length: number, offset: number])[] = [
    [6, 17],
    [7, 16],
    [6, 0xfffffffe],
    [0xffffffff, 16],
    [65, 16],
    [0, 23],
  ];
  for (const [length, offset] of places) {
    const rig = new Rig({ memory: new ArrayBuffer(2 << 20) });
    changeQuery(rig, Oid.OID_802_3_CURRENT_ADDRESS, (message) => {
      viewOf(message.bytes).setUint32(16, length, true);
      viewOf(message.bytes).setUint32(20, offset, true);
    });
    const ms = rig.elapsed(() => fails('BadRndisMessage', () => rig.driver.probe()));
    assert.ok(ms < 100, `${ms} ms`);
    rig.assertClean();
  }
});

requests('short-answers-wake: an answer that is cut ends the wait', () => {
  const rig = new Rig();
  changeQuery(rig, Oid.OID_802_3_CURRENT_ADDRESS, (message) => void (message.length = 23));
  const ms = rig.elapsed(() => fails('BadRndisMessage', () => rig.driver.probe()));
  assert.ok(ms < 100, `${ms} ms`);
  rig.assertClean();
});

requests('information may lie anywhere behind the header', () => {
  const rig = new Rig();
  changeQuery(rig, Oid.OID_802_3_CURRENT_ADDRESS, (message) => {
    const bytes = new Uint8Array(44);
    bytes.set(message.bytes.subarray(0, 24));
    bytes.set([2, 3, 4, 5, 6, 7], 38);
    viewOf(bytes).setUint32(20, 30, true);
    message.bytes = bytes;
    message.length = 44;
  });
  rig.probe();
  assert.is(hex(rig.device.address), '020304050607');
});

requests.run();
