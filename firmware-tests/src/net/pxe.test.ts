// SPDX-License-Identifier: GPL-2.0-or-later

/** What a PXE client asks and follows: ProxyDHCP, boot servers, BOOTP, static routes, names. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ascii, CLIENT_MAC, DEFAULT_OPTIONS, ip, thrown } from '../../rigs/net-peer.ts';
import type { Reply } from '../../rigs/net-peer.ts';
import { ipv4Text, parseIpv4 } from '../../../src/net/bytes.ts';
import { optionText } from '../../../src/net/dhcp-message.ts';
import type { Lease } from '../../../src/net/lease.ts';
import { ACK, Bench, DISCOVER, OFFER, REQUEST, server } from '../../rigs/bench/net-dhcp.ts';
import type { Query } from '../../rigs/bench/net-dhcp.ts';

type Option = readonly [number, ...number[]];
type Script = (query: Query, bench: Bench) => void;

const CLASS: Option = [60, ...ascii('PXEClient')];
const PROXY: Option = [54, ...ip('10.0.0.2')];
const bootFile = (lease: Lease): string => optionText(lease.boot, 67);

/** Option 43 with these options of PXE in it. */
const pxe = (...options: Option[]): Option => [
  43,
  ...options.flatMap(([code, ...value]) => [code, value.length, ...value]),
  255,
];

/** A DHCP server that knows nothing of boot files, in broadcasts alone. */
const plain: Script = (query, bench) => {
  if (query.port === 67 && query.option(43) === undefined) server({ file: [] })(query, bench);
};

/** The offer of a ProxyDHCP server. */
const proxyOffer =
  (fields: Partial<Reply>, delayMs = 0): Script =>
  (query, bench) => {
    if (query.type !== DISCOVER) return;
    const reply = { type: OFFER, xid: query.xid, yiaddr: '0.0.0.0', options: [PROXY, CLASS] };
    bench.send({ ...reply, ...fields }, delayMs, { from: '10.0.0.2' });
  };

/** Its answer on port 4011. */
const proxyAnswer =
  (fields: Partial<Reply>, packet: { from?: string; sourcePort?: number } = {}): Script =>
  (query, bench) => {
    if (query.port !== 4011) return;
    const reply = { type: ACK, xid: query.xid, yiaddr: '10.0.0.50', options: [PROXY, CLASS] };
    bench.send({ ...reply, ...fields }, 0, { from: '10.0.0.2', sourcePort: 4011, ...packet });
  };

const all =
  (...scripts: Script[]): Script =>
  (query, bench) =>
    scripts.forEach((script) => script(query, bench));

// --- who says what to boot ---

const proxy = suite('PXE: ProxyDHCP');

proxy('ipxe#954, edk2#6944: an address of one server, the boot file of a ProxyDHCP server', () => {
  for (const delays of [0, 5, 900, 2500]) {
    const offer = proxyOffer({ file: ascii('p.efi'), siaddr: '10.0.0.3' }, delays);
    for (const order of [
      [plain, offer],
      [offer, plain],
    ]) {
      const b = new Bench(all(...order));
      const lease = b.run();
      assert.is(bootFile(lease), 'p.efi');
      assert.is(ipv4Text(lease.server), '10.0.0.1');
      assert.is(ipv4Text(b.net.address), '10.0.0.50');
      assert.ok(b.queries.every(({ port }) => port === 67));
      assert.ok(b.clock.ms < delays + 20, `${b.clock.ms} ms after ${delays}`);
    }
  }
});

proxy('AdGuardHome#2395: the boot file is told on port 4011 only', () => {
  const answer = { file: ascii('p.efi'), siaddr: '10.0.0.3' };
  for (const packet of [{}, { sourcePort: 67 }, { sourcePort: 5000 }]) {
    const b = new Bench(all(plain, proxyOffer({}), proxyAnswer(answer, packet)));
    const lease = b.run();
    assert.is(bootFile(lease), 'p.efi');
    const query = b.queries.at(-1)!;
    assert.equal([query.type, query.to, query.port], [REQUEST, '10.0.0.2', 4011]);
    // From our address, which stands in ciaddr, too; in the same transaction
    assert.is(query.from, '10.0.0.50');
    assert.equal([...query.payload.subarray(12, 16)], ip('10.0.0.50'));
    assert.equal(query.xid, b.queries[0]!.xid);
    assert.equal(query.option(54), ip('10.0.0.2'));
    assert.is(query.option(50), undefined);
    assert.equal(query.option(60), ascii('PXEClient:Arch:00000:UNDI:002001'));
    assert.equal(query.option(93), [0, 0]);
    assert.equal(query.option(94), [1, 2, 1]);
    assert.equal(query.option(97)?.length, 17);
  }
});

