// SPDX-License-Identifier: GPL-2.0-or-later

/** The command line: chooses the command, and turns its failures into messages and exit codes. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bootCommand } from './boot/boot-command.ts';
import { chooseColour, paintFor, UNPAINTED } from './colour.ts';
import { exploreCommand } from './explore/explore-command.ts';
import { guestCommand } from './guest/guest-command.ts';
import { hostsCommand } from './hosts-command.ts';
import { pcCommand } from './pc/pc-command.ts';
import { exploresPc } from './pc/pc-explore-options.ts';
import { pcExploreCommand } from './pc/pc-explore.ts';
import { recordCommand } from './record/record-command.ts';
import { replayCommand } from './replay/replay-command.ts';
import { reportCommand } from './report/report-command.ts';
import { scenariosCommand } from './scenarios-command.ts';
import { printable, type Terminal } from './terminal.ts';
import { afterOwnTime } from '../guests/cell/own-time.ts';
import { allowMemory64 } from '../guests/wasm-file.ts';
import {
  EXIT_HELP,
  EnvironmentError,
  Exit,
  UsageError,
  commandError,
  didYouMean,
  failureJson,
  failureText,
  quoted,
  type ExitCode,
} from './usage.ts';
import { systemReason } from './system-reason.ts';

const HELP = `Usage: hypxe COMMAND [options]

Boot firmware for Hyper-V guests, and a simulated Hyper-V host that audits its handoff.

Commands
  boot [FILE]       boot FILE (or an image made here) on a simulated host, and audit the handoff
  pc FILE           boot an unmodified program for a PC (iPXE, a Linux kernel), and audit it
  explore           cut the boot at every step and put faults everywhere: what is left behind?
  scenarios [NAME]  list known bugs of handoffs, or run one with the bug and without it
  replay TRACE...   run the firmware against recorded sessions of iPXE's drivers, and compare
  record -o FILE    record a session of a guest on a simulated host, for replay
  report TRACE      make a page of a trace: shared memory over time, messages, the audit
  hosts [NAME]      list the host profiles, or show one; with --json as a file for --host
  guest             your own firmware in C or Rust: its interface, a project, iPXE's drivers

Options
  --version         print the version; so does hypxe version
  --color WHEN      of any command: auto (default: on a terminal, unless NO_COLOR is set), always
                    or never
  -h, --help        this text; hypxe COMMAND --help, or hypxe help COMMAND, explains a command

${EXIT_HELP}
`;

const COMMANDS = [
  'boot',
  'pc',
  'explore',
  'scenarios',
  'record',
  'replay',
  'report',
  'hosts',
  'guest',
  'help',
  'version',
];

/** From sources the files beside this one are .ts, in dist they are .js. */
const fromSources = import.meta.url.endsWith('.ts');
const places = {
  firmware: fileURLToPath(
    new URL(fromSources ? '../../dist/hypxe.js' : './hypxe.js', import.meta.url),
  ),
  guestCell: new URL(fromSources ? './guest-cell.ts' : './guest-cell.js', import.meta.url),
  bootWorker: new URL(fromSources ? './boot/boot-worker.ts' : './boot-worker.js', import.meta.url),
  pcWorker: new URL(fromSources ? './pc/pc-worker.ts' : './pc-worker.js', import.meta.url),
  pcExploreWorker: new URL(
    fromSources ? './pc/pc-explore-worker.ts' : './pc-explore-worker.js',
    import.meta.url,
  ),
  recordWorker: new URL(
    fromSources ? './record/record-worker.ts' : './record-worker.js',
    import.meta.url,
  ),
  replayWorker: new URL(
    fromSources ? './replay/replay-worker.ts' : './replay-worker.js',
    import.meta.url,
  ),
  scenariosWorker: new URL(
    fromSources ? './scenarios-worker.ts' : './scenarios-worker.js',
    import.meta.url,
  ),
  exploreWorker: new URL(
    fromSources ? './explore/explore-worker.ts' : './explore-worker.js',
    import.meta.url,
  ),
  guests: fileURLToPath(new URL(fromSources ? '../guests/' : './guests/', import.meta.url)),
  reportPage: fileURLToPath(
    new URL(fromSources ? '../../dist/report-page.js' : './report-page.js', import.meta.url),
  ),
  traces: fileURLToPath(
    new URL(
      fromSources ? '../../firmware-tests/golden/ipxe-traces/' : './traces/',
      import.meta.url,
    ),
  ),
};

/** Interrupts that come in less time are one. */
const SAME_INTERRUPT_MS = 300;

