// SPDX-License-Identifier: GPL-2.0-or-later

/** Scripts of what is expected of a console: what is read, and what is refused. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BadScript, parseKeys, parseScript } from '../../../tools/flow/pc-script.ts';

const scripts = suite('scripts of a console');

scripts('a step a line; comments and empty lines are left out', () => {
  const script = '# first\n\nwithin 2.5\nexpect\ta  b \n  type x\\n\\x02\\\\\r\nsend \\e[A\nend\n';
  assert.equal(parseScript(script), [
    { step: 'within', seconds: 2.5, line: 3 },
    { step: 'expect', text: 'a  b ', line: 4 },
    { step: 'type', text: 'x\n\x02\\', line: 5 },
    { step: 'send', text: '\x1b[A', line: 6 },
    { step: 'end', line: 7 },
  ]);
});

scripts('what is no step is refused with its line', () => {
  const cases: [string, RegExp][] = [
    ['end\nwait 5', /line 2: there is no step "wait"/],
    ['expect', /line 1: expect without a text/],
    ['type ', /line 1: type without a text/],
    ['within soon', /line 1: within takes seconds up to 86400, not "soon"/],
    ['within 0', /within takes seconds/],
    ['end now', /end takes nothing/],
    ['boot x', /boot takes nothing/],
    ['type \u00e9', /line 1: no key of the keyboard is "\\u00e9"/],
    ['type \\xff', /no key of the keyboard is "\\u00ff"/],
    ['', /it has no step/],
    ['type x\nend', /it expects nothing: its end would come at once/],
    ['expect x\n\nend\n# more\ntype y\nend', /line 5: type stands behind the end of line 3/],
    ['end\nexpect x', /line 2: expect stands behind the end of line 1/],
    [`${'\u0000y'.repeat(40)} z`, /there is no step "(\\u0000y){20}" and so on \(/],
    ['send \\q', /there is no escape \\q/],
    ['send a\\', /there is no escape \\/],
    ['end\n'.repeat(1001), /1001 steps, at most 1000/],
  ];
  for (const [text, why] of cases) {
    const refused = (error: unknown): boolean =>
      error instanceof BadScript && why.test(error.message);
    assert.throws(() => parseScript(text), refused, text.slice(0, 20));
  }
});

scripts('keys are one line with the same escapes, blanks as they are', () => {
  for (const [text, keys] of [
    ['', ''],
    ['  ', '  '],
    [' a\\n\\x02 ', ' a\n\x02 '],
  ] as const)
    assert.is(parseKeys(text), keys);
  const refused = (why: string) => (error: unknown) =>
    error instanceof BadScript && error.message === why;
  assert.throws(() => parseKeys('a\nb'), refused('a line end is written \\n'));
  assert.throws(() => parseKeys('\\x1d'), refused('no key of the keyboard is "\\u001d"'));
  assert.throws(() => parseKeys('a\\q'), refused('there is no escape \\q'));
});

scripts.run();
