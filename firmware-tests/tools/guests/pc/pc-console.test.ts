// SPDX-License-Identifier: GPL-2.0-or-later

/** The console of a PC: what is found of what it has shown. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PcConsole } from '../../../../tools/guests/pc/pc-console.ts';
import type { V86Emulator } from '../../../../tools/guests/pc/v86.ts';

const consoles = suite('console of a PC');

/** A console and what its screen shows. */
function rig(): {
  readonly console: PcConsole;
  show(...rows: string[]): void;
  say(text: string): void;
  told: string[];
  since: number[];
  time: { now: number };
} {
  let shown: string[] = [];
  const time = { now: 0 };
  let changed: (() => void) | undefined;
  let said: ((byte: number) => void) | undefined;
  const emulator = {
    add_listener(name: string, listener: (byte?: number) => void) {
      if (name === 'screen-put-char') changed = listener;
      else if (name === 'serial0-output-byte') said = listener;
    },
    screen_adapter: { get_text_screen: () => shown },
  };
  const pcConsole = new PcConsole(emulator as unknown as V86Emulator, () => time.now);
  const told: string[] = [];
  const since: number[] = [];
  pcConsole.onLine = (line, _source, at) => {
    told.push(line);
    since.push(at);
  };
  return {
    ...{ console: pcConsole, told, since, time },
    show(...rows) {
      shown = rows;
      changed!();
      pcConsole.look();
    },
    say: (text) => Buffer.from(text).forEach((byte) => said!(byte)),
  };
}

consoles('a second boot shows the lines of the first: they are found, and told, again', () => {
  const { console: pc, show, told } = rig();
  show('BIOS', 'iPXE 1.21', 'prompt>');
  assert.ok(pc.find('iPXE 1.21'));
  pc.forget();
  assert.not.ok(pc.find('iPXE 1.21'));
  assert.not.ok(pc.find('prompt>'));
  show('BIOS');
  assert.not.ok(pc.find('iPXE 1.21'));
  show('BIOS', 'iPXE 1.21', 'prompt>');
  assert.ok(pc.find('iPXE 1.21'));
  assert.equal(told, ['BIOS', 'iPXE 1.21', 'BIOS', 'iPXE 1.21']);
});

consoles('as long as nothing is cleared, what was said before is past', () => {
  const { console: pc, show } = rig();
  show('BIOS', 'first', 'last');
  pc.forget();
  show('BIOS', 'first', 'last', 'more');
  assert.not.ok(pc.find('first'));
  assert.ok(pc.find('more'));
});

consoles(
  'a prompt that was found is past, also with an echo behind it, and once it is complete',
  () => {
    const { console: pc, show, told } = rig();
    show('iPXE 1.21', 'iPXE>');
    assert.ok(pc.find('iPXE>'));
    for (const typed of ['iPXE>', 'iPXE> d', 'iPXE> dhcp']) {
      show('iPXE 1.21', typed);
      assert.not.ok(pc.find('iPXE>'), typed);
    }
    show('iPXE 1.21', 'iPXE> dhcp', 'Configuring');
    assert.not.ok(pc.find('iPXE>'));
    assert.not.ok(pc.find('iPXE 1.21'));
    show('iPXE 1.21', 'iPXE> dhcp', 'Configuring ok', 'iPXE>');
    assert.ok(pc.find('iPXE>'));
    // The next one follows at once
    show('iPXE 1.21', 'iPXE> dhcp', 'Configuring ok', 'iPXE>', 'iPXE>');
    assert.ok(pc.find('iPXE>'));
    assert.not.ok(pc.find('iPXE>'));
    assert.equal(told, ['iPXE 1.21', 'iPXE> dhcp', 'Configuring ok', 'iPXE>']);
  },
);

consoles(
  'of a line that was found in part the rest is there: the echo, and what is complete',
  () => {
    const { console: pc, show } = rig();
    show('a>');
    assert.ok(pc.find('a>'));
    show('a> dhcp a>');
    assert.ok(pc.find('a>'));
    assert.not.ok(pc.find('dhcp'));
    show('a> dhcp a> boot', 'next');
    assert.ok(pc.find('boot'));
    assert.ok(pc.find('next'));
  },
);

