// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Every place in `tools/` at which something comes in from outside: files, the words of a command,
 * the environment, texts of JSON, modules. What they are called makes no difference: they are found
 * by what they call.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { ROOT } from '../../../tools/build/build.mjs';

/** Rooms that no user runs. */
const OURS = /^(?:bench|build|manual)\//;

/** What brings something in. */
const SOURCES = new RegExp(
  [
    ...['\\bJSON\\.parse\\b', '\\bread(?:File|dir|link|v)?Sync\\(', '\\bopenSync\\('],
    ...['\\breadFile\\(', '\\bcreate(?:ReadStream|Interface)\\b', '\\bfs\\.(?:promises|open)\\b'],
    ...['\\bread(?:Text|Bytes)\\(', '\\bparseArg(?:s|uments)\\('],
    ...['\\bprocess\\.(?:argv|env|stdin)\\b', '\\bSourceTextModule\\(', '\\bimport\\('],
    '\\bWebAssembly\\.(?:Module|compile\\w*|instantiate\\w*|validate)\\b',
  ].join('|'),
);

/** What stands at the first column and has a name. */
const DECLARATION = /^(?:export )?(?:async )?(?:abstract )?(?:function\*?|class|const|let) (\w+)/;

/** `file: declaration` of each, in order; of what has no name: `file: module`. */
export function readers(): string[] {
  const root = path.join(ROOT, 'tools');
  const files = (fs.readdirSync(root, { recursive: true }) as string[])
    .map((file) => file.replaceAll(path.sep, '/'))
    .filter((file) => file.endsWith('.ts') && !OURS.test(file));
  const found = files.flatMap((file) =>
    readersIn(fs.readFileSync(path.join(root, file), 'utf8')).map((name) => `${file}: ${name}`),
  );
  return found.sort();
}

/** Declarations of a source that bring something in. */
export function readersIn(source: string): string[] {
  const names = new Set<string>();
  let name = 'module';
  for (const line of source.split('\n')) {
    if (/^import\b/.test(line) || /^\s*(?:\*|\/\/|\/\*)/.test(line)) continue;
    const declared = DECLARATION.exec(line);
    if (declared !== null) name = declared[1]!;
    else if (/^[a-z]/.test(line) && !/^(?:export )?(?:type|interface|declare)\b/.test(line))
      name = 'module';
    // Its own name is no call
    const called = declared === null ? line : line.slice(declared[0].length);
    if (SOURCES.test(called)) names.add(name);
  }
  return [...names];
}

/** It reads bytes, text or names, and looks for nothing in them. */
const BYTES = 'takes what is there as it is';
const OWN = 'reads what is our own';

/**
 * Each of them: the parsers of the tables that what comes in goes to (`runs with NAME`), or why
 * there is none.
 */
