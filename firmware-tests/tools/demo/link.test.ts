// SPDX-License-Identifier: GPL-2.0-or-later

/** One script of modules: what is linked does what it did, and nothing else is linked. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LinkError, exportsOf, linkModules } from '../../../tools/demo/link.ts';

const link = suite('demo: one script of modules');

/** What a script of these modules comes to: `result` of the exports of one. */
function run(
  modules: Readonly<Record<string, string>>,
  entries: string[],
  name: string,
  result: string,
): unknown {
  const end = `return ${exportsOf(name)}.${result};`;
  return new Function('var before=1;' + linkModules(entries, (each) => modules[each]!, end))();
}

link('modules in their order, each once, names of imports and exports kept apart', () => {
  const modules = {
    top:
      '// by us\nimport {\n  a as b,\n  log\n} from "./left.js";\nimport{a,log as l}from' +
      '"./right.js";\nl.push("top");var c=[b,a,l];export{c as all,log};\n',
    left: 'import{log}from"./base.js";log.push("left");var a=1;\nexport {\n  a,\n  log\n};\n',
    right:
      'import "./left.js";import{log as x}from"./base.js";x.push("right");' +
      'let y=2;export{y as a,x as log};',
    base: 'const q=[];export{q as log};\n//# sourceMappingURL=base.js.map\n',
  };
  assert.equal(run(modules, ['top'], 'top', 'all'), [1, 2, ['left', 'right', 'top']]);
  assert.equal(run(modules, ['left', 'top'], 'top', 'log.length'), 3);
});

link('a module is strict, whatever stands before the script', () => {
  const modules = { a: 'var t=function(){return typeof this}();export{t};' };
  assert.is(run(modules, ['a'], 'a', 't'), 'undefined');
});

link('a module may have any name of its own', () => {
  const modules = {
    a: 'var modules=new Map;export{modules as m};',
    b: 'import{m}from"./a.js";export{m};',
  };
  assert.is(run(modules, ['b'], 'b', 'm.size'), 0);
});

link('a module without exports runs, and its names are its own', () => {
  const modules = {
    a: 'var hidden=1;globalThis;',
    b: 'import"./a.js";var t=typeof hidden;export{t};',
  };
  assert.is(run(modules, ['b'], 'b', 't'), 'undefined');
});

for (const [name, text] of [
  ['default', 'var a=1;\nexport default a;\n'],
  ['import in the middle', 'var a=1;\nimport{b}from"./x.js";\nexport{a};'],
  ['of a package', 'import{b}from"v86";\nexport{b};'],
  ['the name of the table', 'var linked$modules=1;export{linked$modules as a};'],
  ['itself', 'import{b}from"./entry.js";export{b};'],
] as const) {
  link(`refused by name: ${name}`, () => {
    const bad = (): unknown => linkModules(['entry'], () => text, '');
    assert.throws(
      bad,
      (error: Error) => error instanceof LinkError && /^entry\.js /.test(error.message),
    );
  });
}

link.run();