proxy('a DHCP server that is the ProxyDHCP server as well', () => {
  const options = [...DEFAULT_OPTIONS, CLASS];
  const b = new Bench((query, bench) => {
    if (query.port === 67) server({ file: [], options })(query, bench);
    else server({ file: ascii('wdsnbp.com'), options })(query, bench);
  });
  assert.is(bootFile(b.run()), 'wdsnbp.com');
  assert.equal([b.queries.at(-1)!.to, b.queries.at(-1)!.port], ['10.0.0.1', 4011]);
});

proxy('a DHCP server that says that it knows PXE does not hide the ProxyDHCP server', () => {
  // Its administrator has set option 60, and nothing else; in either order
  const said = server({ file: [], options: [...DEFAULT_OPTIONS, CLASS] });
  const dhcp: Script = (query, bench) => {
    if (query.port === 67 && query.option(43) === undefined) said(query, bench);
  };
  const right = proxyAnswer({ file: ascii('p.efi'), siaddr: '10.0.0.3' });
  const answer: Script = (query, bench) => {
    if (query.to === '10.0.0.2') right(query, bench);
  };
  for (const order of [
    [dhcp, proxyOffer({}), answer],
    [proxyOffer({}), dhcp, answer],
  ]) {
    const b = new Bench(all(...order));
    assert.is(bootFile(b.run()), 'p.efi');
    assert.ok(b.clock.ms < 5000, `${b.clock.ms} ms`);
  }
});

proxy('a ProxyDHCP server that never answers is no reason to fail, and bounded', () => {
  const b = new Bench(all(plain, proxyOffer({})));
  const lease = b.run();
  assert.is(bootFile(lease), '');
  assert.ok(b.clock.ms < 10_000, `${b.clock.ms}`);
  // The first asks for its hardware address
  assert.is(b.queries.filter(({ port }) => port === 4011).length, 3);
});

proxy('answers that say nothing, and those of others, are not taken', () => {
  const b = new Bench(
    all(plain, proxyOffer({}), (query, bench) => {
      if (query.port !== 4011) return;
      const good = { type: ACK, xid: query.xid, options: [PROXY, CLASS], file: ascii('x') };
      bench.send({ ...good, file: [] });
      bench.send({ ...good, type: 6 });
      bench.send({ ...good, xid: [1, 2, 3, 4] });
      bench.send({ ...good, chaddr: [1, 2, 3, 4, 5, 6] });
      bench.send({ ...good, file: ascii('right') }, 20);
    }),
  );
  assert.is(bootFile(b.run()), 'right');
  assert.equal(b.net.drops, { dhcpUnexpected: 2, dhcpForeign: 2 });
});

proxy('the boot file of the DHCP server comes first, and at once', () => {
  const b = new Bench(all(server(), proxyOffer({ file: ascii('p') })));
  assert.is(bootFile(b.run()), 'boot.bin');
  assert.ok(b.clock.ms < 10);
});

proxy('nobody is asked if the caller names the file', () => {
  const b = new Bench(all(plain, proxyOffer({})));
  b.run({ preferBootFile: false });
  assert.is(b.queries.length, 2);
});

proxy.run();

const menus = suite('PXE: boot servers');

const MENU: Option = [9, 0, 7, 3, ...ascii('one'), 0, 8, 3, ...ascii('two')];
const control = (bits: number): Option => [6, bits];
const SERVERS: Option = [
  8,
  0,
  8,
  1,
  ...ip('10.0.0.8'),
  0,
  7,
  2,
  ...ip('10.0.0.6'),
  ...ip('10.0.0.7'),
];

/** A boot server with this address answers for its type, wherever it is asked. */
const bootServer =
  (address: string, type: number, file: string): Script =>
  (query, bench) => {
    const item = query.option(43);
    if (item === undefined || (query.port === 4011 && query.to !== address)) return;
    assert.equal(item, [71, 4, 0, item[3], 0, 0, 255]);
    if (item[3] !== type) return;
    const options = [[54, ...ip(address)] as const, CLASS, pxe([71, 0, type, 0, 0])];
    const reply = { type: ACK, xid: query.xid, options, file: ascii(file) };
    bench.send(reply, 0, { from: address, sourcePort: query.port });
  };

const withMenu = (...more: Option[]): Script =>
  proxyOffer({ options: [PROXY, CLASS, pxe(MENU, ...more)] });