export const READERS: Readonly<Record<string, string>> = {
  'capture/write-dissector.ts: module': OWN,
  'command/arguments.ts: parseArguments': 'runs with parseBoot, parseRecord, hostsCommand',
  'command/boot/boot-files.ts: copy': BYTES,
  'command/boot/boot-options.ts: parse': 'runs with parseBoot',
  'command/boot/boot-run.ts: serve': BYTES,
  'command/boot/directory-files.ts: directoryFiles': BYTES,
  'command/boot/output-file.ts: OutputFile': 'writes',
  'command/boot/output-file.ts: targetOf': BYTES,
  'command/boot/output-file.ts: waitForReader': 'writes',
  'command/boot/push-run.ts: Pushes': BYTES,
  'command/boot/push-run.ts: digestOf': BYTES,
  'command/boot/push-run.ts: openFile': BYTES,
  'command/boot/session-writer.ts: SessionWriter': 'names of files, to find one that is free',
  'command/cli.ts: args': 'its words go to chooseColour, and then to a command',
  'command/cli.ts: choose': 'chooseColour',
  'command/cli.ts: version': OWN,
  'command/explore/explore-options.ts: parse': 'runs with parseExplore',
  'command/explore/explore-parts.ts: mergeFiles': 'parsePart',
  'command/explore/explore-parts.ts: unfinishedPart': 'parsePart',
  'command/explore/explore-worker.ts: explore': BYTES,
  'command/files.ts: readBytes': BYTES,
  'command/files.ts: readSome': BYTES,
  'command/files.ts: readText': BYTES,
  'command/files.ts: requireFile': BYTES,
  'command/guest/guest-command.ts: guestCommand': 'runs with guestCommand',
  'command/guest/guest-command.ts: makeProject': OWN,
  'command/guest/guest-ipxe.ts: compileIpxe': 'checkModule',
  'command/guest/guest-ipxe.ts: includesOf':
    'names of headers; guest-ipxe.test.ts has hostile trees',
  'command/host-options.ts: readHostFile': 'runs with hostsCommand',
  'command/hosts-command.ts: parse': 'runs with hostsCommand',
  'command/pc/pc-explore-options.ts: parsePcExplore': 'runs with parsePcExplore',
  'command/pc/pc-explore.ts: partOf': BYTES,
  'command/pc/pc-files.ts: findV86': 'readVersion',
  'command/pc/pc-files.ts: loadBios': BYTES,
  'command/pc/pc-files.ts: loadProgram': 'kindOfProgram',
  'command/pc/pc-files.ts: loadV86': 'patchEmulator',
  'command/pc/pc-files.ts: readVersion': 'runs with readVersion',
  'command/pc/pc-options.ts: parsePc': 'runs with parsePc',
  'command/pc/pc-options.ts: readScript': 'parseScript',
  'command/pc/pc-run.ts: readDisk': BYTES,
  'command/pc/pc-run.ts: serve': BYTES,
  'command/record/record-options.ts: parseRecord': 'runs with parseRecord',
  'command/replay/read-session.ts: readTrace': 'parseTrace',
  'command/replay/replay-command.ts: parse': 'runs with parseReplay',
  'command/replay/replay-command.ts: replayCommand': 'text of its own cell, to be printed',
  'command/replay/trace-names.ts: shippedTraces': OWN,
  'command/report/demo-file.ts: builtScripts': OWN,
  'command/report/demo-file.ts: writePcDemo': OWN,
  'command/report/report-command.ts: reportCommand': 'runs with reportCommand',
  'command/report/report-file.ts: reportText': OWN,
  'command/report/report-file.ts: traceOf': 'readTrace',
  'command/scenarios-command.ts: parse': 'runs with parseScenarios',
  'command/scenarios-command.ts: runWith': 'text of its own cell, to be printed',
  'demo/recorder.ts: Recorder': OWN,
  'explore/part.ts: parsePart': 'runs with parsePart',
  'flow/pc-script.ts: readStep': 'runs with parseScript',
  'guests/cell/cell-port.ts: interruption': 'readText of cell-words.ts',
  'guests/cell/cell-process.ts: Cell': 'readText of cell-words.ts',
  'guests/cell/cell.ts: Cell': 'a few names of the environment, handed on',
  'guests/cell/worker-stack.ts: StoppedWorker': "texts of the engine's debugger",
  'guests/guest-modules.ts: GuestModules': 'withoutDynamicImport',
  'guests/guest-modules.ts: readModule': 'withoutDynamicImport',
  'guests/javascript-guest.ts: JavascriptInstance': OWN,
  'guests/javascript-realm.ts: dataOf': 'readBootResult, readEvent, thrown',
  'guests/wasm-file.ts: headOf': BYTES,
  'guests/wasm-file.ts: loadWasm': 'checkModule',
  'replay/trace-file.ts: parseObject': 'runs with parseTrace',
  'replay/trace-file.ts: whyNot': 'runs with parseTrace',
  'report/page/main.ts: data': OWN,
  'report/read-trace.ts: readTrace': 'runs with readTrace',
  'simulator/profiles/json-keys.ts: repeatedName': 'runs with parseHostText',
  'simulator/profiles/profile-file.ts: parseHostText': 'runs with parseHostText',
};