let args: readonly string[] = process.argv.slice(2);
let paint = { out: UNPAINTED, error: UNPAINTED };
// Before any worker starts
allowMemory64();
const interrupt = new AbortController();
// A second Ctrl-C ends at once what does not finish. One press of the keys may come twice: whoever
// started this tells it, as the terminal does
const onInterrupt = (): void => {
  interrupt.abort();
  afterOwnTime(SAME_INTERRUPT_MS, () => process.off('SIGINT', onInterrupt)).unref();
};
process.on('SIGINT', onInterrupt);

/** What is printed may come from files and guests, all of it. */
const terminal: Terminal = {
  out: (text) => void process.stdout.write(paint.out(printable(text))),
  error: (text) => void process.stderr.write(paint.error(printable(text))),
  drained: () =>
    process.stdout.writableNeedDrain && !process.stdout.destroyed
      ? new Promise((resolve) => {
          process.stdout.once('drain', resolve);
          process.stdout.once('close', resolve);
        })
      : undefined,
  interrupt: interrupt.signal,
};

/** End with a failure: on standard error for people, with `--json` also as a document. */
function fail(error: unknown): ExitCode {
  const failure = commandError(error);
  terminal.error(failureText(failure, args.includes('-v') || args.includes('--verbose')));
  if (args.includes('--json')) terminal.out(failureJson(failure));
  return failure.code;
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever read has gone (`| head`): the exit code still tells
  if (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED') return;
  const advice = 'Redirect the output to where there is room for it.';
  const text = `standard output: ${systemReason(error)}`;
  terminal.error(failureText(new EnvironmentError('OutputLost', text, advice)));
  process.exit(Exit.ENVIRONMENT);
});

process.on('uncaughtException', (error) => process.exit(fail(error)));

async function run([command, ...rest]: readonly string[]): Promise<ExitCode> {
  switch (command) {
    case 'help':
      return help(rest);
    case 'boot':
      return bootCommand(rest, places, terminal);
    case 'pc':
      return pcCommand(rest, places, terminal);
    case 'explore':
      if (exploresPc(rest)) return pcExploreCommand(rest, places, terminal);
      return exploreCommand(rest, places, terminal);
    case 'scenarios':
      return scenariosCommand(rest, places, terminal);
    case 'replay':
      return replayCommand(rest, places, terminal);
    case 'record':
      return recordCommand(rest, places, terminal);
    case 'report':
      // Does all at once, where nobody is told: Ctrl-C ends it
      process.off('SIGINT', onInterrupt);
      return reportCommand(rest, places, terminal);
    case 'guest':
      return guestCommand(rest, places, terminal);
    case 'hosts':
      return hostsCommand(rest, terminal);
    case 'version':
    case '--version':
      if (rest.length > 0) {
        const text = `nothing to do with ${quoted(rest[0]!)}`;
        throw new UsageError('UnexpectedArgument', text, 'Write hypxe version.');
      }
      terminal.out(`${version()}\n`);
      return Exit.CLEAN;
    case '--help':
    case '-h':
      terminal.out(HELP);
      return Exit.CLEAN;
    case undefined:
      throw new UsageError('NoCommand', 'no command given', 'See hypxe --help.');
    default:
      if (command.startsWith('-')) throw unknownOption(command);
      throw new UsageError(
        'UnknownCommand',
        `there is no command ${quoted(command)}`,
        didYouMean(command, COMMANDS),
      );
  }
}

/** `help`, alone or with the command that is to be explained. */
function help([command, ...rest]: readonly string[]): Promise<ExitCode> {
  if (command === undefined || command === 'help') return run(['--help']);
  if (rest.length === 0 && !command.startsWith('-')) return run([command, '--help']);
  throw new UsageError('TooManyNames', 'help takes the name of one command', 'See hypxe --help.');
}

/** An option in front of the command, or without one. */
function unknownOption(option: string): UsageError {
  const otherwise = 'Options stand behind a command; see hypxe --help.';
  const advice = didYouMean(option, ['--version', '--help'], otherwise);
  return new UsageError('BadOption', `there is no option ${quoted(option)}`, advice);
}

function version(): string {
  const manifest = new URL(fromSources ? '../../package.json' : '../package.json', import.meta.url);
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}

/** From now on outputs are painted as the words say. @throws UsageError */
function choose(words: readonly string[]): readonly string[] {
  const { args: others, when } = chooseColour(words);
  const [out, error] = [process.stdout, process.stderr].map(({ isTTY }) =>
    paintFor(when, isTTY === true, process.env),
  );
  // A document is for machines
  paint = { out: others.includes('--json') ? UNPAINTED : out!, error: error! };
  return others;
}

try {
  args = choose(args);
  process.exitCode = await run(args);
} catch (error) {
  process.exitCode = fail(error);
}
