// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe explore`: its options, its exit codes, shards and merging, and a firmware that hangs. */

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { exploreCommand } from '../../../tools/command/explore/explore-command.ts';
import { CommandError } from '../../../tools/command/usage.ts';
import * as firmware from '../../../src/os.ts';
import { Exploration } from '../../../tools/explore/exploration.ts';
import type { ExploredFirmware } from '../../../tools/explore/explored-guest.ts';
import type { Part } from '../../../tools/explore/part.ts';
import { newRunner } from '../../rigs/explore-rig.ts';

const dist = new URL('../../../dist/', import.meta.url);
const places = {
  firmware: fileURLToPath(new URL('hypxe.js', dist)),
  guestCell: new URL('guest-cell.js', dist),
  exploreWorker: new URL('explore-worker.js', dist),
  reportPage: fileURLToPath(new URL('report-page.js', dist)),
};

interface Ran {
  readonly code: number;
  readonly out: string;
}

async function explore(...args: string[]): Promise<Ran> {
  let out = '';
  const terminal = { out: (text: string) => void (out += text), error: () => undefined };
  const code = await exploreCommand(args, places, terminal);
  return { code, out };
}

const test = suite<{ directory: string }>('hypxe explore');

test.before((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'hypxe-explore-'));
});

test.after(({ directory }) => rmSync(directory, { recursive: true, force: true }));

test('one run is made and reported by its text', async () => {
  const { code, out } = await explore('--only', 'message.1/drop');
  assert.is(code, 0);
  // The story of the run, as the log of a boot, and then what it came to
  assert.match(out, /^\[ {6}0\.000\] === firmware\n/);
  assert.match(out, /\n\[.*\] {3}FAULT .*: it is lost \(message\.1\/drop\)\n/);
  assert.match(out, /\nrun {7}message\.1\/drop\nended {5}\w+ after \d+ steps\n\nverdict: clean\n$/);
});

test('a guest in its realm is raced as any other: an acquire of its is one', async () => {
  // Rings in which an OS has left packets: whoever looks at them too early takes those
  for (const number of [16]) {
    const plan = `race.${number}/weak`;
    const { out } = await explore('--after', 'linux-6.1', '--arch', 'arm64', '--only', plan);
    assert.match(out, /^verdict: clean$/m, plan);
  }
});

test('an acquire in a bundle is one, also across its realm', async () => {
  // A race with early loads: message and packets would be read before what announces them
  const { code, out } = await explore('--arch', 'arm64', '--only', 'race.18/weak');
  assert.is(code, 0, out);
});

test('a result is written beside its place, and moved there', async ({ directory }) => {
  const [file, other] = [join(directory, 'whole.json'), join(directory, 'linked.json')];
  writeFileSync(file, 'old');
  linkSync(file, other);
  assert.is((await explore('--only', 'alloc.0/fail', '-o', file)).code, 0);
  assert.is(readFileSync(other, 'utf8'), 'old', 'another file now');
  assert.ok(JSON.parse(readFileSync(file, 'utf8')));
  assert.not.ok(existsSync(`${file}.part`));
});

test('wrong use is refused with what to do', async ({ directory }) => {
  const idle = join(directory, 'idle.mjs');
  const booted = `{ status: 'booted', image: null, memoryMap: machine.memoryMap }`;
  writeFileSync(idle, `export const boot = (machine) => (${booted});`);
  const refused = async (name: string, ...args: string[]): Promise<void> => {
    try {
      await explore(...args);
    } catch (error) {
      assert.instance(error, CommandError);
      assert.is((error as CommandError).name, name, args.join(' '));
      return;
    }
    assert.unreachable(args.join(' '));
  };
  await refused('BadShard', '--shard', '3/2');
  await refused('BadShard', '--shard', '0/2');
  await refused('BadShard', '--shard', 'half');
  await refused('BadPlan', '--only', 'message.1/lose');
  await refused('PlaceNotReached', '--only', 'message.9999/drop');
  await refused('PlaceNotReached', '--only', 'alloc', '--firmware', idle);
  // Flows that the firmware has not
  await refused('BadPlan', '--only', 'loader:step.1/handoff', '--firmware', idle);
  await refused('BadPlan', '--only', 'push:packet.5/drop', '--firmware', idle);
  await refused('BadPlan', '--only', 'pull:packet');
  await refused('UnknownHost', '--host', 'server1999');
  await refused('BadNumber', '--walks', 'many');
  await refused('FileMissing', '--firmware', 'no-such-file.js');
  await refused('UnexpectedArgument', 'part.json');
  await refused('NoParts', '--merge');
  await refused('FileMissing', '--merge', 'no-such-part.json');
});

test('all of a kind may be of one flow', async () => {
  const runs = async (only: string): Promise<number> => {
    const { out } = await explore('--only', only, '--json', '--time', '0.1');
    return (JSON.parse(out) as Part).total;
  };
  const [all, ...ofFlows] = await Promise.all(
    ['', 'boot:', 'loader:', 'push:'].map((flow) => runs(`${flow}alloc/fail`)),
  );
  assert.ok(ofFlows.every((count) => count > 0));
  assert.is(
    ofFlows.reduce((sum, count) => sum + count),
    all,
  );
});