menus('the first item of the menu: its boot servers are asked, by broadcast', () => {
  const b = new Bench(all(plain, withMenu(), bootServer('10.0.0.9', 7, 'one.img')));
  const lease = b.run();
  assert.is(bootFile(lease), 'one.img');
  assert.is(ipv4Text(lease.boot.server), '10.0.0.9');
  const query = b.queries.at(-1)!;
  assert.equal([query.to, query.port, query.from], ['255.255.255.255', 67, '10.0.0.50']);
});

menus('or those of the list, if nobody answers or broadcasts are off', () => {
  const listed = bootServer('10.0.0.7', 7, 'one.img');
  for (const bits of [0, 1, 2, 3]) {
    const b = new Bench(
      all(plain, withMenu(control(bits), SERVERS), (query, bench) => {
        if (query.port === 4011) listed(query, bench);
      }),
    );
    assert.is(bootFile(b.run()), 'one.img');
    const asked = b.queries.filter((query) => query.option(43)).map(({ to }) => to);
    assert.equal(
      [...new Set(asked)],
      [...(bits & 1 ? [] : ['255.255.255.255']), '10.0.0.6', '10.0.0.7'],
    );
  }
});

menus('servers that are not in the list do not count, if it says so', () => {
  const b = new Bench(
    all(
      plain,
      withMenu(control(4), SERVERS),
      bootServer('10.0.0.9', 7, 'stranger'),
      bootServer('10.0.0.6', 7, 'one.img'),
    ),
  );
  assert.is(bootFile(b.run()), 'one.img');
});

menus('a boot file counts more than the menu, if the discovery control says so', () => {
  const options = [PROXY, CLASS, pxe(MENU, control(8))];
  const offer = proxyOffer({ options, file: ascii('p.efi') });
  const b = new Bench(all(plain, offer, bootServer('10.0.0.9', 7, 'one.img')));
  assert.is(bootFile(b.run()), 'p.efi');
});

menus('without a boot server the boot file, or else none, within a bound', () => {
  const options = [PROXY, CLASS, pxe(MENU, SERVERS)];
  const file = new Bench(all(plain, proxyOffer({ options, file: ascii('p.efi') })));
  assert.is(bootFile(file.run()), 'p.efi');
  const none = new Bench(all(plain, proxyOffer({ options })));
  assert.is(bootFile(none.run()), '');
  assert.ok(none.clock.ms < 15_000, `${none.clock.ms}`);
});

menus('a menu that is cut off in its first item is none', () => {
  for (const item of [[0], [0, 0], [0, 7]]) {
    const options = [PROXY, CLASS, pxe([9, ...item])];
    const b = new Bench(all(plain, proxyOffer({ options, file: ascii('p.efi') })));
    assert.is(bootFile(b.run()), 'p.efi', item.join());
  }
});

menus('a menu whose default is a local boot boots nothing, by name', () => {
  const menu: Option = [9, 0, 0, 3, ...ascii('HDD'), 0, 7, 3, ...ascii('two')];
  const b = new Bench(all(plain, proxyOffer({ options: [PROXY, CLASS, pxe(menu)] })));
  const error = thrown(() => b.run());
  assert.is(error.name, 'NoBootFile');
  assert.match(error.message, /^10\.0\.0\.2 says to boot locally/);
});

menus('menus and lists that are cut off are used as far as they go', () => {
  for (const [list, expected] of [
    [[0, 7], []],
    [[0, 7, 9, 10, 0, 0, 6], ['10.0.0.6']],
    [[0, 7, 1, 10, 0, 0], []],
    [[0, 9, 255, ...ip('10.0.0.6')], []],
    [[0, 7, 0, 0, 7, 1, ...ip('10.0.0.6')], ['10.0.0.6']],
  ] as [number[], string[]][]) {
    const b = new Bench(all(plain, withMenu(control(1), [8, ...list])));
    b.run();
    const asked = b.queries.filter((query) => query.option(43)).map(({ to }) => to);
    assert.equal([...new Set(asked)], expected, list.join());
  }
});

menus.run();

// --- what else is there ---

const rest = suite('PXE: addresses and routes');

rest('systemd#34885: a BOOTP reply, with options and without', () => {
  for (const fields of [{}, { options: [] as Option[] }, { options: [], tail: [] }]) {
    const b = new Bench((query, bench) =>
      bench.send({ type: 0, bootp: true, xid: query.xid, file: ascii('b.img'), ...fields }),
    );
    const lease = b.run();
    assert.is(ipv4Text(b.net.address), '10.0.0.50');
    assert.is(bootFile(lease), 'b.img');
    // It has granted with its reply (RFC 1534)
    assert.is(b.queries.length, 1);
  }
});

