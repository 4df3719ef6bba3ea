// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * `npm run test:pc`: programs that nobody here wrote boot on the simulated host (pc-flows.ts), and
 * each comes to the verdict of the table (`firmware-tests/golden/pc-verdicts.json`). One runs
 * twice, and both traces are the same bytes. With `--update` the table is written anew; other words
 * name the flows that run. They run in parallel, and are told as they end.
 *
 * A flow whose programs are missing is skipped, with the reason; with `HYPXE_REQUIRE_TOOLS=1` that
 * is a failure, unless it is of another time, and Debian may have it no more. The last line is
 * `N passed, N failed`; exit code 0 or 1.
 */

import { execFile, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { fileURLToPath } from 'node:url';
import { loadBios, loadV86 } from '../../tools/command/pc/pc-files.ts';
import type { PcExplored } from '../../tools/explore/pc-runner.ts';
import {
  BOOT_PROGRAM_LINE,
  BOOT_PROGRAM_NAME,
  bootProgram,
} from '../../tools/guests/pc/boot-program.ts';
import type { PcKernel } from '../../tools/guests/pc/pc-kernel.ts';
import { PASST_GATEWAY } from '../../tools/links/link-start.ts';
import { memoryFiles } from '../../tools/simulator/network/index.ts';
import type { HostProfile } from '../../tools/simulator/profiles/profile.ts';
import { profileNamed } from '../../tools/simulator/profiles/profiles.ts';
import { compareForks } from '../rigs/pc/fork-rig.ts';
import { guestActs } from '../rigs/pc/guest-acts.ts';
import { FAULTS, FAULT_NEEDS, runFault, type FaultRow } from './pc-faults.ts';
import { BUSYBOX, FLOWS, IPXE, missing, outOfReach, type PcFlowCase } from './pc-flows.ts';

/** The longest that one run may take, in ms. */
const RUN_MAX_MS = 1_200_000;

/** Looks for a server that was started, and the pause between two of them, in ms. */
const SERVER_TRIES_MAX = 600;
const SERVER_PAUSE_MS = 100;

/** Runs at a time: each has a PC of up to 256 MiB, and a trace. */
const JOBS_MAX = 4;

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const CLI = here('../../dist/cli.js');
const TABLE = here('../golden/pc-verdicts.json');
const FAULT_TABLE = here('../golden/pc-faults.json');

/** A row of the table. */
interface Row {
  readonly program: string;
  readonly host: string;
  readonly flow: string;
  readonly exitCode: number;
  readonly verdict: string;
  readonly vmbus: readonly string[];
  readonly stages: readonly string[];
  /** Errors and warnings, each once. */
  readonly findings: readonly string[];
}

/** What `hypxe pc --json` says, as far as it matters here. */
interface Document {
  readonly summary: string;
  readonly exitCode: number;
  readonly vmbusVersions: readonly string[];
  readonly stages: readonly { readonly name: string; readonly end: string }[];
  /** Not there if the program was refused. */
  readonly checks?: readonly {
    readonly name: string;
    readonly findings: readonly { readonly severity: string; readonly text: string }[];
  }[];
}

/** Runs that are made from moments of another one, and from the start. */
const FORKS = { samples: 16, seed: 1 };

const words = process.argv.slice(2);
const update = words.includes('--update');
const wanted = words.filter((word) => word !== '--update');
const table = JSON.parse(fs.existsSync(TABLE) ? fs.readFileSync(TABLE, 'utf8') : '[]') as Row[];

const key = ({ program, host, flow }: Pick<Row, 'program' | 'host' | 'flow'>): string =>
  `${program} on ${host}: ${flow}`;

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run Node.js with these arguments. */
function node(args: readonly string[]): Promise<Ended> {
  const options = { timeout: RUN_MAX_MS, maxBuffer: 1 << 26 };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, args, options, (_, stdout, stderr) =>
      resolve({ status: child.exitCode, stdout, stderr }),
    );
  });
}

