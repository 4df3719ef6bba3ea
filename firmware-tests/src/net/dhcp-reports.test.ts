// SPDX-License-Identifier: GPL-2.0-or-later

/** What DHCP servers of the field did to boots, each test named after its report. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ascii, DEFAULT_OPTIONS, dhcpReply, ip, thrown, udpFrame } from '../../rigs/net-peer.ts';
import type { Reply } from '../../rigs/net-peer.ts';
import { ipv4Text } from '../../../src/net/bytes.ts';
import { optionText } from '../../../src/net/dhcp-message.ts';
import type { Lease } from '../../../src/net/lease.ts';
import { ACK, Bench, DISCOVER, NAK, OFFER, REQUEST, server } from '../../rigs/bench/net-dhcp.ts';
import type { Query } from '../../rigs/bench/net-dhcp.ts';

type Option = readonly [number, ...number[]];

const bootFile = (lease: Lease): string => optionText(lease.boot, 67);

/** Options of a server with this address. */
function optionsOf(address: string, ...more: Option[]): Option[] {
  return [[54, ...ip(address)], [1, 255, 255, 255, 0], [51, 0, 0, 14, 16], ...more];
}

/** Several servers on one wire: each answers what is for it, by itself. */
function servers(
  ...all: { address: string; lease: string; delayMs?: number; fields?: Partial<Reply> }[]
): (query: Query, bench: Bench) => void {
  return (query, bench) => {
    for (const { address, lease, delayMs = 0, fields = {} } of all) {
      const own = query.option(54)?.join('.');
      if (query.type === REQUEST && own !== address) continue;
      const type = query.type === DISCOVER ? OFFER : ACK;
      const reply = { options: optionsOf(address), ...fields, type, xid: query.xid };
      bench.send({ yiaddr: lease, ...reply }, delayMs, { from: address });
    }
  };
}

// --- K2: one way is tried, and given up at the first obstacle ---

const ways = suite('DHCP reports: another way');

for (const seconds of [5, 20, 40])
  ways(`ipxe#66, systemd#2429: NAK for ${seconds} s, then ACK`, () => {
    const b = new Bench((query, bench) => {
      const refuse = query.type === REQUEST && query.ms < seconds * 1000;
      if (refuse) bench.send({ type: NAK, xid: query.xid, options: [[54, 10, 0, 0, 1]] });
      else server()(query, bench);
    });
    assert.is(ipv4Text(b.run().address), '10.0.0.50');
    assert.ok(b.queries.length < 30, `${b.queries.length} messages`);
    // Between a refusal and the next DISCOVER there is a pause
    const at = b.queries.findIndex(({ type }) => type === REQUEST);
    assert.ok(b.queries[at + 1]!.ms - b.queries[at]!.ms >= 1000);
  });

ways('a server that always refuses, and another one that is slower', () => {
  const b = new Bench((query, bench) => {
    const own = query.option(54)?.join('.');
    if (own !== '10.0.0.2')
      if (query.type === DISCOVER) server()(query, bench);
      else bench.send({ type: NAK, xid: query.xid, options: [[54, 10, 0, 0, 1]] });
    const other = { address: '10.0.0.2', lease: '10.0.0.60', delayMs: 500 };
    servers({ ...other, fields: { file: ascii('b') } })(query, bench);
  });
  assert.is(ipv4Text(b.run().server), '10.0.0.2');
});

ways('a server that offers and never acknowledges, and another one that is slower', () => {
  const b = new Bench((query, bench) => {
    if (query.type === DISCOVER) server()(query, bench);
    const other = { address: '10.0.0.2', lease: '10.0.0.60', delayMs: 500 };
    servers({ ...other, fields: { file: ascii('b') } })(query, bench);
  });
  assert.is(ipv4Text(b.run().server), '10.0.0.2');
});

for (const delayMs of [2000, 3000, 7500, 14_000])
  ways(`u-root#637: an offer without a boot file, and one with it after ${delayMs} ms`, () => {
    const b = new Bench(
      servers(
        { address: '10.0.0.1', lease: '10.0.0.50' },
        { address: '10.0.0.2', lease: '10.0.0.60', delayMs, fields: { file: ascii('b.img') } },
      ),
    );
    const lease = b.run();
    assert.is(bootFile(lease), 'b.img');
    assert.is(ipv4Text(lease.server), '10.0.0.2');
    assert.is(ipv4Text(b.net.address), '10.0.0.60');
  });

