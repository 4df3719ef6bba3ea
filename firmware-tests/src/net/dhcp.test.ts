// SPDX-License-Identifier: GPL-2.0-or-later

/** The DHCP client, at the bytes and on the clock. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ascii,
  CLIENT_MAC,
  DEFAULT_OPTIONS,
  dhcpOptions,
  dhcpReply,
  ip,
  SERVER_MAC,
  thrown,
  udpFrame,
} from '../../rigs/net-peer.ts';
import type { Reply } from '../../rigs/net-peer.ts';
import { ipv4Text } from '../../../src/net/bytes.ts';
import { optionText } from '../../../src/net/dhcp-message.ts';
import { DISCOVER, OFFER, REQUEST, ACK, NAK, Bench, server } from '../../rigs/bench/net-dhcp.ts';
import type { Query } from '../../rigs/bench/net-dhcp.ts';

const messages = suite('DHCP messages');

messages('DISCOVER at the bytes', () => {
  const b = new Bench(server());
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  b.run({ uuid, architecture: 11, userClass: 'iPXE' });
  const { payload } = b.queries[0]!;
  assert.is(payload.length, 348);
  assert.is(payload[347], 255);
  assert.equal(
    Array.from(payload.subarray(0, 12)),
    [1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0],
  );
  assert.equal(Array.from(payload.subarray(12, 28)), new Array(16).fill(0));
  assert.equal(Array.from(payload.subarray(28, 44)), [...CLIENT_MAC, ...new Array(10).fill(0)]);
  assert.equal(Array.from(payload.subarray(44, 236)), new Array(192).fill(0));
  assert.equal(Array.from(payload.subarray(236, 240)), [0x63, 0x82, 0x53, 0x63]);
  assert.equal(dhcpOptions(payload), [
    [53, [1]],
    [57, [0x05, 0xc0]],
    [93, [0, 11]],
    [94, [1, 2, 1]],
    [60, ascii('PXEClient:Arch:00011:UNDI:002001')],
    [77, ascii('iPXE')],
    [
      55,
      [1, 121, 3, 6, 15, 26, 43, 51, 54, 60, 66, 67, 128, 129, 130, 131, 132, 133, 134, 135, 150],
    ],
    [61, [1, ...CLIENT_MAC]],
    [97, [0, ...uuid]],
  ]);
});

messages('REQUEST names the offer and its server, in the same transaction', () => {
  const b = new Bench(server());
  const lease = b.run();
  assert.is(b.queries.length, 2);
  const request = b.queries[1]!;
  assert.is(request.type, REQUEST);
  assert.equal(request.xid, b.queries[0]!.xid);
  assert.equal(request.option(50), ip('10.0.0.50'));
  assert.equal(request.option(54), ip('10.0.0.1'));
  // Without a UUID of the machine, one made of the hardware address
  assert.equal(request.option(97), [0, ...[0, 0, 0, 0, 0, 0, 16, 0, 128, 0], ...CLIENT_MAC]);
  assert.is(request.option(77), undefined);
  assert.equal(request.option(60), ascii('PXEClient:Arch:00000:UNDI:002001'));
  // The interface is configured
  const { net } = b;
  const configured = [net.address, net.netmask, net.gateway].map(ipv4Text);
  assert.equal(configured, ['10.0.0.50', '255.255.255.0', '10.0.0.254']);
  assert.is(net.mtu, 1500);
  assert.match(b.lines.at(-1)!, /gw 10\.0\.0\.254 from 10\.0\.0\.1, 3600 s$/);
  assert.is(ipv4Text(lease.server), '10.0.0.1');
});

messages('options split, in file and in sname (52), and without END', () => {
  const half = (code: number, text: string): [number, ...number[]] => [code, ...ascii(text)];
  const b = new Bench(
    server({
      options: [...DEFAULT_OPTIONS, [52, 3], half(67, 'a/')],
      file: [67, 2, ...ascii('b/'), 0, 0, 66, 8, ...ascii('10.0.0.9'), 255, 67, 1, 90],
      sname: [67, 2, ...ascii('c\0')],
      tail: [],
    }),
  );
  const lease = b.run();
  const { message } = lease;
  assert.is(optionText(message, 67), 'a/b/c');
  assert.is(optionText(message, 66), '10.0.0.9');
});

messages('messages that are not for us, and broken ones, are ignored', () => {
  const b = new Bench((query, bench) => {
    const good = {
      type: query.type === DISCOVER ? OFFER : ACK,
      xid: query.xid,
      yiaddr: '10.0.0.66',
    };
    bench.send({ ...good, xid: [1, 2, 3, 4] });
    bench.send({ ...good, op: 1 });
    bench.send({ ...good, chaddr: SERVER_MAC });
    bench.send({ ...good, type: query.type === DISCOVER ? ACK : OFFER });
    bench.send({ ...good, yiaddr: '0.0.0.0' });
    bench.device.deliver(
      udpFrame({
        sourcePort: 67,
        port: 68,
        to: '255.255.255.255',
        payload: dhcpReply(good).slice(0, 239),
      }),
    );
    server()(query, bench);
  });
  assert.is(ipv4Text(b.run().address), '10.0.0.50');
  assert.is(b.queries.length, 2);
  // Each is counted, for the DISCOVER and for the REQUEST; those behind the answer that counts too
  assert.equal(b.net.drops, {
    dhcpForeign: 4,
    dhcpMalformed: 4,
    dhcpUnexpected: 3,
    dhcpLease: 1,
  });
});

messages('the MTU option is clamped between 576 and what the device can do', () => {
  const cases: [number[], number][] = [
    [[0xff, 0xf0], 1500],
    [[0x05, 0x78], 1400],
    [[0x00, 0x44], 576],
    [[0x00], 1500],
  ];
  for (const [option, mtu] of cases) {
    const b = new Bench(server({ options: [...DEFAULT_OPTIONS, [26, ...option]] }));
    assert.is(b.run().mtu, mtu);
    assert.is(b.net.mtu, mtu);
  }
});

messages('a lease without mask gets that of its class, one without server the sender', () => {
  const b = new Bench(server({ options: [], yiaddr: '192.168.4.4' }));
  const lease = b.run();
  assert.is(ipv4Text(lease.netmask), '255.255.255.0');
  assert.is(ipv4Text(lease.server), '10.0.0.1');
  assert.is(lease.router, 0);
  assert.match(b.lines.at(-1)!, /192\.168\.4\.4\/255\.255\.255\.0 from 10\.0\.0\.1$/);
});

messages.run();

const course = suite('DHCP course');

course('no answer: back-off on the clock, and what was tried in the error', () => {
  const b = new Bench(() => {});
  const error = thrown(() => b.run());
  assert.is(error.name, 'NoDhcpAnswer');
  assert.equal(
    b.queries.map((query) => query.ms),
    [0, 1000, 3000, 7000, 15000, 31000, 47000],
  );
  assert.equal(
    b.queries.map((query) => query.payload[9]),
    [0, 1, 3, 7, 15, 31, 47],
  );
  assert.is(b.clock.ms, 60_000);
  assert.match(error.message, /7 discovers, 0 requests in 60\.0 s/);
  assert.ok(b.queries.every((query) => query.xid.join() === '222,173,190,239'));
});

course('the total is bounded by an option, and a flood does not stretch it', () => {
  const b = new Bench(() => {});
  b.device.onPoll = () => b.send({ type: OFFER, xid: [9, 9, 9, 9] });
  assert.is(thrown(() => b.run({ totalMs: 5000 })).name, 'NoDhcpAnswer');
  assert.is(b.clock.ms, 5000);
});

course('a lost OFFER and a lost ACK cost one try each', () => {
  let count = 0;
  const answer = server();
  const b = new Bench((query, bench) => (++count % 2 === 0 ? answer(query, bench) : undefined));
  b.run();
  assert.equal(
    b.queries.map((query) => query.type),
    [DISCOVER, DISCOVER, REQUEST, REQUEST],
  );
  assert.equal(
    b.queries.map((query) => query.ms),
    [0, 1000, 1001, 2001],
  );
});

course('of several offers the one with a boot file is taken', () => {
  const other = (address: number): [number, ...number[]][] => [
    [54, 10, 0, 0, address],
    [1, 255, 255, 255, 0],
  ];
  const script = (query: Query, bench: Bench): void => {
    const { xid } = query;
    if (query.type === DISCOVER) {
      bench.send({ type: OFFER, xid, yiaddr: '10.0.0.60', options: other(2) }, 5);
      const options = [...other(3), [67, ...ascii('x\0')] as [number, ...number[]]];
      bench.send({ type: OFFER, xid, yiaddr: '10.0.0.70', options }, 400);
    } else {
      const yiaddr = query.option(50)!.join('.');
      bench.send({ type: ACK, xid, yiaddr, options: other(query.option(54)![3]!) });
    }
  };
  const both = new Bench(script);
  assert.is(ipv4Text(both.run().address), '10.0.0.70');
  // Not waited for so long: the other is taken, and at once if any will do
  const short = new Bench(script);
  assert.is(ipv4Text(short.run({ offerWaitMs: 200 }).address), '10.0.0.60');
  assert.is(short.queries[1]!.ms, 205);
  const any = new Bench(script);
  assert.is(ipv4Text(any.run({ preferBootFile: false }).address), '10.0.0.60');
  assert.is(any.queries[1]!.ms, 5);
});

course('a refusal starts again with a new transaction, after a pause, until the time is up', () => {
  const nak = (query: Query, bench: Bench): void => {
    if (query.type === DISCOVER) return server()(query, bench);
    const options: [number, ...number[]][] = [
      [54, 10, 0, 0, 1],
      [56, ...ascii('address in use')],
    ];
    bench.send({ type: NAK, xid: query.xid, options });
  };
  let refusals = 0;
  const once = new Bench((query, bench) =>
    query.type === REQUEST && refusals++ > 0 ? server()(query, bench) : nak(query, bench),
  );
  assert.is(ipv4Text(once.run().address), '10.0.0.50');
  assert.equal(
    once.queries.map(({ type, ms }) => [type, ms]),
    // After a second; then other servers have two seconds to be better
    [
      [DISCOVER, 0],
      [REQUEST, 1],
      [DISCOVER, 1002],
      [DISCOVER, 2002],
      [REQUEST, 3003],
    ],
  );
  assert.not.equal(once.queries[2]!.xid, once.queries[0]!.xid);

  const always = new Bench(nak);
  const error = thrown(() => always.run());
  assert.is(error.name, 'DhcpRefused');
  assert.match(
    error.message,
    /^10\.0\.0\.1 says "address in use" \(\d+ discovers, \d requests in /,
  );
  assert.ok(always.clock.ms <= 60_000, `${always.clock.ms}`);
});

course('a refusal or acknowledgement of another server, or another address, does not count', () => {
  const b = new Bench((query, bench) => {
    const { xid } = query;
    if (query.type === REQUEST) {
      const options: [number, ...number[]][] = [[54, 10, 0, 0, 9]];
      bench.send({ type: NAK, xid, options });
      bench.send({ type: ACK, xid, options, yiaddr: '10.0.0.99' });
      bench.send({ type: ACK, xid, yiaddr: '10.0.0.99' });
    }
    server()(query, bench);
  });
  assert.is(ipv4Text(b.run().address), '10.0.0.50');
  assert.is(b.queries.length, 2);
});

course('a server that offers but never acknowledges is named as such', () => {
  const b = new Bench((query, bench) =>
    query.type === DISCOVER ? server()(query, bench) : undefined,
  );
  const error = thrown(() => b.run());
  assert.is(error.name, 'DhcpServerSilent');
  assert.match(
    error.message,
    /^10\.0\.0\.1 does not acknowledge \(\d+ discovers, 1[0-9] requests in /,
  );
  assert.ok(b.clock.ms <= 60_000, `${b.clock.ms}`);
});

course('bad leases', () => {
  const cases: [Partial<Reply>, RegExp][] = [
    [{ yiaddr: '224.0.0.5' }, /224\.0\.0\.5 is not the address of a host/],
    [{ yiaddr: '127.0.0.1' }, /127\.0\.0\.1 is not the address of a host/],
    [{ yiaddr: '10.0.0.255' }, /10\.0\.0\.255\/255\.255\.255\.0 is the address of a subnet/],
    [{ yiaddr: '10.0.0.0' }, /10\.0\.0\.0\/255\.255\.255\.0 is the address of a subnet/],
  ];
  for (const [fields, pattern] of cases) {
    const error = thrown(() => new Bench(server(fields)).run());
    assert.is(error.name, 'BadLease');
    assert.match(error.message, pattern);
  }
});

course('a netmask that is cut off or none: the class of the address has one', () => {
  const none = [
    [0, 0, 0, 0],
    [255, 0, 255, 0],
    [0, 255, 255, 255],
  ];
  for (const bytes of [[], [255], [255, 255], [255, 255, 255], ...none]) {
    const options: Reply['options'] = [
      [54, 10, 0, 0, 1],
      [1, ...bytes],
    ];
    const bench = new Bench(server({ options }));
    const lease = bench.run();
    assert.is(lease.netmask >>> 0, 0xff000000);
  }
});

course.run();
