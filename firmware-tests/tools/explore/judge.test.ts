// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What exploration excuses, and what it does not: a guest that does wrong on purpose is found
 * beside a fault of the host, too, and whichever way it reads its memory.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as firmware from '../../../src/index.ts';
import { Msr } from '../../../src/hyperv/protocol.ts';
import type { X64Machine } from '../../../src/machine.ts';
import type { ExploredFirmware } from '../../../tools/explore/explored-guest.ts';
import { parsePlan } from '../../../tools/explore/plan.ts';
import { hypxe, write } from '../../rigs/cli-rig.ts';
import { newRunner } from '../../rigs/explore-rig.ts';

type Boot = NonNullable<ExploredFirmware['boot']>;

const judge = suite('explore: the judge');

/** The causes of all that is found in a run of a firmware whose `boot` is another. */
function causes(plan: string, boot: (...args: Parameters<Boot>) => unknown): string[] {
  const runner = newRunner({ ...firmware, boot: boot as Boot });
  return runner.run(parsePlan(plan)).findings.map(({ cause }) => cause);
}

/** Boot, and leave a SINT unmasked. */
const leaving: Boot = (machine, options) => {
  const result = firmware.boot(machine, options);
  (machine as X64Machine).wrmsr(Msr.SINT0 + 2, 0x75n);
  return result;
};

const UNMASKED = 'handoff: sints: SINT2 of VP # is #: not masked';

for (const plan of ['message.5/mute', 'message.1/mute', 'call.3/status:19', 'register.1/refuse'])
  judge(`a SINT that is left unmasked is found beside ${plan}`, () => {
    assert.ok(causes(plan, leaving).includes(UNMASKED), plan);
    assert.equal(
      causes(plan, (machine, options) => firmware.boot(machine, options)),
      [],
    );
  });

judge('a page that is reserved buys nothing off', () => {
  const found = causes('message.5/mute', (machine, options) => {
    const { memoryMap, ...result } = leaving(machine, options);
    const [first, ...others] = memoryMap;
    const page = { address: first!.address, length: 4096, type: 'reserved' as const };
    const rest = { ...first!, address: page.address + 4096, length: first!.length - 4096 };
    return { ...result, memoryMap: [page, rest, ...others] };
  });
  assert.ok(found.includes(UNMASKED), found.join('\n'));
});

judge('a register that is refused for good excuses its own check alone', () => {
  assert.ok(causes('register.4/refuse-ever', leaving).includes(UNMASKED));
});

judge('a boot that calls itself booted has an image', () => {
  const found = causes('message.5/mute', (machine, options) => {
    const result = firmware.boot(machine, options);
    return result.status === 'booted' ? result : { ...result, status: 'booted', image: null };
  });
  assert.equal(found, ['booted without an image']);
});

judge('what a quiesced guest leaves is judged while it is quiesced', () => {
  const runner = newRunner({
    ...firmware,
    createDriver: (machine, options) => {
      const driver = firmware.createDriver(machine, options);
      driver.quiesce = () => {};
      return driver;
    },
  });
  const { findings } = runner.run(parsePlan('loader:owner.0/left:identity'));
  const wanted = 'quiesced: synic-pages: SIMP of VP # is enabled: #';
  assert.ok(
    findings.some(({ cause }) => cause === wanted),
    JSON.stringify(findings),
  );
});

const READS: Readonly<Record<string, string>> = {
  'a constructor that is named before the memory': 'new DataView(machine.memory).getUint8(0x5000)',
  'a view of memory that was kept': 'kept(machine)[0x5000]',
  'slice of the prototype': 'ArrayBuffer.prototype.slice.call(machine.memory, 0x5000, 0x5001)',
};

for (const [name, expression] of Object.entries(READS))
  judge(`read outside of any allocation: ${name}`, async () => {
    const text = `
      import { boot as inner } from 'hypxe/x64';
      const kept = (machine) => {
        const { memory } = machine;
        machine.rdmsr(${Msr.GUEST_OS_ID});
        return new Uint8Array(memory);
      };
      export function boot(machine, options) {
        void ${expression};
        return inner(machine, options);
      }`;
    const file = write(`reads-${name.length}.mjs`, text);
    const { out } = await hypxe('explore', '--firmware', file, '--only', 'owner.0/left:identity');
    assert.match(out, /^finding +\d bytes read outside of any allocation/m);
  });

for (const [what, statement] of Object.entries({
  DataView: 'new DataView(machine.memory).setUint16(0x9effe + 2, 1, true)',
  'the last byte of a longer store': 'new DataView(machine.memory).setUint32(0x9effd, 1, true)',
  'an element': 'new Uint8Array(machine.memory)[0x500] = 1',
  'a method of a typed array': 'new Uint8Array(machine.memory).fill(0, 0x9f800, 0x9f801)',
}))
  judge(`written to memory that was not given: ${what}`, () => {
    const store = new Function('machine', statement) as (machine: object) => void;
    const stray: ExploredFirmware = {
      ...firmware,
      boot(machine, options) {
        store(machine);
        return firmware.boot(machine, options);
      },
    };
    const { findings } = newRunner(stray).run(parsePlan('owner.0/left:identity'));
    assert.ok(findings.some(({ text }) => /bytes written to memory that it was not/.test(text)));
  });

judge('the last page that was given may be written to', () => {
  const careful: ExploredFirmware = {
    ...firmware,
    boot(machine, options) {
      new DataView(machine.memory).setUint32(0x9effc, 1, true);
      return firmware.boot(machine, options);
    },
  };
  assert.equal(newRunner(careful).run(parsePlan('owner.0/left:identity')).findings, []);
});

judge.run();
