// SPDX-License-Identifier: GPL-2.0-or-later

/** Captures as Wireshark reads them: its own dissectors for frames, the project's for the rest. */

import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Msr } from '../../../src/hyperv/protocol.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import type { HostEvent } from '../../../tools/simulator/ledger/events.ts';
import { captureBoot, type CapturedBoot } from '../../rigs/capture-rig.ts';
import { missing, output } from '../../rigs/tool-rig.ts';

const LUA = fileURLToPath(new URL('../../../tools/capture/hypxe.lua', import.meta.url));

interface Rig {
  directory: string;
  runs: Map<string, CapturedBoot>;
}

const wireshark = suite<Rig>('captures in tshark', { directory: '', runs: new Map() });

wireshark.before((rig) => {
  rig.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-capture-'));
  for (const host of ['server2022', 'qemu']) {
    const run = captureBoot(host);
    rig.runs.set(host, run);
    fs.writeFileSync(path.join(rig.directory, `${host}.pcapng`), run.file);
  }
});
wireshark.after(({ directory }) => fs.rmSync(directory, { recursive: true, force: true }));

/** The lines that tshark prints of the packets that a filter takes: the fields, between tabs. */
async function rows(
  { directory }: Rig,
  host: string,
  filter: string,
  ...fields: string[]
): Promise<string[]> {
  const file = path.join(directory, `${host}.pcapng`);
  const columns = fields.flatMap((name) => ['-e', name]);
  const script = ['-X', `lua_script:${LUA}`];
  const text = await output('tshark', [
    ...['-n', ...script, '-r', file, '-Y', filter, '-T', 'fields', ...columns],
  ]);
  return text.split('\n').filter((line) => line !== '');
}

/** The events of a run of one kind. */
function events<K extends HostEvent['kind']>(
  { runs }: Rig,
  host: string,
  kind: K,
): Extract<HostEvent, { kind: K }>[] {
  const all = runs.get(host)!.events.map(({ event }) => event);
  return all.filter((event): event is Extract<HostEvent, { kind: K }> => event.kind === kind);
}

/** Type of the control message in each hypercall of a run that posts one. */
function posted(rig: Rig, host: string): number[] {
  return events(rig, host, 'hypercall')
    .filter(({ name, input }) => name === 'HvPostMessage' && input.length >= 24)
    .map(({ input }) => new DataView(input.buffer, input.byteOffset).getUint32(16, true));
}

wireshark('frames decode as DHCP and TFTP, and nothing is malformed or warned of', async (rig) => {
  if (missing('tshark', 'tshark')) return;
  for (const host of rig.runs.keys()) {
    const types = await rows(rig, host, 'dhcp', 'dhcp.option.dhcp');
    assert.equal(types, ['1', '2', '3', '5'], host);
    const opcodes = await rows(rig, host, 'tftp', 'tftp.opcode');
    assert.is(opcodes[0], '1');
    assert.is(opcodes[1], '6');
    assert.ok(opcodes.filter((opcode) => opcode === '3').length >= 14);
    // Comments count as expert information of the lowest kind: warnings and errors do not occur
    const bad = '_ws.malformed || _ws.lua.error || _ws.expert.severity >= 0x00400000';
    assert.equal(await rows(rig, host, bad, 'frame.number', '_ws.expert.message'), [], host);
  }
});

wireshark('every frame is known: all are ARP, DHCP or TFTP', async (rig) => {
  if (missing('tshark', 'tshark')) return;
  const unknown = await rows(rig, 'server2022', 'eth && !(arp || dhcp || tftp)', 'frame.number');
  assert.equal(unknown, []);
  const all = await rows(rig, 'server2022', 'eth', 'frame.interface_name', 'frame.len');
  const frames = events(rig, 'server2022', 'frame');
  assert.equal(
    all,
    frames.map(({ frame }) => `nic0\t${frame.length}`),
  );
});

wireshark('VMBus messages of the guest can be filtered by type', async (rig) => {
  if (missing('tshark', 'tshark')) return;
  for (const host of rig.runs.keys()) {
    const unloads = posted(rig, host).filter((type) => type === MessageType.UNLOAD).length;
    const filter = `vmbus.msg.type==${MessageType.UNLOAD}`;
    assert.ok(unloads > 0);
    assert.equal(
      await rows(rig, host, filter, 'frame.interface_name'),
      new Array(unloads).fill('vmbus'),
    );
    const types = await rows(rig, host, 'vmbus.msg.type && hypxe.kind==1', 'vmbus.msg.type');
    assert.equal(types.map(Number), posted(rig, host), host);
  }
});