rest('BOOTP without a magic cookie has no options (RFC 951)', () => {
  const b = new Bench((query, bench) => {
    const options: Option[] = [[67, ...ascii('x')]];
    bench.send({ type: 0, bootp: true, xid: query.xid, file: ascii('b'), options, tail: [] });
  });
  const deliver = b.device.deliver.bind(b.device);
  b.device.deliver = (bytes, delayMs) => {
    const frame = Uint8Array.from(bytes);
    // Behind the headers, and without a checksum
    frame.fill(0, 42 + 236, 42 + 240);
    frame.fill(0, 40, 42);
    deliver(frame, delayMs);
  };
  assert.is(bootFile(b.run()), 'b');
});

rest('raspberrypi/firmware#1928: each architecture says its own', () => {
  const b = new Bench(server());
  b.run({ architecture: 11 });
  for (const query of b.queries) {
    assert.equal(query.option(93), [0, 11]);
    assert.equal(query.option(60), ascii('PXEClient:Arch:00011:UNDI:002001'));
  }
});

rest('RFC 4578: the UUID, and by default one of the hardware address', () => {
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => 0xf0 - i);
  for (const [given, expected] of [
    [uuid, [...uuid]],
    [undefined, [0, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, ...CLIENT_MAC]],
  ] as const) {
    const b = new Bench(server());
    b.run({ uuid: given });
    for (const query of b.queries) assert.equal(query.option(97), [0, ...expected]);
  }
});

rest('RFC 3442: static routes stand for the router, the most specific first', () => {
  const routes = (...more: number[]): Partial<Reply> => ({
    options: [...DEFAULT_OPTIONS, [121, ...more]],
  });
  const nets = [
    ...[0, ...ip('10.0.0.2')],
    ...[16, 172, 16, ...ip('10.0.0.3')],
    ...[25, 10, 9, 8, 128, ...ip('10.0.0.4')],
    ...[24, 10, 9, 8, ...ip('10.0.0.5')],
    ...[32, 10, 0, 0, 77, ...ip('10.0.0.6')],
    ...[8, 11, ...ip('0.0.0.0')],
  ];
  const b = new Bench(server(routes(...nets)));
  b.run();
  const hops: [string, string][] = [
    ['8.8.8.8', '10.0.0.2'],
    ['172.16.255.1', '10.0.0.3'],
    ['10.9.8.129', '10.0.0.4'],
    ['10.9.8.1', '10.0.0.5'],
    ['10.0.0.77', '10.0.0.6'],
    ['10.0.0.78', '10.0.0.78'],
    ['11.1.2.3', '11.1.2.3'],
  ];
  for (const [to, hop] of hops) {
    b.device.sent.length = 0;
    b.net.sendUdp(1, parseIpv4(to)!, 1, 0);
    const arp = b.device.sent.at(-1)!.bytes;
    assert.is([...arp.subarray(38, 42)].join('.'), hop, to);
  }
  // What is broken ends the list; with nothing left the router counts
  for (const broken of [
    [33, 1, 2, 3, 4, 5, ...ip('10.0.0.3')],
    [24, 10],
    [0, 10, 0],
  ]) {
    const some = new Bench(server(routes(...[0, ...ip('10.0.0.2')], ...broken)));
    some.run();
    some.net.sendUdp(1, parseIpv4('8.8.8.8')!, 1, 0);
    assert.equal([...some.device.sent.at(-1)!.bytes.subarray(38, 42)], ip('10.0.0.2'));
    const none = new Bench(server(routes(...broken)));
    none.run();
    none.net.sendUdp(1, parseIpv4('8.8.8.8')!, 1, 0);
    assert.equal([...none.device.sent.at(-1)!.bytes.subarray(38, 42)], ip('10.0.0.254'));
  }
});

rest('RFC 3442: a list that was split is put together (RFC 3396)', () => {
  const whole = [0, ...ip('10.0.0.2'), 16, 172, 16, ...ip('10.0.0.3')];
  const options = [
    ...DEFAULT_OPTIONS,
    [121, ...whole.slice(0, 7)],
    [121, ...whole.slice(7)],
  ] as Option[];
  const b = new Bench(server({ options }));
  b.run();
  b.net.sendUdp(1, parseIpv4('172.16.1.1')!, 1, 0);
  assert.equal([...b.device.sent.at(-1)!.bytes.subarray(38, 42)], ip('10.0.0.3'));
});

rest.run();