ways('only an offer without a boot file: it is taken in the end, and within its bound', () => {
  const b = new Bench(servers({ address: '10.0.0.1', lease: '10.0.0.50' }));
  assert.is(bootFile(b.run()), '');
  assert.ok(b.clock.ms >= 12_000 && b.clock.ms < 16_000, `${b.clock.ms}`);
});

ways('the wait for a better offer leaves time to take the one that there is', () => {
  const b = new Bench(servers({ address: '10.0.0.1', lease: '10.0.0.50' }));
  assert.is(ipv4Text(b.run({ totalMs: 4000 }).address), '10.0.0.50');
  assert.ok(b.clock.ms < 4000, `${b.clock.ms}`);
});

ways('a bad offer does not hide a good one, in either order', () => {
  for (const delays of [
    [1, 5],
    [5, 1],
  ])
    assert.is(
      ipv4Text(
        new Bench(
          servers(
            { address: '10.0.0.2', lease: '224.0.0.1', delayMs: delays[0]! },
            {
              address: '10.0.0.1',
              lease: '10.0.0.50',
              delayMs: delays[1]!,
              fields: { file: ascii('f') },
            },
          ),
        ).run().address,
      ),
      '10.0.0.50',
    );
});

ways('a request has the seconds of its discover (RFC 2131, 3.1.3)', () => {
  const b = new Bench((query, bench) => {
    if (query.ms > 2500) server()(query, bench);
  });
  b.run();
  assert.equal(
    b.queries.map(({ type, payload }) => [type, payload[9]]),
    [
      [DISCOVER, 0],
      [DISCOVER, 1],
      [DISCOVER, 3],
      [REQUEST, 3],
    ],
  );
});

ways.run();

// --- K3: one bad, doubled or missing part spoils the whole message ---

const parts = suite('DHCP reports: what is good is used');

parts('ipxe#1773, amazon-freertos#560: junk, and options beyond the end', () => {
  const tails = [[0x2b], [43, 200, 1], [67], [67, 1], [3, 255], [0, 0, 0, 43], [12, 4, 1, 2]];
  for (const tail of tails) {
    const b = new Bench(server({ tail }));
    const lease = b.run();
    assert.is(bootFile(lease), 'boot.bin', tail.join());
    assert.is(ipv4Text(lease.router), '10.0.0.254');
    // The message is used, and what was cut off counted: in the offer, and in the acknowledgement
    assert.equal(b.net.drops, { dhcpOption: 2 }, tail.join());
  }
});

parts('n-dhcp4#16: options twice, the first counts', () => {
  const twice: [Option[], string][] = [
    [[[53, 2]], 'boot.bin'],
    [[[53, 6]], 'boot.bin'],
    [[[54, 9, 9, 9, 9]], 'boot.bin'],
    [[[1, 255, 0, 0, 0]], 'boot.bin'],
    [[[3, 10, 0, 0, 9]], 'boot.bin'],
    [[[51, 0, 0, 0, 1]], 'boot.bin'],
    [
      [
        [67, ...ascii('a.efi')],
        [67, ...ascii('a.efi')],
      ],
      'a.efi',
    ],
    [
      [
        [67, ...ascii('a.efi')],
        [67, ...ascii('b.efi')],
      ],
      'a.efi',
    ],
    [[[67], [67, ...ascii('a.efi')]], 'a.efi'],
  ];
  for (const [more, file] of twice) {
    const fields = { options: [...DEFAULT_OPTIONS, ...more] };
    const own = file === 'boot.bin' ? {} : { file: [] };
    const lease = new Bench(server({ ...fields, ...own })).run();
    const text = JSON.stringify(more);
    assert.is(bootFile(lease), file, text);
    assert.is(ipv4Text(lease.server), '10.0.0.1', text);
    assert.is(ipv4Text(lease.netmask), '255.255.255.0', text);
    assert.is(ipv4Text(lease.router), '10.0.0.254', text);
  }
});