test('shards merged are the whole; shards of different lists are refused', async (context) => {
  const only = ['--only', 'alloc/fail', '--json', '--workers', '1'];
  const whole = await explore(...only);
  assert.is(whole.code, 0);
  const names = ['1/2', '2/2'].map((shard) => join(context.directory, shard.replace('/', '-')));
  for (const [i, name] of names.entries()) {
    writeFileSync(name, (await explore(...only, '--shard', `${i + 1}/2`)).out);
  }
  const merged = await explore('--merge', ...names, '--json');
  const [a, b] = [JSON.parse(whole.out) as Part, JSON.parse(merged.out) as Part];
  assert.equal({ ...b, seconds: 0 }, { ...a, seconds: 0 });
  assert.is(a.tally.runs, a.total);

  const other = join(context.directory, 'other');
  writeFileSync(other, (await explore(...only, '--shard', '2/2', '--seed', '9')).out);
  try {
    await explore('--merge', names[0]!, other);
    assert.unreachable();
  } catch (error) {
    assert.is((error as Error).name, 'BadParts');
    assert.match((error as Error).message, /differ in the seed: 1 and 9/);
  }
});

test('-o writes the document that --json prints, whatever is printed', async ({ directory }) => {
  const file = join(directory, 'whole.json');
  const args = ['--only', 'alloc/fail', '--workers', '1', '-o', file];
  const { code, out } = await explore(...args);
  assert.is(code, 0);
  assert.match(out, /verdict/);
  const part = JSON.parse(readFileSync(file, 'utf8')) as Part;
  assert.ok(part.complete && part.tally.runs === part.total);

  const printed = await explore(...args, '--json');
  assert.is(readFileSync(file, 'utf8'), printed.out);
  const one = await explore('--only', 'alloc.0/fail', '-o', file, '--json');
  assert.is(readFileSync(file, 'utf8'), one.out);
  const merging = join(directory, 'merging.json');
  writeFileSync(merging, printed.out);
  await explore('--merge', merging, '-o', file);
  assert.is((JSON.parse(readFileSync(file, 'utf8')) as Part).tally.runs, part.total);
});

test('a file that cannot be written is told of before anything is run', async ({ directory }) => {
  try {
    await explore('--only', 'alloc', '-o', join(directory, 'nowhere', 'part.json'));
    assert.unreachable();
  } catch (error) {
    assert.is((error as CommandError).name, 'FileUnwritable');
    assert.is((error as CommandError).code, 4);
  }
});

test("the manual's shards with GNU parallel are the whole", ({ directory }) => {
  // Who has none cannot run the example
  if (spawnSync('parallel', ['--version']).status !== 0) return;
  const root = new URL('../../../', import.meta.url);
  const manual = readFileSync(new URL('tools/explore/README.md', root), 'utf8');
  const example = /^```text\n(mkdir [\s\S]*?)^```$/m.exec(manual)![1]!;
  symlinkSync(fileURLToPath(dist), join(directory, 'dist'));
  const run = (script: string) =>
    spawnSync('bash', ['-e', '-c', script], { cwd: directory, encoding: 'utf8' });
  const { status, stdout, stderr } = run(example);
  assert.is(status, 0, stderr);
  const whole = run('node dist/cli.js explore --only alloc --workers 2');
  const report = (text: string): string[] =>
    text.split('\n').filter((line) => /^(boot|loader|push|list|ended|verdict)\b/.test(line));
  assert.is(report(stdout).at(-1), 'verdict: clean');
  assert.equal(report(stdout).slice(-6), report(whole.stdout));
});

test('a firmware that hangs is reported with the run, and the others are made', async (context) => {
  const file = join(context.directory, 'hangs.mjs');
  const body = `
    import * as real from ${JSON.stringify(new URL('hypxe.js', dist).href)};
    export function boot(machine, options) {
      const result = real.boot(machine, options);
      if (/of monitor-in/.test(result.error?.message)) for (;;);
      return result;
    }`;
  writeFileSync(file, body);
  const args = ['--firmware', file, '--only', 'alloc/fail', '--watchdog', '3', '--json'];
  const { code, out } = await explore(...args, '--workers', '1');
  assert.is(code, 3);
  const { tally, total, complete } = JSON.parse(out) as Part;
  assert.is(tally.runs, total);
  assert.ok(complete);
  assert.is(tally.groups.length, 1);
  const [group] = tally.groups;
  assert.is(group!.kind, 'hang');
  assert.match(group!.reproduction, /^alloc\.\d+\/fail$/);
});

test('a firmware that is broken without any fault is not explored', async (context) => {
  const file = join(context.directory, 'broken.mjs');
  writeFileSync(file, `export function boot() { throw new Error('no'); }`);
  try {
    await explore('--firmware', file, '--only', 'alloc');
    assert.unreachable();
  } catch (error) {
    assert.is((error as Error).name, 'BrokenFirmware');
    assert.match((error as Error).message, /not clean without any fault: Error: no/);
    assert.match((error as CommandError).advice, /--only none, or loader:none, tells why/);
  }
});

test('of a firmware that boots nothing it is told why, not that the second boot fails', () => {
  const error = Object.assign(new Error('none'), { name: 'NoTftpAnswer', code: 'E0001' });
  const boot = (({ memoryMap }: { memoryMap: object }) => {
    return { status: 'failed', error, memoryMap };
  }) as unknown as ExploredFirmware['boot'];
  const explored = (): Exploration =>
    new Exploration(newRunner({ ...firmware, boot }), { seed: 1, walks: 0 });
  assert.throws(explored, /the boot flow is .* any fault: it fails with NoTftpAnswer$/);
});

test.run();