wireshark('messages of the host come out with their fields', async (rig) => {
  if (missing('tshark', 'tshark')) return;
  const delivered = events(rig, 'server2022', 'host-message').filter(
    ({ change, type }) => change === 'deliver' && type === 1,
  );
  const filter = 'hypxe.kind==2 && hypxe.change==1';
  const types = await rows(rig, 'server2022', filter, 'vmbus.msg.type');
  assert.equal(
    types.map(Number),
    delivered.map(({ payload }) => payload[0]),
  );
  const offers = await rows(
    ...([rig, 'server2022', `${filter} && vmbus.msg.type==1`] as const),
    ...['vmbus.msg.interface_id', 'vmbus.msg.channel'],
  );
  const network = 'f8615163-df3e-46c5-913f-f2d2f965ed0e';
  const views = delivered
    .filter(({ payload }) => payload[0] === MessageType.OFFER_CHANNEL)
    .map(({ payload }) => new DataView(payload.buffer, payload.byteOffset));
  assert.equal(
    offers.map((row) => Number(row.split('\t')[1])),
    views.map((view) => view.getUint32(184, true)),
  );
  assert.ok(offers.some((row) => row.startsWith(`${network}\t`)));
});

wireshark('hypercalls and register writes have names and values', async (rig) => {
  if (missing('tshark', 'tshark')) return;
  const fields = ['hyperv.msr', 'hyperv.value'];
  const writes = await rows(rig, 'server2022', 'hyperv.msr', ...fields);
  assert.equal(
    writes.map((row) => row.split('\t').map(BigInt)),
    events(rig, 'server2022', 'wrmsr').map(({ msr, value }) => [BigInt(msr), value]),
  );
  const info = await rows(rig, 'server2022', `hyperv.msr==${Msr.SINT0 + 2}`, '_ws.col.Info');
  assert.match(info[0] ?? '', /^MSR_WRITE SINT2 = 0x[0-9a-f]{16}$/);
  const calls = await rows(rig, 'server2022', 'hyperv.call', 'hyperv.call', 'hyperv.status');
  assert.equal(
    calls.map((row) => row.split('\t').map(Number)),
    events(rig, 'server2022', 'hypercall').map(({ code, status }) => [code, status]),
  );
});

wireshark('ring packets come out as NVSP and RNDIS, with what they refer to', async (rig) => {
  if (missing('tshark', 'tshark')) return;
  const packets = events(rig, 'server2022', 'ring-packet');
  const types = await rows(rig, 'server2022', 'vmbus.packet.type', 'vmbus.packet.type');
  assert.equal(
    types.map(Number),
    packets.map(({ type }) => type),
  );
  const ids = await rows(rig, 'server2022', 'hypxe.kind==3', 'vmbus.packet.transaction_id');
  assert.equal(
    ids.map(BigInt),
    packets.map(({ transactionId }) => transactionId),
  );

  // As many RNDIS packets as frames, each as long as its frame
  for (const [from, direction] of [
    ['guest', 2],
    ['host', 1],
  ] as const) {
    const filter = `rndis.type==1 && hypxe.direction==${direction}`;
    const lengths = await rows(rig, 'server2022', filter, 'rndis.data_length');
    const frames = events(rig, 'server2022', 'frame').filter((event) => event.from === from);
    assert.equal(
      lengths.flatMap((row) => row.split(',').map(Number)),
      frames.map(({ frame }) => frame.length),
    );
  }
  const oids = await rows(rig, 'server2022', 'rndis.type==4', 'rndis.oid', '_ws.col.Info');
  assert.match(oids[0] ?? '', /^0x01010101\tRING_PACKET DATA_GPA_DIRECT SEND_RNDIS_PACKET QUERY$/);
});

wireshark('the steps of the boot are comments and records of their own', async (rig) => {
  if (missing('tshark', 'tshark')) return;
  const notes = await rows(rig, 'server2022', 'hypxe.kind==9', 'frame.comment', 'hypxe.note');
  const steps = notes.filter((row) => row.startsWith('firmware: '));
  const expected = rig.runs.get('server2022')!.steps.map((step) => `firmware: ${step}`);
  assert.equal(
    steps,
    expected.map((text) => `${text}\t${text}`),
  );
});

wireshark.run();
