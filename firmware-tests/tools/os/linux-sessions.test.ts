// SPDX-License-Identifier: GPL-2.0-or-later

/** The loaded OS is Linux on the wire: held to recorded sessions of real ones. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LINUX_DIFFERENCES, type LinuxSession } from '../../../tools/os/linux-differences.ts';
import { LINUX_VERSIONS } from '../../../tools/os/os-versions.ts';
import {
  isDriverLine,
  ownSession,
  recordedSession,
  recordedWire,
  WIRE_BUFFERS,
} from '../../rigs/linux-recordings.ts';
import { hunksOf, unexplained, type Hunk } from '../../rigs/session-diff.ts';

const sessions = suite('linux: recorded sessions');

const rowsOf = (session: LinuxSession): readonly Hunk[] =>
  LINUX_DIFFERENCES.filter((row) => row.session === session);

/** Only the NIC's drivers were there: nothing of the services, which the loaded OS serves. */
function ofDrivers(lines: readonly string[]): string[] {
  return lines.filter((line) => isDriverLine(line) && !line.includes('heartbeat'));
}

sessions('L3 Linux: boot and kexec of the i386 kernel', () => {
  const own = ownSession({ kernel: { end: 'kexec' }, hideClocks: true });
  assert.equal(unexplained(hunksOf(recordedSession('boot-kexec'), own), rowsOf('boot-kexec')), []);
});

sessions('L3 Linux: boot and crash of the i386 kernel', () => {
  const own = ownSession({ kernel: { end: 'crash' } });
  assert.equal(unexplained(hunksOf(recordedSession('boot-crash'), own), rowsOf('boot-crash')), []);
});

sessions('L3 Linux: sub-channels, removal and kexec of the drivers on two processors', () => {
  const buffers = WIRE_BUFFERS;
  const host = { processors: 2, services: false, ringLatencyTicks: 100, buffers };
  const kexec = ofDrivers(ownSession({ ...host, kernel: { end: 'kexec' } }));
  const recorded = [...recordedWire('start'), ...recordedWire('kexec')];
  const hunks = hunksOf(recorded, kexec);

  // The end of a kernel that removes its drivers: from the filter on to UNLOAD
  const shutdown = ofDrivers(ownSession({ ...host, kernel: { end: 'shutdown' } }));
  const filter = shutdown.map((line) => line.includes('RNDIS of 32 bytes')).lastIndexOf(true);
  const removed = shutdown.slice(
    filter,
    shutdown.findIndex((line) => line.includes('UNLOAD')),
  );
  hunks.push(...hunksOf(recordedWire('remove'), removed));
  assert.equal(unexplained(hunks, rowsOf('drivers')), []);
});

sessions(
  'L3 Linux: sub-channels are asked for as long as there are processors, and 8 or 16 at most',
  () => {
    const asked = (linux: keyof typeof LINUX_VERSIONS, processors: number): string => {
      const lines = ownSession({ kernel: { end: 'kexec' }, processors, linux, services: false });
      return lines.find((line) => line.includes('NVSP [85 ')) ?? 'none';
    };
    assert.is(asked('linux-6.1', 1), 'none');
    assert.match(asked('linux-6.1', 4), 'NVSP [85 1 3] of 40');
    assert.match(asked('linux-6.1', 20), 'NVSP [85 1 7] of 40');
    assert.match(asked('linux-6.12', 20), 'NVSP [85 1 f] of 40');
  },
);

sessions(
  'L3 Linux: what later kernels do otherwise is what their rows say, and nothing else',
  () => {
    const run = (linux: keyof typeof LINUX_VERSIONS): string[] =>
      ownSession({ kernel: { end: 'kexec' }, linux, services: false });
    const first = run('linux-6.1');
    const twelve = [
      { recorded: ['write GUEST_OS_ID 0x8100000601b00000'], own: ['write GUEST_OS_ID 0x81000006'] },
    ];
    const cut = (hunks: readonly Hunk[]): Hunk[] =>
      hunks.map(({ recorded, own }) => ({
        recorded,
        own: own.map((line) => line.replace(/(GUEST_OS_ID 0x81000006).*/, '$1')),
      }));
    assert.equal(cut(hunksOf(first, run('linux-6.12'))), twelve);

    // On a host that stops at 5.3, 6.0 is asked for and refused
    const later = cut(hunksOf(first, run('linux-6.19')));
    assert.equal(later[0], twelve[0]);
    assert.is(later.length, 2);
    assert.equal(later[1]!.recorded, []);
    assert.match(later[1]!.own[0]!, 'INITIATE_CONTACT (40) version 0x60000 VP 0 sint 2 flags 0');
  },
);

sessions('a difference without a row is one, and so is a row without a difference', () => {
  const recorded = ['a', 'b', 'c', 'd'];
  const own = ['a', 'c', 'x', 'd'];
  const hunks = hunksOf(recorded, own);
  assert.equal(hunks, [
    { recorded: ['b'], own: [] },
    { recorded: [], own: ['x'] },
  ]);
  assert.equal(unexplained(hunks, hunks), []);
  assert.is(unexplained(hunks, [hunks[0]!]).length, 1);
  assert.is(unexplained([], hunks).length, 2);
  assert.equal(hunksOf(recorded, recorded), []);
});

sessions('each line of the sessions counts', () => {
  const recorded = recordedSession('boot-crash');
  assert.ok(recorded.length > 80);
  for (let i = 0; i < recorded.length; i++) {
    const without = recorded.filter((_, index) => index !== i);
    assert.is(hunksOf(recorded, without).length, 1, recorded[i]);
  }
});

sessions.run();