consoles('a line that is written anew is a new one', () => {
  const { console: pc, show } = rig();
  show('first', 'wait 3');
  assert.ok(pc.find('wait'));
  show('first', 'w');
  assert.not.ok(pc.find('wait'));
  show('first', 'wait 2');
  assert.ok(pc.find('wait'));
  show('first', 'other', 'wait 1');
  assert.ok(pc.find('wait'));
});

consoles('a line that was there before a reset is past when it is complete', () => {
  const { console: pc, show } = rig();
  show('BIOS', 'last');
  pc.forget();
  show('BIOS', 'last', 'more');
  assert.not.ok(pc.find('last'));
  assert.ok(pc.find('more'));
});

consoles('a screen that was cleared by a reset has nothing that is past', () => {
  const { console: pc, show } = rig();
  show('BIOS', 'other', 'BIOS');
  pc.forget();
  show('BIOS');
  assert.ok(pc.find('BIOS'));
});

consoles('what has come behind the text that was found is still to be found, in its order', () => {
  const { console: pc, show, say } = rig();
  show('one two', 'three', 'four');
  assert.ok(pc.find('one'));
  assert.ok(pc.find('two'));
  assert.not.ok(pc.find('one'));
  assert.ok(pc.find('four'));
  assert.not.ok(pc.find('three'));
  say('five six');
  assert.ok(pc.find('five'));
  assert.not.ok(pc.find('five'));
  assert.ok(pc.find('six'));
});

consoles('a text on the screen and on the serial line is found once', () => {
  const { console: pc, show, say } = rig();
  show('a>');
  say('a>');
  assert.ok(pc.find('a>'));
  assert.not.ok(pc.find('a>'));
});

consoles('a line has the time of its first character', () => {
  const { console: pc, show, say, told, since, time } = rig();
  const at = (now: number, ...rows: string[]): void => {
    time.now = now;
    show(...rows);
  };
  at(10, 'wait');
  at(20, 'wait.');
  at(30, 'wait..', 'next');
  at(40, 'wait..', 'next', 'third', 'fourth');
  at(50, 'wait..', 'next', 'third', 'fourth 1');
  time.now = 60;
  pc.finish();
  time.now = 70;
  say('ti');
  time.now = 80;
  say('ck\n');
  assert.equal(
    told.map((line, i) => [line, since[i]]),
    [
      ['wait..', 10],
      ['next', 30],
      ['third', 40],
      ['fourth 1', 40],
      ['tick', 70],
    ],
  );
});

consoles('what was there before is no news, on the screen and on the serial line', () => {
  const { console: pc, show, say } = rig();
  show('BIOS', 'Booting');
  say('tick\n');
  const { news } = pc;
  assert.is(news, 3);
  for (let i = 0; i < 3; i++) {
    show('BIOS');
    show('BIOS', 'Booting');
    say('tick\n');
  }
  assert.is(pc.news, news);
  show('BIOS', 'Booting.');
  assert.is(pc.news, news + 1);
});

consoles('of lines that nobody looks for the last ones are kept', () => {
  const { console: pc, show } = rig();
  show('first');
  for (let i = 0; i < 10_100; i++) show(`<${i}>`, 'end');
  assert.not.ok(pc.find('<50>'));
  assert.ok(pc.find('<10001>'));
});

consoles('a line that is too long goes on in the next one, and no sequence is cut', () => {
  for (let at = 380; at <= 410; at++) {
    const { console: pc, told, say } = rig();
    const text = 'a'.repeat(at) + 'b'.repeat(1000 - at);
    say(`${text.slice(0, at)}\x1b[1;31m${text.slice(at)}\nnext`);
    assert.is(told.join(''), text, `${at}`);
    assert.ok(
      told.every((line) => line.length <= 400),
      `${at}`,
    );
    assert.is(pc.serialRest, 'next');
  }
  // What goes on for ever is no sequence, and is cut as well
  const { told, say } = rig();
  say(`\x1b[${'0'.repeat(1000)}\n`);
  assert.ok(told.length >= 1);
});

consoles('a line of just as much as fits is one', () => {
  const { told, say } = rig();
  say(`${'a'.repeat(400)}\n${'ä'.repeat(400)}\n\n`);
  assert.equal(told, ['a'.repeat(400), 'ä'.repeat(400)]);
});

consoles.run();
