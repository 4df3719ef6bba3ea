// SPDX-License-Identifier: GPL-2.0-or-later

/** Lanes name the events behind them by number; messages say in words what they are. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDriver } from '../../../src/index.ts';
import {
  Network,
  SimulatedMachine,
  memoryFiles,
  profileNamed,
  type HostEvent,
} from '../../../tools/library/index.ts';
import { messageOf } from '../../../tools/report/model/message.ts';
import { modelOf } from '../../../tools/report/model/model.ts';
import { runsOf, slim } from '../../../tools/report/read-trace.ts';
import { bootModel, madeTrace, tracedBoot } from '../../rigs/report/traces.ts';

/** HvCallSignalEvent. */
const SIGNAL_EVENT = 0x5d;

const causes = suite('report: causes');

causes('of a boot: each page has the message or the register behind it', () => {
  const model = bootModel({ size: 8192 });
  const name = (at: number | undefined): string | undefined =>
    at === undefined ? undefined : messageOf(model.events[at]!, model.channels)?.name;
  const told = model.lanes
    .filter(({ kind }) => kind !== 'packet')
    .map(({ kind, cause, namedCause, revokedCause }) =>
      [kind, name(cause), name(namedCause), name(revokedCause)].join(' | '),
    );
  const has = (line: string): void => assert.ok(told.includes(line), told.join('\n'));
  has('hypercall-page | write HYPERCALL |  | write HYPERCALL');
  has('message-page | write SIMP |  | write SIMP');
  has('monitor-page | INITIATE_CONTACT |  | UNLOAD');
  has('gpadl | GPADL_HEADER | OPEN_CHANNEL | GPADL_TEARDOWN');
  has('gpadl | GPADL_HEADER | SEND_RECEIVE_BUFFER | GPADL_TEARDOWN');
  has('gpadl | GPADL_HEADER | SEND_SEND_BUFFER | GPADL_TEARDOWN');
  // Who gives its identity up loses the page
  has('hypercall-page | write HYPERCALL |  | write GUEST_OS_ID');
  // Another channel's packets come in between: the one that shared it, and not the last one
  const packets = model.lanes.filter(({ kind }) => kind === 'packet');
  for (const { cause } of packets) assert.is(model.events[cause!]?.kind, 'ring-packet');
});

causes('the number counts, whatever was last: of two writes the one that is named', () => {
  const page = { id: 1, kind: 'message-page', purpose: 'p', grantedBy: 'wrmsr SIMP on VP 0' };
  const { lanes } = modelOf(
    madeTrace(
      { kind: 'wrmsr', msr: 0x40000083, value: '0x1', act: 1 },
      { kind: 'wrmsr', msr: 0x40000083, value: '0x2', act: 2 },
      { kind: 'grant', grant: page, cause: 1 },
      { kind: 'revoke', grant: { ...page, revokedBy: 'wrmsr SIMP on VP 0' }, cause: 7 },
    ),
  );
  assert.is(lanes[0]!.cause, 0);
  assert.is(lanes[0]!.revokedCause, 1, 'a number that no event has: the last of its sort');
});

causes('what lies unread in a ring when its channel closes is not what closes it', () => {
  const network = new Network({ files: memoryFiles({ a: new Uint8Array(1) }), bootFile: 'a' });
  const machine = new SimulatedMachine({
    ...{ memory: new ArrayBuffer(16 << 20), profile: profileNamed('server2022')!, seed: 1 },
    links: [network.link(0)],
  });
  const driver = createDriver(machine.bootSeam);
  driver.probe();
  driver.devices[0]!.open();
  // The guest has completed a frame, and the host has not heard of it
  machine.partition.faults.hypercall = (code) => (code === SIGNAL_EVENT ? 0 : undefined);
  machine.nics[0]!.injectRndis(new Uint8Array([7, 0, 0, 0, 20, 0, 0, 0, ...new Uint8Array(12)]));
  driver.poll();
  const seen: HostEvent[] = [];
  machine.events.listen((event) => seen.push(event));
  machine.vmbus.rescind(machine.nics[0]!);
  const unread = seen.filter((event) => event.kind === 'ring-packet' && event.from === 'guest');
  assert.is(unread.length, 1);
  assert.equal(machine.events.caused, {}, 'the host acts of its own accord');
});

causes('messages are in a trace in words, which a page does without', () => {
  const trace = tracedBoot({ size: 8192 });
  const says = trace.flatMap((event) => (event.says === undefined ? [] : [String(event.says)]));
  assert.ok(
    says.some((text) => /^INITIATE_CONTACT, version 3\.0, /.test(text)),
    says[0],
  );
  assert.ok(says.some((text) => /^VERSION_RESPONSE, supported 0x1, /.test(text)));
  assert.ok(slim(trace).every((event) => event.says === undefined));
});

causes('a second run in a trace is the one to compare with', () => {
  const one = madeTrace({ kind: 'run', trace: 1 }, { kind: 'verdict', verdict: 'findings' });
  const two = madeTrace({ kind: 'run', trace: 1 }, { kind: 'verdict', verdict: 'clean' });
  assert.equal(runsOf([...one, ...two]), { events: one, clean: two });
  assert.equal(runsOf(one), { events: one, clean: undefined });
});

causes('an error of whoever ran it, and of no check, stands before the checks', () => {
  const { checks } = modelOf(
    madeTrace({ kind: 'finding', stage: 'firmware', check: 'run', severity: 'error', text: 'bad' }),
  );
  const { check, state, groups } = checks[0]!;
  assert.equal([check, state, groups[0]?.texts], ['run', 'error', ['bad']]);
});

causes.run();