/** Run a flow. @throws Error with what is wrong */
async function run(
  flow: PcFlowCase,
  directory: string,
): Promise<{ row: Row; trace: string; shown: string }> {
  const trace = path.join(directory, '.trace');
  const served = path.join(directory, 'served');
  fs.mkdirSync(served);
  // On a busy machine a run takes longer than it may by default
  const args = [CLI, 'pc', ...flow.args(served), '--wall', String(RUN_MAX_MS / 1000)];
  const { stdout, stderr } = await node([...args, '--json', '--trace', trace]);
  let document: Document & { readonly console: readonly string[] };
  try {
    document = JSON.parse(stdout) as typeof document;
  } catch {
    throw new Error(`no document: ${stderr}`);
  }
  if (document.checks === undefined) throw new Error(stdout);
  const findings = document.checks.flatMap(({ name, findings: all }) =>
    all
      .filter(({ severity }) => severity !== 'info')
      .map(({ severity, text }) => `${severity} ${name}: ${lasting(text)}`),
  );
  const row: Row = {
    ...{ program: flow.program, host: flow.host, flow: flow.flow },
    exitCode: document.exitCode,
    verdict: document.summary.replace(/, \d+ warnings?$/, ''),
    vmbus: document.vmbusVersions,
    stages: document.stages.map(({ name, end }) => lasting(`${name}: ${end}`)),
    findings: [...new Set(findings)],
  };
  return { row, trace, shown: document.console.join('\n') };
}

/**
 * What stays the same. Addresses and numbers of pages are not what the table is about, nor how many
 * bytes of a page a pattern changes: that depends on what is in it, a kernel's addresses for the
 * most part. And the kernel is the newest of its series that Debian has: 6.1.176 became 6.1.192.
 */
function lasting(text: string): string {
  return text
    .replace(/0x[0-9a-f]{3,}/g, '0x…')
    .replace(/\b\d+ bytes of (?=\d+ pages?\b)/, '')
    .replace(/\b(Linux \d+\.\d+)\.\d+\b/g, '$1');
}

/** @throws Error with what is wrong */
async function check(flow: PcFlowCase, directory: string): Promise<Row> {
  const { row, trace, shown } = await run(flow, directory);
  for (const line of flow.shows ?? []) {
    if (!shown.includes(line)) throw new Error(`the console does not show "${line}":\n${shown}`);
  }
  if (flow.golden !== undefined) {
    const acts = guestActs(fs.readFileSync(trace, 'utf8').split('\n'));
    compare(acts, fs.readFileSync(here(`../golden/real-binaries/${flow.golden}.txt`), 'utf8'));
  }
  const expected = table.find((each) => key(each) === key(flow));
  if (!update && !isDeepStrictEqual(row, expected)) {
    const [was, is] = [expected, row].map((each) => JSON.stringify(each, undefined, 2));
    throw new Error(`another outcome than in the table:\n${was}\nnow\n${is}\n${shown}`);
  }
  return row;
}

/**
 * An act without the last part of a kernel's version, which GUEST_OS_ID has (TLFS, "Guest OS
 * Identity": of open source the whole version, 6.1.176 as 0x0601b0).
 */
function ofAnyUpdate(act: string | undefined): string | undefined {
  return act?.replace(/^(wrmsr 0x40000000 0x8100[0-9a-f]{6})[0-9a-f]{2}(?=[0-9a-f]{4}$)/, '$1..');
}

/** What the guest does is what was recorded of it, in its order. */
function compare(acts: readonly string[], golden: string): void {
  const recorded = golden.trimEnd().split('\n');
  const at = recorded.findIndex((act, i) => ofAnyUpdate(act) !== ofAnyUpdate(acts[i]));
  if (at < 0 && acts.length === recorded.length) return;
  const where = at < 0 ? recorded.length : at;
  const text = `act ${where}: recorded "${recorded[where]}", now "${acts[where]}"`;
  throw new Error(`the guest does not what was recorded of it: ${text}`);
}