parts('RFC 3396: an option of more than 255 bytes is put together', () => {
  const name = 'd/'.repeat(200);
  const options = [
    ...DEFAULT_OPTIONS,
    [67, ...ascii(name.slice(0, 255))] as const,
    [67, ...ascii(name.slice(255))] as const,
  ] as Option[];
  assert.is(bootFile(new Bench(server({ file: [], options })).run()), name);
});

parts('genode#3716: boot file or router in the offer and not in the acknowledgement', () => {
  const ack = (query: Query): Partial<Reply> =>
    query.type === DISCOVER ? {} : { options: [[54, 10, 0, 0, 1]], file: [], siaddr: '0.0.0.0' };
  const b = new Bench((query, bench) =>
    server({ siaddr: '10.0.0.7', ...ack(query) })(query, bench),
  );
  const lease = b.run();
  assert.is(bootFile(lease), 'boot.bin');
  assert.is(ipv4Text(b.net.gateway), '10.0.0.254');
  assert.is(ipv4Text(b.net.netmask), '255.255.255.0');

  // What the acknowledgement says counts more
  const other = new Bench((query, bench) =>
    server(query.type === DISCOVER ? {} : { file: ascii('other') })(query, bench),
  );
  assert.is(bootFile(other.run()), 'other');
});

parts('a boot file without a name in an offer is none: a better one is waited for', () => {
  for (const empty of [
    { options: [...optionsOf('10.0.0.1'), [67, 0] as Option] },
    { file: [0, 65] },
  ]) {
    const b = new Bench(
      servers(
        { address: '10.0.0.1', lease: '10.0.0.50', fields: empty },
        { address: '10.0.0.2', lease: '10.0.0.60', delayMs: 900, fields: { file: ascii('b.img') } },
      ),
    );
    assert.is(bootFile(b.run()), 'b.img');
  }
  // In an acknowledgement it does not hide that of the offer
  const b = new Bench((query, bench) =>
    server(query.type === DISCOVER ? {} : { file: [], options: [...DEFAULT_OPTIONS, [67, 0]] })(
      query,
      bench,
    ),
  );
  assert.is(bootFile(b.run()), 'boot.bin');
});

parts('routers: the first that can be one', () => {
  const cases: [number[][], string][] = [
    [[ip('10.0.0.50'), ip('10.0.0.254')], '10.0.0.254'],
    [[ip('0.0.0.0'), ip('10.0.0.254')], '10.0.0.254'],
    [[ip('255.255.255.255'), ip('10.0.0.254')], '10.0.0.254'],
    [[ip('10.0.0.255'), ip('10.0.0.0'), ip('10.0.0.254')], '10.0.0.254'],
    [[ip('224.0.0.1'), ip('127.0.0.1'), ip('10.0.0.254')], '10.0.0.254'],
    [[ip('192.168.1.1'), ip('10.0.0.254')], '10.0.0.254'],
    [[ip('192.168.1.1')], '192.168.1.1'],
    [[ip('10.0.0.254'), [10, 0]], '10.0.0.254'],
    [[[10, 0, 0]], '0.0.0.0'],
    [[ip('0.0.0.0')], '0.0.0.0'],
    // None at all: what is in the subnet is reached all the same
    [[ip('10.0.0.50')], '0.0.0.0'],
    [[ip('255.255.255.255'), ip('10.0.0.255')], '0.0.0.0'],
  ];
  for (const [routers, expected] of cases) {
    const option3: Option = [3, ...routers.flat()];
    const b = new Bench(server({ options: optionsOf('10.0.0.1', option3) }));
    assert.is(ipv4Text(b.run().router), expected, routers.join(' '));
  }
});

parts('overload: file and sname hold options, whichever are good', () => {
  const cases: [Partial<Reply>, string][] = [
    [{ options: [...DEFAULT_OPTIONS, [52, 1]], file: [67, 1, 97, 255] }, 'a'],
    [{ options: [...DEFAULT_OPTIONS, [52, 2]], file: ascii('f'), sname: [67, 1, 97, 255] }, 'f'],
    [{ options: [...DEFAULT_OPTIONS, [52, 3]], file: [67, 1, 97], sname: [67, 1, 98] }, 'ab'],
    [{ options: [...DEFAULT_OPTIONS, [52, 3]], file: [67, 200, 97], sname: [67, 1, 98] }, 'b'],
    [{ options: [...DEFAULT_OPTIONS, [52, 9]], file: [67, 1, 97] }, 'a'],
    [{ options: [...DEFAULT_OPTIONS, [52]], file: ascii('f') }, 'f'],
    [{ options: [...DEFAULT_OPTIONS, [67, 97], [52, 1]], file: [67, 1, 97, 255] }, 'a'],
  ];
  for (const [fields, file] of cases)
    assert.is(bootFile(new Bench(server(fields)).run()), file, JSON.stringify(fields));
});

