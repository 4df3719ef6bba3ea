// SPDX-License-Identifier: GPL-2.0-or-later

/** What is booted from whom, by what a lease says. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ascii, DEFAULT_OPTIONS, thrown } from '../../rigs/net-peer.ts';
import type { Reply } from '../../rigs/net-peer.ts';
import { bootTarget } from '../../../src/net/boot-target.ts';
import type { BootOverride, BootTarget } from '../../../src/net/boot-target.ts';
import { ipv4Text } from '../../../src/net/bytes.ts';
import { Bench, server } from '../../rigs/bench/net-dhcp.ts';

const target = suite('boot target');

function targetOf(
  fields: Partial<Reply>,
  override: BootOverride = {},
): BootTarget & { text: string; warnings: string[] } {
  const b = new Bench(server({ file: [], ...fields }));
  const lease = b.run({ offerWaitMs: 0 });
  const found = bootTarget(b.net, () => 0x12345678, lease, override);
  const warnings = b.lines.filter((line) => line.startsWith('warning'));
  return { ...found, text: `${ipv4Text(found.server)}:${found.port} ${found.file}`, warnings };
}

const withOptions = (...more: [number, ...number[]][]): NonNullable<Reply['options']> => [
  ...DEFAULT_OPTIONS,
  ...more,
];
const option66 = (text: string): [number, ...number[]] => [66, ...ascii(text)];
const option67: [number, ...number[]] = [67, ...ascii('boot.bin')];

target('as dnsmasq (option 67 with NUL, siaddr) and libslirp (file only) say it', () => {
  const dnsmasq = { siaddr: '10.8.0.1', options: withOptions([67, ...ascii('boot.bin\0')]) };
  assert.is(targetOf(dnsmasq).text, '10.8.0.1:69 boot.bin');
  const libslirp = { siaddr: '10.0.2.2', file: ascii('boot.bin'), sname: ascii('slirp') };
  assert.is(targetOf(libslirp).text, '10.0.2.2:69 boot.bin');
});

target('next server: siaddr, option 66, option 150, sname, the DHCP server', () => {
  const all = withOptions(option67, option66('10.0.0.3\0'), [150, 10, 0, 0, 4, 10, 0, 0, 5]);
  const sname = ascii('10.0.0.6');
  assert.is(targetOf({ siaddr: '10.0.0.2', options: all, sname }).text, '10.0.0.2:69 boot.bin');
  assert.is(targetOf({ options: all, sname }).text, '10.0.0.3:69 boot.bin');
  const cisco = withOptions(option67, [150, 10, 0, 0, 4]);
  assert.is(targetOf({ options: cisco, sname }).text, '10.0.0.4:69 boot.bin');
  assert.is(targetOf({ options: withOptions(option67), sname }).text, '10.0.0.6:69 boot.bin');
  assert.is(targetOf({ options: withOptions(option67) }).text, '10.0.0.1:69 boot.bin');
});

target('K3: header fields that begin with NUL say nothing, whatever lies behind it', () => {
  const junk = [0, ...ascii('old.img'), 0, 7];
  const options = withOptions(option67, option66('10.0.0.3'));
  assert.is(targetOf({ options, file: junk, sname: junk }).text, '10.0.0.3:69 boot.bin');
  assert.is(thrown(() => targetOf({ file: junk })).name, 'NoBootFile');
  // Option 67 without a name is none, either: that of the header counts, or that of the offer
  for (const empty of [[67], [67, 0], [67, 0, 65]] as [number, ...number[]][]) {
    const header = { options: withOptions(empty, option66('10.0.0.3')), file: ascii('h.img') };
    assert.is(targetOf(header).text, '10.0.0.3:69 h.img');
    assert.is(thrown(() => targetOf({ options: withOptions(empty) })).name, 'NoBootFile');
  }
});

target('K3: of several addresses the first that can be a host counts, and blanks are none', () => {
  const list: [number, ...number[]] = [150, 0, 0, 0, 0, 255, 255, 255, 255, 10, 0, 0, 4];
  assert.is(targetOf({ options: withOptions(option67, list) }).text, '10.0.0.4:69 boot.bin');
  const blank = withOptions(option67, option66(' 10.0.0.3 \0'));
  assert.is(targetOf({ options: blank }).text, '10.0.0.3:69 boot.bin');
});

target('a name that nobody resolves is told, and the next source taken', () => {
  const found = targetOf({ options: withOptions(option67, option66('tftp.example')) });
  assert.is(found.text, '10.0.0.1:69 boot.bin');
  assert.match(found.warnings.join(), /no address of "tftp\.example"/);
});

target('no boot file, no next server, and files that cannot be had', () => {
  assert.is(thrown(() => targetOf({})).name, 'NoBootFile');
  const nowhere = {
    file: ascii('f'),
    options: [
      [54, 0, 0, 0, 0],
      [1, 255, 255, 255, 0],
    ] as [number, ...number[]][],
  };
  assert.is(targetOf(nowhere).text, '10.0.0.1:69 f');
  const strange = {
    file: ascii('f'),
    options: [
      [54, 240, 0, 0, 1],
      [1, 255, 255, 255, 0],
    ] as [number, ...number[]][],
  };
  assert.is(thrown(() => targetOf(strange)).name, 'NoNextServer');
  for (const url of [
    'http://10.0.0.1/x',
    'tftp://host/x',
    'tftp://10.0.0.1',
    'tftp://10.0.0.1:0/x',
    'tftp://10.0.0.1:70000/x',
  ])
    assert.is(thrown(() => targetOf({ file: ascii(url) })).name, 'UnsupportedUrl', url);
});

target('the caller can name server and file, also as a URL', () => {
  const fields = { siaddr: '10.0.0.2', file: ascii('boot.bin') };
  assert.is(targetOf(fields, { bootFile: 'mine' }).text, '10.0.0.2:69 mine');
  assert.is(targetOf(fields, { nextServer: '10.0.0.8' }).text, '10.0.0.8:69 boot.bin');
  assert.is(targetOf({}, { bootFile: 'tftp://10.0.0.9:6969/a/b' }).text, '10.0.0.9:6969 a/b');
  for (const nextServer of ['host', '0.0.0.0', ''])
    assert.is(thrown(() => targetOf(fields, { nextServer })).name, 'BadNextServer');
});

target('the header counts more than option 67, as in iPXE', () => {
  const found = targetOf({ file: ascii('one'), options: withOptions([67, ...ascii('two')]) });
  assert.is(found.file, 'one');
});

target.run();