/** A program as `hypxe explore --pc` has it. */
async function exploredProgram(kernel: PcKernel, profile: HostProfile): Promise<PcExplored> {
  const parts = { ...loadBios(undefined), ...(await loadV86()), memoryBytes: 64 << 20 };
  const files = memoryFiles({ [BOOT_PROGRAM_NAME]: bootProgram() });
  return { parts, kernel, profile, files, bootFile: BOOT_PROGRAM_NAME, keys: '', script: [] };
}

/** One seed is one trace, byte for byte. @throws Error */
async function sameTwice(flow: PcFlowCase, directory: string): Promise<void> {
  const traces: Buffer[] = [];
  for (const name of ['first', 'second']) {
    const own = path.join(directory, name);
    fs.mkdirSync(own);
    traces.push(fs.readFileSync((await run(flow, own)).trace));
  }
  if (!traces[0]!.equals(traces[1]!)) throw new Error('two runs, and two traces');
}

/** A port of this machine's loopback that nobody has. */
function freePort(): Promise<number> {
  const server = net.createServer();
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Wait until a server answers. @throws Error if it never does */
async function answers(url: string): Promise<void> {
  for (let left = SERVER_TRIES_MAX; ; left--) {
    try {
      if ((await fetch(url)).ok) return;
    } catch {
      // Not there yet
    }
    if (left === 0) throw new Error(`busybox does not serve ${url}`);
    await new Promise((resolve) => setTimeout(resolve, SERVER_PAUSE_MS));
  }
}

/**
 * iPXE's own HTTP over a real network: busybox serves on this machine's loopback, which passt's
 * gateway is for its guest. On the wall's clock. @throws Error
 */
async function overPasst(directory: string): Promise<void> {
  const port = await freePort();
  fs.writeFileSync(path.join(directory, 'next'), bootProgram());
  const script = path.join(directory, 'script');
  const lines = ['expect Press Ctrl-B', 'type \\x02', 'expect iPXE>', 'type dhcp\\n', 'expect ok'];
  const chain = `type chain http://${PASST_GATEWAY}:${port}/next\\n`;
  fs.writeFileSync(script, [...lines, chain, `expect ${BOOT_PROGRAM_LINE}`].join('\n'));
  const server = spawn(BUSYBOX, ['httpd', '-f', '-p', `127.0.0.1:${port}`, '-h', directory]);
  try {
    await answers(`http://127.0.0.1:${port}/next`);
    const wall = ['--wall', String(RUN_MAX_MS / 1000)];
    const args = ['pc', IPXE, '--link', 'passt', '--expect', script, ...wall];
    const { status, stdout, stderr } = await node([CLI, ...args]);
    if (status !== 0) throw new Error(`exit code ${status}:\n${stdout}${stderr}`);
  } finally {
    server.kill();
  }
}

/** The program in the manual of the programming interface. @throws Error */
async function fromManual(): Promise<void> {
  const manual = fs.readFileSync(here('../../tools/library/README.md'), 'utf8');
  const program = /```js\n\/\/ out\/pc\.js\n([^]*?)```/.exec(manual)?.[1];
  if (program === undefined) throw new Error('the manual has no out/pc.js');
  // The package finds itself from within its own folder
  fs.mkdirSync(here('../../out'), { recursive: true });
  const directory = fs.mkdtempSync(here('../../out/pc-'));
  try {
    const file = path.join(directory, 'pc.js');
    fs.writeFileSync(file, program);
    const { status, stdout, stderr } = await node([file, IPXE, 'server2016']);
    const said = 'the host has nothing of this guest any more';
    if (status !== 0 || !stdout.trimEnd().split('\n').at(-1)!.startsWith(said)) {
      throw new Error(`exit code ${status}:\n${stdout}${stderr}`);
    }
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

/** What a fault comes to is what the table says. @throws Error */
async function checkFault(fault: (typeof FAULTS)[number], directory: string): Promise<void> {
  const row = await runFault(fault, directory, (args) => node([CLI, ...args]));
  faultRows.push(row);
  const expected = faultTable.find(({ plan, host }) => plan === row.plan && host === row.host);
  if (update || isDeepStrictEqual(row, expected)) return;
  const [was, is] = [expected, row].map((each) => JSON.stringify(each, undefined, 2));
  throw new Error(`another outcome than in the table:\n${was}\nnow\n${is}`);
}

let passed = 0;
let failed = 0;
const rows: Row[] = [];
const faultRows: FaultRow[] = [];
const faultTable = JSON.parse(
  fs.existsSync(FAULT_TABLE) ? fs.readFileSync(FAULT_TABLE, 'utf8') : '[]',
) as FaultRow[];

/** What is to be done: its name, its flow, and the doing. */
interface Attempt {
  readonly name: string;
  readonly flow: PcFlowCase;
  readonly action: (directory: string) => Promise<Row | void>;
}

async function attempt({ name, flow, action }: Attempt): Promise<void> {
  const why = missing(flow);
  const reason = outOfReach(flow) ?? (process.env.HYPXE_REQUIRE_TOOLS === '1' ? undefined : why);
  if (reason !== undefined) {
    console.log(`skip  ${name}: ${reason}`);
    return;
  }
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-pc-'));
  const begin = Date.now();
  try {
    if (why !== undefined) throw new Error(why);
    const row = await action(directory);
    if (row !== undefined) rows.push(row);
    passed++;
    console.log(`pass  ${name} (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}\n      ${(error as Error).message.replaceAll('\n', '\n      ')}`);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

const attempts: Attempt[] = FLOWS.map((flow) => ({
  ...{ name: key(flow), flow },
  action: (directory) => check(flow, directory),
}));
for (const fault of FAULTS) {
  attempts.push({
    ...{ name: `iPXE explored: ${fault.plan}`, flow: { ...FLOWS[0]!, ...FAULT_NEEDS } },
    action: (directory) => checkFault(fault, directory),
  });
}
const again = FLOWS.find(({ host }) => host === 'server2016')!;
attempts.push({
  ...{ name: 'one seed, one trace', flow: again },
  action: (directory) => sameTwice(again, directory),
});
const passt = FLOWS[0]!;
attempts.push({
  ...{ name: 'iPXE by the program of the manual', flow: passt, action: () => fromManual() },
});
attempts.push({
  ...{ name: 'iPXE over passt: HTTP from busybox', action: overPasst },
  flow: { ...passt, needs: ['ipxe', 'seabios', 'passt', 'busybox-static'] },
});

attempts.push({
  ...{ name: 'iPXE explored from moments of its run', flow: FLOWS[0]! },
  action: async () => {
    const program = { image: new Uint8Array(fs.readFileSync(IPXE)) };
    const explored = await exploredProgram(program, profileNamed('server2022')!);
    const { runs, forkedMs, wholeMs } = await compareForks(explored, undefined, FORKS);
    const seconds = [forkedMs, wholeMs].map((ms) => (ms / 1000).toFixed(1)).join(' s beside ');
    console.log(`      ${runs} runs from moments and from the start: CPU time ${seconds} s`);
  },
});

// Several at a time: each takes a thread. Those that take longest come last in the list
const queue = attempts
  .filter(({ name }) => wanted.length === 0 || wanted.some((each) => name.includes(each)))
  .reverse();
const work = async (): Promise<void> => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) await attempt(next);
};
await Promise.all(Array.from({ length: Math.min(JOBS_MAX, os.availableParallelism()) }, work));
if (update) {
  const all = FLOWS.flatMap((flow) => {
    const same = (row: Row): boolean => key(row) === key(flow);
    return rows.find(same) ?? table.find(same) ?? [];
  });
  fs.writeFileSync(TABLE, `${JSON.stringify(all, undefined, 2)}\n`);
  const faults = FAULTS.flatMap(({ plan, host }) => {
    const same = (row: FaultRow): boolean => row.plan === plan && row.host === host;
    return faultRows.find(same) ?? faultTable.find(same) ?? [];
  });
  fs.writeFileSync(FAULT_TABLE, `${JSON.stringify(faults, undefined, 2)}\n`);
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