const SMALL: Option = [1, 255, 255, 255, 240];

parts('an acknowledgement that is no lease does not end the wait for a good one', () => {
  let requests = 0;
  const b = new Bench((query, bench) => {
    const bad = query.type === REQUEST && requests++ === 0;
    // By its mask the address is that of the subnet
    const options = bad ? [...optionsOf('10.0.0.1').slice(0, 1), SMALL] : undefined;
    server({ yiaddr: '10.0.0.48', ...(options && { options }) })(query, bench);
  });
  assert.is(ipv4Text(b.run().address), '10.0.0.48');
  assert.equal(b.net.drops, { dhcpLease: 1 });
});

parts.run();

// --- K9: dropped without a word ---

const words = suite('DHCP reports: nothing is dropped without a word');

words('smee#382: a reply from another port than 67', () => {
  const b = new Bench((query, bench) => {
    const type = query.type === DISCOVER ? OFFER : ACK;
    bench.send({ type, xid: query.xid, file: ascii('f') }, 0, { sourcePort: 50_123 });
  });
  assert.is(bootFile(b.run()), 'f');
  assert.equal(b.net.drops, {});
});

words('ndhc#3: the offer of one server, the acknowledgement of another', () => {
  const from = (address: string): Partial<Reply> => ({ options: optionsOf(address) });
  const other = new Bench((query, bench) =>
    server(query.type === DISCOVER ? {} : from('10.0.0.2'))(query, bench),
  );
  assert.is(ipv4Text(other.run().server), '10.0.0.2');
  assert.ok(other.clock.ms < 2000, `${other.clock.ms}`);

  // The right one counts more, if it comes in time
  const both = new Bench((query, bench) => {
    server(query.type === DISCOVER ? {} : from('10.0.0.2'))(query, bench);
    if (query.type === REQUEST) bench.send({ type: ACK, xid: query.xid, file: ascii('f') }, 500);
  });
  assert.is(ipv4Text(both.run().server), '10.0.0.1');
});

words('messages for other clients and transactions are never accepted, and counted', () => {
  const b = new Bench((query, bench) => {
    const type = query.type === DISCOVER ? OFFER : ACK;
    const mac = [...query.payload.slice(28, 34)];
    for (let i = 0; i < 6; i++)
      bench.send({ type, xid: query.xid, chaddr: mac.map((byte, j) => byte ^ (i === j ? 1 : 0)) });
    for (let i = 0; i < 4; i++)
      bench.send({ type, xid: query.xid.map((byte, j) => byte ^ (i === j ? 128 : 0)) });
  });
  const error = thrown(() => b.run({ totalMs: 3000 }));
  assert.is(error.name, 'NoDhcpAnswer');
  assert.equal(b.net.drops, { dhcpForeign: 10 * b.queries.length });
});

words('each other message is counted, with its reason', () => {
  const b = new Bench((query, bench) => {
    const { xid } = query;
    bench.send({ type: ACK, xid });
    bench.send({ type: 9, xid });
    bench.send({ type: OFFER, xid, yiaddr: '0.0.0.0' });
    bench.send({ type: OFFER, xid, yiaddr: '255.255.255.255' });
    const payload = dhcpReply({ type: OFFER, xid }).slice(0, 100);
    bench.device.deliver(udpFrame({ sourcePort: 67, port: 68, payload }));
  });
  const error = thrown(() => b.run({ totalMs: 900 }));
  assert.is(error.name, 'BadLease');
  assert.match(error.message, /^255\.255\.255\.255 is not the address of a host \(1 discovers/);
  assert.equal(b.net.drops, { dhcpUnexpected: 2, dhcpLease: 2, dhcpMalformed: 1 });
});

words.run();
